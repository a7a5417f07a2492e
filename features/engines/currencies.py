"""Amounts in one currency, in SQL that DuckDB and Spark read alike."""

from features.definition.numbers import EventNumber
from features.definition.schema import Definition
from features.expressions.dialects import Dialect, written
from features.expressions.expression import Expression

#: what stands where a row with an amount names no currency
NO_CURRENCY = "no currency"


def in_one_currency(sql: str, number: EventNumber, definition: Definition, dialect: Dialect) -> str:
    """SQL of a number, converted where it is an amount of a currency; null where the currency is not known."""
    if number.currency is None or definition.currencies is None:
        return sql
    code = _code(number.currency, dialect)
    rates = (f"WHEN {code} = '{name}' THEN ({sql}) * {rate!r}" for name, rate in definition.currencies.worth.items())
    return f"CASE {' '.join(rates)} END"


def unknown_currency(number: EventNumber, definition: Definition, only: str) -> tuple[str, str]:
    """DuckDB's SQL of what is written as the currency of an amount, and of 1 where it is known.

    Args:
        number: an amount with a currency.
        definition: the definition.
        only: SQL of the rows that matter.
    """
    column, known = written(column_named(number.currency or ""), "duckdb"), definition.currencies
    listed = ", ".join(f"'{name}'" for name in (known.worth if known else ()))
    amount = f"({only}) AND ({written(number.sql, 'duckdb')}) IS NOT NULL"
    text = f"CASE WHEN {amount} THEN COALESCE(NULLIF(TRIM(CAST({column} AS VARCHAR)), ''), '{NO_CURRENCY}') END"
    return text, f"CASE WHEN {_code(number.currency or '', 'duckdb')} IN ({listed}) THEN 1 END"


def column_named(name: str) -> Expression:
    """An expression that is a column, whatever its name holds."""
    return Expression('"' + name.replace('"', '""') + '"')


def _code(column: str, dialect: Dialect) -> str:
    text = "STRING" if dialect == "spark" else "VARCHAR"
    return f"UPPER(TRIM(CAST({written(column_named(column), dialect)} AS {text})))"
