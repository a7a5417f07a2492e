"""Who does nothing is looked at again just when a rule may change its mind, and not before."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from features.definition.columns import feature_set
from features.expressions.program import holds
from features.rows import FeatureRows
from features.time import DAY
from segments.transitions.next_change import TimeEdges
from tests.segments.worlds import moving

DEFINITION = moving(
    segments={
        "soon": "days_since_cart_add > 0.01 AND days_since_cart_add < 1",
        "overdue": "visit_overdue >= 2",
        "between": "tenure_days BETWEEN 1 AND 1.5",
        "reversed": "0.25 <= days_since_purchase",
        "other": "visit_count_30d > 3",
    }
)
PLACE = {name: i for i, name in enumerate(feature_set(DEFINITION).numeric)}
AT = 100 * DAY


RULES = [rule.when for rule in [*DEFINITION.states.values(), *DEFINITION.segments.values()] if rule.when != "otherwise"]
COLUMNS = [name for name in PLACE if any(name in sql for sql in RULES)]


def rows(after: float, visit: float, cart: float, purchase: float, gap: float, tenure: float) -> FeatureRows:
    """One user, who has done nothing for some days more."""
    matrix = np.full((1, len(PLACE)), np.nan)
    values = {
        "days_since_visit": visit + after,
        "days_since_cart_add": cart + after,
        "days_since_purchase": purchase + after,
        "tenure_days": tenure + after,
        "visit_gap_mean": gap,
        "visit_overdue": (visit + after) / gap,
    }
    for name, value in values.items():
        matrix[0, PLACE[name]] = value
    cutoffs = np.array([AT + int(after * DAY)])
    return FeatureRows(feature_set(DEFINITION), pl.Series("user", ["u"]), cutoffs, matrix, {})


def called(found: FeatureRows) -> list[bool]:
    frame = found.frame(COLUMNS)
    return [holds(sql, frame)[0] for sql in RULES]


FIVE = st.tuples(st.floats(0, 40), st.floats(0, 3), st.floats(0, 3), st.floats(0.3, 5), st.floats(0, 9))


@settings(max_examples=60)
@given(FIVE)
def test_nothing_changes_before_the_instant(values: tuple[float, float, float, float, float]) -> None:
    now = rows(0, *values)
    [due] = TimeEdges(DEFINITION).next(now)
    wait = (due - AT) / DAY if due is not None else 2.0
    for share in (0.25, 0.9, 0.999):  # of whole microseconds: there are no instants between them
        assert called(rows(int(wait * share * DAY) / DAY, *values)) == called(now)


def test_a_cart_is_looked_at_when_it_is_a_day_old() -> None:
    [due] = TimeEdges(DEFINITION).next(rows(0, 5.0, 0.9, np.nan, np.nan, 50.0))
    assert due is not None
    assert abs(due - (AT + 0.1 * DAY)) < 10
    inside, after = (called(rows(days, 5.0, 0.9, np.nan, np.nan, 50.0)) for days in (0, (due - AT) / DAY))
    assert inside != after


def test_what_lies_days_ahead_is_left_to_the_batch() -> None:
    assert TimeEdges(DEFINITION).next(rows(0, 20.0, 9.0, 9.0, np.nan, 50.0)) == [None]
