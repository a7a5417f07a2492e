"""The return curve: open silences count, and the suggested horizon is one after which few come back."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from features.definition import load_definition
from features.local_days import zone_of
from features.reading.source import EventLog
from features.time import DAY, to_instant
from tests.conftest import ROOT
from tests.oracle import Event
from tests.worlds import definition_of, events_of
from training.dataset.base_rate import one_sided
from training.dataset.returns import Returns

START = to_instant(datetime(2025, 1, 1, tzinfo=UTC))


def returns_of(days: dict[str, list[float]], ends: int) -> Returns:
    log = [Event(user, START + int(day * DAY), ("visit",), 0.0) for user, found in days.items() for day in found]
    events = events_of(definition_of(), log)
    object.__setattr__(events, "ends", START + ends * DAY)
    return Returns.of(events, 0, zone_of("UTC"))


def test_gaps_are_counted_by_day_and_the_last_of_each_user_is_open() -> None:
    found = returns_of({"a": [0.1, 0.5, 3.0, 10.0], "b": [2.0]}, ends=20)
    assert {d: int(n) for d, n in enumerate(found.ended) if n} == {3: 1, 7: 1}
    assert {d: int(n) for d, n in enumerate(found.open) if n} == {10: 1, 18: 1}


def test_kaplan_and_meier_by_hand() -> None:
    found = returns_of({"a": [0, 3, 10], "b": [2]}, ends=20)
    # four silences: 3 and 7 days ended, 10 and 18 still open
    assert found.silent[2] == 1.0
    assert found.silent[3] == pytest.approx(3 / 4)
    assert found.silent[7] == pytest.approx(3 / 4 * 2 / 3)
    assert found.silent.size == 19, "as far as any silence lasts"
    assert found.resurrection(3, 4) == pytest.approx(1 / 3)
    assert found.resurrection(10, 10) is None


def test_parts_of_a_log_add_up_to_the_whole() -> None:
    whole = returns_of({"a": [0, 3, 10], "b": [2]}, ends=20)
    parts = returns_of({"a": [0, 3, 10]}, ends=20) + returns_of({"b": [2]}, ends=20)
    assert np.array_equal(whole.ended, parts.ended)
    assert np.array_equal(whole.open, parts.open)


def test_the_suggested_horizon_is_past_the_last_return() -> None:
    rng = np.random.default_rng(1)
    days = {f"u{i}": np.cumsum(rng.integers(1, 6, rng.integers(2, 12))).tolist() for i in range(300)}
    found = returns_of(days, ends=300)
    assert found.suggested() == 5, "after five days nobody ever came back"
    back = found.resurrection(5, 5)
    assert back is not None
    assert back < 0.1


def test_a_log_in_which_all_come_back_suggests_nothing() -> None:
    assert returns_of({f"u{i}": list(range(0, 60, 3)) for i in range(50)}, ends=60).suggested() is None


def test_nobody_comes_back_is_not_everybody_always_does() -> None:
    nobody = returns_of({f"u{i}": [float(i % 200)] for i in range(600)}, ends=230)
    assert nobody.suggested() == 1
    assert "Nobody comes back" in nobody.advice()
    assert nobody.rhythm() is None
    hardly = returns_of({f"u{i}": [float(i % 200)] for i in range(600)} | {"x": [0.0, 3.0]}, ends=230)
    assert "Hardly anybody comes back" in hardly.advice()
    always = returns_of({f"u{i}": [float(day) for day in range(i % 7, 230, 7)] for i in range(50)}, ends=230)
    assert always.suggested() is None
    assert "suggests no churn horizon" in always.advice()
    assert always.rhythm() == 7


def test_the_log_of_people_who_come_once() -> None:
    definition = load_definition(ROOT / "tests" / "cases" / "21-nobody-comes-back" / "propensity.yaml")
    events = EventLog(definition).read()
    assert Returns.of(events, 0, zone_of("UTC")).advice().startswith("Nobody comes back")


@pytest.mark.parametrize(
    ("rates", "answer"),
    [
        ([1.0] * 26 + [0.7] * 18, "in 26 of 44 snapshots not one answer is no"),
        ([0.0] * 20 + [0.1] * 20, "in 20 of 40 snapshots not one answer is yes"),
        ([0.97] * 40, "97.0% of the answers are yes"),
        ([0.001] * 40, "0.1% of the answers are yes"),
        ([0.3] * 40, None),
    ],
)
def test_a_question_with_one_answer_is_reported(rates: list[float], answer: str | None) -> None:
    assert one_sided(pl.DataFrame({"eligible": [500] * len(rates), "base_rate": rates})) == answer
    assert one_sided(pl.DataFrame({"eligible": [3] * len(rates), "base_rate": rates})) is None, "too few to say"
