"""The event log where it lies: opened lazily, its columns checked, its rows streamed in our terms."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from features.definition.numbers import added_columns, event_numbers
from features.definition.schema import Definition
from features.engines import duckdb as engine
from features.engines.arrow import batches
from features.engines.checking import check_same_columns
from features.engines.files import shown
from features.engines.formats import hint
from features.engines.rows import DROPS, LATE, NO_MORE, Check, checks_of, column_time, event_rows
from features.engines.tables import Tables
from features.errors import EventLogError
from features.events.compacted import NONE, Compacted, declared_end
from features.events.events import Events, Rows
from features.events.hashing import hashed, hashed_names
from features.events.repeats import log_order, one_row_an_id
from features.expressions.dialects import written
from features.reading.batch import NO_MERGES, Batch, add, merges_in
from features.reading.columns import (
    check_expressions,
    computed,
    mapped_columns,
    roots,
    typed_columns,
    used_columns,
)
from features.reading.findings import NOBODY, PLACEHOLDER, Findings, judge, placeholders, together, unreadable
from features.reading.places import name_in, place_of, resolve
from features.reading.survey import Named, Survey, by_day
from features.time import MINUTE, to_datetime

#: time zones begin their days at whole quarters of an hour
QUARTER = 15 * MINUTE

#: rows handed over at once
BATCH = 500_000


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
        with engine.connect() as connection:
            tables = Tables.open(connection, self._paths, definition.events.table, definition.events.encoding)
            self.files = [*tables.files, *live.event_files]
            self._tables = self._typed(tables, connection, types or {})
            self.columns = self._tables.columns
            self._check_columns(connection)
            declared = declared_end(definition, ends, live)
            if declared is None:
                raise self._without_end(connection)
        self.ends = declared
        self.n_values = len(event_numbers(definition))
        self.checks = checks_of(definition, self.columns, self._tables.raw, csv=self._tables.kind == "csv")

    def _typed(self, tables: Tables, connection: engine.Connection, types: Mapping[str, str]) -> Tables:
        """Give columns of text types; what tells people and instants apart stays as it is written."""
        named = mapped_columns(self.definition)
        mapped = {name for place, name in named.items() if place != "events.columns.event"}
        self._computed = computed(named, tables.columns)
        mapped = mapped.union(*map(roots, self._computed.values()))
        typed, added = typed_columns(self.definition) - mapped, added_columns(self.definition) - mapped
        found = tables.typed(connection, used=typed, numbers=added, kept=types)
        return found.computing(connection, {name: written(sql, "duckdb") for name, sql in self._computed.items()})

    def _check_columns(self, connection: engine.Connection) -> None:
        """Check that the log has the mapped columns, of types that fit, and that expressions fit them."""
        rules, names = self.definition.events, self.definition.events.columns
        if self._tables.kind == "parquet":
            used = used_columns(self.definition).union(*map(roots, self._computed.values()))
            check_same_columns(connection, self._tables.files, self._needed, used)
        check_expressions(self.definition, self.columns, connection, self._tables.written)
        for key in ("time", "arrived"):
            if (name := getattr(names, key)) is not None:
                column_time(name, self.columns[name], rules, f"events.columns.{key}")

    @property
    def _needed(self) -> tuple[str, ...]:
        """Columns that every file must have; of what an expression reads, any may be missing."""
        names = self.definition.events.columns
        return tuple(name for name in (names.user, names.event, names.time) if name not in self._computed)

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

    @property
    def is_fetched(self) -> bool:
        """Whether its files are fetched from sources: then those that are there are all of it."""
        return bool(self.definition.events.sources)

    def content_of(self, file: Path) -> str:
        """A digest of the rows of a view, which is read whole for it; empty for files, which say when they changed."""
        if not self.is_view or file not in self._tables.files:
            return ""
        with engine.connect() as connection, engine.reading([file]):
            self._tables.attach(connection)
            return engine.fingerprint(connection, self._tables.whole)

    def survey(self) -> Survey:
        """Look at the names of events, at days and users, and whether times in text say their offset.

        Raises:
            EventLogError: a file cannot be read.
        """
        names, dtype = self.definition.events.columns, self.columns[self.definition.events.columns.time]
        time = column_time(names.time, dtype, self.definition.events, "events.columns.time")
        written = names.time if dtype == "VARCHAR" else None
        with engine.connect() as connection, engine.reading(self._paths):
            self._tables.attach(connection)
            rows, quarters, busiest = engine.surveyed(
                connection, self._tables.whole, names.event, names.user, time, written, QUARTER
            )
        found = {str(name): Named(int(n), first, last) for name, n, _, first, last in rows}
        zoned, timezone = sum(int(zoned) for _, _, zoned, _, _ in rows), self.definition.timezone
        return Survey(found, zoned, by_day(quarters, QUARTER, timezone), busiest, timezone)

    def texts_in(self, column: str, where: str, most: int) -> list[str]:
        """The most frequent texts of a column, in upper case and trimmed, among the rows for which SQL holds."""
        with engine.connect() as connection, engine.reading(self._paths):
            self._tables.attach(connection)
            return engine.texts_in(connection, self._tables.whole, column, where, most)

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
        checks = self._checks_of(file)
        nobody = dict(zip(hashed_names(NOBODY).tolist(), NOBODY, strict=True))
        with engine.connect() as connection:
            sql = self.rows_sql(connection, file, self._alias)
            with engine.reading([file]):
                for batch in batches(connection, sql, BATCH, in_order=self.has_ids):
                    table = pa.Table.from_batches([batch])
                    dropped = table["dropped"].to_numpy()
                    keys, ids = hashed(table["user"]), hashed(table["id"])
                    found = unreadable(table, checks, file.name) | placeholders(keys, nobody, file.name)
                    names = ["user", "t", "visible", "mask", *(f"v{i}" for i in range(self.n_values))]
                    rows = table.select(names).append_column("id", pa.array(ids))
                    yield Batch(rows, dropped, keys, found, merges_in(table) if self._alias else NO_MERGES)

    @cached_property
    def _alias(self) -> Mapping[str, str]:
        """SQL of the other id of a row's user, where the log has one."""
        name = self.definition.identities.alias if self.definition.identities is not None else None
        return {"alias": engine.user_sql(name, self.columns[name])} if name is not None else NO_MORE

    def _checks_of(self, file: Path) -> list[Check]:
        """What is checked of a file's rows: nothing of those that we wrote."""
        return [] if file in self.live.event_files else self.checks

    def rows_sql(self, connection: engine.Connection, file: Path, more: Mapping[str, str] = NO_MORE) -> str:
        """SQL of the rows of a file in our terms, see `event_rows`."""
        ours = file in self.live.event_files
        tables = Tables([file], "parquet", None, columns=self.columns) if ours else self._tables
        source = tables.one(connection, file, () if ours else self._needed, self.definition.events.columns.user)
        return event_rows(self.definition, self.columns, source, self._checks_of(file), ours=ours, more=more)

    def judge(self, files: Sequence[Findings]) -> None:
        """Refuse files of which too much could not be read, each by itself: what is taken in together decides nothing.

        Args:
            files: the findings of each file.

        Raises:
            EventLogError: ``unreadable``; with the formats that would fit, where times are concerned.
        """
        for findings in files:
            self._judge({name: found for name, found in findings.items() if name != PLACEHOLDER})
        self._judge(together(files))

    def _judge(self, findings: Findings) -> None:
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
        parts, counts, findings = [], dict.fromkeys(("rows", *DROPS[:2], *DROPS[3:]), 0), []
        for file in sorted(self.files, key=lambda file: log_order(self.name_of(file))):
            of_file = [Findings()]
            for batch in self.batches(file):
                parts.append(batch.kept())
                counts = add(counts, batch.counts())
                of_file.append(batch.findings)
            findings.append(together(of_file))
        self.judge(findings)
        rows = pa.concat_tables(parts) if parts else None
        if rows is None or not rows.num_rows:
            raise nothing_left(self, counts)
        once, duplicates = one_row_an_id(Rows.of(rows, self.n_values), by_arrival=self.has_arrivals)
        ordered = once.sorted()
        late = int((ordered.t >= self.ends).sum())
        counts |= {"duplicate id": duplicates, LATE: late}
        if late == len(ordered.t):
            raise nothing_left(self, counts)
        return ordered.events(self.ends, counts)

    def __repr__(self) -> str:
        return f"EventLog({shown(self._paths)}, ends={to_datetime(self.ends).isoformat()})"


def nothing_left(log: EventLog, counts: dict[str, int]) -> EventLogError:
    """The error for a log of which no event is left, with what became of them."""
    left = ", ".join(f"{n:,} {reason}" for reason, n in counts.items() if n and reason != "rows")
    return EventLogError(
        f"no event is left of {shown(log.files)}: {left or 'it is empty'}.",
        fix="compare the signals' predicates and events.ends with the log (propensity check)",
    )
