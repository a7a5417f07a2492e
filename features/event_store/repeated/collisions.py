"""Ids of new rows that the log has already, or has twice: found before anything is written.

Memory holds all ids that come more than once, and the new ids a shard at a time.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
from numpy.typing import NDArray

from features.event_store.manifest import IdRun, Manifest, Part
from features.event_store.part_files import PartFiles
from features.event_store.repeated.id_runs import IdRuns, spread
from features.event_store.repeated.judged import Judged, judged_of
from features.events.events import Rows
from features.events.repeats import (
    frame_of,
)
from features.events.sort import members, set_of
from features.system.parallel import each


class Collisions:
    """Finds and judges them.

    Args:
        scratch: where new rows are spread; ids are gathered beside them.
        state: what is in the store.
        files: its parts.
        written: tells files of this run from others.

    Attributes:
        runs: the ids of the next state, once `judge` is done.
    """

    def __init__(self, scratch: Path, state: Manifest, files: PartFiles, written: str) -> None:
        self._scratch, self._state, self._files, self._written = scratch, state, files, written
        self._shards = state.buckets
        self._sizes = np.zeros(self._shards, dtype=np.int64)
        self.runs = state.ids

    def gather(self, ids: NDArray[np.int64]) -> None:
        """Keep the ids of new rows, spread by what they are, until all are there."""
        self._sizes += self._gather("ids", ids)

    def _gather(self, kind: str, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        ordered, starts = spread(ids, self._shards)
        for shard in np.flatnonzero(np.diff(starts)).tolist():
            with (self._scratch / f"{kind}-{shard}").open("ab") as file:
                ordered[starts[shard] : starts[shard + 1]].tofile(file)
        return np.diff(starts)

    def _gathered(self, kind: str, shard: int) -> NDArray[np.int64]:
        """The ids of a shard, ascending."""
        file = self._scratch / f"{kind}-{shard}"
        ids = np.fromfile(file, dtype=np.int64) if file.exists() else np.zeros(0, dtype=np.int64)
        file.unlink(missing_ok=True)
        ids.sort()
        return ids

    def judge(self, new: Sequence[int], taken: Sequence[str], *, by_arrival: bool) -> Judged | None:
        """Judge the ids that came more than once.

        Args:
            new: buckets with new rows.
            taken: names of all files, as rows number them.
            by_arrival: rows say when they arrived.

        Returns:
            What is to be done, or None where there is no such id.
        """
        ids, old = self._found()
        if not len(ids):
            return None
        table = set_of(ids)
        again = [*each(new, lambda bucket: self._sent_again(bucket, table))]
        stored = self._stored(new, old) if len(old) else [0]
        rows = sum(again) + sum(stored)
        return judged_of(ids, rows, self._scratch, self._state, self._files, taken, by_arrival=by_arrival)

    def _found(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids that occur twice among the new ones or among new and old, and those of them that are old."""
        if not self._sizes.any():
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        known, twice, old = IdRuns.open(self._files.folder, self._kept()), [], []

        def looked_up(shard: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
            ids = self._gathered("ids", shard)
            again = ids[1:] == ids[:-1]
            once = ids[np.concatenate([~again, np.ones(min(ids.size, 1), dtype=np.bool_)])]
            return once, np.unique(ids[1:][again]), once[known.members(once)]

        def shards() -> Iterator[NDArray[np.int64]]:
            for once, again, before in each(range(self._shards), looked_up):
                twice.append(again)
                old.append(before)
                yield once

        most = int(self._sizes.sum())
        self.runs = known.with_ids(shards(), self._shards, most, f"new-{self._written}.ids")
        return np.unique(np.concatenate([*twice, *old])), np.concatenate(old)

    def _kept(self) -> list[IdRun]:
        """The ids of the state; read from the parts where no run holds them."""
        if self._state.ids or not self._state.parts:
            return self._state.ids
        for ids in each(self._state.parts, lambda part: self._files.column(part, "id")):
            self._gather("old", ids)
        shards = each(range(self._shards), lambda shard: self._gathered("old", shard))
        rows, name = sum(part.rows for part in self._state.parts), f"old-{self._written}.ids"
        return IdRuns.open(self._files.folder, []).with_ids(shards, self._shards, rows, name)

    def _sent_again(self, bucket: int, ids: NDArray[np.int64]) -> int:
        """Keep those of a bucket's new rows that are of some ids; returns how many."""
        with pa.memory_map(str(self._scratch / str(bucket))) as source:
            table = ipc.open_stream(source).read_all()
            some = table.filter(pa.array(members(ids, table["id"].to_numpy())))
            with ipc.new_file(self._scratch / f"again-{bucket}.arrow", some.schema) as sink:
                sink.write_table(some)
            return int(some.num_rows)

    def _stored(self, new: Sequence[int], old: NDArray[np.int64]) -> list[int]:
        """Keep the rows of old ids that are in the store; most are of the users who send them again."""

        def of_senders(bucket: int) -> NDArray[np.int64]:
            sent = pl.read_ipc(self._scratch / f"again-{bucket}.arrow", columns=["user", "id"])
            users = sent.filter(pl.Series(members(table, sent["id"].to_numpy())))["user"].unique().to_list()
            rows = self._files.read(self._state.of_bucket(bucket) if users else [], ids=True, users=users)
            return self._keep_rows(bucket, f"{bucket}", rows, table)

        def of_part(part: Part) -> NDArray[np.int64]:
            if not members(left, self._files.column(part, "id")).any():
                return np.zeros(0, dtype=np.int64)
            return self._keep_rows(part.bucket, part.name, self._files.read([part], ids=True), left)

        table = set_of(old)
        found = [*each(new, of_senders)]
        missing = old[~members(set_of(np.concatenate(found)), old)] if found else old
        if len(missing):  # another user has sent them, or their rows are gone
            left = set_of(missing)
            found += each(self._state.parts, of_part)
        return [len(ids) for ids in found]

    def _keep_rows(self, bucket: int, name: str, rows: Rows, table: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keep those of rows of a bucket that are of some ids; returns these ids."""
        some = rows.take(members(table, rows.ids))
        if len(some.ids):
            frame = frame_of(some).with_columns(bucket=pl.lit(bucket, pl.Int64()))
            frame.write_ipc(self._scratch / f"stored-{name}.arrow")
        return some.ids
