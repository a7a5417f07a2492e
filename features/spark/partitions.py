"""What an executor runs on the kept events of some users: the same kernel and the same work as on one machine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark import TaskContext

from features.event_store.manifest import Part
from features.event_store.part_files import PartFiles
from features.events.events import Events, Rows
from features.events.write import JoinedWork, write_parts
from features.identities.people import NOBODY_MERGED, People
from features.spark.table import ROW, Table
from features.system.files.places import Place

if TYPE_CHECKING:
    from pyspark import Broadcast

#: rows of persons of several ids that are worked on at once
RUN_ROWS = 200_000

#: the column of what is worked on together where ids were merged: the number of a set of ids
TOGETHER: Final = "together"

Batches = Iterator[pa.RecordBatch]

Partition = Callable[[Batches], Batches]
"""What an executor runs on a partition."""

Bucket = tuple[int, list[Part]]
"""A bucket, and its parts."""

Run = tuple[Events, pl.DataFrame | None]
"""Events of some users, and the rows of a table that are theirs."""


def attempt() -> str:
    """What tells the files of this task from those of others, and of its other attempts."""
    context = TaskContext.get()
    return f"{context.taskAttemptId():x}" if context is not None else "0"


@dataclass(frozen=True, slots=True)
class Users:
    """The users of a store as executors read them.

    Attributes:
        files: the parts of their events.
        ends: the log is complete through this instant.
        people: who is who of ids that were merged; None where none were.
        table: a table with rows of users; None where there is none.
    """

    files: PartFiles
    ends: int
    people: "Broadcast[People] | None"
    table: Table | None = None

    @property
    def attempt(self) -> str:
        """What tells the files of this task from those of others, and of its other attempts."""
        return attempt()

    def events(self, parts: list[Part], *, ends: int, users: Sequence[str] | None = None) -> Events:
        """Some parts of a bucket; see `features.event_store.stored_events.StoredEvents.events`."""
        return self.files.events(parts, self._people, ends=ends, users=users)

    def of_bucket(self, given: Bucket) -> Run | None:
        """The users of a bucket who are people by themselves; None where there are none."""
        bucket, parts = given
        events = self.events(parts, ends=self.ends)
        if not len(events.users):
            return None
        return events, self.table.of(bucket).drop(ROW) if self.table else None

    def merged(self, given: Bucket) -> pa.Table:
        """The rows of a bucket that are of merged ids, with `TOGETHER`, and between them those of the table."""
        bucket, parts = given
        rows = self.files.read(parts, ids=False)
        rows = rows.take((self._sets(rows.users) >= 0)[rows.codes])
        found = [rows.table().drop_columns(["id", "file"])]
        if self.table is not None:
            found.append(self.table.between(self.table.of(bucket)))
        plain = [table.set_column(0, "user", table["user"].cast(pa.string())) for table in found]
        whole = pa.concat_tables(plain, promote_options="default")
        sets = self._sets(whole["user"])
        return whole.append_column(TOGETHER, pa.array(sets)).filter(pa.array(sets >= 0))

    def called(self, given: Bucket, who: pl.DataFrame) -> pa.Table:
        """The rows of a bucket that are of some ids.

        Args:
            given: the bucket.
            who: the ids, ``id``, and the number of the person of each, `TOGETHER`.
        """
        rows = self.files.read(given[1], ids=False)
        ids = pl.DataFrame({"id": pl.Series(rows.users, dtype=pl.String)})
        numbers = ids.join(who, on="id", how="left", maintain_order="left")[TOGETHER].fill_null(-1).to_numpy()
        rows = rows.take((numbers >= 0)[rows.codes])
        table = rows.table().drop_columns(["id", "file"])
        table = table.set_column(0, "user", table["user"].cast(pa.string()))
        return table.append_column(TOGETHER, pa.array(numbers[rows.codes]))

    @property
    def merged_schema(self) -> pa.Schema:
        """The columns of what `merged` finds."""
        columns = {"user": pa.string(), "t": pa.int64(), "wait": pa.int64(), "mask": pa.int64()}
        columns |= {f"v{i}": pa.float64() for i in range(self.files.n_values)}
        plain = pa.schema(columns)
        if self.table is not None:
            plain = pa.unify_schemas([plain, self.table.between(self.table.none).schema.remove(0)])
        return plain.append(pa.field(TOGETHER, pa.int64()))

    def persons(self, batches: Batches) -> Iterator[Run]:
        """Persons of several ids, whose rows lie sorted by `TOGETHER`."""
        for given in whole_keys(batches, TOGETHER):
            table, joined = given.drop_columns([TOGETHER]), None
            if self.table is not None:
                table, joined = self.table.parted(table)
            persons = self._people.events(rows_between(table, self.files.n_values), self.ends)
            if persons is not None:
                yield persons, joined

    @property
    def _people(self) -> People:
        return self.people.value if self.people is not None else NOBODY_MERGED

    def _sets(self, users: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        return self._people.sets_of(pl.Series(users, dtype=pl.String))


@dataclass(frozen=True, slots=True)
class Writing:
    """What executors make of users, and where they write it.

    Attributes:
        users: reads them.
        work: makes frames of some users' events, and of the rows of the table that are theirs.
        out: gets the files.
        by: a text column that becomes folders.
    """

    users: Users
    work: JoinedWork
    out: Place
    by: str | None

    def bucket(self, given: Bucket) -> dict[str, int]:
        """Work on a bucket; the rows of each file that was written."""
        run = self.users.of_bucket(given)
        return self._written(run, f"{given[0]:05d}") if run is not None else {}

    def persons(self, batches: Batches) -> Batches:
        """Work on persons of several ids; yields each file, and its rows."""
        for number, run in enumerate(self.users.persons(batches)):
            found = self._written(run, f"persons-{number:05d}")
            columns = [pa.array(found, pa.string()), pa.array(found.values(), pa.int64())]
            yield pa.RecordBatch.from_arrays(columns, ["file", "rows"])

    def _written(self, run: Run, name: str) -> dict[str, int]:
        return write_parts(self.work(*run), self.out, f"{name}-{attempt()}", by=self.by)


def rows_between(table: pa.Table, n_values: int) -> Rows:
    """Rows that Spark has brought together, without their ids."""
    return Rows.together([table.append_column("id", pa.array(np.zeros(table.num_rows, dtype=np.int64)))], n_values)


def whole_keys(batches: Batches, key: str) -> Iterator[pa.Table]:
    """Rows of a partition, whatever its batches: all rows of a key at once, as many keys as make a run.

    Args:
        batches: rows, sorted by the key.
        key: a column.
    """
    pending: list[pa.RecordBatch] = []
    rows, enough = 0, RUN_ROWS
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        if rows < enough:
            continue
        table = pa.Table.from_batches(pending)
        newest = pc.index(table[key], table[key][-1]).as_py()
        if newest == 0:  # one key so far
            enough = 2 * rows
            continue
        yield table.slice(0, newest)
        rest = table.slice(newest)
        pending, rows, enough = rest.to_batches(), rest.num_rows, RUN_ROWS
    if rows:
        yield pa.Table.from_batches(pending)
