"""Ids of new rows that the log has already, or has twice: found and judged before anything is written.

Memory holds all ids that come more than once, a slice of their rows, and the new ids a few million at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
from numpy.typing import NDArray

from features.event_store.manifest import Manifest, Part
from features.event_store.part_files import PartFiles, write_frame
from features.events.hashing import hashed
from features.events.repeats import (
    ROW_BITS,
    changes,
    claims_of,
    counted,
    counting,
    frame_of,
    merged,
    newest_of,
    owned,
    ranks_of,
)
from features.events.sort import grouped, members, set_of
from features.events.tombstones import Tombstones
from features.system.parallel import each

#: new ids that are looked up among the old ones at once
LOOKED_UP = 8_000_000

#: rows of ids that came more than once that are judged at once
JUDGED = 4_000_000

#: more files of claims than this are put into one
MOST_FILES = 24


@dataclass(slots=True)
class Judged:
    """What is to be done about ids that came more than once.

    Attributes:
        ids: a table of them (`set_of`); new rows of these ids are left out, unless they are in ``counting``.
        counting: new rows that count, with their ``bucket``.
        gone: rows of the store that no longer count: ``bucket``, ``id``.
        left_out: how many rows do not count that did, or are new.
        claims: what is known of these ids from now on.
        whole: ``claims`` are all there are, not those of these ids alone.
        differing, shared: how many more ids stand on rows that differ, or were sent by several users.
    """

    ids: NDArray[np.int64]
    counting: list[pl.DataFrame] = field(default_factory=list)
    gone: list[pl.DataFrame] = field(default_factory=list)
    left_out: int = 0
    claims: list[pl.DataFrame] = field(default_factory=list)
    whole: bool = False
    differing: int = 0
    shared: int = 0

    @property
    def buckets(self) -> set[int]:
        """Buckets that change by it."""
        return {b for frame in (*self.counting, *self.gone) for b in frame["bucket"].unique()}

    def added(self, bucket: int) -> list[pa.Table]:
        """New rows of a bucket that count."""
        found = [frame.filter(pl.col("bucket") == bucket).drop("bucket") for frame in self.counting]
        return [frame.with_columns(file=(pl.col("place") // (1 << ROW_BITS)).cast(pl.Int32)).drop("place").to_arrow()
                for frame in found if len(frame)]  # fmt: skip

    def removed(self, bucket: int) -> NDArray[np.int64]:
        """Ids of a bucket's rows that no longer count."""
        found = [frame.filter(pl.col("bucket") == bucket)["id"].to_numpy() for frame in self.gone]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


class Collisions:
    """Finds and judges them.

    Args:
        scratch: where new rows are spread; ids are gathered beside them.
        state: what is in the store.
        files: its parts.
    """

    def __init__(self, scratch: Path, state: Manifest, files: PartFiles) -> None:
        self._scratch, self._state, self._files = scratch, state, files
        self._shards = state.buckets
        self._sizes = np.zeros(self._shards, dtype=np.int64)

    def gather(self, ids: NDArray[np.int64]) -> None:
        """Keep the ids of new rows, spread by what they are, until all are there."""
        order, starts = grouped(np.where(ids != 0, (ids & 0x7FFF_FFFF_FFFF_FFFF) % self._shards, -1), self._shards)
        spread = ids[order]
        for shard in np.flatnonzero(np.diff(starts)).tolist():
            with self._file(shard).open("ab") as file:
                spread[starts[shard] : starts[shard + 1]].tofile(file)
        self._sizes += np.diff(starts)

    def judge(self, new: Sequence[int], taken: Sequence[str], *, by_arrival: bool) -> Judged | None:
        """Judge the ids that came more than once.

        Args:
            new: buckets with new rows.
            taken: names of all files, as rows number them.
            by_arrival: rows say when they arrived.

        Returns:
            What is to be done, or None where there is no such id.
        """
        ids, parts = self._found()
        if not len(ids):
            return None
        judged, ranks = Judged(set_of(ids)), ranks_of(taken)
        claims = [*each(new, lambda bucket: self._new_claims(bucket, judged.ids))]
        stored = [*each(parts, lambda part: self._stored(part, judged.ids))]
        slices = -(-(sum(claims) + sum(stored)) // JUDGED)
        for at in range(slices):
            self._judge(judged, pl.col("id") % slices == at, ids[ids % slices == at], ranks, by_arrival)
        return judged

    def _file(self, shard: int) -> Path:
        return self._scratch / f"ids-{shard}"

    def _found(self) -> tuple[NDArray[np.int64], list[Part]]:
        """Ids that occur twice among the new ones, or among new and old; and the parts that hold such old ones."""
        shards = np.flatnonzero(self._sizes).tolist()
        found = [*each(shards, lambda shard: _twice(np.fromfile(self._file(shard), dtype=np.int64)))]
        hit: dict[str, Part] = {}
        old = self._state.parts
        groups = np.cumsum(self._sizes[shards]) // LOOKED_UP
        for group in np.unique(groups).tolist() if old else ():
            some = [self._file(shard) for shard, of in zip(shards, groups, strict=True) if of == group]
            table = set_of(np.concatenate([np.fromfile(file, dtype=np.int64) for file in some]))

            def among(part: Part, table: NDArray[np.int64] = table) -> NDArray[np.int64]:
                ids = self._files.column(part, "id")
                return np.asarray(ids[members(table, ids)])

            for part, ids in zip(old, each(old, among), strict=True):
                if len(ids):
                    found.append(ids)
                    hit[part.name] = part
        every = np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)
        return every, list(hit.values())

    def _new_claims(self, bucket: int, ids: NDArray[np.int64]) -> int:
        with pa.memory_map(str(self._scratch / str(bucket))) as source:
            table = ipc.open_stream(source).read_all()
            some = table.filter(pa.array(members(ids, table["id"].to_numpy())))
            frame = pl.DataFrame(some).with_columns(pl.col("user").cast(pl.String))
            claims_of(frame).write_ipc(self._scratch / f"claims-{bucket}.arrow")
            return len(frame)

    def _stored(self, part: Part, ids: NDArray[np.int64]) -> int:
        rows = self._files.read([part], ids=True)
        frame = frame_of(rows.take(members(ids, rows.ids))).with_columns(bucket=pl.lit(part.bucket, pl.Int64()))
        frame.write_ipc(self._scratch / f"stored-{part.name}.arrow")
        return len(frame)

    def _judge(
        self, judged: Judged, here: pl.Expr, ids: NDArray[np.int64], ranks: NDArray[np.int64], by_arrival: bool
    ) -> None:
        """Judge some of the ids."""
        new = pl.scan_ipc(self._scratch / "claims-*.arrow").filter(here).collect()
        before = new.clear()
        stored = claims_stored = new.clear()
        if any(self._scratch.glob("stored-*.arrow")):
            stored = pl.scan_ipc(self._scratch / "stored-*.arrow").filter(here).collect()
            claims_stored = claims_of(stored.drop("bucket"))
        if self._state.repeats:
            known = [self._files.folder / name for name in self._state.repeats]
            before = newest_of(known, pl.DataFrame({"id": ids})).select(new.columns)
        single = claims_stored.join(before, on="id", how="anti").select(new.columns) if len(stored) else new.clear()
        each_user = merged(pl.concat([before, single, new]), ranks, by_arrival=by_arrival)
        of_ids = owned(each_user, ranks, by_arrival=by_arrival)
        judged.claims.append(each_user)
        judged.left_out += len(new) - (len(of_ids) - len(stored))
        was = counted(owned(before, ranks, by_arrival=by_arrival)) if len(before) else (0, 0)
        now = counted(of_ids)
        judged.differing += now[0] - was[0]
        judged.shared += now[1] - was[1]
        changed, gone = changes(counting(of_ids), stored) if len(stored) else (counting(of_ids), None)
        judged.counting.append(with_bucket(changed, self._state.buckets))
        if gone is not None:
            judged.gone.append(gone)


def without_claims(state: Manifest, files: PartFiles, erased: Tombstones) -> Judged:
    """Judge the ids that erased users have sent by what the others have sent."""
    nothing = Judged(set_of(np.zeros(0, dtype=np.int64)))
    if not state.repeats:
        return nothing
    claims = newest_of([files.folder / name for name in state.repeats])
    gone = claims.filter(pl.Series(erased.flags(claims["user"].to_arrow()), dtype=pl.Boolean))
    if not len(gone):
        return nothing
    left, ranks = claims.join(gone, on=["id", "user"], how="anti"), ranks_of([file.path for file in state.files])

    def judged(some: pl.DataFrame) -> pl.DataFrame:
        concerned = some.join(gone, on="id", how="semi")
        return owned(concerned, ranks, by_arrival=state.by_arrival)

    before, after = judged(claims), judged(left)
    was, now = counted(before), counted(after)
    stored = with_bucket(counting(before).drop("place"), state.buckets)
    changed, replaced = changes(counting(after), stored)
    return Judged(
        nothing.ids, [with_bucket(changed, state.buckets)], [replaced], claims=[left], whole=True,
        differing=now[0] - was[0], shared=now[1] - was[1],
    )  # fmt: skip


def keep_claims(judged: Judged, state: Manifest, files: PartFiles, position: int) -> list[str]:
    """Keep what is known of ids that came more than once; returns all such files."""
    if not judged.claims:
        return state.repeats
    claims, before = pl.concat(judged.claims), [] if judged.whole else state.repeats
    if len(before) >= MOST_FILES:
        older = newest_of([files.folder / file for file in before])
        claims = pl.concat([older.join(claims, on=["id", "user"], how="anti"), claims.select(older.columns)])
        before = []
    if not len(claims):
        return before
    name = f"repeats-{state.generation}-{position}.parquet"
    write_frame(files.folder / name, claims)
    return [*before, name]


def with_bucket(rows: pl.DataFrame, buckets: int) -> pl.DataFrame:
    """Rows with the bucket of their user."""
    keys = hashed(pa.chunked_array([rows["user"].to_arrow()]))
    return rows.with_columns(bucket=pl.Series(bucket_of(keys, buckets), dtype=pl.Int64))


def bucket_of(keys: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """The bucket of users by their hash."""
    return (keys & 0x7FFF_FFFF_FFFF_FFFF) % buckets


def _twice(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids that occur more than once."""
    ids.sort()
    return np.asarray(ids[1:][ids[1:] == ids[:-1]])
