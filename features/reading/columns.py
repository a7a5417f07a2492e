"""The log's columns that a definition uses, and whether its expressions fit them."""

from collections.abc import Mapping

from features.definition.numbers import event_numbers, number_columns, typed_number_columns
from features.definition.schema import Definition
from features.engines import duckdb as engine
from features.expressions.parse import check_columns, check_predicate


def used_columns(definition: Definition) -> set[str]:
    """Columns of the log that the definition uses."""
    return typed_columns(definition) | number_columns(definition)


def typed_columns(definition: Definition) -> set[str]:
    """Those of them whose type matters, so that text is read as numbers, times or truths where all of it is."""
    rules = definition.events
    names = set(rules.columns.model_dump(exclude_none=True).values())
    questions = [*rules.exclude, *(s.where for s in definition.signals.values())]
    return names.union(typed_number_columns(definition), *(sql.columns for sql in questions))


def check_expressions(
    definition: Definition, columns: dict[str, str], connection: engine.Connection, written: Mapping[str, str]
) -> None:
    """Check the definition's expressions over the log against the log's columns.

    Args:
        definition: the definition.
        columns: the log's columns with their types.
        connection: a connection.
        written: of columns of text, a value that is not a number.

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
        texts = [f"; {n!r} holds {written[n]!r}" for n in sorted(number.sql.columns) if n in written]
        kind = "KEY" if number.key else "DOUBLE"
        engine.check_event_sql(connection, columns, number.sql, number.place, kind, "".join(texts))
