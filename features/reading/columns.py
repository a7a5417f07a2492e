"""The log's columns that a definition uses, and whether its expressions fit them."""

from collections.abc import Collection, Mapping

from sqlglot import exp
from sqlglot.errors import SqlglotError

from features.definition.numbers import event_numbers, number_columns, typed_number_columns
from features.definition.schema import Definition
from features.definition.sections.log.event_log import EventColumns
from features.engines.checking import check_event_sql
from features.engines.currencies import column_named
from features.engines.duckdb import Connection
from features.errors import EventLogError
from features.expressions.expression import Expression
from features.expressions.parse import check_columns, check_predicate, parse_expression


def used_columns(definition: Definition) -> set[str]:
    """Columns of the log that the definition uses."""
    return typed_columns(definition) | number_columns(definition)


def places(columns: EventColumns) -> dict[str, str]:
    """Mapped columns of the log, or SQL over columns, by their place in the definition."""
    return {f"events.columns.{key}": str(name) for key, name in columns.model_dump(exclude_none=True).items()}


def mapped_columns(definition: Definition) -> dict[str, str]:
    """All of a definition, with the one of other ids of a row's user."""
    mapped = places(definition.events.columns)
    alias = definition.identities.alias if definition.identities is not None else None
    return mapped | ({"identities.alias": alias} if alias is not None else {})


def computed(mapped: Mapping[str, str], there: Collection[str]) -> dict[str, Expression]:
    """Those of the mapped columns that are expressions over the log's, as ``COALESCE(user_id, device_id)`` or ``a.b``.

    Args:
        mapped: the mapped columns by their places.
        there: the log's columns.

    Returns:
        The expressions by the names of the columns that they become: these are their texts.

    Raises:
        DefinitionError: one is unsafe.
        EventLogError: one is a column that the log does not have, or is over such columns.
    """
    found: dict[str, Expression] = {}
    known = f"its columns are {', '.join(there)}"
    for place, name in mapped.items():
        if name in there:
            continue
        if not is_expression(sql := Expression(name)):
            raise EventLogError(f"{place} is {name!r}, which the log does not have.", fix=known)
        parse_expression(sql, key=place)
        if unknown := sorted(roots(sql) - set(there)):
            raise EventLogError(f"{place} uses {unknown[0]!r}, which the log does not have.", fix=known)
        found[name] = sql
    return found


def is_expression(sql: Expression) -> bool:
    """Whether a text reads as more than a name, which may hold spaces or signs."""
    try:
        tree = sql.tree
    except (SqlglotError, RecursionError):
        return False
    if isinstance(tree, exp.Alias | exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod):  # user id, user-id, user/id
        return False
    return "." in sql if isinstance(tree, exp.Column) else tree.find(exp.Column) is not None


def roots(sql: Expression) -> set[str]:
    """The columns that an expression reads, of ``a.b`` the ``a``."""
    return {column.parts[0].name for column in sql.tree.find_all(exp.Column)}


def typed_columns(definition: Definition) -> set[str]:
    """Those of them whose type matters, so that text is read as numbers, times or truths where all of it is."""
    rules = definition.events
    names = set(mapped_columns(definition).values())
    questions = [*rules.exclude, *(sql for s in definition.signals.values() for sql in s.conditions)]
    return names.union(typed_number_columns(definition), *(sql.columns for sql in questions))


def check_expressions(
    definition: Definition, columns: dict[str, str], connection: Connection, written: Mapping[str, str]
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
    questions = [(f"signals.{name}.{key}", sql) for name, rule in definition.signals.items()
                 for key, sql in zip(("where", "refund"), rule.conditions, strict=False)]  # fmt: skip
    questions += [(f"events.exclude[{i}]", sql) for i, sql in enumerate(definition.events.exclude)]
    for key, sql in questions:
        check_predicate(sql, columns, key=key, booleans=booleans)
        check_event_sql(connection, columns, sql, key, "BOOLEAN")
    for number in event_numbers(definition):
        check_columns(number.sql, columns, key=number.place)
        if number.currency is not None:
            check_columns(column_named(number.currency), columns, key=f"signals.{number.signal}.currency")
        texts = [f"; {n!r} holds {written[n]!r}" for n in sorted(number.sql.columns) if n in written]
        kind = "KEY" if number.key else "DOUBLE"
        check_event_sql(connection, columns, number.sql, number.place, kind, "".join(texts))
