"""What is known of users besides the live log: their events in the event store, their attributes."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from features.definition.schema import Definition
from features.errors import EventLogError, PropensityError
from features.log.compacted import Compacted
from features.log.events import Rows
from features.log.intake import bucket_of
from features.log.source import EventLog, hashed
from features.log.store import EventStore
from features.profiles import ProfileManifest, Profiles
from features.settings import Settings
from features.store.objects import profiles_path

log = logging.getLogger("propensity")


@dataclass(frozen=True, slots=True)
class Kept:
    """What the kept profiles were made of: they, and the live log after `position`, are all there is.

    Attributes:
        position: the live log is folded into them through this position.
        through: and the event store through this instant.
    """

    position: int
    through: int


class History:
    """The event store and the trait table behind the kept profiles.

    Args:
        definition: the definition.
        settings: where they are.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition, self._settings = definition, settings
        self._folder = profiles_path(definition, settings.folder(definition.name))
        self._log: EventLog | None = None

    def kept(self) -> Kept | None:
        """What the kept profiles were made of; None where there are none, as when they were folded on Spark."""
        manifest = self._manifest()
        return Kept(manifest.live, manifest.through) if manifest is not None else None

    def rows(self, users: Sequence[str]) -> Rows | None:
        """The events of users that are in the kept profiles; None where none can be read here."""
        for attempt in range(3):
            manifest, log = self._manifest(), self._opened()
            if manifest is None or log is None:
                return None
            store = EventStore(log, self._settings.events(self._definition.name))
            try:
                return self._read(store, manifest, users)
            except EventLogError:
                if attempt == 2:  # a part that was put together anew meanwhile is found the next time
                    raise
        return None

    def _read(self, store: EventStore, manifest: ProfileManifest, users: Sequence[str]) -> Rows:
        places = bucket_of(hashed(pa.chunked_array([pa.array(users, pa.string())])), store.manifest.buckets).tolist()
        by_bucket: dict[int, list[str]] = {}
        for user, bucket in zip(users, places, strict=True):
            by_bucket.setdefault(bucket, []).append(user)
        tables = []
        for bucket, names in by_bucket.items():
            rows = store.rows_of(bucket, names, through=manifest.position)
            tables.append(rows.take(rows.visible <= manifest.through).table())
        return Rows.together(tables, store.log.n_values)

    def traits(self, users: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """The attributes of users when the kept profiles were made."""
        path = self._folder / "traits.parquet"
        if not path.exists():
            return {}
        asked = pl.Series(list(users), dtype=pl.String)
        found = pl.scan_parquet(path).filter(pl.col("user").is_in(asked.implode())).collect()
        return {user: json.loads(traits) for user, traits in found.select("user", "traits").iter_rows()}

    def _manifest(self) -> ProfileManifest | None:
        return Profiles(self._definition, self._folder).manifest

    def _opened(self) -> EventLog | None:
        """The log, opened once; None where it is not on this machine."""
        if self._log is None:
            live = Compacted.load(self._settings.live(self._definition.name))
            try:
                self._log = EventLog(self._definition, ends=np.iinfo(np.int64).max, live=live)
            except PropensityError as error:
                log.warning("late events cannot be folded in here: %s", error)
        return self._log
