"""What an executor runs on a partition: the same kernel and the same work as on one machine."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from features.events.events import Rows
from features.events.repeats import one_row_an_id
from features.events.tombstones import Tombstones
from features.events.write import Work

#: rows of users that are worked on at once
RUN_ROWS = 200_000

Batches = Iterator[pa.RecordBatch]


def answering(
    work: Work, n_values: int, ends: int, erased: Tombstones, schema: pa.Schema, *, by_arrival: bool
) -> Callable[[Batches], Batches]:
    """What an executor runs on a partition: whole users at a time, as many as make a run, whatever the batches."""

    def answer(table: pa.Table) -> Batches:
        rows = Rows.of(table, n_values)
        if erased:
            rows = rows.take(~erased.flags(rows.users)[rows.codes])
        once, _ = one_row_an_id(rows, by_arrival=by_arrival, each_user=True)
        events = once.sorted().events(ends, {})
        for frame in work(events) if len(events.users) else ():
            yield from frame.to_arrow().cast(schema).to_batches()

    def partition(batches: Batches) -> Batches:
        pending: list[pa.RecordBatch] = []
        rows, enough = 0, RUN_ROWS
        for batch in batches:
            pending.append(batch)
            rows += batch.num_rows
            if rows < enough:
                continue
            table = pa.Table.from_batches(pending)
            newest = pc.index(table["user"], table["user"][-1]).as_py()
            if newest == 0:  # one user so far
                enough = 2 * rows
                continue
            yield from answer(table.slice(0, newest))
            rest = table.slice(newest)
            pending, rows, enough = rest.to_batches(), rest.num_rows, RUN_ROWS
        if rows:
            yield from answer(pa.Table.from_batches(pending))

    return partition
