"""Amounts in one currency, in SQL that DuckDB and Spark read alike."""

from features.definition.numbers import EventNumber
from features.definition.schema import Definition
from features.engines.times import missing
from features.expressions.dialects import Dialect, written
from features.expressions.expression import Expression

_TEXT: dict[Dialect, str] = {"duckdb": "VARCHAR", "spark": "STRING"}

#: what stands where a row with an amount names no currency
NO_CURRENCY = "no currency"


def in_one_currency(sql: str, number: EventNumber, definition: Definition, dialect: Dialect) -> str:
    """SQL of a number, converted where it is an amount of a currency; null where the currency is not known."""
    if number.currency is None or definition.currencies is None:
        return sql
    code = f"UPPER(TRIM(CAST({written(column_named(number.currency), dialect)} AS {_TEXT[dialect]})))"
    rates = (f"WHEN {code} = '{name}' THEN ({sql}) * {rate!r}" for name, rate in definition.currencies.worth.items())
    return f"CASE {' '.join(rates)} END"


def rows_of(number: EventNumber, definition: Definition, dialect: Dialect) -> str:
    """SQL of the rows for which a number matters."""
    rule = definition.signals[number.signal]
    asked = rule.conditions if number.part in ("value", "order") else (rule.where,)
    return " OR ".join(f"({written(sql, dialect)})" for sql in asked)


def stated_currency(number: EventNumber, definition: Definition, dialect: Dialect) -> tuple[str, str]:
    """SQL of what is written as the currency of an amount, null where there is no amount; and of 1 where it has a rate.

    An amount of 0 needs no currency.
    """
    named, known = number.currency or "", definition.currencies
    text = f"TRIM(CAST({written(column_named(named), dialect)} AS {_TEXT[dialect]}))"
    listed = ", ".join(f"'{name}'" for name in (known.worth if known else ()))
    amount = f"({rows_of(number, definition, dialect)}) AND ({written(number.sql, dialect)}) <> 0"
    stated = f"CASE WHEN {text} IS NULL OR {missing(text)} THEN '{NO_CURRENCY}' ELSE {text} END"
    return f"CASE WHEN {amount} THEN {stated} END", f"CASE WHEN UPPER({text}) IN ({listed}) THEN 1 END"


def column_named(name: str) -> Expression:
    """An expression that is a column, whatever its name holds."""
    return Expression('"' + name.replace('"', '""') + '"')
