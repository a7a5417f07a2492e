"""The rows of a log in our terms, as DuckDB's SQL, with what of them could not be read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from sqlglot import exp

from features.definition.numbers import EventNumber, event_numbers
from features.definition.schema import Definition
from features.definition.sections.log.event_log import Reading
from features.engines.currencies import in_one_currency, rows_of, stated_currency
from features.engines.duckdb import quote, user_sql
from features.engines.keys import key_sql
from features.engines.refunds import refunded_sql, taken_sql, without_refunds
from features.engines.tables import RAW
from features.engines.times import is_number, is_time, missing, time_sql
from features.expressions.dialects import Dialect, written
from features.expressions.expression import Expression
from features.time import to_instant
from features.user_id import EXACT

#: why a row of the log is left out, in the order of precedence
DROPS = ("no user", "no or unreadable time", "implausible time", "excluded user", "no signal")

#: what a check of ids is called, before the column
USER = "user in column"

#: what a check of currencies is called, before the column
CURRENCY = "currency in column"

#: why a row that is read is left out
LATE = "at or after the declared end"

#: what no log of a service is older than: a device whose clock was never set says 1970 or 1980
PLAUSIBLE = to_instant(datetime(1990, 1, 1, tzinfo=UTC))

#: no further columns
NO_MORE: Mapping[str, str] = MappingProxyType({})

#: parts of a text that are shown as an example
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Check:
    """Something that is written in the log and must be read.

    Attributes:
        name: what it is, for people.
        written: SQL of the text as it is written.
        read: SQL of what it is read as, null where it cannot be read.
        strict: a single one that cannot be read is refused, whatever the share.
    """

    name: str
    written: str
    read: str
    strict: bool = False


def column_time(column: str, dtype: str, rules: Reading, key: str, *, ours: bool = False) -> str:
    """SQL of a column of times, as the definition says how to read it.

    Args:
        column: its name.
        dtype: its type.
        rules: format and unit.
        key: where it stands in the definition.
        ours: the column was written by us: text is ISO 8601 whatever the format of the log.
    """
    unit = rules.time_unit or ("us" if ours and is_number(dtype) else None)
    return time_sql(quote(column), dtype, [] if ours else rules.formats, unit, key)


def begins(definition: Definition) -> int:
    """The instant before which times are implausible."""
    stated = definition.events.begins
    return PLAUSIBLE if stated is None else to_instant(stated if stated.tzinfo else stated.replace(tzinfo=UTC))


def checks_of(definition: Definition, columns: dict[str, str], raw: Sequence[str], *, csv: bool) -> list[Check]:
    """What of a log's rows is checked to be readable.

    Args:
        definition: the definition.
        columns: the log's columns with their types.
        raw: columns that are cast from text, which stands beside them.
        csv: ids are text as it is written, where programs may have rounded them.
    """
    names = definition.events.columns
    found = []
    for key in ("time", "arrived"):
        column = getattr(names, key)
        if column is not None and not is_time(columns[column]):
            found.append(Check(f"{key} in column {column!r}", f"CAST({quote(column)} AS VARCHAR)", f"read_{key}"))
    dtype = columns[names.user]
    if dtype in ("DOUBLE", "FLOAT", "REAL"):
        limit = EXACT if dtype == "DOUBLE" else 2**24
        fits = f"CASE WHEN abs({quote(names.user)}) < {limit} THEN 1 END"
        found.append(Check(f"{USER} {names.user!r}", f"CAST({quote(names.user)} AS VARCHAR)", fits, strict=True))
    elif csv and dtype == "VARCHAR":
        user = quote(names.user)
        rounded = rf"contains({user}, 'e+') AND regexp_full_match(TRIM({user}), '\d(\.\d+)?e\+\d+')"
        found.append(Check(f"{USER} {names.user!r}", user, f"CASE WHEN {rounded} THEN NULL ELSE 1 END", True))
    found += [Check(f"column {n!r}", quote(RAW + n), quote(n)) for n in raw]
    return [*found, *checks_of_expressions(definition, "duckdb")]


def checks_of_expressions(definition: Definition, dialect: Dialect) -> Iterator[Check]:
    """What expressions over the log make of a row's columns: what they cast, and amounts of a currency."""
    text_type = {"duckdb": "VARCHAR", "spark": "STRING"}[dialect]
    for key, sql, only in _expressions(definition, dialect):
        for node in sql.tree.find_all(exp.Cast):
            # what is cast may hold casts of its own, which no row may make fail either
            inner, shown = written(node.this.sql(dialect="duckdb"), dialect), node.sql(dialect="duckdb")
            text = f"CASE WHEN {only} THEN CAST(({inner}) AS {text_type}) END"
            yield Check(f"{shown} in {key}", text, written(shown, dialect))
    for number in event_numbers(definition):
        if number.currency is not None:
            yield Check(f"{CURRENCY} {number.currency!r}", *stated_currency(number, definition, dialect))


def _expressions(definition: Definition, dialect: Dialect) -> Iterator[tuple[str, Expression, str]]:
    """Where expressions over the log stand, the expressions, and for which rows they matter."""
    for name, rule in definition.signals.items():
        yield f"signals.{name}.where", rule.where, "true"
        if rule.refund is not None:
            yield f"signals.{name}.refund", rule.refund, "true"
    for number in event_numbers(definition):
        yield number.place, number.sql, rows_of(number, definition, dialect)
    for i, sql in enumerate(definition.events.exclude):
        yield f"events.exclude[{i}]", sql, "true"


def _number(number: EventNumber, definition: Definition) -> str:
    """SQL of a number of an event; 0 where there is none."""
    sql = in_one_currency(written(number.sql, "duckdb"), number, definition, "duckdb")
    if not number.key:
        # what is missing is often written as NaN, which would spoil every sum it enters
        return f"CASE WHEN isfinite(CAST(({sql}) AS DOUBLE)) THEN CAST(({sql}) AS DOUBLE) ELSE 0.0 END"
    return f"CASE WHEN {rows_of(number, definition, 'duckdb')} THEN {key_sql(sql)} ELSE 0.0 END"


def excluded_sql(definition: Definition) -> str:
    """SQL, over the log's columns, of whether a row is excluded."""
    return " OR ".join(f"({written(sql, 'duckdb')})" for sql in definition.events.exclude) or "false"


def event_rows(
    definition: Definition, columns: dict[str, str], source: str, checks: Sequence[Check] = (), *, ours: bool = False,
    more: Mapping[str, str] = NO_MORE,
) -> str:  # fmt: skip
    """SQL of the log's rows in our terms.

    Columns: ``user`` text, ``t`` and ``visible`` microseconds, ``id`` text or null, ``mask``, ``v0…`` values,
    ``dropped``, an index into `DROPS` for rows that are left out, -1 for the others; and of each check ``k0…``: 0 where
    nothing is written, 1 where it was read and 2 where not, with ``unread``, the text of the first of those.

    Args:
        definition: the definition.
        columns: the log's columns with their types.
        source: SQL of the rows.
        checks: what is checked to be readable.
        ours: the rows were written by us: times in text are ISO 8601 whatever the format of the log.
        more: further columns by name, as SQL over the log's.
    """
    rules = definition.events
    names = rules.columns
    signals = list(definition.signals.values())
    mask = " + ".join(
        f"CASE WHEN ({written(rule.where, 'duckdb')}) THEN {1 << i}::BIGINT ELSE 0 END"
        for i, rule in enumerate(signals)
    )
    numbers = event_numbers(definition)
    value_sql = "".join(f", {_number(number, definition)} AS v{i}" for i, number in enumerate(numbers))
    names_of_values = "".join(f", v{i}" for i in range(len(numbers)))
    t = column_time(names.time, columns[names.time], rules, "events.columns.time", ours=ours)
    arrived = (
        column_time(names.arrived, columns[names.arrived], rules, "events.columns.arrived", ours=ours)
        if names.arrived
        else "NULL"
    )
    user = user_sql(names.user, columns[names.user])
    row_id = f"CAST({quote(names.id)} AS VARCHAR)" if names.id else "NULL::VARCHAR"
    inner, found, findings = _checked(checks)
    inner += "".join(f", {sql} AS {name}" for name, sql in more.items())
    findings += "".join(f", {name}" for name in more)
    rows = f"""SELECT {user} AS "user", {t} AS t, {arrived} AS arrived, {row_id} AS id, {mask} AS mask{value_sql},
                     {refunded_sql(definition, "duckdb")} AS refunded, {excluded_sql(definition)} AS excluded{inner}
              FROM {source}"""
    if definition.valued:
        judged = ", ".join(f"{sql} AS {name}" for name, sql in without_refunds(definition))
        rows = f"SELECT * REPLACE ({judged}) FROM (SELECT *, {taken_sql(definition)} AS taken FROM ({rows}))"
    return f"""
        SELECT "user", t, GREATEST(t + 1, COALESCE(arrived, 0)) AS visible, id, mask{names_of_values},
               (CASE WHEN "user" IS NULL THEN 0 WHEN t IS NULL THEN 1 WHEN t < {begins(definition)} THEN 2
                     WHEN excluded THEN 3 WHEN mask = 0 THEN 4 ELSE -1 END)::INTEGER AS dropped{findings}
        FROM (SELECT *{found} FROM ({rows}))"""


def _checked(checks: Sequence[Check]) -> tuple[str, str, str]:
    """SQL of the checks: what is written and whether it was read, what was found of each, and what is selected."""
    read = {"read_time": "t", "read_arrived": "arrived"}
    written = "".join(
        f", {c.written} AS r{i}" + ("" if c.read in read else f", ({c.read}) IS NOT NULL AS o{i}")
        for i, c in enumerate(checks)
    )
    found = "".join(
        f", CASE WHEN r{i} IS NULL THEN 0 WHEN {f'{read[c.read]} IS NOT NULL' if c.read in read else f'o{i}'} THEN 1 "
        f"WHEN {missing(f'r{i}')} THEN 0 ELSE 2 END::UTINYINT AS k{i}"
        for i, c in enumerate(checks)
    )
    texts = " ".join(f"WHEN k{i} = 2 THEN left(r{i}, {SHOWN})" for i in range(len(checks)))
    selected = "".join(f", k{i}" for i in range(len(checks))) + (f", CASE {texts} END AS unread" if checks else "")
    return written, found, selected
