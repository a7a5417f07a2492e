"""SQL expressions of the definition: parsed, and held to what is safe and known, before anything runs them."""

import difflib
from collections.abc import Collection

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from features.errors import DefinitionError

_BOOLEAN = (exp.Connector, exp.Not, exp.Predicate, exp.Boolean)
_ALLOWED = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple, exp.Interval, exp.Var,
    exp.Connector, exp.Not, exp.Neg, exp.Predicate, exp.Binary, exp.In, exp.Between, exp.Is,
    exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Abs, exp.Least, exp.Greatest, exp.Round, exp.Floor, exp.Ceil,
    exp.Ln, exp.Lower, exp.Upper, exp.Length, exp.Trim, exp.StartsWith, exp.Cast, exp.DataType, exp.DataTypeParam,
    exp.JSONExtract, exp.JSONExtractScalar, exp.JSONPath, exp.JSONPathPart,
)  # fmt: skip
_REFUSED = (exp.Query, exp.Subquery, exp.Exists, exp.DDL, exp.Command, exp.Window, exp.AggFunc, exp.Placeholder)


def parse_expression(sql: str, *, key: str) -> exp.Expression:
    """Parse one SQL expression and refuse what is not plain arithmetic and logic over columns.

    Args:
        sql: the expression, in the SQL that DuckDB and Polars share.
        key: where it stands in the definition, for the error.

    Raises:
        DefinitionError: it does not parse, or holds a sub-query, an aggregate, a statement or an unlisted function.
    """
    try:
        statements = sqlglot.parse(sql, read="duckdb")
    except SqlglotError as error:
        reason = str(error).split("\n")[0]
        raise DefinitionError(f"{key}: cannot parse {sql!r}: {reason}.", fix="write one SQL expression") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Expression):
        raise DefinitionError(f"{key}: {sql!r} is {len(statements)} statements.", fix="write one SQL expression")
    tree = statements[0]
    for node in tree.walk():
        if isinstance(node, _REFUSED) or not isinstance(node, _ALLOWED):
            found = node.sql_name() if isinstance(node, exp.Func) else type(node).__name__
            raise DefinitionError(
                f"{key}: {sql!r} uses {found}, which is not allowed here.",
                fix="use columns, literals, AND/OR/NOT, comparisons, IN, BETWEEN, LIKE, IS NULL, CASE, arithmetic, "
                "COALESCE, NULLIF, ABS, LEAST, GREATEST, ROUND, FLOOR, CEIL, LN, LOWER, UPPER, LENGTH, TRIM, CAST",
            )
    return tree


def check_columns(sql: str, known: Collection[str], *, key: str) -> exp.Expression:
    """Parse an expression and check that it names known columns only.

    Raises:
        DefinitionError: as for `parse_expression`, or a column is unknown (the nearest names are offered).
    """
    tree = parse_expression(sql, key=key)
    for column in tree.find_all(exp.Column):
        if column.table or column.name not in known:
            name = f"{column.table}.{column.name}" if column.table else column.name
            near = difflib.get_close_matches(column.name, list(known), n=3, cutoff=0.5) or sorted(known)[:12]
            raise DefinitionError(f"{key}: unknown column {name!r} in {sql!r}.", fix=f"nearest: {', '.join(near)}")
    return tree


def columns_in(sql: str) -> set[str]:
    """The columns an expression names; none when it does not parse, which others say."""
    try:
        return {column.name for column in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Column)}
    except SqlglotError:
        return set()


def conjuncts(sql: str) -> list[str]:
    """The conditions that AND joins in an expression."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    return [part.sql(dialect="duckdb") for part in (tree.flatten() if isinstance(tree, exp.And) else [tree])]


def check_predicate(sql: str, known: Collection[str], *, key: str, booleans: Collection[str] = ()) -> None:
    """Check that an expression over known columns is a yes/no question.

    Args:
        sql: the expression.
        known: the columns it may use.
        key: where it stands in the definition.
        booleans: those of ``known`` that are themselves booleans.

    Raises:
        DefinitionError: as for `check_columns`, or the expression yields something else than true or false.
    """
    tree = check_columns(sql, known, key=key).unnest()
    while isinstance(tree, exp.Paren):
        tree = tree.this
    if isinstance(tree, exp.Column) and tree.name in booleans:
        return
    if not isinstance(tree, _BOOLEAN):
        raise DefinitionError(f"{key}: {sql!r} is not a yes/no question.", fix="compare it, as in 'x > 0'")
