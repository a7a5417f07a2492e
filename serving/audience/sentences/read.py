"""From SQL to the tree of a rule; what no sentence can say stays SQL."""

from sqlglot import exp

from features.definition.schema import Definition
from features.definition.sections.rule import OTHERWISE
from features.expressions.expression import Expression
from serving.audience.sentences.columns import subjects, texts
from serving.audience.sentences.tree import (
    Comparison,
    Did,
    DidNot,
    Group,
    Known,
    Member,
    Node,
    Number,
    Recency,
    Since,
    Sql,
    Then,
)

_COMPARISONS: dict[type[exp.Expression], Comparison] = {
    exp.GTE: "at_least", exp.GT: "more_than", exp.LTE: "at_most", exp.LT: "less_than", exp.EQ: "exactly",
    exp.NEQ: "not_exactly",
}  # fmt: skip
_TURNED: dict[Comparison, Comparison] = {
    "at_least": "at_most", "more_than": "less_than", "at_most": "at_least", "less_than": "more_than",
}  # fmt: skip


def of_sql(sql: str, definition: Definition) -> Node:
    """Read a rule that was checked, by hand or not; its tree finds the same users.

    Args:
        sql: the rule.
        definition: whose columns and segments.
    """
    if sql == OTHERWISE:
        return Sql(sql="TRUE")
    return _Reader(definition).read(Expression.of(sql).tree)


class _Reader:
    """Reads trees of SQL."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._subjects, self._texts = subjects(definition), texts(definition)

    def read(self, node: exp.Expression) -> Node:
        """The condition, or group of conditions, that an expression is."""
        node = node.unnest()
        found = self._since(node) or self._then(node) or self._joined(node) or self._condition(node)
        return found if found is not None else Sql(sql=node.sql("duckdb"))

    def _joined(self, node: exp.Expression) -> Node | None:
        if isinstance(node, exp.And | exp.Or):
            return Group(how="all" if isinstance(node, exp.And) else "any", of=self._parts(node))
        if isinstance(node, exp.Is) and _is_true(node):
            return self._member(node.this, inside=True)
        if not isinstance(node, exp.Not):
            return None
        inner = node.this.unnest()
        if isinstance(inner, exp.In):
            return self._in(inner, inside=False)
        if isinstance(inner, exp.Is):
            if isinstance(inner.expression, exp.Null):
                return self._known(inner, known=True)
            if _is_true(inner):
                return self._member(inner.this, inside=False) or self._not("none", inner.this)
        return self._not("not_any", inner)

    def _not(self, how: str, node: exp.Expression) -> Node:
        inner = node.unnest()
        parts = self._parts(inner) if isinstance(inner, exp.Or) and not self._since(inner) else [self.read(inner)]
        return Group(how="none" if how == "none" else "not_any", of=parts)

    def _parts(self, node: exp.Expression) -> list[Node]:
        return [self.read(part) for part in node.flatten()]

    def _condition(self, node: exp.Expression) -> Node | None:
        if type(node) in _COMPARISONS:
            return self._compared(node)
        if isinstance(node, exp.Between):
            return self._between(node)
        if isinstance(node, exp.In):
            return self._in(node, inside=True)
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return self._known(node, known=False)
        return None

    def _compared(self, node: exp.Expression) -> Node | None:
        one, other, comparison = node.left.unnest(), node.right.unnest(), _COMPARISONS[type(node)]
        if not isinstance(one, exp.Column):
            one, other, comparison = other, one, _TURNED.get(comparison, comparison)
        if not isinstance(one, exp.Column):
            return None
        if one.name in self._texts:
            if comparison not in ("exactly", "not_exactly") or not other.is_string:
                return None
            return self._of(one.name, values=[other.name], inside=comparison == "exactly")
        value = _number(other)
        return None if value is None else self._limited(one.name, comparison, value)

    def _limited(self, column: str, comparison: Comparison, value: float, upto: float | None = None) -> Node:
        found = self._of(column, comparison=comparison, number=value, upto=upto)
        if isinstance(found, Did) and (comparison, value, found.counted) == ("exactly", 0, "times"):
            return DidNot(signal=found.signal, window=found.window)
        return found

    def _between(self, node: exp.Expression) -> Node | None:
        column, low, high = node.this.unnest(), _number(node.args["low"]), _number(node.args["high"])
        if not isinstance(column, exp.Column) or column.name in self._texts or low is None or high is None:
            return None
        return self._limited(column.name, "between", low, high)

    def _in(self, node: exp.Expression, *, inside: bool) -> Node | None:
        column, items = node.this.unnest(), node.expressions
        if isinstance(column, exp.Column) and column.name in self._texts and all(item.is_string for item in items):
            return self._of(column.name, values=[item.name for item in items], inside=inside)
        return None if inside else self._not("not_any", node)

    def _known(self, node: exp.Expression, *, known: bool) -> Node | None:
        column = node.this.unnest()
        if isinstance(column, exp.Column):
            return Known(column=column.name, known=known)
        return self._not("not_any", node) if known else None

    def _of(self, column: str, **parts: object) -> Node:
        """The condition on a column."""
        kind, subject = self._subjects.get(column, (Number, (("column", column),)))
        node: Node = kind(**dict(subject), **parts)
        return node

    def _member(self, node: exp.Expression, *, inside: bool) -> Node | None:
        sql = node.unnest().sql("duckdb")
        for name, rule in self._definition.segments.items():
            if rule.when.tree.unnest().sql("duckdb") == sql:
                return Member(segment=name, inside=inside)
        return None

    def _since(self, node: exp.Expression) -> Node | None:
        """``did X since Y``, and ``did not``."""
        if isinstance(node, exp.LTE | exp.GTE):
            last, since = (node.left, node.right) if isinstance(node, exp.LTE) else (node.right, node.left)
            signals = self._last(last), self._last(since)
            return Since(signal=signals[0], since=signals[1], did=True) if signals[0] and signals[1] else None
        parts = list(node.flatten()) if isinstance(node, exp.Or) else []
        if len(parts) != 2 or not isinstance(parts[1], exp.GT):
            return None
        never, signal, since_ = self._condition(parts[0]), self._last(parts[1].left), self._last(parts[1].right)
        if signal and since_ and never == DidNot(signal=signal):
            return Since(signal=signal, since=since_, did=False)
        return None

    def _then(self, node: exp.Expression) -> Node | None:
        """``A, then B within n days``."""
        parts = list(node.flatten()) if isinstance(node, exp.And) else []
        if len(parts) != 2 or not isinstance(parts[0], exp.GT) or not isinstance(parts[1], exp.LTE):
            return None
        (before, within), apart = parts, parts[1].left.unnest()
        first, second = self._last(before.left), self._last(before.right)
        days = _number(within.right)
        if not (first and second and days and days > 0 and isinstance(apart, exp.Sub)):
            return None
        same = (self._last(apart.left), self._last(apart.right)) == (first, second)
        return Then(first=first, second=second, days=days) if same else None

    def _last(self, node: exp.Expression) -> str | None:
        """The signal of whose last event a column has the days since."""
        node = node.unnest()
        kind, subject = self._subjects.get(node.name, (Number, ())) if isinstance(node, exp.Column) else (Number, ())
        parts = dict(subject)
        return parts["signal"] if kind is Recency and parts["moment"] == "last" else None


def _is_true(node: exp.Expression) -> bool:
    return isinstance(node.expression, exp.Boolean) and bool(node.expression.this)


def _number(node: exp.Expression) -> float | None:
    """The number that a literal is, also with a minus before it."""
    node = node.unnest()
    if isinstance(node, exp.Neg):
        inner = _number(node.this)
        return None if inner is None else -inner
    return float(node.name) if isinstance(node, exp.Literal) and not node.is_string else None
