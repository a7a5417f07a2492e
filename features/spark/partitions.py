"""What an executor runs on a partition: the same kernel and the same work as on one machine."""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from features.events.events import Events, Rows
from features.events.repeats import one_row_an_id
from features.events.tombstones import Tombstones
from features.events.write import JoinedWork, read_part
from features.identities.people import NOBODY_MERGED, People

if TYPE_CHECKING:
    from pyspark import Broadcast

#: rows of users that are worked on at once
RUN_ROWS = 200_000

#: where ids were merged, the column of what is worked on together: a user, or a set of ids that were ever merged
TOGETHER: Final = "together"

Batches = Iterator[pa.RecordBatch]

Partition = Callable[[Batches], Batches]
"""What an executor runs on a partition."""


#: columns of the rows of a table that are worked on with the events of their users: its place, then its columns
ROW: Final = "row"


def column_beside(place: int) -> str:
    """What a column of such a table is called beside those of events."""
    return f"beside{place}"


def answering(
    work: JoinedWork,
    n_values: int,
    ends: int,
    erased: Tombstones,
    schema: pa.Schema,
    people: "Broadcast[People] | None",
    *,
    by_arrival: bool,
    beside: Sequence[str] | None = None,
) -> Partition:
    """What an executor runs on a partition: frames made of the events of some users.

    Args:
        work: makes frames of some users' events, and of the rows of a table that are theirs.
        n_values: how many valued signals rows have.
        ends: the log is complete through this instant.
        erased: whose rows count nowhere.
        schema: of the frames.
        people: who is who of ids that were merged; None where none were: then there is no column `TOGETHER`.
        by_arrival: rows say when they arrived.
        beside: the columns of that table, whose rows are those without a time; None where there is no table.
    """
    key = "user" if people is None else TOGETHER

    def answer(table: pa.Table) -> Batches:
        table, joined = (table, None) if beside is None else _parted(table, beside)
        if not table.num_rows:
            return
        rows = Rows.of(table.drop_columns([TOGETHER]) if people is not None else table, n_values)
        if erased:
            rows = rows.take(~erased.flags(rows.users)[rows.codes])
        once, _ = one_row_an_id(rows, by_arrival=by_arrival, each_user=True)
        for events in _events(once, ends, people.value if people is not None else NOBODY_MERGED):
            for frame in work(events, joined):
                yield from frame.to_arrow().cast(schema).to_batches()

    return of_whole_users(answer, key)


def of_whole_users(answer: Callable[[pa.Table], Batches], key: str) -> Partition:
    """What an executor runs on a partition, whatever its batches: whole users at a time, as many as make a run.

    Args:
        answer: makes batches of the rows of some users.
        key: the column by which rows are sorted, and of whose values all rows are worked on together.
    """

    def partition(batches: Batches) -> Batches:
        pending: list[pa.RecordBatch] = []
        rows, enough = 0, RUN_ROWS
        for batch in batches:
            pending.append(batch)
            rows += batch.num_rows
            if rows < enough:
                continue
            table = pa.Table.from_batches(pending)
            newest = pc.index(table[key], table[key][-1]).as_py()
            if newest == 0:  # one user so far, or ids of one person
                enough = 2 * rows
                continue
            yield from answer(table.slice(0, newest))
            rest = table.slice(newest)
            pending, rows, enough = rest.to_batches(), rest.num_rows, RUN_ROWS
        if rows:
            yield from answer(pa.Table.from_batches(pending))

    return partition


def _parted(table: pa.Table, names: Sequence[str]) -> tuple[pa.Table, pl.DataFrame]:
    """The events of some users, and their rows of the table that is worked on with them, in its order."""
    columns, is_row = [column_beside(i) for i in range(len(names))], pc.is_null(table["t"])
    rows = pl.DataFrame(table.filter(is_row).select(["user", ROW, *columns])).sort(ROW).drop(ROW)
    events = table.filter(pc.invert(is_row)).drop_columns([ROW, *columns])
    return events, rows.rename(dict(zip(columns, names, strict=True)))


def _events(rows: Rows, ends: int, people: People) -> Iterator[Events]:
    """The events of those who are people by themselves, and those of the others, as the persons they were each time."""
    if not people:
        events = rows.sorted().events(ends, {})
        if len(events.users):
            yield events
        return
    merged = people.sets_of(pl.Series(rows.users, dtype=pl.String))[rows.codes] >= 0
    alone = rows.take(~merged).sorted().events(ends, {})
    if len(alone.users):
        yield alone
    if merged.any() and (several := people.events(rows.take(merged), ends)) is not None:
        yield several


def made_of_parts(
    columns: Sequence[str], work: Callable[[pl.DataFrame], pl.DataFrame]
) -> Callable[[Sequence[str]], bytes]:
    """What an executor runs on the files of some users: the same as one machine does, as Arrow's stream."""

    def made(files: Sequence[str]) -> bytes:
        found = BytesIO()
        work(read_part(files, columns)).write_ipc_stream(found, compression="zstd")
        return found.getvalue()

    return made
