"""The kept profiles: every user folded through an instant, a file a bucket, brought forward by what is new in the log.

A run writes new files and then switches the manifest, so that one killed at any moment leaves the state before it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from features.definition.schema import Definition
from features.event_store.collisions import bucket_of
from features.event_store.store import EventStore
from features.events.events import Events
from features.events.hashing import hashed
from features.profile.codec import pack_all, stored_bytes, unpack
from features.profile.fold import fold_into
from features.profile.layout import H_LAST, NEVER, layout_of
from features.profile.manifest import ProfileManifest
from features.profile.stored_bucket import SCHEMA, TRAITS, Folded, Known, StoredBucket, kept_traits
from features.profile.stored_people import WHO, MergedPeople, buckets_of, merged_people
from features.system.durable import new_folder, replacing, write_durably
from features.system.kept_files import reading, sealed, unsealed
from features.system.parallel import each

#: users folded at once
RUN = 1_000


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run brings to every bucket.

    Attributes:
        store: the event store.
        through: the instant through which profiles are folded.
        last: the state to fold on from; None when everybody is folded again.
        known: attributes by user.
        moved: by bucket the users whose attributes have changed.
        everyone: yield all profiles, not only the changed ones.
        people: those whose ids were merged.
    """

    store: EventStore
    through: int
    last: ProfileManifest | None
    known: Known
    moved: dict[int, list[str]]
    everyone: bool
    people: MergedPeople


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
        self._who = WHO.to_frame()

    @property
    def files(self) -> list[Path]:
        """The files of the kept profiles."""
        return [self._folder / name for name in self.manifest.files.values()] if self.manifest else []

    def who(self) -> pl.DataFrame:
        """Who was who at the last run, of ids that were merged; `features.profile.stored_people.WHO`."""
        if self.manifest is None or not self.manifest.people:
            return WHO.to_frame()
        path = self._folder / self.manifest.people
        with reading(path, fix=f"remove {self._folder}, and run propensity materialize: the profiles are rebuilt"):
            return pl.read_parquet(path)

    def advance(
        self, store: EventStore, through: int, traits: pl.DataFrame | None, *, everyone: bool = False
    ) -> Iterator[pl.DataFrame]:
        """Fold the log through an instant, a bucket at a time; nothing counts before `commit`.

        New events are folded into the profiles there are. Whose new events are not later than the last one folded, or
        who has events that only now can be seen, is folded again from their bucket; so is a whole bucket that was
        rewritten, and everybody when the instant lies before the last one.

        Args:
            store: the event store.
            through: the instant.
            traits: each user's attributes, `TRAITS`.
            everyone: yield all profiles, not only the changed ones.

        Yields:
            Of each bucket the changed rows, ``user`` and ``profile`` (as `StoredProfile.to_bytes` packs it; without
            words for a user who is no longer in the log).
        """
        new_folder(self._folder)
        state, last = store.manifest, self.manifest
        same = last is not None and last.log == state.name  # else users may be in other buckets than they were
        usable = same and last is not None and last.through <= through and state.has_been(last.position, last.state)
        known, moved = self._traits(traits, state.buckets)
        people = self._people(store, through, last if usable else None)
        run = _Run(store, through, last if usable else None, known, moved, everyone, people)

        def work(bucket: int) -> tuple[int, str, pl.DataFrame]:
            before = StoredBucket.of(self._read(bucket) if same else pl.DataFrame(schema=SCHEMA))
            return bucket, *self._advance(run, bucket, before)

        yield people.nothing(through, store.live.position)
        files: dict[int, str] = {}
        for bucket, name, rows in each(store.buckets, work):
            files[bucket] = name
            yield rows
        live = store.live.position
        if last is not None and not same:
            yield self._lost(list(last.files.values()), list(files.values()), stored_bytes(through, b"", "", live))
        yield people.online(through, live, everyone=everyone)  # last, over ids that are gone
        self._next = ProfileManifest(
            log=state.name,
            position=state.position,
            state=state.token,
            through=through,
            live=live,
            live_log=store.live.log,
            files=files,
            people=f"people-{state.name}-{state.position}-{through}.parquet" if len(people.who) else "",
        )
        self._known, self._who = traits, people.who

    def _advance(self, run: "_Run", bucket: int, before: StoredBucket) -> tuple[str, pl.DataFrame]:
        """Fold a bucket; return its file's name, and what the online store gets."""
        state, through, live = run.store.manifest, run.through, run.store.live.position
        if run.last is not None and state.merged.get(bucket, 0) <= run.last.position:
            name = run.last.files[bucket]
            freed = run.people.freed.get(bucket, [])
            folded = self._more(run.store, bucket, run.last.position, through, before, freed)
            folded |= run.people.folded.get(bucket, {})
            moved = run.moved.get(bucket, [])
            folded |= {user: before.folded(user) for user in moved if user in before.row and user not in folded}
            folded = {user: found for user, found in folded.items() if not run.people.below(user)}
            rest = before.without([*folded, *run.people.without_profile(before.row)])
        else:
            folded, name, rest = self._folded(run.store.bucket(bucket, ends=NEVER), through), "", before.frame.clear()
            folded |= run.people.folded.get(bucket, {})
        rows, changed = before.after(folded, run.known, through, live, run.people.identities)
        every = pl.concat([rows, rest])
        if len(rows) or not name or len(every) != len(before.frame):
            name = f"bucket-{bucket:04d}-{state.name}-{state.position}-{through}.parquet"
            with replacing(self._folder / name, durable=False) as fresh:
                every.write_parquet(fresh, compression="lz4")
        shown = every if run.everyone else rows.filter(changed)
        online = shown.select("user", "profile").drop_nulls()
        return name, pl.concat([online, before.gone(every, through, live, run.people.identities)])

    def _people(self, store: EventStore, through: int, last: ProfileManifest | None) -> MergedPeople:
        """Fold people whose ids were merged.

        Args:
            store: the event store.
            through: the instant.
            last: the state to fold on from; None when everybody is folded again.
        """
        was = self.who()

        def acted(who: pl.DataFrame) -> pl.Series:
            state, since = store.manifest, last.position if last is not None else 0
            again = {bucket for bucket in store.buckets if state.merged.get(bucket, 0) > since}
            places = pl.Series([bucket in again for bucket in buckets_of(who["id"], state.buckets)], dtype=pl.Boolean)
            waiting = [self._read(bucket).filter(pl.col("ahead") <= through)["user"] for bucket in store.buckets]
            return pl.concat([who["id"].filter(places), store.merged.since(since), *waiting])

        return merged_people(store, through, was, acted if last is not None else None, self._folded)

    def _lost(self, before: list[str], after: list[str], nothing: bytes) -> pl.DataFrame:
        """What the online store gets of users who were in the log before it was rebuilt, and are not now."""
        old, new = (pl.scan_parquet([self._folder / name for name in names]) for names in (before, after))
        users = old.drop_nulls("profile").join(new, on="user", how="anti").select("user").collect()
        return users.with_columns(profile=pl.lit(nothing, pl.Binary()))

    def _traits(self, traits: pl.DataFrame | None, buckets: int) -> tuple[Known, dict[int, list[str]]]:
        """Attributes by user; and by bucket the users whose attributes are others than at the last commit."""
        now = traits if traits is not None else pl.DataFrame(schema=TRAITS)
        path = self._folder / "traits.parquet"
        with reading(path, fix=f"remove {path}, and run propensity materialize"):
            was = kept_traits(path).collect() if path.exists() else now.clear()
        places: Iterable[int] = []
        users = pl.concat([now.join(was, on=TRAITS.names(), how="anti"), was.join(now, on="user", how="anti")])["user"]
        moved: dict[int, list[str]] = {}
        if len(users):
            places = bucket_of(hashed(pa.chunked_array([users.to_arrow()])), buckets).tolist()
        for user, bucket in zip(users, places, strict=True):
            moved.setdefault(bucket, []).append(user)
        return {
            user: (traits, visible_from) for user, traits, visible_from in now.select(TRAITS.names()).iter_rows()
        }, moved

    @property
    def reached(self) -> ProfileManifest:
        """The state that `advance` has reached, once it is worked through."""
        if self._next is None:
            raise RuntimeError("advance() was not worked through")
        return self._next

    def commit(self) -> None:
        """Switch to the state that `advance` has reached, and remove the files of the one before."""
        if self.reached.people:
            with replacing(self._folder / self.reached.people, durable=False) as fresh:
                self._who.write_parquet(fresh)
        write_durably(self._folder / "manifest.json", sealed(self.reached.model_dump_json()))
        self.manifest = self.reached
        # after the manifest: who is killed in between looks at the same attributes again, and finds them unchanged
        if self._known is not None:
            with replacing(self._folder / "traits.parquet", durable=False) as fresh:
                self._known.write_parquet(fresh)
        named = {*self.manifest.files.values(), self.manifest.people}
        for pattern in ("bucket-*", "people-*"):
            for file in self._folder.glob(pattern):
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
            folded |= self._fold(events, lo, min(lo + RUN, len(events.users)), through, None)[0]
        return folded

    def _more(
        self, store: EventStore, bucket: int, since: int, through: int, before: StoredBucket, freed: list[str]
    ) -> Folded:
        """Fold what is new into the profiles there are; who cannot be folded on is folded again, as who is alone."""
        new = store.bucket(bucket, since=since, ends=NEVER)
        folded: Folded = {}
        again = {user for user, ahead in zip(before.row, before.ahead, strict=True) if ahead <= through} | set(freed)
        for lo in range(0, len(new.users), RUN):
            more, late = self._fold(new, lo, min(lo + RUN, len(new.users)), through, before)
            folded |= more
            again |= late
        if again:
            folded |= self._folded(store.bucket(bucket, ends=NEVER, users=sorted(again)), through)
        return folded

    def _fold(
        self, events: Events, lo: int, hi: int, through: int, before: StoredBucket | None
    ) -> tuple[Folded, set[str]]:
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
