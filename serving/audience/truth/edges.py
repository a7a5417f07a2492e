"""Between which instants each comparison of a rule, and of all that it rests on, changes at most once.

Counts, values and days of windows of a day and more change only where a day begins. Silences and times known only
grow, and counts of shorter windows only shrink, while nothing happens. So a comparison of one of them with a number
changes at most once within a day, and bisection finds the instant. All else (answers of models, lead points, derived
columns, plans that are renewed) is read every hour as well.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from sqlglot import exp

from features.definition.columns import PLAN, feature_set
from features.definition.schema import Definition
from features.definition.sections.rule import OTHERWISE
from features.expressions.expression import Expression
from features.local_days import days_of, starts_of, zone_of
from features.time import DAY, HOUR, Instants
from segments.rfm import RfmCuts, rfm_columns
from serving.audience.sentences.columns import quoted
from serving.audience.sentences.write import number
from serving.audience.truth.profile import outcomes_of

_ORDERED = (exp.LT, exp.LTE, exp.GT, exp.GTE)


def grid(since: int, until: int, columns: Collection[str], definition: Definition) -> Instants:
    """The instants that are read: both ends, the beginnings of days, and every hour where that is needed."""
    zone = zone_of(definition.timezone)
    first, last = days_of(zone, np.array([since, until]))
    days = starts_of(zone, np.arange(first, last + 1))
    hours = np.arange(since, until, HOUR) if _unsteady(columns, definition) else np.zeros(0, dtype=np.int64)
    points: Instants = np.unique(np.concatenate([[since, until], days, hours]))
    return points[(points >= since) & (points <= until)]


@dataclass(frozen=True, slots=True)
class Rests:
    """What rules rest on.

    Attributes:
        comparisons: the comparisons of feature columns, each as SQL.
        columns: all columns, with those that these are made of.
    """

    comparisons: frozenset[str]
    columns: frozenset[str]

    @classmethod
    def of(cls, rules: Iterable[Expression], definition: Definition, cuts: RfmCuts | None) -> "Rests":
        """What some rules rest on.

        Args:
            rules: the rules.
            definition: whose columns.
            cuts: where RFM scores change.
        """
        known, found, seen, waiting = set(feature_set(definition).numeric), set[str](), set[str](), list(rules)
        while waiting:
            one = waiting.pop()
            found.update(sql for sql in _ordered(one.tree) if Expression(sql).columns <= known)
            for column in one.columns - seen:
                seen.add(column)
                waiting += _beneath(column, definition, cuts)
        return cls(frozenset(found), frozenset(seen))


def _beneath(column: str, definition: Definition, cuts: RfmCuts | None) -> Iterator[Expression]:
    """The rules that make a column: of states, groups, derived columns, populations of outcomes and lead scores."""
    if column == "state":
        yield from (rule.when for rule in definition.states.values() if rule.when != OTHERWISE)
    elif column in definition.derived:
        yield definition.derived[column]
    elif column.startswith("rfm_") and definition.rfm is not None and cuts is not None:
        days = quoted(rfm_columns(definition.rfm, feature_set(definition).numeric)[0])
        yield from (Expression(f"{days} > {number(cut)}") for cut in cuts.recency)
    for name in outcomes_of({column}, definition):
        yield definition.outcomes[name].among
        yield Expression(f"tenure_days >= {number(definition.scoring.min_history / DAY)}")
    for name, lead in definition.leads.items():
        if column == f"{name}_points":
            yield from (Expression(line.sql) for line in lead.points)


def _ordered(tree: exp.Expression) -> Iterator[str]:
    """The comparisons inside an expression; what asks for one value, or a range, asks two questions."""
    for node in tree.walk():
        if isinstance(node, _ORDERED):
            yield node.sql("duckdb")
        elif isinstance(node, exp.EQ | exp.NEQ) and not node.right.is_string:
            yield from _both(node.left, node.right)
        elif isinstance(node, exp.Between):
            yield from (*_both(node.this, node.args["low"]), *_both(node.this, node.args["high"]))
        elif isinstance(node, exp.In):
            for item in node.expressions:
                yield from _both(node.this, item) if not item.is_string else ()


def _both(one: exp.Expression, other: exp.Expression) -> Iterator[str]:
    for kind in (exp.LTE, exp.GTE):
        yield kind(this=exp.Paren(this=one.copy()), expression=exp.Paren(this=other.copy())).sql("duckdb")


def _unsteady(columns: Collection[str], definition: Definition) -> bool:
    """Whether a column may change more than once a day, and back."""
    plans = {f"{name}_{part}" for name in definition.signals for part in PLAN}
    leads = {f"{name}_points" for name in definition.leads}
    return bool({*definition.derived, *plans, *leads} & set(columns)) or bool(outcomes_of(columns, definition))
