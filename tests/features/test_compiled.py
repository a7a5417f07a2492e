"""What is compiled for a few rows means what Polars makes of the same SQL for many."""

import math

import polars as pl
import pytest
import sqlglot
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlglot import exp

from features.definition.compiled import compiled

NUMBERS = st.one_of(st.none(), st.integers(-3, 3).map(float), st.floats(-1e6, 1e6), st.just(math.nan))
ROWS = st.fixed_dictionaries(
    {"a": NUMBERS, "b": NUMBERS, "c": NUMBERS, "s": st.one_of(st.none(), st.sampled_from(["x", "y", "zoë"]))}
)

numbers = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["a", "b", "c", "1", "0", "2.5", "-3"]),
        st.tuples(numbers, st.sampled_from("+-*/"), numbers).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(truths, numbers, numbers).map(lambda t: f"CASE WHEN {t[0]} THEN {t[1]} ELSE {t[2]} END"),
        st.tuples(truths, numbers).map(lambda t: f"(CASE WHEN {t[0]} THEN {t[1]} END)"),
        st.tuples(numbers, numbers).map(lambda t: f"COALESCE({t[0]}, {t[1]})"),
    )
)
truths = st.deferred(
    lambda: st.one_of(
        st.tuples(numbers, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), numbers).map(" ".join),
        st.tuples(st.sampled_from(["s"]), st.sampled_from(["=", "<>", "<", ">="]), st.sampled_from(["'x'", "'y'"])).map(
            " ".join
        ),
        st.sampled_from(["s IN ('x', 'zoë')", "s NOT IN ('x')", "a IN (1, 2.5)", "s IS NULL", "b IS NOT NULL"]),
        st.tuples(numbers, numbers, numbers).map(lambda t: f"{t[0]} BETWEEN {t[1]} AND {t[2]}"),
        st.tuples(truths, st.sampled_from(["AND", "OR"]), truths).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        truths.map(lambda t: f"(NOT ({t}))"),
    )
)


def same(found: object, expected: object) -> bool:
    if isinstance(found, float) and isinstance(expected, float) and math.isnan(found):
        return math.isnan(expected)
    return found == expected


@given(st.one_of(truths, numbers), ROWS)
def test_compiled_is_polars(sql: str, row: dict[str, object]) -> None:
    assume(sql.count("(") < 24)  # deeper than that, Polars does not read them
    calculations = sqlglot.parse_one(sql, read="duckdb").find_all(exp.Add, exp.Sub, exp.Mul, exp.Div)
    assume(all(node.find(exp.Column) for node in calculations))
    schema = {"a": pl.Float64, "b": pl.Float64, "c": pl.Float64, "s": pl.String}
    frame = pl.DataFrame([row], schema=schema)
    expected = frame.select(pl.sql_expr(sql).alias("x"))["x"].item()
    function = compiled(sql)
    assert function is not None
    assert same(function(row), expected), f"{sql} of {row}"


@pytest.mark.parametrize(
    "sql", ["LEAST(a, b) > 1", "s LIKE 'x%'", "LOWER(s) = 'x'", "a IN (b, 1)", "a % 2 = 1", "a > 2.5 / 0"]
)
def test_what_is_not_known_is_not_compiled(sql: str) -> None:
    assert compiled(sql) is None
