"""SQL expressions of the definition: parsed, and held to what is safe and known, before anything runs them."""

import difflib
from collections.abc import Collection

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from features.errors import DefinitionError, shown
from features.expressions.expression import Expression

#: an expression may not be longer, and its parentheses, CASEs and NOTs may not lie deeper in each other
LONGEST, DEEPEST = 20_000, 30

#: terms of a calculation, and conditions inside conditions; those that AND or OR join count once
_DEEPEST_TREE = 80

_BOOLEAN = (exp.Connector, exp.Not, exp.Predicate, exp.Boolean)
_ALLOWED = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple, exp.Interval, exp.Var,
    exp.And, exp.Or, exp.Not, exp.Neg,
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Between, exp.Is,
    exp.Like, exp.ILike, exp.Escape, exp.SimilarTo, exp.RegexpLike, exp.RegexpFullMatch, exp.Glob, exp.StartsWith,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.IntDiv, exp.DPipe,
    exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Abs, exp.Least, exp.Greatest, exp.Round, exp.Floor, exp.Ceil,
    exp.Ln, exp.Lower, exp.Upper, exp.Length, exp.Trim, exp.Replace, exp.Substring,
    exp.Cast, exp.TryCast, exp.DataType, exp.DataTypeParam,
    exp.JSONExtract, exp.JSONExtractScalar, exp.JSONPath, exp.JSONPathPart,
)  # fmt: skip
_SAY = (
    "use columns, literals, AND/OR/NOT, comparisons, IN, BETWEEN, LIKE, IS NULL, CASE, arithmetic, COALESCE, NULLIF, "
    "ABS, LEAST, GREATEST, ROUND, FLOOR, CEIL, LN, LOWER, UPPER, LENGTH, TRIM, REPLACE, CAST, TRY_CAST"
)


def parse_expression(sql: Expression, *, key: str) -> exp.Expression:
    """Parse an expression and refuse what is not plain arithmetic and logic over columns.

    Args:
        sql: the expression.
        key: where it stands in the definition, for the error.

    Raises:
        DefinitionError: it does not parse, is nested too deeply, or holds a comment, a sub-query, an aggregate, a
            statement or an unlisted function.
    """
    try:
        _check_tokens(sqlglot.tokenize(str(sql), read="duckdb"), sql, key)
        statements = sql.statements
    except SqlglotError as error:
        reason = str(error).split("\n")[0]
        raise DefinitionError(f"{key}: cannot parse {shown(sql)}: {reason}.", fix="write one SQL expression") from error
    except RecursionError as error:
        raise _too_deep(sql, key) from error
    if len(statements) != 1 or (tree := statements[0]) is None:
        raise DefinitionError(f"{key}: {shown(sql)} is {len(statements)} statements.", fix="write one SQL expression")
    for node in tree.walk():
        if not isinstance(node, _ALLOWED) or isinstance(node, exp.AggFunc):
            found = node.sql_name() if isinstance(node, exp.Func) else type(node).__name__
            raise DefinitionError(f"{key}: {shown(sql)} uses {found}, which is not allowed here.", fix=_SAY)
    if _depth(tree) > _DEEPEST_TREE:
        raise _too_deep(sql, key)
    return tree


def _check_tokens(tokens: list[Token], sql: str, key: str) -> None:
    """Refuse what cannot be parsed within bounds, and comments, which would hide what follows them."""
    if len(sql) > LONGEST:
        raise DefinitionError(
            f"{key}: {shown(sql)} has {len(sql):,} characters; at most {LONGEST:,} are allowed.",
            fix="name parts of it as derived columns",
        )
    depth = run = 0
    for token in tokens:
        if token.comments:
            raise DefinitionError(
                f"{key}: {shown(sql)} holds a comment.", fix="write it as a comment of YAML, after # outside the quotes"
            )
        depth += {TokenType.L_PAREN: 1, TokenType.CASE: 1, TokenType.R_PAREN: -1, TokenType.END: -1}.get(
            token.token_type, 0
        )
        run = run + 1 if token.token_type in (TokenType.NOT, TokenType.DASH, TokenType.PLUS) else 0
        if depth + run > DEEPEST:
            raise _too_deep(sql, key)


def _too_deep(sql: str, key: str) -> DefinitionError:
    return DefinitionError(f"{key}: {shown(sql)} is nested too deeply.", fix="name parts of it as derived columns")


def _depth(tree: exp.Expression) -> int:
    """How many nodes lie in each other, where all that AND or OR joins lies side by side."""
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        for child in node.iter_expressions():
            waiting.append((child, depth + (not isinstance(child, exp.Connector) or type(child) is not type(node))))
    return deepest


def check_columns(sql: Expression, known: Collection[str], *, key: str) -> exp.Expression:
    """Parse an expression and check that it names known columns only.

    Raises:
        DefinitionError: as for `parse_expression`, or a column is unknown (the nearest names are offered).
    """
    tree = parse_expression(sql, key=key)
    for column in tree.find_all(exp.Column):
        if column.table or column.name not in known:
            name = f"{column.table}.{column.name}" if column.table else column.name
            near = difflib.get_close_matches(column.name, list(known), n=3, cutoff=0.5) or sorted(known)[:12]
            raise DefinitionError(
                f"{key}: unknown column {shown(name)} in {shown(sql)}.", fix=f"nearest: {', '.join(near)}"
            )
    return tree


def check_predicate(
    sql: Expression, known: Collection[str], *, key: str, booleans: Collection[str] = ()
) -> exp.Expression:
    """Check that an expression over known columns is a yes/no question.

    Args:
        sql: the expression.
        known: the columns it may use.
        key: where it stands in the definition.
        booleans: those of ``known`` that are themselves booleans.

    Raises:
        DefinitionError: as for `check_columns`, or the expression yields something else than true or false.
    """
    whole = check_columns(sql, known, key=key)
    tree = whole.unnest()
    if isinstance(tree, exp.Column) and tree.name in booleans:
        return whole
    if not isinstance(tree, (*_BOOLEAN, exp.Case, exp.If, exp.Coalesce)):
        raise DefinitionError(f"{key}: {shown(sql)} is not a yes/no question.", fix="compare it, as in 'x > 0'")
    return whole
