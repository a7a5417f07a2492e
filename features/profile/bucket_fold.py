"""Buckets of the kept profiles, folded on: by the threads of this machine, or by other machines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from features.event_store.distributed import EventReader
from features.event_store.manifest import Part
from features.event_store.stored_events import StoredEvents
from features.events.events import Events, Rows
from features.profile.codec import pack_all, unpack_into
from features.profile.fold import fold_into
from features.profile.layers import Layers, nobody
from features.profile.layout import H_LAST, NEVER, Layout
from features.profile.stored_bucket import Folded, StoredBucket
from features.profile.stored_people import MergedPeople, online
from features.profile.stored_traits import Known
from features.system.files.places import Place
from features.system.parallel import each

#: users folded at once
RUN = 1_000


@dataclass(frozen=True, slots=True)
class BucketInput:
    """A bucket, and what a run brings to it.

    Attributes:
        bucket: which.
        parts: its events.
        since: the position after which events are new; None where all is folded again.
        names: the files of its profiles, as `Layers` has them; none where they are of no use.
        moved: users whose attributes are others than at the last run.
        freed: ids that were merged at the last run and are people by themselves now.
        others: people of several ids, who were folded already.
    """

    bucket: int
    parts: list[Part]
    since: int | None
    names: tuple[str, ...] = ()
    moved: Sequence[str] = ()
    freed: Sequence[str] = ()
    others: Folded = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BucketFold:
    """What folds buckets in a run; with what it reads, it can be sent to other machines.

    Attributes:
        layout: of profiles.
        place: where their files are.
        store: reads events.
        known: what is known of users of a bucket besides events.
        people: those whose ids were merged.
        through: the instant through which profiles are folded.
        live: the position of the live log through which they are.
        everyone: find all profiles, not only the changed ones.
        name: how the names of the files end that this run writes.
    """

    layout: Layout
    place: Place
    store: EventReader
    known: Callable[[int, Iterable[str]], Known]
    people: MergedPeople
    through: int
    live: int
    everyone: bool
    name: str

    def __call__(self, given: BucketInput, attempt: str = "") -> tuple[tuple[str, ...], pl.DataFrame]:
        """Fold a bucket: write the users who change; return its files, and what the online store gets.

        Args:
            given: the bucket.
            attempt: tells the file from those of other tries.
        """
        before = Layers(self.place, given.bucket, given.names)
        name = f"bucket-{given.bucket:04d}-{self.name}{attempt and '-' + attempt}.parquet"
        files, rows = (
            self._resume(given, before, name) if given.since is not None else self._rebuild(given, before, name)
        )
        return files.names, rows

    def _resume(self, given: BucketInput, before: Layers, name: str) -> tuple[Layers, pl.DataFrame]:
        """Fold a bucket on. Who cannot be folded on is folded again, as who is alone."""
        since = given.since or 0
        new = self.store.events([part for part in given.parts if part.position > since], ends=NEVER)
        waiting = before.waiting(self.through)
        lost = self.people.without_profile(before.index["user"].to_pylist())
        some = {*new.users.to_list(), *waiting, *given.moved, *given.freed, *given.others, *lost}
        old = StoredBucket.of(before.rows_of(some))
        folded, late = folded_on(new, self.through, self.layout, old)
        if again := {*waiting, *given.freed, *late}:
            folded |= self._folded(given, sorted(again))
        folded |= given.others
        folded |= {user: old.folded(user) for user in given.moved if user in old.row and user not in folded}
        folded = {user: found for user, found in folded.items() if not self.people.below(user)}
        return self._written(before, old, folded, [user for user in lost if user not in folded], name)

    def _rebuild(self, given: BucketInput, before: Layers, name: str) -> tuple[Layers, pl.DataFrame]:
        """Fold a bucket from its beginning."""
        old = StoredBucket.of(before.rows())
        folded = self._folded(given) | given.others
        lost = [user for user in old.row if user not in folded]
        return self._written(Layers(self.place, given.bucket), old, folded, lost, name)

    def _folded(self, given: BucketInput, users: Sequence[str] | None = None) -> Folded:
        events = self.store.events(given.parts, ends=NEVER, users=users)
        return folded_on(events, self.through, self.layout)[0]

    def _written(
        self, files: Layers, old: StoredBucket, folded: Folded, lost: list[str], name: str
    ) -> tuple[Layers, pl.DataFrame]:
        """Write users who were folded or are no longer there beside what is kept."""
        identities = self.people.identities
        known = self.known(files.bucket, folded)
        rows, changed = old.after(folded, known, self.through, self.live, identities)
        if rows.num_rows or lost or not files.names:
            rows = pa.concat_tables([rows, nobody(lost, self.through)]) if lost else rows
            files = files.with_rows(rows, name)
        if self.everyone:
            whole = files.rows()
            found = zip(whole["user"].to_pylist(), whole["profile"].to_pylist(), strict=True)
            changed = {user: value for user, value in found if value is not None}
        return files, online(changed | old.gone(lost, self.through, self.live, identities))


@dataclass(frozen=True, slots=True)
class PersonFold:
    """What folds people of several ids from their beginning; it can be sent to other machines.

    Attributes:
        layout: of profiles.
        through: the instant through which they are folded.
        who: by which ``user`` the person of each ``id`` is called.
    """

    layout: Layout
    through: int
    who: pl.DataFrame

    def __call__(self, rows: Rows) -> Folded:
        """Fold the rows of whole persons."""
        ids = pl.DataFrame({"id": pl.Series(rows.users, dtype=pl.String)})
        names = ids.join(self.who, on="id", how="left", maintain_order="left")["user"]
        events = rows.called(names.fill_null(ids["id"])).sorted().events(NEVER, {})
        return folded_on(events, self.through, self.layout)[0]


class Runner(Protocol):
    """Who works on the events of a run."""

    def persons(self, fold: PersonFold) -> Iterator[Folded]:
        """Fold people of several ids, a few at a time."""
        ...

    def buckets(
        self, fold: BucketFold, buckets: Sequence[BucketInput]
    ) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:  # fmt: skip
        """Fold buckets: of each, in their order, its files and what is still to be put online."""
        ...


class Threads:
    """The threads of this machine.

    Args:
        store: has the events.
    """

    def __init__(self, store: StoredEvents) -> None:
        self._store = store

    def persons(self, fold: PersonFold) -> Iterator[Folded]:
        """Fold people; see `Runner.persons`."""
        with self._store.merged.rows(fold.who["id"]) as runs:
            yield from map(fold, runs)

    def buckets(
        self, fold: BucketFold, buckets: Sequence[BucketInput]
    ) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:  # fmt: skip
        """Fold buckets; see `Runner.buckets`."""
        yield from each(buckets, fold)


def folded_on(events: Events, through: int, layout: Layout, old: StoredBucket | None = None) -> tuple[Folded, set[str]]:
    """Fold the events of users into what there is of them; and say who came too late for that.

    Args:
        events: of the users.
        through: the instant.
        layout: of profiles.
        old: what there is of them; None where they are folded from their beginning.
    """
    folded: Folded = {}
    late: set[str] = set()
    for lo in range(0, len(events.users), RUN):
        hi = min(lo + RUN, len(events.users))
        users = events.users[lo:hi].to_list()
        words, ahead = np.zeros((hi - lo, layout.size), dtype=np.int64), np.full(hi - lo, NEVER)
        packed: dict[int, bytes] = {}
        for i, user in enumerate(users if old is not None and old.row else ()):
            if old is not None and user in old.row:
                ahead[i], value = old.folded(user)
                if value is not None:
                    packed[i] = value
                else:
                    late.add(user)  # all that is kept of them is that something will be seen
        at = np.array(list(packed), dtype=np.int64)
        unpack_into(words, at, list(packed.values()), layout)
        first = events.t[events.starts[lo:hi]]
        late.update(users[i] for i in at[first[at] <= words[at, H_LAST]])
        fold_into(events, lo, hi, through, layout, words, ahead)
        packed_all = (value or None for value in pack_all(words, layout))
        folded |= dict(zip(users, zip(ahead.tolist(), packed_all, strict=True), strict=True))
    return folded, late
