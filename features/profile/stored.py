"""The kept profiles: every user folded through an instant, a file a bucket, brought forward by what is new in the log.

A run writes new files and then switches the manifest, so that one killed at any moment leaves the state before it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from features.definition.schema import Definition
from features.event_store.collisions import bucket_of
from features.event_store.store import EventStore
from features.events.events import Events
from features.events.hashing import hashed
from features.profile.codec import STAMP, pack_all, stored_bytes, stored_through, stored_words, unpack
from features.profile.fold import fold_into
from features.profile.layout import H_LAST, NEVER, layout_of
from features.rows import INSTANT
from features.system.kept_files import reading, replacing, sealed, unsealed, write_durably
from features.system.parallel import each

#: users folded at once
RUN = 1_000

#: what a bucket's file holds; ``ahead`` is the first cutoff that sees an event not folded in yet, ``profile`` what the
#: online store holds, null before anything of the user can be seen
SCHEMA = pl.Schema({"user": pl.String(), "through": INSTANT, "ahead": pl.Int64(), "profile": pl.Binary()})
Folded: TypeAlias = dict[str, tuple[int, bytes | None]]
"""Of each user ``ahead`` and the packed profile."""

#: each user's attributes as JSON, and the first cutoff that sees them
TRAITS = pl.Schema({"user": pl.String(), "traits": pl.String(), "told": pl.Int64()})
Known: TypeAlias = dict[str, tuple[str, int]]


class ProfileManifest(BaseModel):
    """A complete state of the kept profiles.

    Attributes:
        log: which event store, and how many times it had been built anew.
        live: the live log is folded in through this position.
        live_log: the id of that live log; empty where nothing of one is folded in, or an older version wrote this.
        position: the log is folded in through this position.
        state: the event store's token for that position.
        through: and through this instant.
        files: the file of each bucket.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: str
    position: int
    state: str = ""
    through: int
    live: int = 0
    live_log: str = ""
    files: dict[int, str]

    @property
    def token(self) -> str:
        """What tells this state from others."""
        return f"{self.log}/{self.position}/{self.through}"


class Profiles:
    """The kept profiles of a definition.

    Args:
        definition: the definition.
        folder: where they are; each feature set needs one of its own.
    """

    def __init__(self, definition: Definition, folder: Path) -> None:
        self._layout = layout_of(definition)
        self._folder = folder
        path = folder / "manifest.json"
        with reading(path, fix=f"remove {folder}, and run propensity materialize: the profiles are rebuilt"):
            self.manifest = ProfileManifest.model_validate_json(unsealed(path.read_bytes())) if path.exists() else None
        self._next: ProfileManifest | None = None
        self._known: pl.DataFrame | None = None

    @property
    def files(self) -> list[Path]:
        """The files of the kept profiles."""
        return [self._folder / name for name in self.manifest.files.values()] if self.manifest else []

    def advance(
        self, store: EventStore, through: int, traits: pl.DataFrame | None, *, everyone: bool = False
    ) -> Iterator[pl.DataFrame]:
        """Fold the log through an instant, a bucket at a time; nothing counts before `commit`.

        New events are folded into the profiles there are. Whose new events are not later than the last one folded, or
        who has events that only now can be seen, is folded again from their bucket; so is a whole bucket that was
        written anew, and everybody when the instant lies before the last one.

        Args:
            store: the event store.
            through: the instant.
            traits: each user's attributes, `TRAITS`.
            everyone: yield all profiles, not only the changed ones.

        Yields:
            Of each bucket the changed rows, ``user`` and ``profile`` (as `StoredProfile.to_bytes` packs it; without
            words for a user who is no longer in the log).
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        state, last = store.manifest, self.manifest
        log = state.name
        same = last is not None and last.log == log  # else users may be in other buckets than they were
        usable = same and last is not None and last.through <= through and state.has_been(last.position, last.state)
        known, moved = self._traits(traits, state.buckets)
        live = store.live.position

        def work(bucket: int) -> tuple[int, str, pl.DataFrame]:
            before = _Before.of(self._read(bucket) if same else pl.DataFrame(schema=SCHEMA))
            if usable and last is not None and state.merged.get(bucket, 0) <= last.position:
                folded, name = self._more(store, bucket, last.position, through, before), last.files[bucket]
                folded |= {u: before.folded(u) for u in moved.get(bucket, []) if u in before.row and u not in folded}
                rest = before.without(folded)
            else:
                folded, name, rest = self._folded(store.bucket(bucket, ends=NEVER), through), "", before.frame.clear()
            rows, changed = before.after(folded, known, through, live)
            every = pl.concat([rows, rest])
            if len(rows) or not name:
                name = f"bucket-{bucket:04d}-{log}-{state.position}-{through}.parquet"
                with replacing(self._folder / name, durable=False) as fresh:
                    every.write_parquet(fresh, compression="lz4")
            shown = (
                every.select("user", "profile").drop_nulls()
                if everyone
                else rows.filter(changed).select("user", "profile").drop_nulls()
            )
            return bucket, name, pl.concat([shown, before.gone(every, through, live)])

        files: dict[int, str] = {}
        for bucket, name, rows in each(store.buckets, work):
            files[bucket] = name
            yield rows
        if last is not None and not same:
            yield self._lost(list(last.files.values()), list(files.values()), stored_bytes(through, b"", "", live))
        self._next = ProfileManifest(
            log=log,
            position=state.position,
            state=state.token,
            through=through,
            live=live,
            live_log=store.live.log,
            files=files,
        )
        self._known = traits

    def _lost(self, before: list[str], after: list[str], nothing: bytes) -> pl.DataFrame:
        """What the online store gets of users who were in the log before it was taken in anew, and are not now."""
        old, new = (pl.scan_parquet([self._folder / name for name in names]) for names in (before, after))
        users = old.drop_nulls("profile").join(new, on="user", how="anti").select("user").collect()
        return users.with_columns(profile=pl.lit(nothing, pl.Binary()))

    def _traits(self, traits: pl.DataFrame | None, buckets: int) -> tuple[Known, dict[int, list[str]]]:
        """Attributes by user; and by bucket the users whose attributes are others than at the last commit."""
        now = traits if traits is not None else pl.DataFrame(schema=TRAITS)
        path = self._folder / "traits.parquet"
        with reading(path, fix=f"remove {path}, and run propensity materialize"):
            was = pl.read_parquet(path) if path.exists() else now.clear()
        places: Iterable[int] = []
        users = pl.concat([now.join(was, on=TRAITS.names(), how="anti"), was.join(now, on="user", how="anti")])["user"]
        moved: dict[int, list[str]] = {}
        if len(users):
            places = bucket_of(hashed(pa.chunked_array([users.to_arrow()])), buckets).tolist()
        for user, bucket in zip(users, places, strict=True):
            moved.setdefault(bucket, []).append(user)
        return {user: (traits, told) for user, traits, told in now.select(TRAITS.names()).iter_rows()}, moved

    @property
    def reached(self) -> ProfileManifest:
        """The state that `advance` has reached, once it is worked through."""
        if self._next is None:
            raise RuntimeError("advance() was not worked through")
        return self._next

    def commit(self) -> None:
        """Switch to the state that `advance` has reached, and remove the files of the one before."""
        write_durably(self._folder / "manifest.json", sealed(self.reached.model_dump_json()))
        self.manifest = self.reached
        # after the manifest: who is killed in between looks at the same attributes again, and finds them unchanged
        if self._known is not None:
            with replacing(self._folder / "traits.parquet", durable=False) as fresh:
                self._known.write_parquet(fresh)
        named = set(self.manifest.files.values())
        for file in self._folder.glob("bucket-*"):
            if file.name not in named:
                file.unlink()

    def _read(self, bucket: int) -> pl.DataFrame:
        name = self.manifest.files.get(bucket) if self.manifest else None
        if not name:
            return pl.DataFrame(schema=SCHEMA)
        fix = f"remove {self._folder}, and run propensity materialize: the profiles are rebuilt"
        with reading(self._folder / name, fix=fix):
            return pl.read_parquet(self._folder / name)

    def _folded(self, events: Events, through: int) -> Folded:
        """Fold users from their beginning."""
        folded: Folded = {}
        for lo in range(0, len(events.users), RUN):
            folded |= self._run(events, lo, min(lo + RUN, len(events.users)), through, None)[0]
        return folded

    def _more(self, store: EventStore, bucket: int, since: int, through: int, before: "_Before") -> Folded:
        """Fold what is new into the profiles there are; who cannot be folded on is folded again."""
        new = store.bucket(bucket, since=since, ends=NEVER)
        folded: Folded = {}
        again = {user for user, ahead in zip(before.row, before.ahead, strict=True) if ahead <= through}
        for lo in range(0, len(new.users), RUN):
            more, late = self._run(new, lo, min(lo + RUN, len(new.users)), through, before)
            folded |= more
            again |= late
        if again:
            folded |= self._folded(store.bucket(bucket, ends=NEVER, users=sorted(again)), through)
        return folded

    def _run(self, events: Events, lo: int, hi: int, through: int, before: "_Before | None") -> tuple[Folded, set[str]]:
        """Fold the events of users ``[lo, hi)`` into what there is of them; and say who came too late for that."""
        users = events.users[lo:hi].to_list()
        words, ahead = np.zeros((hi - lo, self._layout.size), dtype=np.int64), np.full(hi - lo, NEVER)
        late: set[str] = set()
        for i, user in enumerate(users if before is not None else ()):
            if before is not None and user in before.row:
                ahead[i], packed = before.folded(user)
                if packed is None:
                    late.add(user)  # all that is kept of them is that something will be seen
                else:
                    words[i] = unpack(packed, self._layout)
                    if events.t[events.starts[lo + i]] <= words[i, H_LAST]:
                        late.add(user)
        fold_into(events, lo, hi, through, self._layout, words, ahead)
        packed_all = (value or None for value in pack_all(words, self._layout))
        return dict(zip(users, zip(ahead.tolist(), packed_all, strict=True), strict=True)), late


@dataclass(frozen=True, slots=True)
class _Before:
    """A bucket as it was.

    Attributes:
        frame: its rows, `SCHEMA`.
        row: where each user stands.
        ahead: its column of that name.
        values: what the online store holds of each.
    """

    frame: pl.DataFrame
    row: dict[str, int]
    ahead: list[int]
    values: list[bytes | None]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "_Before":
        return cls(
            frame,
            {user: i for i, user in enumerate(frame["user"].to_list())},
            frame["ahead"].to_list(),
            frame["profile"].to_list(),
        )

    def folded(self, user: str) -> tuple[int, bytes | None]:
        """A user's ``ahead`` and packed profile."""
        value = self.values[self.row[user]]
        return self.ahead[self.row[user]], stored_words(value) if value is not None else None

    def without(self, users: Iterable[str]) -> pl.DataFrame:
        """The rows of all others."""
        keep = np.ones(len(self.frame), dtype=np.bool_)
        keep[[self.row[user] for user in users if user in self.row]] = False
        return self.frame.filter(keep)

    def after(self, folded: Folded, known: Known, through: int, live: int) -> tuple[pl.DataFrame, pl.Series]:
        """Rows of folded users, and which of them changed; who is what they were keeps the value as it was."""
        values: list[bytes | None] = []
        changed: list[bool] = []
        for user, (_, words) in folded.items():
            was = self.values[self.row[user]] if user in self.row else None
            traits, told = known.get(user, ("", 0))
            value = None if words is None else stored_bytes(through, words, traits, live, told)
            same = value == was if value is None or was is None else value[STAMP:] == was[STAMP:]
            values.append(was if same else value)
            changed.append(not same)
        since = [through if value is None else stored_through(value) for value in values]
        columns = {
            "user": list(folded),
            "through": since,
            "ahead": [ahead for ahead, _ in folded.values()],
            "profile": values,
        }
        return pl.DataFrame(columns, schema_overrides=SCHEMA).with_columns(pl.col("through").cast(INSTANT)).select(
            SCHEMA.names()
        ), pl.Series(changed, dtype=pl.Boolean)

    def gone(self, every: pl.DataFrame, through: int, live: int) -> pl.DataFrame:
        """What the online store gets of users who are no longer there."""
        there = set(every["user"]) if len(every) != len(self.frame) or not self.row else self.row
        lost = [user for user, i in self.row.items() if user not in there and self.values[i] is not None]
        nothing = stored_bytes(through, b"", "", live)
        return pl.DataFrame(
            {"user": lost, "profile": [nothing] * len(lost)}, schema={"user": pl.String(), "profile": pl.Binary()}
        )
