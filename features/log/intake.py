"""Taking files of the log into the event store: spread over the buckets, then sorted and merged bucket by bucket."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
from numpy.typing import NDArray

from features.log.events import Rows
from features.log.findings import Findings
from features.log.findings import together as all_findings
from features.log.manifest import Manifest, Part, TakenFile
from features.log.order import DIFFERED, grouped, occur
from features.log.parts import PartFiles, together
from features.log.source import EventLog, add
from features.log.tombstones import Tombstones
from features.parallel import each
from features.progress import Progress

#: a bucket with more parts than this, or whose later parts have a third of its rows, gets its parts merged
MOST_PARTS = 24


@dataclass(frozen=True, slots=True)
class Change:
    """What taking rows in does to a bucket.

    Attributes:
        bucket: which.
        added: new parts.
        removed: parts they take the place of.
        doubles: rows left out because their user has an event of their id.
        merged: the position through which the parts no longer tell what came in when, or 0.
    """

    bucket: int
    added: list[Part]
    removed: list[Part]
    doubles: int
    merged: int


class Intake:
    """Takes files into a state of the store and yields the next state; parts are written, the manifest is not.

    Args:
        log: the log.
        files: the store's parts.
        state: the state to start from.
    """

    def __init__(self, log: EventLog, files: PartFiles, state: Manifest) -> None:
        self._log = log
        self._files = files
        self._state = state
        self._position = state.position + 1
        self._written = f"{state.generation}-{self._position}"

    def take(self, files: list[Path], progress: Progress) -> Manifest:
        """Take files in; memory holds a batch and a few buckets' new rows."""
        state, scratch = self._state, self._files.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        taken = self._spread(files, scratch, progress)
        doubles, again = state.doubles, dict(state.merged)
        parts = {part.name: part for part in state.parts}
        buckets = [bucket for bucket in range(state.buckets) if (scratch / str(bucket)).exists()]
        for change in each(buckets, lambda bucket: self._merge(scratch / str(bucket), bucket)):
            doubles += change.doubles
            for part in change.removed:
                del parts[part.name]
            parts |= {part.name: part for part in change.added}
            if change.merged:
                again[change.bucket] = change.merged
        shutil.rmtree(scratch)
        change_of = {"position": self._position, "files": [*state.files, *taken], "parts": list(parts.values()),
                     "doubles": doubles, "merged": again, "types": self._log.types}  # fmt: skip
        return state.model_copy(update=change_of)

    def _spread(self, files: list[Path], scratch: Path, progress: Progress) -> list[TakenFile]:
        """Append the kept rows of files to a scratch file a bucket; rows of erased users are left out and counted."""
        taken: list[TakenFile] = []
        writers: dict[int, ipc.RecordBatchStreamWriter] = {}
        erased, n = Tombstones(self._state.erased), self._state.buckets
        with ExitStack() as open_files:
            for file in files:
                counts, findings = {"rows": 0}, [Findings()]
                described = TakenFile.of(
                    file, self._log.name_of(file), now=scratch.stat().st_mtime_ns, content=self._log.content_of(file)
                )
                for batch in self._log.batches(file):
                    table, kept, keys = batch.table, batch.dropped < 0, batch.keys
                    findings.append(batch.findings)
                    found = batch.counts()
                    if erased:
                        gone = kept & erased.flags(table["user"], keys)
                        found |= {"erased user": int(gone.sum())}
                        kept &= ~gone
                    counts = add(counts, found)
                    order, starts = grouped(np.where(kept, bucket_of(keys, n), -1), n)
                    ordered = table.take(pa.array(order)).combine_chunks()
                    for bucket in np.flatnonzero(np.diff(starts)).tolist():
                        if bucket not in writers:
                            sink = open_files.enter_context((scratch / str(bucket)).open("wb"))
                            writers[bucket] = open_files.enter_context(ipc.new_stream(sink, ordered.schema))
                        writers[bucket].write_table(ordered.slice(starts[bucket], starts[bucket + 1] - starts[bucket]))
                taken.append(described.model_copy(update={"counts": counts, "findings": all_findings(findings)}))
                progress(described.size)
        self._log.judge(all_findings(file.findings for file in taken))
        return taken

    def _merge(self, file: Path, bucket: int) -> Change:
        """Sort a bucket's new rows and put them beside the old ones."""
        with file.open("rb") as source:
            rows, doubles = Rows.of(ipc.open_stream(source).read_all(), self._log.n_values).sorted(
                by_arrival=self._log.has_arrivals
            )
        file.unlink()
        old = self._state.of_bucket(bucket)
        if old and rows.ids.any():
            rows, again, changes = self._without_known(rows, old)
            doubles += again
            if changes:  # an event is not what it was: the bucket is written again
                whole, lost = together(self._files.read(old, ids=True), rows, by_arrival=self._log.has_arrivals)
                part = self._files.write(whole, bucket, self._written, self._position)
                return Change(bucket, part, old, doubles + lost, self._position)
        new = self._files.write(rows, bucket, self._written, self._position)
        if len(old) < MOST_PARTS and 3 * sum(part.rows for part in old[1:]) <= sum(part.rows for part in old):
            return Change(bucket, new, [], doubles, 0)
        through = old[-1].position
        whole, _ = self._files.read(old, ids=True).sorted()
        return Change(bucket, [*self._files.write(whole, bucket, self._written, through), *new], old, doubles, through)

    def _without_known(self, rows: Rows, old: list[Part]) -> tuple[Rows, int, bool]:
        """Leave out rows whose user has an event of their id already; say whether one of them is the earlier."""
        known = occur(rows.ids, np.concatenate([self._files.column(part, "id") for part in old]))
        if not known.any():
            return rows, 0, False
        stored = self._files.read(old, ids=True)
        other = _frame(stored).filter(pl.col("id").is_in(rows.ids[known]))
        both = _frame(rows).join(other, on=["user", "id"], how="left", maintain_order="left", suffix="_was")
        again = both["t_was"].is_not_null()
        # a repeat that arrived later changes nothing
        alike = pl.col("again") != DIFFERED
        for name in ("t", "mask", *(f"v{i}" for i in range(self._log.n_values))):
            alike &= pl.col(name) == pl.col(f"{name}_was")
        last = pl.col("visible") + pl.col("again")
        late = pl.when(pl.col("again_was") == DIFFERED).then(last <= pl.col("visible_was"))
        unchanged = alike & late.otherwise(pl.col("visible") >= pl.col("visible_was"))
        if not both.filter(again).select(unchanged.all()).item():
            return rows, 0, True
        return rows.take(~again.to_numpy()), int(again.sum()), False


def _frame(rows: Rows) -> pl.DataFrame:
    values = {f"v{i}": rows.values[:, i] for i in range(rows.values.shape[1])}
    users = pl.Series(rows.users.take(pa.array(rows.codes)))
    return pl.DataFrame(
        {
            "user": users,
            "id": rows.ids,
            "t": rows.t,
            "mask": rows.mask,
            "visible": rows.visible,
            "again": rows.again,
            **values,
        }
    )


def bucket_of(keys: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """The bucket of users by their hash."""
    return (keys & 0x7FFF_FFFF_FFFF_FFFF) % buckets
