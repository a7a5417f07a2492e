"""Expressions over the log's columns in the SQL of an engine, written so that no row can make them fail.

What cannot be computed is null: a cast that fails, a division by 0, the logarithm of what is not above 0. DuckDB stops
at other errors that Spark passes over; there each condition is tried by itself.
"""

from collections.abc import Iterator
from functools import cache, reduce
from typing import Literal, TypeAlias

from sqlglot import exp

from features.expressions.expression import Expression, rewritten

Dialect: TypeAlias = Literal["duckdb", "spark"]


@cache
def written(sql: str, dialect: Dialect) -> str:
    """Write an expression that was checked when the definition was loaded.

    Args:
        sql: the expression, in DuckDB's SQL.
        dialect: whose SQL.
    """
    tree = rewritten(Expression.of(sql).tree.copy(), _total)
    if dialect == "duckdb":
        tree = _tried(tree)
    return str(tree.sql(dialect=dialect))


def _total(node: exp.Expression) -> exp.Expression:
    """A node that is null where it would fail."""
    if type(node) is exp.Cast:
        return exp.TryCast(this=node.this.copy(), to=node.args["to"].copy(), safe=True)
    if isinstance(node, exp.Div | exp.Mod | exp.IntDiv):
        whole = node.copy()
        whole.set("expression", exp.Nullif(this=node.expression.copy(), expression=exp.Literal.number(0)))
        return whole
    if isinstance(node, exp.Ln):
        above = exp.GT(this=exp.Paren(this=node.this.copy()), expression=exp.Literal.number(0))
        return exp.Ln(this=exp.Case(ifs=[exp.If(this=above, true=node.this.copy())]))
    return node


def _tried(node: exp.Expression) -> exp.Expression:
    """Each condition that AND, OR and NOT join fails by itself: what is true beside it stays true."""
    if isinstance(node, exp.And | exp.Or):
        parts = [_tried(part) for part in node.flatten(unnest=False)]
        return reduce(lambda left, right: type(node)(this=left, expression=right), parts)
    if isinstance(node, exp.Not | exp.Paren):
        return type(node)(this=_tried(node.this))
    return exp.Try(this=node)


def compared(sql: Expression) -> Iterator[list[exp.Expression]]:
    """The expressions that are compared with each other."""
    for node in sql.tree.walk():
        if isinstance(node, exp.EQ | exp.NEQ | exp.LT | exp.LTE | exp.GT | exp.GTE | exp.NullSafeEQ | exp.NullSafeNEQ):
            yield [node.left, node.right]
        elif isinstance(node, exp.In):
            yield [node.this, *node.expressions]
        elif isinstance(node, exp.Between):
            yield [node.this, node.args["low"], node.args["high"]]
        elif isinstance(node, exp.Case) and node.this is not None:
            yield [node.this, *(branch.this for branch in node.args["ifs"])]


def constants(sql: Expression) -> Iterator[exp.Expression]:
    """The casts of literals: they fail for all rows or for none."""
    for node in sql.tree.find_all(exp.Cast):
        if type(node) is exp.Cast and isinstance(node.this, exp.Literal):
            yield node
