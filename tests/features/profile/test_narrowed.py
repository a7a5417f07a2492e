"""A definition narrowed to some columns yields these columns, with the same values, and few others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definition import Definition
from features.definition.columns import feature_set
from features.definition.narrowed import narrowed
from features.profile.fold import feature_rows, read_all_at
from features.time import DAY, HOUR
from tests.features.profile.folded import DEFINITIONS, WINDOWS, cutoff_lists, logs, shops
from tests.oracle import Event
from tests.worlds import definition_of, events_of

DERIVED = definition_of(
    windows=WINDOWS,
    derived={
        "rate": "purchase_count_total / (visit_active_days_total + 1)",
        "lately": "visit_decayed_14d + purchase_value_7d",
        "never": "CASE WHEN purchase_count_30d = 0 THEN days_since_visit END",
    },
)


@pytest.mark.parametrize("definition", [*DEFINITIONS, DERIVED], ids=lambda d: str(len(feature_set(d).numeric)))
@given(log=logs() | shops(), cutoffs=cutoff_lists, data=st.data())
def test_the_columns_that_are_asked_for_have_the_same_values(
    definition: Definition, log: list[Event], cutoffs: list[int], data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.sampled_from(feature_set(definition).numeric), max_size=6, unique=True))
    fewer, events = narrowed(definition, asked), events_of(definition, log)
    assert len(feature_set(fewer).numeric) <= len(feature_set(definition).numeric)
    whole, narrow = (list(feature_rows(events, read_all_at(events, np.array(cutoffs)), d)) for d in (definition, fewer))
    assert [frame.height for frame in whole] == [frame.height for frame in narrow]
    names = ["user", "cutoff", *asked]
    for one, other in zip(whole, narrow, strict=True):
        assert one.select(names).equals(other.select(names))


def test_few_columns_are_left_beside_them() -> None:
    fewer = narrowed(DERIVED, {"days_since_visit", "plan"})
    assert (len(fewer.windows), fewer.half_lives, fewer.derived) == (1, [], {})
    fewer = narrowed(DERIVED, {"lately"})
    assert list(fewer.derived) == ["lately"]
    assert [name for name in feature_set(fewer).numeric if "decayed" in name and "visit" in name] == [
        "visit_decayed_14d"
    ]
    assert narrowed(DERIVED, {"visit_trend_7d"}).windows == DERIVED.windows[-3:-1], "a trend compares two windows"


def test_a_window_of_days_is_left_for_shares() -> None:
    assert narrowed(definition_of(windows=["2h", 7]), {"visit_count_2h"}).windows == [2 * HOUR, 7 * DAY]
