"""An expression means the same in DuckDB, in the product and row by row in plain Python; no row makes it fail."""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from features.errors import DefinitionError
from features.expressions.dialects import written
from features.expressions.expression import Expression
from features.expressions.kinds import Kind, Kinds, MeaningError
from features.expressions.parse import parse_expression
from features.expressions.program import Program, columns_of
from features.expressions.values import Texts, Truths, Value
from tests.expressions import Maker
from tests.meaning.expressions import meaning
from tests.meaning.forms import Row

SCHEMA = {"a": pl.Float64, "b": pl.Float64, "c": pl.Float64, "s": pl.String, "t": pl.String}
KINDS = Kinds({**dict.fromkeys("abc", Kind.NUMBER), **dict.fromkeys("st", Kind.TEXT)}, {})
SEEDS = st.integers(0, 2**40)


def allowed(sql: str) -> bool:
    """Whether a definition may say it; only what is nested too deeply may not."""
    try:
        KINDS.of(parse_expression(Expression(sql), key="x"))
    except (DefinitionError, MeaningError) as error:
        if "nested too deeply" in str(error) or "NULL" in str(error):
            return False
        raise
    return True


@lru_cache(maxsize=8)
def program_of(sql: str) -> Program:
    return Program({"x": sql})


@lru_cache(maxsize=8)
def meaning_of(sql: str) -> Callable[[Row], object]:
    return meaning(sql)


def evaluated(sql: str, rows: list[Row]) -> list[object]:
    """What the product makes of rows, all at once."""
    program = program_of(sql)
    columns = columns_of(pl.DataFrame(rows, schema=SCHEMA), program.columns)
    return listed(program.run(columns)["x"], len(rows))


def evaluated_alone(sql: str, row: Row) -> object:
    """What the product makes of a single row."""
    program = program_of(sql)
    [value] = program.run_one(columns_of(pl.DataFrame([row], schema=SCHEMA), program.columns))
    return None if isinstance(value, float) and math.isnan(value) else value


def listed(value: Value, count: int) -> list[object]:
    if value is None:
        return [None] * count
    if isinstance(value, Texts):
        return [*(value.to_list() * (count if value.single else 1))]
    if isinstance(value, Truths):
        both = zip(np.broadcast_to(value.yes, count), np.broadcast_to(value.no, count), strict=True)
        return [True if yes else False if no else None for yes, no in both]
    return [None if math.isnan(x) else float(x) for x in np.broadcast_to(value, count)]


def means(sql: str, row: Row) -> object:
    """What an expression means, row by row; all its numbers are doubles."""
    found = meaning_of(sql)(row)
    return float(found) if isinstance(found, int) and not isinstance(found, bool) else found


def evaluates_as_it_means(seed: int, depth: int = 4) -> None:
    maker = Maker(seed, depth)
    sql = maker.any()
    assume(allowed(sql))
    rows: list[Row] = [
        {name: None if value != value else value for name, value in maker.row(wild=True).items()} for _ in range(4)
    ]
    expected = [means(sql, row) for row in rows]
    assert evaluated(sql, rows) == expected, sql
    assert [evaluated(sql, [row])[0] for row in rows] == expected, f"{sql}, one row at a time"
    assert [evaluated_alone(sql, row) for row in rows] == expected, f"{sql}, by the operators for a single row"


@given(SEEDS)
def test_all_rows_at_once_mean_what_each_row_means(seed: int) -> None:
    evaluates_as_it_means(seed)


@pytest.mark.parametrize("sign", ["=", "<", ">=", "<>"])
def test_integers_that_a_double_cannot_hold_compare_as_doubles(sign: str) -> None:
    row: dict[str, float | str | None] = {"a": 2.0**53, "b": None, "c": None, "s": None, "t": None}
    sql = f"a {sign} 9007199254740993"
    assert evaluated(sql, [row]) == [means(sql, row)]


def duckdb_says_the_same(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    maker = Maker(seed)
    sql, row = maker.truth(), maker.row(wild=False)
    assume(allowed(sql) and has_no_decimals(sql))
    connection.execute("DELETE FROM log")
    connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?)", [row[name] for name in SCHEMA])
    [(expected,)] = connection.execute(f"SELECT {written(sql, 'duckdb')} FROM log").fetchall()
    assert evaluated(sql, [row]) == [expected], f"{sql} of {row}"


def has_no_decimals(sql: str) -> bool:
    """DuckDB has exact decimals among constants, where all others have doubles."""
    calculations = Expression(sql).tree.find_all(exp.Add, exp.Sub, exp.Mul, exp.Div)
    return all(node.find(exp.Column) for node in calculations)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("CREATE TABLE log (a DOUBLE, b DOUBLE, c DOUBLE, s VARCHAR, t VARCHAR)")
        yield opened


@given(SEEDS)
def test_duckdb_says_the_same(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    duckdb_says_the_same(connection, seed)


@pytest.mark.nightly
@pytest.mark.long
@settings(max_examples=10_000)
@given(SEEDS)
def test_ten_thousand_expressions_mean_the_same(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    evaluates_as_it_means(seed, depth=6)
    duckdb_says_the_same(connection, seed)


NEVER_FAIL = [
    "CAST(s AS INTEGER) > 1", "CAST(s AS DATE) > DATE '2020-01-01'", "s::DOUBLE > 1", "n * n > 1", "n + n > 1",
    "a / 0 > 1", "n // 0 > 1", "n % 0 = 1", "LN(a) > 1", "LN(-n) > 1", "SUBSTR(s, -9223372036854775807, n) = 'x'",
    "s SIMILAR TO '[0-9]+'", "regexp_matches(s, 'x')", "-n > 1", "ABS(n) > 1", "CAST(a AS INTEGER) > 1",
    "s ->> '$.revenue' = 'x'", "CAST(s ->> '$.revenue' AS DOUBLE) > 1", "event = 'a' OR CAST(s AS INTEGER) > 1",
    "d + INTERVAL 1 DAY > d",
    "CAST(d AS DATE) - CAST(n AS INTEGER) > DATE '2020-01-01'", "ROUND(a, CAST(n AS INTEGER)) > 1",
    "CAST(b AS BOOLEAN)",
    "n IN (1, 2) AND n BETWEEN 1 AND 2", "s LIKE s", "GREATEST(n, n * 2) > 1",
]  # fmt: skip
LOG = """CREATE TABLE wild AS SELECT * FROM (VALUES
  ('a', 'abc', 1e308, '{"revenue": "x"}', 9223372036854775807, TIMESTAMP '294246-01-01', 'maybe'),
  ('b', '', -0.0, NULL, -9223372036854775808, TIMESTAMP '-infinity', ''),
  ('c', '99999999999999999999', 'nan'::DOUBLE, '[', 0, NULL, '1'),
  (NULL, NULL, 'inf'::DOUBLE, '{}', NULL, TIMESTAMP '2020-01-01', NULL)) AS t(event, s, a, j, n, d, b)"""


@pytest.mark.parametrize("sql", NEVER_FAIL)
def test_no_row_of_a_log_makes_a_signal_fail(sql: str) -> None:
    parse_expression(Expression(sql), key="x")
    with duckdb.connect() as opened:
        opened.execute(LOG)
        found = opened.execute(f"SELECT event, {written(sql, 'duckdb')} FROM wild").fetchall()
    assert len(found) == 4
    if "OR" in sql:
        assert found[0] == ("a", True), "what is true beside a failure stays true"


@pytest.mark.parametrize(
    ("sql", "value", "truth"),
    [
        ("CAST(s AS INTEGER) > 1", "2", True),
        ("CAST(s AS INTEGER) > 1", "x", None),
        ("CAST(s AS DOUBLE) > 1", "١٢", None),
        ("CAST(s AS DOUBLE) > 1", "1_000", None),
        ("CAST(s AS DOUBLE) > 1", "1e400", None),
        ("CAST(s AS DOUBLE) > 1", "Infinity", None),
        ("CAST(s AS INTEGER) > 1", "99999999999", None),
        ("CAST(s AS BIGINT) > 1", "99999999999", True),
        ("LENGTH(s) - LENGTH('abc') < 0", "x", True),
        ("1 / 0 > 0", "x", None),
        ("LN(0) < 0", "x", None),
    ],
)
def test_what_cannot_be_computed_is_null(sql: str, value: str, truth: bool | None) -> None:
    assert allowed(sql)
    row = {"a": None, "b": None, "c": None, "s": value, "t": None}
    assert evaluated(sql, [row]) == [truth]


REFUSED = [
    "a > 'abc'", "s > 1", "s LIKE a", "a LIKE '1%'", "s LIKE t", "SUBSTR(s, -1, 2) = 'x'", "a % 2 = 1", "a = NULL",
    "s ~ 'x'", "s SIMILAR TO 'x'", "CAST(s AS DATE) > s", "CAST(a AS VARCHAR) = '1'", "(a > 1) > (b > 1)", "a AND b",
    "NOT a", "a > 1e999", "ROUND(a, b) > 1", "a IN ('x')", "s || a = 'x'", "CASE WHEN a THEN 1 END > 1",
    "COALESCE(a, 'x') = 'x'", "a BETWEEN 1 AND 'x'", "REPLACE(s, '', 'x') = 'x'", "s LIKE 'x' ESCAPE '!'",
    "TRIM(BOTH 'x' FROM s) = ''", "a IS 1", "CAST(s AS DECIMAL(4, 2)) > 1",
]  # fmt: skip


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_not_known_of_a_row_is_refused(sql: str) -> None:
    with pytest.raises((DefinitionError, MeaningError)):
        KINDS.of(parse_expression(Expression(sql), key="x"))
