"""The kept profiles: every user folded through an instant, by bucket, brought forward by what is new in the log.

A run writes new files and then switches the manifest, so that one killed at any moment leaves the state before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from features.definition.schema import Definition
from features.event_store.store import EventStore
from features.events.events import Events
from features.profile.codec import pack_all, stored_bytes, unpack_into
from features.profile.everyone import EVERYONE, users_of, write_values
from features.profile.fold import fold_into
from features.profile.layers import SCHEMA, Layers, nobody
from features.profile.layout import H_LAST, NEVER, layout_of
from features.profile.manifest import ProfileManifest
from features.profile.stored_bucket import Folded, StoredBucket
from features.profile.stored_people import WHO, MergedPeople, buckets_of, merged_people, online
from features.profile.stored_traits import StoredTraits
from features.system.files.durable import new_folder, remove_folder, replacing, write_durably
from features.system.files.kept_files import reading, sealed, unsealed
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
        traits: attributes, and whose have changed.
        everyone: yield all profiles, not only the changed ones.
        people: those whose ids were merged.
        number: which run this is.
    """

    store: EventStore
    through: int
    last: ProfileManifest | None
    traits: StoredTraits
    everyone: bool
    people: MergedPeople
    number: int

    def name(self, bucket: int) -> str:
        """What a file of a bucket that this run writes is called."""
        return f"bucket-{bucket:04d}-{self.store.manifest.name}-run-{self.number}.parquet"

    def goes_on(self, bucket: int) -> bool:
        """Whether a bucket's profiles can be folded on."""
        return self.last is not None and self.store.manifest.merged.get(bucket, 0) <= self.last.position


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
        self._traits: StoredTraits | None = None
        self._who = WHO.to_frame()

    def layers(self, bucket: int) -> Layers:
        """The files of a bucket."""
        state = self.manifest
        names = [state.files[bucket], *state.layers.get(bucket, [])] if state and bucket in state.files else []
        return Layers(self._folder, bucket, tuple(names))

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
        known = StoredTraits(traits, self._folder / "traits.parquet", state.buckets)
        people = self._people(store, through, last if usable else None)
        number = last.run + 1 if last is not None else 0
        run = _Run(store, through, last if usable else None, known, everyone, people, number)

        def work(bucket: int) -> tuple[Layers, pl.DataFrame]:
            before = self.layers(bucket) if same else Layers(self._folder, bucket)
            return self._more(run, before) if run.goes_on(bucket) else self._anew(run, before)

        yield people.nothing(through, store.live.position)
        found: list[Layers] = []
        for layers, rows in each(store.buckets, work):
            found.append(layers)
            yield rows
        live = store.live.position
        if last is not None and not same:
            yield self._lost(last, found, stored_bytes(through, b"", "", live))
        yield people.online(through, live, everyone=everyone)  # last, over ids that are gone
        self._next = ProfileManifest(
            log=state.name,
            position=state.position,
            state=state.token,
            through=through,
            live=live,
            live_log=store.live.log,
            files={layers.bucket: layers.names[0] for layers in found},
            layers={layers.bucket: list(layers.names[1:]) for layers in found if len(layers.names) > 1},
            run=number,
            people=f"people-{state.name}-run-{number}.parquet" if len(people.who) else "",
        )
        self._traits, self._who = known, people.who

    def _more(self, run: _Run, before: Layers) -> tuple[Layers, pl.DataFrame]:
        """Fold a bucket on: read and write the users who change; return its files, and what the online store gets.

        Who cannot be folded on is folded again, as who is alone.
        """
        store, bucket, people, through = run.store, before.bucket, run.people, run.through
        new = store.bucket(bucket, since=run.last.position if run.last is not None else 0, ends=NEVER)
        waiting = before.waiting(through)
        moved, freed = run.traits.moved.get(bucket, []), people.freed.get(bucket, [])
        others, lost = people.folded.get(bucket, {}), people.without_profile(before.index["user"].to_pylist())
        old = StoredBucket.of(before.rows_of({*new.users.to_list(), *waiting, *moved, *freed, *others, *lost}))
        folded, late = self._folded_on(new, through, old)
        if again := {*waiting, *freed, *late}:
            folded |= self._folded(store.bucket(bucket, ends=NEVER, users=sorted(again)), through)
        folded |= others
        folded |= {user: old.folded(user) for user in moved if user in old.row and user not in folded}
        folded = {user: found for user, found in folded.items() if not people.below(user)}
        return self._handed_on(run, before, old, folded, [user for user in lost if user not in folded])

    def _anew(self, run: _Run, before: Layers) -> tuple[Layers, pl.DataFrame]:
        """Fold a bucket from its beginning, as `_more`."""
        old = StoredBucket.of(before.rows())
        folded = self._folded(run.store.bucket(before.bucket, ends=NEVER), run.through)
        folded |= run.people.folded.get(before.bucket, {})
        lost = [user for user in old.row if user not in folded]
        return self._handed_on(run, Layers(self._folder, before.bucket), old, folded, lost)

    def _handed_on(
        self, run: _Run, files: Layers, old: StoredBucket, folded: Folded, lost: list[str]
    ) -> tuple[Layers, pl.DataFrame]:
        """Write users who were folded or are no longer there beside what is kept, as `_more`."""
        live, identities = run.store.live.position, run.people.identities
        known = run.traits.of(folded)
        rows, changed = old.after(folded, known, run.through, live, identities)
        if rows.num_rows or lost or not files.names:
            rows = pa.concat_tables([rows, nobody(lost, run.through)]) if lost else rows
            files = files.with_rows(rows, run.name(files.bucket))
        if run.everyone:
            whole = files.rows()
            found = zip(whole["user"].to_pylist(), whole["profile"].to_pylist(), strict=True)
            changed = {user: value for user, value in found if value is not None}
        return files, online(changed | old.gone(lost, run.through, live, identities))

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
            waiting = [user for bucket in store.buckets for user in self.layers(bucket).waiting(through)]
            names = pl.Series(waiting, dtype=pl.String)
            return pl.concat([who["id"].filter(places), store.merged.since(since), names])

        return merged_people(store, through, was, acted if last is not None else None, self._folded)

    def _lost(self, last: ProfileManifest, now: list[Layers], nothing: bytes) -> pl.DataFrame:
        """What the online store gets of users who were in the log before it was rebuilt, and are not now."""
        before = [self.layers(bucket).rows() for bucket in last.files]
        there = {user for layers in now for user in layers.index["user"].to_pylist()}
        had = [rows["user"].filter(rows["profile"].is_valid()).to_pylist() for rows in before]
        others = users_of(self._folder / last.everyone) if last.everyone else ()
        return online({user: nothing for user in chain(*had, others) if user not in there})

    def values(self, scratch: Path) -> Path | None:
        """A folder of what the online store got of everybody at the last run, ``user`` and ``profile``; None before it.

        Args:
            scratch: is made where there is none yet: this machine keeps them in other files.
        """
        state = self.manifest
        if state is None or state.everyone:
            return self._folder / state.everyone if state is not None else None
        write_values((self.layers(bucket) for bucket in state.files), scratch)
        return scratch

    def replace(self, state: ProfileManifest, who: pl.DataFrame, traits: StoredTraits) -> None:
        """Switch to a state that other machines have reached.

        Args:
            state: the state; its folder of everyone's values is there.
            who: who is who at its instant, of ids that were merged.
            traits: the attributes of its users.
        """
        new_folder(self._folder)
        self._next, self._who, self._traits = state, who, traits
        self.commit()

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
        if self._traits is not None:
            self._traits.save()
        for pattern in ("bucket-*", "people-*", f"{EVERYONE}-*"):
            for file in self._folder.glob(pattern):
                if file.name not in self.manifest.names:
                    remove_folder(file) if file.is_dir() else file.unlink()

    def _folded(self, events: Events, through: int) -> Folded:
        """Fold users from their beginning."""
        return self._folded_on(events, through, StoredBucket.of(SCHEMA.empty_table()))[0]

    def _folded_on(self, events: Events, through: int, old: StoredBucket) -> tuple[Folded, set[str]]:
        """Fold the events of users into what there is of them; and say who came too late for that."""
        folded: Folded = {}
        late: set[str] = set()
        for lo in range(0, len(events.users), RUN):
            hi = min(lo + RUN, len(events.users))
            users = events.users[lo:hi].to_list()
            words, ahead = np.zeros((hi - lo, self._layout.size), dtype=np.int64), np.full(hi - lo, NEVER)
            packed: dict[int, bytes] = {}
            for i, user in enumerate(users if old.row else ()):
                if user in old.row:
                    ahead[i], value = old.folded(user)
                    if value is not None:
                        packed[i] = value
                    else:
                        late.add(user)  # all that is kept of them is that something will be seen
            at = np.array(list(packed), dtype=np.int64)
            unpack_into(words, at, list(packed.values()), self._layout)
            first = events.t[events.starts[lo:hi]]
            late.update(users[i] for i in at[first[at] <= words[at, H_LAST]])
            fold_into(events, lo, hi, through, self._layout, words, ahead)
            packed_all = (value or None for value in pack_all(words, self._layout))
            folded |= dict(zip(users, zip(ahead.tolist(), packed_all, strict=True), strict=True))
        return folded, late
