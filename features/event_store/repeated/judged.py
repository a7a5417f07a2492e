"""What is to be done about ids that came more than once, judged slice by slice of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.event_store.manifest import Manifest
from features.event_store.part_files import PartFiles, write_frame
from features.events.hashing import bucket_of, hashed
from features.events.repeats import (
    ROW_BITS,
    changes,
    claims_of,
    counted,
    counting,
    merged,
    newest_of,
    owned,
    ranks_of,
)
from features.events.sort import set_of
from features.events.tombstones import Tombstones

_NOTHING_GONE = pl.DataFrame(schema={"bucket": pl.Int64, "id": pl.Int64})

#: rows of ids that came more than once that are judged at once
JUDGED = 4_000_000

#: more files of claims than this are put into one
MOST_FILES = 24


@dataclass(slots=True)
class Judged:
    """What is to be done about ids that came more than once.

    Attributes:
        ids: a table of them (`set_of`); new rows of these ids are left out, unless they are in ``counting``.
        counting: by bucket, new rows that count.
        gone: by bucket, the ``id`` of rows of the store that no longer count.
        left_out: how many rows do not count that did, or are new.
        claims: what is known of these ids from now on.
        whole: ``claims`` are all there are, not those of these ids alone.
        differing, shared: how many more ids stand on rows that differ, or were sent by several users.
    """

    ids: NDArray[np.int64]
    counting: dict[int, list[pa.Table]] = field(default_factory=dict)
    gone: dict[int, list[pa.Table]] = field(default_factory=dict)
    left_out: int = 0
    claims: list[pl.DataFrame] = field(default_factory=list)
    whole: bool = False
    differing: int = 0
    shared: int = 0

    @property
    def buckets(self) -> set[int]:
        """Buckets that change by it."""
        return {*self.counting, *self.gone}

    def change(self, counting: pl.DataFrame, gone: pl.DataFrame) -> None:
        """Note new rows that count, and rows of the store that no longer do, each with its ``bucket``."""
        rows = counting.with_columns(file=(pl.col("place") // (1 << ROW_BITS)).cast(pl.Int32)).drop("place")
        for frame, noted in ((rows, self.counting), (gone, self.gone)):
            ordered = frame.sort("bucket", maintain_order=True)
            table = ordered.drop("bucket").to_arrow()
            buckets, first, sizes = np.unique(ordered["bucket"].to_numpy(), return_index=True, return_counts=True)
            for bucket, at, size in zip(buckets.tolist(), first.tolist(), sizes.tolist(), strict=True):
                noted.setdefault(bucket, []).append(table.slice(at, size))

    def added(self, bucket: int) -> list[pa.Table]:
        """New rows of a bucket that count."""
        return self.counting.get(bucket, [])

    def removed(self, bucket: int) -> NDArray[np.int64]:
        """Ids of a bucket's rows that no longer count."""
        found = [table["id"].to_numpy() for table in self.gone.get(bucket, [])]
        return np.concatenate([np.zeros(0, dtype=np.int64), *found])


def judged_of(
    ids: NDArray[np.int64], rows: int, scratch: Path, state: Manifest, files: PartFiles, taken: Sequence[str],
    *, by_arrival: bool,
) -> Judged:  # fmt: skip
    """Judge ids that came more than once, slice by slice.

    Args:
        ids: those ids, each once.
        rows: how many rows there are of them.
        scratch: holds the new rows of these ids, ``again-*.arrow``, and the rows that the store has of them,
            ``stored-*.arrow``, each with its ``bucket``.
        state: what is in the store.
        files: its parts.
        taken: names of all files, as rows number them.
        by_arrival: rows say when they arrived.
    """
    judged, ranks, slices = Judged(set_of(ids)), ranks_of(taken), -(-rows // JUDGED)
    for at in range(slices):
        new = claims_of(pl.scan_ipc(scratch / "again-*.arrow").filter(pl.col("id") % slices == at).collect())
        stored = new.clear()
        if any(scratch.glob("stored-*.arrow")):
            stored = pl.scan_ipc(scratch / "stored-*.arrow").filter(pl.col("id") % slices == at).collect()
        _judge(judged, new, stored, ids[ids % slices == at], state, files, ranks, by_arrival=by_arrival)
    return judged


def _judge(
    judged: Judged, new: pl.DataFrame, stored: pl.DataFrame, ids: NDArray[np.int64], state: Manifest, files: PartFiles,
    ranks: NDArray[np.int64], *, by_arrival: bool,
) -> None:  # fmt: skip
    """Judge some of the ids."""
    before = claims_stored = new.clear()
    if len(stored):
        claims_stored = claims_of(stored.drop("bucket"))
    if state.repeats:
        known = [files.folder / name for name in state.repeats]
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
    counts_now = counting(of_ids)
    changed, gone = changes(counts_now, stored) if len(stored) else (counts_now, _NOTHING_GONE)
    judged.change(with_bucket(changed, state.buckets), gone)


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
    found = Judged(nothing.ids, claims=[left], whole=True, differing=now[0] - was[0], shared=now[1] - was[1])
    found.change(with_bucket(changed, state.buckets), replaced)
    return found


def what_is_known(judged: Judged, state: Manifest, files: PartFiles, position: int) -> dict[str, object]:
    """Keep the claims of ids that came more than once; what changes of a state by what was judged of them."""
    return {
        "duplicates": state.duplicates + judged.left_out,
        "repeats": keep_claims(judged, state, files, position),
        "differing": state.differing + judged.differing,
        "shared": state.shared + judged.shared,
    }


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
