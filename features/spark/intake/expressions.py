"""The log's rows in our terms, as Spark SQL."""

from collections.abc import Sequence

from features.definition.numbers import EventNumber, event_numbers
from features.definition.schema import Definition
from features.engines.currencies import in_one_currency, rows_of
from features.engines.keys import spark_key_sql
from features.engines.refunds import refunded_sql, taken_sql, without_refunds
from features.engines.rows import SHOWN, USER, Check, checks_of_expressions
from features.engines.times import MICROSECONDS, java_pattern, missing
from features.expressions.dialects import written
from features.user_id import EXACT, LONGEST, SPACE


def columns_sql(definition: Definition, types: dict[str, str], *, ours: bool) -> list[str]:
    """The columns of the log's rows, as `features.engines.rows.event_rows` has them, without ids.

    Args:
        definition: the definition.
        types: Spark's types of the log's columns.
        ours: the rows were compacted out of the live log.
    """
    names = definition.events.columns
    rules = list(definition.signals.values())

    def instant(name: str) -> str:
        return instant_sql(name, types.get(name, "string"), definition, ours=ours)

    mask = " + ".join(f"IF({written(r.where, 'spark')}, {1 << i}L, 0L)" for i, r in enumerate(rules))
    excluded = " OR ".join(f"({written(sql, 'spark')})" for sql in definition.events.exclude) or "false"
    return [
        f"{_user(quoted(names.user))} AS user",
        f"{instant(names.time)} AS t",
        f"{instant(names.arrived) if names.arrived else 'CAST(NULL AS BIGINT)'} AS arrived",
        f"{mask} AS mask",
        f"{refunded_sql(definition, 'spark')} AS refunded",
        *(f"{_number(number, definition)} AS v{i}" for i, number in enumerate(event_numbers(definition))),
        f"({excluded}) AS excluded",
    ]


def other_id_sql(definition: Definition, types: dict[str, str]) -> list[str]:
    """Another id of a row's user, ``alias``, where the definition says which column has it; null where it is not."""
    name = definition.identities.alias if definition.identities is not None else None
    if name is None:
        return []
    return [f"{_user(quoted(name)) if name in types else 'CAST(NULL AS STRING)'} AS alias"]


def checks_of(definition: Definition, types: dict[str, str], *, csv: bool) -> list[Check]:
    """What of a log's rows is checked to be readable, as `features.engines.rows.checks_of`, in Spark's SQL.

    Args:
        definition: the definition.
        types: Spark's types of the log's columns.
        csv: ids are text as it is written, where programs may have rounded them.
    """
    names = definition.events.columns
    found = []
    for key in ("time", "arrived"):
        column = getattr(names, key)
        if column is not None and not types.get(column, "string").startswith(("timestamp", "date")):
            read = instant_sql(column, types.get(column, "string"), definition)
            found.append(Check(f"{key} in column {column!r}", f"CAST({quoted(column)} AS STRING)", read))
    user, dtype = quoted(names.user), types.get(names.user, "string")
    if dtype in ("double", "float"):
        limit = EXACT if dtype == "double" else 2**24
        found.append(
            Check(f"{USER} {names.user!r}", f"CAST({user} AS STRING)", f"IF(abs({user}) < {limit}, 1, NULL)", True)
        )
    elif csv and dtype == "string":
        rounded = rf"trim({user}) RLIKE '^[0-9]([.][0-9]+)?e[+][0-9]+$'"
        found.append(Check(f"{USER} {names.user!r}", user, f"IF({rounded}, NULL, 1)", strict=True))
    return [*found, *checks_of_expressions(definition, "spark")]


def checked_columns(checks: Sequence[Check]) -> tuple[list[str], list[str], list[str]]:
    """Columns of checks: what is written and whether it is read; what was found of it; and the names of these.

    What is found, ``k0…``, is 0 where nothing is written, 1 where it is read and 2 where it is not; then ``unread0…``
    has its text.
    """
    given, found, names = [], [], []
    for i, check in enumerate(checks):
        given += [f"({check.written}) AS r{i}", f"({check.read}) IS NOT NULL AS o{i}"]
        code = f"CASE WHEN r{i} IS NULL THEN 0 WHEN o{i} THEN 1 WHEN {missing(f'r{i}')} THEN 0 ELSE 2 END"
        found += [f"{code} AS k{i}", f"CASE WHEN {code} = 2 THEN left(r{i}, {SHOWN}) END AS unread{i}"]
        names += [f"k{i}", f"unread{i}"]
    return given, found, names


def finite_sql(n_values: int) -> list[str]:
    """The same columns, with numbers that are numbers."""
    finite = [
        f"IF(v{i} IS NULL OR isnan(v{i}) OR abs(v{i}) = double('inf'), 0D, v{i}) AS v{i}" for i in range(n_values)
    ]
    return ["user", "t", "arrived", "mask", "refunded", *finite, "excluded"]


def judged_sql(definition: Definition, n_values: int) -> tuple[str, list[str]]:
    """What a row takes away, as a further column; then the same columns, in which refunds are no events."""
    judged = {name: f"{sql} AS {name}" for name, sql in without_refunds(definition)} if definition.valued else {}
    names = ["user", "t", "arrived", "mask", *(f"v{i}" for i in range(n_values)), "excluded"]
    return f"{taken_sql(definition)} AS taken", [judged.get(name, name) for name in names]


def checked_sql(n_values: int, earliest: int) -> list[str]:
    """The same columns, checked: when an event is visible, and why a row is dropped."""
    dropped = (
        f"CASE WHEN user IS NULL THEN 0 WHEN t IS NULL THEN 1 WHEN t < {earliest} THEN 2 WHEN excluded THEN 3 "
        "WHEN mask = 0 THEN 4 ELSE -1 END"
    )
    return [
        "user",
        "t",
        "GREATEST(t + 1, COALESCE(arrived, 0L)) AS visible",
        "mask",
        *(f"v{i}" for i in range(n_values)),
        f"{dropped} AS dropped",
    ]


def instant_sql(name: str, dtype: str, definition: Definition, *, ours: bool = False) -> str:
    """SQL of a column of times, as `features.engines.times.time_sql`; of rows that we wrote, where they are ours."""
    rules, column = definition.events, quoted(name)
    formats = [] if ours else rules.formats
    unit = rules.time_unit or ("us" if ours and dtype != "string" else None)
    number = f"CAST({column} AS DOUBLE) * {MICROSECONDS[unit]!r}D" if unit else ""
    rounded = f"IF(abs({number}) < 9e18, CAST(ROUND({number}) AS BIGINT), NULL)"
    if dtype.startswith(("timestamp", "date")):
        return f"unix_micros(CAST({column} AS TIMESTAMP))"
    spaced = rf"regexp_replace({column}, r'\s+([+-]\d{{2}}):?(\d{{2}})\s*$', '$1:$2')"
    iso = f"IF({column} RLIKE '^[0-9]{{4}}-[0-9]', unix_micros(try_cast({spaced} AS TIMESTAMP)), NULL)"
    if dtype != "string" and unit:
        return rounded
    tried = [
        iso if f == "iso" else f'unix_micros(try_to_timestamp(trim(CAST({column} AS STRING)), "{java_pattern(f)}"))'
        for f in formats
    ]
    if not tried:
        tried = [*([rounded] if unit else []), iso]
    return f"COALESCE({', '.join(tried)})"


def _number(number: EventNumber, definition: Definition) -> str:
    """As `engines.rows` has it; what is not finite becomes 0 with the checks."""
    sql = in_one_currency(written(number.sql, "spark"), number, definition, "spark")
    if not number.key:
        return f"CAST(({sql}) AS DOUBLE)"
    return f"IF({rows_of(number, definition, 'spark')}, {spark_key_sql(sql)}, 0D)"


def _user(name: str) -> str:
    """As `engines.duckdb.user_sql`, of a column of any type."""
    number = f"CAST({name} AS DOUBLE)"
    floating = f"typeof({name}) IN ('float', 'double') AND {number} = floor({number}) AND abs({number}) < {EXACT}"
    decimal = f"typeof({name}) LIKE 'decimal%'"
    written = f"""CASE WHEN {floating} THEN CAST(CAST({number} AS BIGINT) AS STRING)
                       WHEN {decimal} THEN regexp_replace(CAST({name} AS STRING), '[.]0+$', '')
                       ELSE CAST({name} AS STRING) END"""
    spaces = "concat(" + ", ".join(f"decode(X'{c.encode().hex()}', 'UTF-8')" for c in SPACE) + ")"
    trimmed = f"trim(BOTH {spaces} FROM {written})"
    valid = f"char_length({trimmed}) BETWEEN 1 AND {LONGEST} AND locate(decode(X'00', 'UTF-8'), {trimmed}) = 0"
    return f"CASE WHEN {valid} THEN {trimmed} END"


def quoted(name: str) -> str:
    """A column's name as Spark SQL."""
    return "`" + name.replace("`", "``") + "`"
