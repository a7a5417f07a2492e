"""An SQL expression of the definition: its text, its tree and its columns."""

from collections.abc import Callable
from functools import cached_property
from typing import Self

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError


class Expression(str):
    """An expression in DuckDB's SQL, parsed once; it is compared, printed and written to files as its text.

    `features.expressions.parse` checks it where it stands in the definition. Its tree is shared: copy it before you
    change it.
    """

    @classmethod
    def of(cls, sql: str) -> Self:
        """The expression itself, or the one that a text is."""
        return sql if isinstance(sql, cls) else cls(sql)

    @cached_property
    def statements(self) -> tuple[exp.Expression | None, ...]:
        """What the text holds; an expression is a single one.

        Raises:
            SqlglotError: it does not parse.
        """
        found = sqlglot.parse(str(self), read="duckdb")
        return tuple(rewritten(one, _plain) if isinstance(one, exp.Expression) else None for one in found)

    @property
    def tree(self) -> exp.Expression:
        """The expression as a tree.

        Raises:
            SqlglotError: it does not parse, or is not a single expression.
        """
        if len(self.statements) != 1 or (tree := self.statements[0]) is None:
            raise SqlglotError(f"{len(self.statements)} statements")
        return tree

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns it names; none when it does not parse, which its check reports."""
        try:
            return frozenset(column.name for column in self.tree.find_all(exp.Column))
        except (SqlglotError, RecursionError):
            return frozenset()

    @property
    def is_column(self) -> bool:
        """Whether it is a column as it is; false when it does not parse, which its check reports."""
        try:
            return isinstance(self.tree, exp.Column)
        except (SqlglotError, RecursionError):
            return False

    @property
    def conditions(self) -> list["Expression"]:
        """The conditions that AND joins in it."""
        parts = self.tree.flatten() if isinstance(self.tree, exp.And) else [self.tree]
        return [Expression(part.sql(dialect="duckdb")) for part in parts]

    def __reduce__(self) -> tuple[type["Expression"], tuple[str]]:
        """Copies and other processes get the text."""
        return Expression, (str(self),)


def rewritten(tree: exp.Expression, change: Callable[[exp.Expression], exp.Expression]) -> exp.Expression:
    """Change the nodes of a tree, the innermost first; ``change`` returns a node as it is to leave it."""
    for node in reversed(list(tree.walk())):
        new = change(node)
        if new is not node:
            if node is tree:
                tree = new
            else:
                node.replace(new)
    return tree


def _plain(node: exp.Expression) -> exp.Expression:
    """NOT LIKE as NOT of LIKE: an argument that says so is easily passed over."""
    if not node.args.get("negate") or isinstance(node.parent, exp.Escape):
        return node
    positive = node.copy()
    positive.set("negate", None)
    return exp.Not(this=positive)
