"""Other people are noticed; the same people a month later are not."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.events.log import InMemory
from features.time import DAY
from monitoring.today.covariate_shift import CovariateShift, shifts
from monitoring.today.separation import separation
from tests.features.profile.days import START
from tests.oracle import Event
from tests.worlds import definition_of, events_of

DEFINITION = definition_of(windows=[1, 7, 30])
FITTED = START + 84 * DAY


def shift(folder: Path, seed: int, *, after: float, users: int = 400, days: int = 126) -> CovariateShift:
    """A log of visits and purchases, in which everybody is ``after`` times as active once the model was fitted."""
    rng = np.random.default_rng(seed)
    log = []
    for user in range(users):
        pace = rng.gamma(3, 0.1)
        for day in range(days):
            now = pace * (after if START + day * DAY >= FITTED else 1.0)
            for _ in range(rng.poisson(now)):
                at = START + day * DAY + int(rng.integers(0, DAY))
                log.append(Event(f"u{user:04d}", at, ("visit",), 0.0, at))
                if rng.random() < 0.2:
                    log.append(Event(f"u{user:04d}", at + 1, ("visit", "purchase"), float(rng.gamma(2, 10)), at + 1))
    found = shifts(InMemory(events_of(DEFINITION, log)), DEFINITION, {"churn": FITTED}, folder / "people", users=users)
    return found["churn"]


@pytest.mark.parametrize("seed", range(5))
def test_the_same_people_have_not_changed(tmp_path: Path, seed: int) -> None:
    assert not shift(tmp_path, seed, after=1.0).changed


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("after", [1.5, 2.0])
def test_people_who_do_more_have(tmp_path: Path, seed: int, after: float) -> None:
    found = shift(tmp_path, seed, after=after)
    assert found.changed
    assert found.auc > found.usual + 0.05  # type: ignore[operator]
    assert any("30d" in name or "count" in name for name in found.columns)


def test_trees_see_what_is_no_matter_of_more_or_less() -> None:
    """The same middle, and twice the spread: a line through the ranks sees nothing."""
    rng = np.random.default_rng(1)
    parts = [
        pl.DataFrame({"user": [f"{name}{i}" for i in range(600)], "count": spread * rng.standard_normal(600)})
        for name, spread in (("now", 3.0), ("then", 1.0))
    ]
    found = separation(parts[0], parts[1], ["count"])
    assert found["trees"] > 0.65
    assert found["line"] == pytest.approx(0.5, abs=0.05)


def test_a_column_that_is_missing_or_always_the_same_tells_nothing() -> None:
    rng = np.random.default_rng(2)
    parts = [
        pl.DataFrame({"user": [f"{name}{i}" for i in range(300)], "count": rng.standard_normal(300), "same": 1.0,
                      "none": pl.Series([None] * 300, dtype=pl.Float64)})
        for name in ("now", "then")
    ]  # fmt: skip
    for auc in separation(parts[0], parts[1], ["count", "same", "none"]).values():
        assert auc == pytest.approx(0.5, abs=0.06)
    alone = separation(parts[0].head(1), parts[1].head(1), ["count"])
    assert set(alone.values()) == {0.5}


def test_a_model_of_yesterday_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    log = InMemory(events_of(DEFINITION, [Event("u1", START, ("visit",), 0.0, START)]))
    assert shifts(log, DEFINITION, {"churn": log.ends - DAY}, tmp_path / "people", users=1) == {}
