"""When a user who does nothing must be evaluated again: at the next time limit of a rule."""

import math

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.definition.sections.rule import OTHERWISE, Rule, Segment
from features.expressions.expression import Expression
from features.rows import FeatureRows
from features.time import DAY, Instants

#: what waits longer than this is seen by the next batch
HORIZON = 2 * DAY


class TimeEdges:
    """The limits in days that a definition's states and segments hold silences against.

    Only the columns that move by themselves count: ``days_since_…``, ``tenure_days`` and ``…_overdue``, compared with a
    number.

    Args:
        definition: its rules.
    """

    def __init__(self, definition: Definition) -> None:
        place = {name: i for i, name in enumerate(feature_set(definition).numeric)}
        rules: list[Rule] = [*definition.states.values(), *definition.segments.values()]
        expressions = [rule.when for rule in rules if rule.when != OTHERWISE]
        expressions += [rule.exit_when for rule in rules if isinstance(rule, Segment) and rule.exit_when]
        found = {edge for sql in expressions for edge in _edges(sql)}
        moving = sorted((name, limit) for name, limit in found if name in place)
        self._columns = np.array([place[name] for name, _ in moving], dtype=np.int64)
        self._limits = np.array([limit for _, limit in moving], dtype=np.float64)
        gaps = [place.get(f"{name.removesuffix('_overdue')}_gap_mean", -1) if name.endswith("_overdue") else -1
                for name, _ in moving]  # fmt: skip
        self._gaps = np.array(gaps, dtype=np.int64)

    def next(self, rows: FeatureRows) -> list[int | None]:
        """The instant just after the next limit of each row, or None where none is near."""
        if not self._columns.size or not len(rows):
            return [None] * len(rows)
        days = (self._limits - rows.matrix[:, self._columns]) * self._speeds(rows.matrix)
        with np.errstate(invalid="ignore"):
            days = np.where(days >= 0, days, math.inf)  # NaN: nothing to wait for
        soonest = days.min(axis=1)
        at: Instants = rows.cutoffs + np.where(np.isfinite(soonest), np.ceil(soonest * DAY), 0).astype(np.int64) + 1
        near = soonest * DAY <= HORIZON
        return [int(instant) if is_near else None for instant, is_near in zip(at, near, strict=True)]

    def _speeds(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Days until a column has risen by one: a day for days, the user's own gap for how overdue they are."""
        speeds = np.ones((len(matrix), len(self._gaps)))
        own = self._gaps >= 0
        speeds[:, own] = matrix[:, self._gaps[own]]
        return speeds


def _edges(sql: Expression) -> set[tuple[str, float]]:
    """The columns of an expression that are compared with a number, and with which."""
    found: set[tuple[str, float]] = set()
    for node in sql.tree.find_all(exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ, exp.NEQ):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            found |= _edge(one, other)
    for node in sql.tree.find_all(exp.Between):
        found |= _edge(node.this, node.args["low"]) | _edge(node.this, node.args["high"])
    return found


def _edge(one: exp.Expression, other: exp.Expression) -> set[tuple[str, float]]:
    if not isinstance(one, exp.Column) or not isinstance(other, exp.Literal) or other.is_string:
        return set()
    moves = one.name.startswith("days_since_") or one.name == "tenure_days" or one.name.endswith("_overdue")
    return {(one.name, float(other.this))} if moves else set()
