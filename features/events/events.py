"""Events as columns, sorted by user and time: what the fold reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events.sort import order_rows
from features.events.spans import Spans
from features.system.arrow import arrow_of, numpy_of, texts_of
from features.time import Instants


@dataclass(frozen=True, slots=True)
class Events:
    """The kept events of some users, sorted by user and time, as columns.

    Attributes:
        users: the users, ascending as text.
        starts: user ``u`` has the rows ``[starts[u], starts[u + 1])``.
        t: event time.
        visible: the first cutoff that may see the event: ``max(t + 1, arrived_at)``.
        mask: bit ``i`` is set when the event fires signal ``i``, `REFUND` when it takes value away from others.
        values: ``[events, valued signals]``; 0 where an event has no value.
        ends: the log is complete through this instant; every ``t`` is before it.
        counts: rows read, rows dropped by reason, rows that fire no signal; of the whole log.
        spans: of which cutoffs each user is a person, where ids were merged: then users can have one name; None where
            every id is a person at all times.
    """

    users: pl.Series
    starts: NDArray[np.int64]
    t: Instants
    visible: Instants
    mask: NDArray[np.int64]
    values: NDArray[np.float64]
    ends: int
    counts: dict[str, int] = field(default_factory=dict)
    spans: Spans | None = None

    def of_signal(self, index: int) -> pl.DataFrame:
        """Columns ``place``, the index of the user, and ``t`` of the events that fire a signal, sorted by time."""
        rows = np.flatnonzero((self.mask >> index) & 1)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        return pl.DataFrame({"place": owner, "t": self.t[rows]}).sort("t")

    def place_of(self, users: pl.Series, at: Instants) -> NDArray[np.int64]:
        """The index of each of some users, each at an instant of its own; -1 where there is none.

        Args:
            users: ids.
            at: microseconds; an id belongs to whom it belonged at this instant.
        """
        if self.spans is not None:
            return self.spans.place_of(users, at)
        index = pl.DataFrame({"user": self.users, "place": np.arange(len(self.users), dtype=np.int64)})
        found = pl.DataFrame({"user": users.cast(pl.String)}).join(index, on="user", how="left", maintain_order="left")
        return found["place"].fill_null(-1).to_numpy()

    def newest(self) -> "Events":
        """The events of those who are a person today."""
        if self.spans is None:
            return self
        return self.take(np.flatnonzero(self.spans.until == self.spans.until.max(initial=0)))

    def as_of(self, instant: int) -> "Events":
        """Those of everybody as the person that they are at a cutoff."""
        if self.spans is None:
            return self
        return self.take(np.flatnonzero((self.spans.since <= instant) & (instant < self.spans.until)))

    def take(self, chosen: NDArray[np.int64]) -> "Events":
        """The events of some users, by their indices, ascending."""
        sizes = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.arange(starts[-1]) + np.repeat(self.starts[chosen] - starts[:-1], sizes)
        return replace(
            self,
            users=self.users.gather(chosen),
            starts=starts,
            t=self.t[rows],
            visible=self.visible[rows],
            mask=self.mask[rows],
            values=self.values[rows],
            spans=self.spans.take(chosen) if self.spans is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a log in our terms, in no order.

    Attributes:
        users: the distinct users, ascending.
        codes: which user each row is of.
        t: event time.
        visible: the first cutoff that may see it.
        mask: signals it fires.
        values: ``[rows, valued signals]``.
        ids: 64 bits of the event's id, 0 where it has none.
        files: which file of the log each row came from, as the store numbers them.
    """

    users: pa.Array
    codes: NDArray[np.int64]
    t: Instants
    visible: Instants
    mask: NDArray[np.int64]
    values: NDArray[np.float64]
    ids: NDArray[np.int64]
    files: NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table, n_values: int) -> "Rows":
        """Take a table ``user, t, visible, id, mask, v0…``; users may be text or a dictionary."""
        user = table["user"]
        if not pa.types.is_dictionary(user.type):
            user = user.dictionary_encode()
        found = user.unify_dictionaries().combine_chunks()
        names = found.dictionary.cast(pa.large_string())
        order = numpy_of(pc.array_sort_indices(names))
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        values = [numpy_of(table[f"v{i}"]) for i in range(n_values)]
        return cls(
            users=names.take(arrow_of(order)),
            codes=rank[numpy_of(found.indices)],
            t=numpy_of(table["t"]),
            visible=numpy_of(table["visible"]),
            mask=numpy_of(table["mask"]),
            values=np.column_stack(values) if values else np.zeros((table.num_rows, 0)),
            ids=numpy_of(table["id"]),
            files=(
                numpy_of(table["file"]).astype(np.int64)
                if "file" in table.column_names
                else np.zeros(table.num_rows, np.int64)
            ),
        )

    @classmethod
    def together(cls, tables: Sequence[pa.Table], n_values: int) -> "Rows":
        """Take tables as `table` makes them, with dictionaries of their own."""
        if not tables:
            return cls.none(n_values)
        whole = merged(tables)
        t = numpy_of(whole["t"])
        return cls.of(whole.append_column("visible", arrow_of(t + numpy_of(whole["wait"]))), n_values)

    @classmethod
    def none(cls, n_values: int) -> "Rows":
        """No rows."""
        none = np.zeros(0, dtype=np.int64)
        return cls(texts_of([]), none, none, none, none, np.zeros((0, n_values)), none, none)

    def sorted(self) -> "Rows":
        """Sort by user, time and what the rows are: equal rows sort alike whatever order they come in."""
        return self.take(order_rows(self.codes, len(self.users), self.t, self.visible, self.mask, self.values))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Rows":
        """Some rows, of the same users."""
        return Rows(self.users, self.codes[rows], self.t[rows], self.visible[rows], self.mask[rows],
                    self.values[rows], self.ids[rows], self.files[rows])  # fmt: skip

    def called(self, names: pl.Series) -> "Rows":
        """The same rows under other users.

        Args:
            names: of each user, as who it is; several may be one.
        """
        users = names.unique().sort()
        codes = users.search_sorted(names).to_numpy().astype(np.int64)[self.codes] if len(names) else self.codes
        return replace(self, users=users.to_arrow().cast(pa.large_string()), codes=codes)

    def table(self) -> pa.Table:
        """The table `of` takes; ``wait`` in the place of ``visible``, which is small."""
        users = pa.DictionaryArray.from_arrays(arrow_of(self.codes.astype(np.int32)), self.users)
        columns = {"t": self.t, "wait": self.visible - self.t, "id": self.ids, "file": self.files.astype(np.int32),
                   "mask": self.mask, **{f"v{i}": self.values[:, i] for i in range(self.values.shape[1])}}  # fmt: skip
        return pa.table({"user": users} | {name: arrow_of(column) for name, column in columns.items()})

    def events(self, ends: int, counts: dict[str, int]) -> Events:
        """Events before the log's end; the rows are sorted."""
        before = self if self.t.size == 0 or self.t.max() < ends else self.take(self.t < ends)
        sizes = np.bincount(before.codes, minlength=len(self.users))
        seen = sizes > 0
        users = pl.Series("user", self.users)
        return Events(
            users=users if seen.all() else users.filter(pl.Series(seen)),
            starts=np.concatenate([[0], np.cumsum(sizes[seen])]),
            t=before.t,
            visible=before.visible,
            mask=before.mask,
            values=before.values,
            ends=ends,
            counts=counts,
        )


def merged(parts: Sequence[pa.Table]) -> pa.Table:
    """Put tables with dictionaries of their own together."""
    return pa.concat_tables(parts).unify_dictionaries()
