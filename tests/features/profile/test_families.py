"""Families of features: what each counts, and how they are switched on."""

import itertools
import math

import numpy as np
import pytest
from pydantic import ValidationError

from features.definition.columns import feature_set
from features.time import DAY, HOUR, MINUTE, to_datetime
from tests.features.profile.folded import EVERYTHING, START, assert_same, rows_at
from tests.oracle import Event, feature_row
from tests.worlds import definition_of, events_of


@pytest.mark.parametrize("values", [1, 63, 64, 65, 66, 300, 20_000])
def test_different_values_are_exact_while_they_are_few_and_estimated_then(values: int) -> None:
    log = [Event("a", START + i * MINUTE, ("purchase",), 1.0, product=f"p{i % values}") for i in range(values + 200)]
    for cutoff in (START + 50 * MINUTE, START + 40 * DAY):
        row = rows_at(events_of(EVERYTHING, log), cutoff, EVERYTHING).to_dicts()[0]
        reported = feature_row(EVERYTHING, log, "a", cutoff)
        assert reported is not None
        assert_same(row, reported, "a")
    total = row["purchase_distinct_product_total"]
    assert total == values if values <= 64 else abs(total / values - 1) < 3 / math.sqrt(62)


def test_the_error_of_an_estimate_is_what_the_docs_say() -> None:
    """1 / sqrt(62) is 12.7 %."""
    log = [
        Event(f"u{u:03d}", START + i, ("purchase",), 1.0, product=f"{u}-{i}") for u in range(200) for i in range(500)
    ]
    found = rows_at(events_of(EVERYTHING, log), START + DAY, EVERYTHING)["purchase_distinct_product_1d"].to_numpy()
    assert 0.10 < np.std(found / 500 - 1) < 0.15
    assert abs(np.mean(found / 500 - 1)) < 0.03


def test_gaps_are_those_of_the_last_sixteen_and_the_largest_ever() -> None:
    days = np.cumsum([0, 300, *[2, 9] * 8])
    log = [Event("a", START + int(day) * DAY, ("visit",)) for day in days]
    row = rows_at(events_of(EVERYTHING, log), START + 1_000 * DAY, EVERYTHING).to_dicts()[0]
    assert (row["visit_gap_median"], row["visit_gap_largest"]) == (5.5, 300)


def test_values_at_one_instant_have_an_order_that_no_log_changes() -> None:
    values = [7.0, 3.0, 5.0]
    for order in itertools.permutations(values):
        log = [Event("a", START, ("purchase",), v) for v in order]
        row = rows_at(events_of(EVERYTHING, log), START + DAY, EVERYTHING).to_dicts()[0]
        assert (row["purchase_value_first"], row["purchase_value_last"]) == (3.0, 7.0)


@pytest.mark.parametrize("day", [0, 1, 59, 60, 789, 11_016, 11_017, 20_512, 20_513, 47_540, 47_541])
def test_the_calendar_is_that_of_the_cutoff(day: int) -> None:
    cutoff = day * DAY + DAY - 1
    log = [Event("a", cutoff - HOUR, ("visit",))]
    row = rows_at(events_of(EVERYTHING, log), cutoff, EVERYTHING).to_dicts()[0]
    date = to_datetime(cutoff)
    assert (row["cutoff_weekday"], row["cutoff_month_day"]) == (date.weekday(), date.day)


def test_families_change_the_feature_set_and_their_order_does_not() -> None:
    digests = [
        feature_set(definition_of(features=features)).digest
        for features in (
            {}, {"families": ["gaps"]}, {"families": ["gaps", "values"]}, {"absence": "60d"},
            {"families": ["sessions"]}, {"families": ["sessions"], "session": "1h"},
        )
    ]  # fmt: skip
    assert len(set(digests)) == 6
    assert feature_set(definition_of(features={"session": "1h"})).digest == digests[0], "which says nothing then"
    assert feature_set(definition_of(features={"families": ["values", "gaps"]})).digest == digests[2]


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ({"families": ["nosuch"]}, "values"),
        ({"families": ["gaps", "gaps"]}, "repeats"),
        ({"absence": "2h"}, "a day"),
        ({"session": 0}, "30m"),
    ],
)
def test_features_that_cannot_be_are_refused(features: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        definition_of(features=features)
