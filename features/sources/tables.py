"""A table of a database, fetched by arrival: slices of whole days, each once, none with a row twice."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from features.definition.sections.log.sources import DatabaseSource
from features.errors import EventLogError
from features.sources.databases import Database
from features.sources.parts import Fetched, Parts
from features.system.progress import Steps

#: rows of a slice, about; it is the most that is fetched again after an interruption
SLICE = 1_000_000

#: an arrival may be so far ahead of the database's clock: it may be written in another zone
AHEAD = timedelta(days=1)

_ALL = "all rows"


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that arrived in [since, until).

    Attributes:
        since: the first instant; None for all before ``until``.
        until: the first instant after it; None for all from ``since`` on.
        rows: how many there were when it was planned.
    """

    since: datetime | None
    until: datetime | None
    rows: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be fetched.

    Attributes:
        slices: of the rows, in the order of their arrival.
        undated: rows without an arrival.
        ahead: rows whose arrival is still to come.
    """

    slices: list[Slice] = field(default_factory=list)
    undated: int = 0
    ahead: int = 0

    @property
    def rows(self) -> int:
        """How many rows there are to fetch, those of the overlap included."""
        return sum(one.rows for one in self.slices)


class Table:
    """A table that is fetched.

    Args:
        source: says which, and how.
        database: where it is.
        parts: what was fetched of it.
        at_most: the largest share of rows without an arrival that is only a warning.

    Raises:
        EventLogError: it lacks a column, or its arrivals are no times.
    """

    def __init__(self, source: DatabaseSource, database: Database, parts: Parts, at_most: float) -> None:
        self._database, self._parts, self._overlap, self._at_most = database, parts, source.overlap, at_most
        raw = database.columns(source.table)
        self._schema = parts.mapping.types(raw)
        table = exp.to_table(source.table, dialect=database.dialect)
        self._query = parts.mapping.select(self._schema, raw.names, table, database.dialect)
        self._arrived = parts.mapping.roles.arrived
        has_it = self._arrived in self._schema.names
        self._dtype = self._schema.field(self._arrived).type if has_it else None
        if self._arrived is not None and not (self._dtype is not None and pa.types.is_temporal(self._dtype)):
            found = self._dtype or "not there"
            raise EventLogError(
                f"{parts.mapping.place}: {self._arrived!r}, by which rows are fetched, is {found}.",
                fix=f"make it a time in columns: {{{self._arrived}: CAST(… AS TIMESTAMP)}}",
            )

    def fetch(self, steps: Steps) -> Fetched:
        """Fetch what is new; without arrivals, all rows.

        Raises:
            UnavailableError: the database does not answer; the slices before are kept.
        """
        added, plan = 0, Plan()
        if self._arrived is None:
            with steps(f"fetch {self._parts.source}"):
                rows = self._stream(self._query)
                added = self._parts.write(rows, _ALL, mapped=True)
        else:
            plan = self._planned()
            self._check(plan.undated, plan.rows)
            with steps(f"fetch {self._parts.source}", plan.rows) as advance:
                for one in plan.slices:
                    added += self._slice(one)
                    advance(one.rows)
        for path in self._stale:
            self._parts.remove(path)
        return Fetched(self._parts.source, added, plan.undated, plan.ahead)

    def _check(self, undated: int, new: int) -> None:
        """Refuse a table of which too many rows have no arrival.

        Raises:
            EventLogError: more of them than the definition allows.
        """
        kept = sum(pq.read_metadata(path).num_rows for path in self._parts.marks)
        if undated > self._at_most * (undated + new + kept):
            raise EventLogError(
                f"{self._parts.mapping.place}: {undated:,} rows have no {self._arrived!r}, and would not be fetched.",
                fix=f"say when they arrived, as in columns: {{{self._arrived}: COALESCE(received_at, happened_at)}}",
            )

    @property
    def _stale(self) -> list[Path]:
        """Files with other columns than are fetched now."""
        return [path for path, marks in self._parts.marks.items() if marks.mapping != self._parts.mapping.digest]

    @property
    def _newest(self) -> datetime | None:
        """The newest arrival that was fetched."""
        stale, marks = self._stale, self._parts.marks
        found = [datetime.fromisoformat(marks[path].through) for path in marks if path not in stale]
        return max(found, default=None)

    def _planned(self) -> Plan:
        """The slices to fetch, of whole hours but for the first and the last."""
        newest = self._newest
        since = None if newest is None else (newest - timedelta(microseconds=self._overlap)).replace(microsecond=0)
        found = self._counted(since)
        undated, future = found.pop(None, 0), self._now() + AHEAD
        ahead = {hour: n for hour, n in found.items() if hour is not None and _utc(hour) >= future}
        slices: list[Slice] = []
        start, rows = since, 0
        for hour, n in sorted((hour, n) for hour, n in found.items() if hour is not None and hour not in ahead):
            if rows and rows + n > SLICE:
                slices.append(Slice(start, hour, rows))
                start, rows = hour, 0
            rows += n
        slices += [Slice(start, min(ahead, default=None), rows)] if rows else []
        return Plan(slices, undated, sum(ahead.values()))

    def _counted(self, since: datetime | None) -> dict[datetime | None, int]:
        """How many rows arrived in each hour since an instant; and, of all, how many without an arrival."""
        date_alone = pa.types.is_date(self._dtype)
        hour = self._column if date_alone else exp.TimestampTrunc(this=self._column, unit=exp.var("HOUR"))
        counted = exp.select(exp.alias_(hour, "hour"), exp.alias_(exp.Count(this=exp.Star()), "n"))
        counted = counted.from_(self._query.subquery("counted")).group_by(hour.copy())
        if since is not None:
            counted = counted.where(exp.or_(self._column >= self._literal(since), self._column.is_(exp.null())))
        schema = pa.schema([("hour", self._dtype), ("n", pa.int64())])
        rows = self._database.stream(self._written(counted), schema).read_all().to_pylist()
        return {_instant(row["hour"]): int(row["n"]) for row in rows}

    def _now(self) -> datetime:
        """The database's clock: one row that says 2099 must not hide all that come before then."""
        asked = exp.select(exp.alias_(exp.CurrentTimestamp(), "clock"))
        schema = pa.schema([("clock", pa.timestamp("us", tz="UTC"))])
        [row] = self._database.stream(self._written(asked), schema).read_all().to_pylist()
        return _utc(row["clock"])

    def _slice(self, one: Slice) -> int:
        """Fetch a slice, without rows that were fetched before."""
        query = self._query
        for bound, compare in ((one.since, exp.GTE), (one.until, exp.LT)):
            if bound is not None:
                query = query.where(compare(this=self._column, expression=self._literal(bound)))
        if one.since is None:  # rows without an arrival belong to no slice
            query = query.where(exp.not_(self._column.is_(exp.null())))
        stale = self._stale
        known = [
            path
            for path, marks in self._parts.marks.items()
            if path not in stale and (one.since is None or datetime.fromisoformat(marks.through) >= one.since)
        ]
        number = 1 + max((int(marks.of) for marks in self._parts.marks.values() if marks.of.isdigit()), default=0)
        return self._parts.write(self._stream(query), f"{number:06}", known=known, mapped=True)

    @property
    def _column(self) -> exp.Column:
        return exp.column(self._arrived or "", quoted=True)

    def _literal(self, instant: datetime) -> exp.Expression:
        """An instant as the column of arrivals has it."""
        if pa.types.is_date(self._dtype):
            return exp.cast(exp.Literal.string(instant.date().isoformat()), "date")
        zoned = getattr(self._dtype, "tz", None) is not None
        utc = instant.astimezone(UTC) if instant.tzinfo else instant
        written = utc.replace(tzinfo=None).isoformat(sep=" ") + ("+00:00" if zoned else "")
        return exp.cast(exp.Literal.string(written), "timestamptz" if zoned else "timestamp")

    def _stream(self, query: exp.Expression) -> pa.RecordBatchReader:
        return self._database.stream(self._written(query), self._schema)

    def _written(self, query: exp.Expression) -> str:
        return str(query.sql(dialect=self._database.dialect, identify=True))


def _instant(found: date | None) -> datetime | None:
    """The time of a count: a date's midnight."""
    return found if found is None or isinstance(found, datetime) else datetime.combine(found, time())


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
