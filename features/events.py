"""The event log: opened lazily, checked with counts, and read once, sorted by user and time."""

import os
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.definition.predicate import check_columns, check_predicate
from features.definition.schema import Definition
from features.engines import duckdb as engine
from features.errors import DefinitionError, EventLogError
from features.time import Instants, to_datetime, to_instant


@dataclass(frozen=True, slots=True)
class Events:
    """The kept events of a log, sorted by user and time, as columns.

    Attributes:
        users: the users, ascending as text.
        starts: user ``u`` has the rows ``[starts[u], starts[u + 1])``.
        t: event time.
        visible: the first cutoff that may see the event: ``max(t + 1, arrived_at)``.
        mask: bit ``i`` is set when the event fires signal ``i``.
        values: ``[events, valued signals]``; 0 where an event has no value.
        ends: the log is complete through this instant; every ``t`` is before it.
        counts: rows read, rows dropped by reason, rows that fire no signal.
    """

    users: pl.Series
    starts: NDArray[np.int64]
    t: Instants
    visible: Instants
    mask: NDArray[np.int64]
    values: NDArray[np.float64]
    ends: int
    counts: dict[str, int] = field(default_factory=dict)

    def of_signal(self, index: int) -> pl.DataFrame:
        """Columns ``user`` and ``t`` of the events that fire a signal, sorted by time."""
        rows = np.flatnonzero((self.mask >> index) & 1)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        return pl.DataFrame({"user": self.users.gather(owner), "t": self.t[rows]}).sort("t")


class EventLog:
    """An event log as the definition describes it; opening it reads the columns, not the rows.

    Args:
        definition: the definition; its expressions over the log are checked here.
        ends: the instant through which the log is complete; overrides the definition's.

    Raises:
        EventLogError: the log cannot be read, a mapped column is missing, or no end is declared.
        DefinitionError: a signal or exclusion does not fit the log's columns.
    """

    def __init__(self, definition: Definition, *, ends: int | None = None) -> None:
        self._definition = definition
        rules = definition.events
        self._paths = resolve(definition, rules.path)
        names = rules.columns
        with engine.connect() as connection:
            source = engine.attach(connection, self._paths, rules.table)
            self.columns = engine.columns_of(connection, source, self._paths)
            for key, name in names.model_dump(exclude_none=True).items():
                if name not in self.columns:
                    raise EventLogError(
                        f"events.columns.{key} is {name!r}, which the log does not have.",
                        fix=f"its columns are {', '.join(self.columns)}",
                    )
            self.naive_times = "TIME ZONE" not in self.columns[names.time]
            check_expressions(definition, self.columns, connection)
            if ends is None and rules.ends is None:
                with engine.reading(self._paths):
                    _, last = engine.span_of(connection, source, names.time)
                raise EventLogError(
                    f"events.ends is not declared; the last event is at {last}.",
                    fix="say through when the log is complete, as in 'ends: 2026-03-01T00:00:00Z', or give --ends",
                )
        if ends is not None:
            self.ends = ends
        elif rules.ends is not None:
            self.ends = to_instant(rules.ends if rules.ends.tzinfo else rules.ends.replace(tzinfo=UTC))

    def read(self) -> Events:
        """Read, check and sort the whole log.

        Raises:
            EventLogError: a file cannot be read, or nothing is left of the log.
        """
        definition = self._definition
        n_values = sum(rule.value is not None for rule in definition.signals.values())
        with engine.connect() as connection, engine.reading(self._paths):
            source = engine.attach(connection, self._paths, definition.events.table)
            rows = engine.event_rows(definition, self.columns, source, self.ends)
            counts, table = engine.load_events(connection, rows, n_values)
        if table.num_rows == 0:
            left = ", ".join(f"{n:,} {reason}" for reason, n in counts.items() if n)
            raise EventLogError(
                f"no event is left of {self._shown()}: {left or 'it is empty'}.",
                fix="compare the signals' predicates and events.ends with the log (propensity check)",
            )
        runs = pc.run_end_encode(table["user"].combine_chunks().cast(pa.large_string()), run_end_type=pa.int64())
        values = [table[f"v{i}"].to_numpy() for i in range(n_values)]
        return Events(
            users=pl.Series("user", runs.values),
            starts=np.concatenate([[0], runs.run_ends.to_numpy()]),
            t=table["t"].to_numpy(),
            visible=table["visible"].to_numpy(),
            mask=table["mask"].to_numpy(),
            values=np.column_stack(values) if values else np.zeros((table.num_rows, 0)),
            ends=self.ends,
            counts=counts,
        )

    def _shown(self) -> str:
        return ", ".join(str(p) for p in self._paths)

    def __repr__(self) -> str:
        return f"EventLog({self._shown()}, ends={to_datetime(self.ends).isoformat()})"


def resolve(definition: Definition, path: str | list[str]) -> list[Path]:
    """Resolve paths: ``${NAME}`` comes from the environment, and relative paths start at the definition's folder.

    Raises:
        EventLogError: a variable is not set.
    """
    resolved = []
    for each in [path] if isinstance(path, str) else path:
        expanded = os.path.expandvars(each)
        if "$" in expanded:
            raise EventLogError(f"{each} names a variable that is not set.", fix="export it, as in LOGS=path/to/logs")
        resolved.append(Path(expanded) if Path(expanded).is_absolute() else definition.folder / expanded)
    return resolved


def check_expressions(definition: Definition, columns: dict[str, str], connection: engine.Connection) -> None:
    """Check the definition's expressions over the log against the log's columns.

    Raises:
        DefinitionError: an expression is unsafe, names an unknown column, or has the wrong type.
    """
    booleans = [name for name, dtype in columns.items() if dtype == "BOOLEAN"]
    questions = [(f"signals.{name}.where", rule.where) for name, rule in definition.signals.items()]
    questions += [(f"events.exclude[{i}]", sql) for i, sql in enumerate(definition.events.exclude)]
    for key, sql in questions:
        check_predicate(sql, columns, key=key, booleans=booleans)
        engine.check_event_sql(connection, columns, sql, key, "BOOLEAN")
    for name, rule in definition.signals.items():
        if rule.value is not None:
            check_columns(rule.value, columns, key=f"signals.{name}.value")
            engine.check_event_sql(connection, columns, rule.value, f"signals.{name}.value", "DOUBLE")


def read_traits(definition: Definition) -> pl.DataFrame:
    """Read the trait table: columns ``user``, ``known`` (UTC microseconds) and the fields as text.

    Raises:
        DefinitionError: the definition declares no traits.
        EventLogError: the table cannot be read or lacks a column.
    """
    rules = definition.traits
    if rules is None:
        raise DefinitionError("the definition has no 'traits'.", fix="declare them")
    paths = resolve(definition, rules.path)
    with engine.connect() as connection:
        source = engine.attach(connection, paths, None)
        columns = engine.columns_of(connection, source, paths)
        for name in (rules.columns.user, rules.columns.known, *rules.fields):
            if name not in columns:
                raise EventLogError(
                    f"traits name column {name!r}, which {paths[0]} does not have.",
                    fix=f"its columns are {', '.join(columns)}",
                )
        known = engine.time_sql(rules.columns.known, columns, "traits.columns.known")
        with engine.reading(paths):
            table = engine.load_traits(connection, source, rules.columns.user, known, rules.fields)
    return pl.DataFrame(table)
