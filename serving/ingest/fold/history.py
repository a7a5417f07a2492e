"""What is known of users besides the live log: their events in the event store, their attributes."""

import json
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import polars as pl
import pyarrow as pa

from features.definition.schema import Definition
from features.errors import EventLogError, PropensityError
from features.event_store.origins import origin_of
from features.event_store.stored_events import Origin, StoredEvents
from features.events.compacted import Compacted
from features.events.events import Rows
from features.events.hashing import bucket_of, hashed
from features.feature_store.objects import profiles_path
from features.identities.index import MergeIndex
from features.identities.merges import MERGES
from features.profile.codec import Attributes
from features.profile.manifest import ProfileManifest
from features.profile.stored import Profiles
from features.profile.stored_traits import TRAITS, kept_traits
from features.reading.live_messages import LogColumns
from features.settings import Settings

log = logging.getLogger("propensity")

Found = TypeVar("Found")


class History:
    """The event store and the trait table behind the kept profiles.

    Args:
        definition: the definition.
        settings: where they are.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition, self._settings = definition, settings
        self._folder = profiles_path(definition, settings.folder(definition.name))
        self._log: tuple[str, Origin] | None = None
        self._merges: tuple[object, MergeIndex] | None = None

    def kept(self) -> ProfileManifest | None:
        """What the kept profiles are made of; None where there are none.

        Their events, and the live log after ``live``, are all there is of a user.
        """
        return Profiles(self._definition, self._folder).manifest

    def rows(self, kept: ProfileManifest, users: Sequence[str]) -> Rows | None:
        """The events of users that are in the kept profiles.

        Args:
            kept: what `kept` returned.
            users: whose.

        Returns:
            The rows, or None where they are not known: no event store is here, or it has been rebuilt since,
            holds live events that the kept profiles do not, and has no ids by which those could be known again.
        """
        return self._of_store(kept, lambda store: self._read(store, kept, users))

    def store(self, kept: ProfileManifest) -> StoredEvents:
        """The event store behind the kept profiles, as it is now.

        Raises:
            PropensityError: it is not on this machine.
        """
        of = kept.log.rpartition("-")[0]
        if self._log is None or self._log[0] != of:
            live = Compacted.load(self._settings.live(self._definition.name))
            self._log = of, origin_of(self._definition, self._settings, kept.log, live=live)
        return StoredEvents(self._log[1], self._settings.events(self._definition.name))

    def _of_store(self, kept: ProfileManifest, read: Callable[[StoredEvents], Found]) -> Found | None:
        """What is read of the event store, of which jobs replace files meanwhile; None where none is here."""
        for attempt in range(3):
            try:
                store = self.store(kept)
            except PropensityError as error:
                log.warning("late events cannot be folded in here: %s", error)
                return None
            try:
                return read(store)
            except (EventLogError, FileNotFoundError):
                if attempt == 2:  # what was rebuilt meanwhile is found the next time
                    raise
        return None

    def _read(self, store: StoredEvents, kept: ProfileManifest, users: Sequence[str]) -> Rows | None:
        state = store.manifest
        if kept.log == state.name and not state.has_been(kept.position, kept.state):
            return None  # one of the two came back from a backup: the next batch puts them right
        places = bucket_of(hashed(pa.chunked_array([pa.array(users, pa.string())])), state.buckets).tolist()
        by_bucket: dict[int, list[str]] = {}
        for user, bucket in zip(users, places, strict=True):
            by_bucket.setdefault(bucket, []).append(user)
        tables = []
        for bucket, names in by_bucket.items():
            # where a bucket was rewritten, its parts no longer show what had come in by then
            exact = kept.log == state.name and state.merged.get(bucket, 0) <= kept.position
            if not exact and not self._known_again(store.log, kept):
                return None
            rows = store.rows_of(bucket, names, through=kept.position if exact else state.position)
            tables.append(rows.take(rows.visible <= kept.through).table())
        return Rows.together(tables, store.log.n_values)

    def _known_again(self, log: Origin, kept: ProfileManifest) -> bool:
        """Whether a live event that is in the event store too counts once: there is none, or ids tell."""
        compacted = Compacted.load(self._settings.live(self._definition.name))
        return compacted.position <= kept.live or LogColumns(self._definition, log.columns).keeps_ids

    def merges(self) -> MergeIndex:
        """The merges that the files report, as of the kept profiles; none where no event store is here."""
        kept = self.kept()
        if kept is None:
            return MergeIndex(MERGES.to_frame())
        live = Compacted.load(self._settings.live(self._definition.name))
        key = (kept.token, live.merges)
        if self._merges is None or self._merges[0] != key:
            found = self._of_store(kept, lambda store: store.reported_merges(live))
            if found is None:
                return MergeIndex(MERGES.to_frame())
            self._merges = key, MergeIndex(found)
        return self._merges[1]

    def traits(self, users: Sequence[str]) -> dict[str, Attributes]:
        """The attributes of users when the kept profiles were made."""
        path = self._folder / "traits.parquet"
        if not path.exists():
            return {}
        asked = pl.Series(list(users), dtype=pl.String)
        with kept_traits(path) as kept:
            found = kept.filter(pl.col("user").is_in(asked.implode())).collect()
            rows = found.select(TRAITS.names()).iter_rows()
            return {user: Attributes(json.loads(traits), visible_from) for user, traits, visible_from in rows}
