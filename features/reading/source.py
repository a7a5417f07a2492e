"""The event log where it lies: opened lazily, its columns checked, its rows streamed in our terms."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.definition.numbers import added_columns, event_numbers, number_columns, typed_number_columns
from features.definition.schema import Definition
from features.engines import duckdb as engine
from features.engines.files import path_of, shown
from features.engines.formats import hint
from features.engines.rows import DROPS, checks_of, column_time, event_rows
from features.engines.tables import Tables
from features.errors import EventLogError
from features.events.compacted import NONE, Compacted
from features.events.events import Events, Rows
from features.events.hashing import hashed, hashed_names
from features.events.repeats import log_order, one_row_an_id
from features.expressions.parse import check_columns, check_predicate, columns_in
from features.reading.findings import NOBODY, Findings, judge, placeholders, together, unreadable
from features.time import to_datetime, to_instant

#: rows handed over at once
BATCH = 500_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file, checked.

    Attributes:
        table: ``user, t, visible, id, mask, v0…``, kept rows and dropped ones.
        dropped: for each row an index into `DROPS`, or -1 where it is kept.
        keys: a hash of each row's user, 0 where there is none.
        findings: what of the rows could not be read, or is doubtful.
    """

    table: pa.Table
    dropped: NDArray[np.int32]
    keys: NDArray[np.int64]
    findings: Findings = field(default_factory=dict)

    def kept(self) -> pa.Table:
        """The kept rows."""
        whole = bool((self.dropped < 0).all())
        return self.table if whole else self.table.filter(pa.array(self.dropped < 0))

    def counts(self) -> dict[str, int]:
        """All rows, and the dropped ones by reason."""
        return {"rows": self.table.num_rows, **counted(np.bincount(self.dropped + 1, minlength=len(DROPS) + 1)[1:])}


def counted(found: NDArray[np.int64]) -> dict[str, int]:
    """Dropped rows by reason; implausible times only where there are any."""
    counts = dict(zip(DROPS, found.tolist(), strict=True))
    return {reason: n for reason, n in counts.items() if n or reason != "implausible time"}


@dataclass(frozen=True, slots=True)
class Survey:
    """What a log holds, whatever its signals are.

    Attributes:
        events: how many rows have each name, the most frequent first.
        zoned: rows whose time is text that says its offset.
    """

    events: dict[str, int]
    zoned: int


class EventLog:
    """An event log as the definition describes it; opening it reads the columns, not the rows.

    Args:
        definition: the definition; its expressions over the log are checked here.
        ends: the instant through which the log is complete; overrides the definition's.
        live: what has been compacted out of the live log: more files of the same columns, complete through an instant
            of their own.
        types: types of CSV columns that were decided when the log was first read.

    Attributes:
        files: the files there are, in order.
        columns: their columns with DuckDB's types.
        ends: the log is complete through this instant.
        live: as given.

    Raises:
        EventLogError: the log cannot be read, a mapped column is missing, a file's columns are of other types than the
            others', or no end is declared.
        DefinitionError: a signal or exclusion does not fit the log's columns.
    """

    def __init__(
        self,
        definition: Definition,
        *,
        ends: int | None = None,
        live: Compacted = NONE,
        types: Mapping[str, str] | None = None,
    ) -> None:
        self.definition = definition
        self.live = live
        self._paths = resolve(definition, definition.events.path)
        rules = definition.events
        names = rules.columns
        with engine.connect() as connection:
            tables = Tables.open(connection, self._paths, rules.table, rules.encoding)
            self.files = [*tables.files, *live.event_files]
            # what tells people and instants apart is as it is written
            mapped = set(names.model_dump(exclude_none=True, exclude={"event"}).values())
            used = used_columns(definition)
            typed, added = typed_columns(definition) - mapped, added_columns(definition) - mapped
            self._tables = tables.typed(connection, used=typed, numbers=added, kept=types or {})
            self.columns = self._tables.columns
            for key, name in names.model_dump(exclude_none=True).items():
                if name not in self.columns:
                    raise EventLogError(
                        f"events.columns.{key} is {name!r}, which the log does not have.",
                        fix=f"its columns are {', '.join(self.columns)}",
                    )
            if self._tables.kind == "parquet":
                engine.check_same_columns(connection, tables.files, self._needed, used)
            self.naive_times = "TIME ZONE" not in self.columns[names.time]
            check_expressions(definition, self.columns, connection, self._tables.written)
            for key in ("time", "arrived"):
                if (name := getattr(names, key)) is not None:
                    column_time(name, self.columns[name], rules, f"events.columns.{key}")
            declared = declared_end(definition, ends, live)
            if declared is None:
                raise self._without_end(connection)
        self.ends = declared
        self.n_values = len(event_numbers(definition))
        self.checks = checks_of(definition, self.columns, self._tables.raw, csv=self._tables.kind == "csv")

    @property
    def _needed(self) -> tuple[str, ...]:
        """Columns that every file must have."""
        names = self.definition.events.columns
        return names.user, names.event, names.time

    @property
    def types(self) -> dict[str, str]:
        """Types that the log's values have decided, and which later files obey."""
        return self._tables.decided

    @property
    def has_ids(self) -> bool:
        """Whether rows say which event they are of."""
        return self.definition.events.columns.id is not None

    @property
    def has_arrivals(self) -> bool:
        """Whether rows say when they arrived."""
        return self.definition.events.columns.arrived is not None

    @property
    def is_view(self) -> bool:
        """Whether the log is a view, whose rows change without its file."""
        return self._tables.is_view

    def content_of(self, file: Path) -> str:
        """A digest of the rows of a view, which is read whole for it; empty for files, which say when they changed."""
        if not self.is_view or file not in self._tables.files:
            return ""
        with engine.connect() as connection, engine.reading([file]):
            self._tables.attach(connection)
            return engine.fingerprint(connection, self._tables.whole)

    def survey(self) -> "Survey":
        """Look at the names of events, and whether times in text say their offset; one look at the files there are.

        Raises:
            EventLogError: a file cannot be read.
        """
        names = self.definition.events.columns
        written = self.columns[names.time] == "VARCHAR"
        with engine.connect() as connection, engine.reading(self._paths):
            self._tables.attach(connection)
            rows = engine.names_of(connection, self._tables.whole, names.event, names.time if written else None)
        return Survey({str(name): int(n) for name, n, _ in rows}, sum(int(z) for _, _, z in rows))

    def _without_end(self, connection: engine.Connection) -> EventLogError:
        name = self.definition.events.columns.time
        time = column_time(name, self.columns[name], self.definition.events, "events.columns.time")
        with engine.reading(self._paths):
            last = engine.last_of(connection, self._tables.whole, time)
        return EventLogError(
            f"events.ends is not declared; the last event is at {last}.",
            fix="set the instant through which the log is complete, as in 'ends: 2026-03-01T00:00:00Z', or give --ends",
        )

    def name_of(self, file: Path) -> str:
        """A file's name seen from the definition's folder: the same from wherever we run, and after both are moved."""
        return name_in(self.definition, file)

    @property
    def place(self) -> list[str]:
        """Where the log is, seen from the definition's folder."""
        return place_of(self.definition)

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(file.stat().st_size for file in self.files)

    def batches(self, file: Path) -> Iterator[Batch]:
        """Stream the rows of one of the files.

        Raises:
            EventLogError: the file cannot be read; the error names it.
        """
        ours = file in self.live.event_files
        tables = Tables([file], "parquet", None, columns=self.columns) if ours else self._tables
        checks = [] if ours else self.checks
        nobody = dict(zip(hashed_names(NOBODY).tolist(), NOBODY, strict=True))
        with engine.connect() as connection:
            source = tables.one(connection, file, () if ours else self._needed, self.definition.events.columns.user)
            sql = event_rows(self.definition, self.columns, source, checks, ours=ours)
            with engine.reading([file]):
                for batch in engine.batches(connection, sql, BATCH, in_order=self.has_ids):
                    table = pa.Table.from_batches([batch])
                    dropped = table["dropped"].to_numpy()
                    keys, ids = hashed(table["user"]), hashed(table["id"])
                    found = unreadable(table, checks, file.name) | placeholders(keys, nobody, file.name)
                    names = ["user", "t", "visible", "mask", *(f"v{i}" for i in range(self.n_values))]
                    yield Batch(table.select(names).append_column("id", pa.array(ids)), dropped, keys, found)

    def judge(self, findings: Findings) -> None:
        """Refuse rows of which too much could not be read.

        Raises:
            EventLogError: ``unreadable``; with the formats that would fit, where times are concerned.
        """
        rules, column = self.definition.events, self.definition.events.columns.time
        bad = next((c for c in self.checks if c.name.startswith("time ") and c.name in findings), None)
        advice = ""
        if bad is not None and findings[bad.name].share > rules.at_most.unreadable:
            with engine.connect() as connection:
                self._tables.attach(connection)
                advice = hint(connection, self._tables.whole, engine.quote(column), self._paths)
        judge(findings, rules.at_most, self.checks, rules.columns.user, advice)

    def read(self) -> Events:
        """Read, check and sort the whole log in memory; `EventStore` keeps it sorted on disk.

        Raises:
            EventLogError: a file cannot be read, too much of the log cannot, or nothing is left of it.
        """
        parts, counts, findings = [], dict.fromkeys(("rows", *DROPS[:2], *DROPS[3:]), 0), [Findings()]
        for file in sorted(self.files, key=lambda file: log_order(self.name_of(file))):
            for batch in self.batches(file):
                parts.append(batch.kept())
                counts = add(counts, batch.counts())
                findings.append(batch.findings)
        self.judge(together(findings))
        rows = pa.concat_tables(parts) if parts else None
        if rows is None or not rows.num_rows:
            raise nothing_left(self, counts)
        once, doubles = one_row_an_id(Rows.of(rows, self.n_values), by_arrival=self.has_arrivals)
        ordered = once.sorted()
        late = int((ordered.t >= self.ends).sum())
        counts |= {"duplicate id": doubles, "at or after the declared end": late}
        if late == len(ordered.t):
            raise nothing_left(self, counts)
        return ordered.events(self.ends, counts)

    def __repr__(self) -> str:
        return f"EventLog({shown(self._paths)}, ends={to_datetime(self.ends).isoformat()})"


def place_of(definition: Definition) -> list[str]:
    """Where a definition's log is, seen from the definition's folder."""
    paths = resolve(definition, definition.events.path)
    return [name_in(definition, path.parent) + "/" + path.name for path in paths]


def name_in(definition: Definition, file: Path) -> str:
    """A file's name seen from the definition's folder."""
    return os.path.relpath(file.parent.resolve() / file.name, definition.folder.resolve())


def declared_end(definition: Definition, ends: int | None, live: Compacted) -> int | None:
    """Through when a log is complete: as given, or as the definition declares (UTC where it has no zone).

    Where the live log goes on from what is declared, it is complete through what was compacted.
    """
    declared = definition.events.ends
    if ends is not None or declared is None:
        return ends
    return max(to_instant(declared if declared.tzinfo else declared.replace(tzinfo=UTC)), live.through)


def nothing_left(log: EventLog, counts: dict[str, int]) -> EventLogError:
    """The error for a log of which no event is left, with what became of them."""
    left = ", ".join(f"{n:,} {reason}" for reason, n in counts.items() if n and reason != "rows")
    return EventLogError(
        f"no event is left of {shown(log.files)}: {left or 'it is empty'}.",
        fix="compare the signals' predicates and events.ends with the log (propensity check)",
    )


def add(counts: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    """Add counts by name."""
    return {name: counts.get(name, 0) + more.get(name, 0) for name in {**counts, **more}}


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
        resolved.append(path_of(expanded, definition.folder))
    return resolved


def used_columns(definition: Definition) -> set[str]:
    """Columns of the log that the definition uses."""
    return typed_columns(definition) | number_columns(definition)


def typed_columns(definition: Definition) -> set[str]:
    """Those of them whose type matters, so that text is read as numbers, times or truths where all of it is."""
    rules = definition.events
    names = set(rules.columns.model_dump(exclude_none=True).values())
    questions = [*rules.exclude, *(s.where for s in definition.signals.values())]
    return names.union(typed_number_columns(definition), *(columns_in(sql) for sql in questions))


def check_expressions(
    definition: Definition, columns: dict[str, str], connection: engine.Connection, written: Mapping[str, str]
) -> None:
    """Check the definition's expressions over the log against the log's columns.

    Args:
        definition: the definition.
        columns: the log's columns with their types.
        connection: a connection.
        written: of columns of text, a value that is no number.

    Raises:
        DefinitionError: an expression is unsafe, names an unknown column, or has the wrong type.
    """
    booleans = [name for name, dtype in columns.items() if dtype == "BOOLEAN"]
    questions = [(f"signals.{name}.where", rule.where) for name, rule in definition.signals.items()]
    questions += [(f"events.exclude[{i}]", sql) for i, sql in enumerate(definition.events.exclude)]
    for key, sql in questions:
        check_predicate(sql, columns, key=key, booleans=booleans)
        engine.check_event_sql(connection, columns, sql, key, "BOOLEAN")
    for number in event_numbers(definition):
        check_columns(number.sql, columns, key=number.place)
        texts = [f"; {n!r} holds {written[n]!r}" for n in sorted(columns_in(number.sql)) if n in written]
        kind = "KEY" if number.key else "DOUBLE"
        engine.check_event_sql(connection, columns, number.sql, number.place, kind, "".join(texts))
