"""Other people are noticed; the same people a month later are not."""

from pathlib import Path

import numpy as np
import pytest

from features.events.log import InMemory
from features.time import DAY
from monitoring.today.covariate_shift import CovariateShift, shifts
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
def test_people_who_do_twice_as_much_have(tmp_path: Path, seed: int) -> None:
    found = shift(tmp_path, seed, after=2.0)
    assert found.changed
    assert found.auc > found.usual + 0.05  # type: ignore[operator]
    assert any("30d" in name or "count" in name for name in found.columns)


def test_a_model_of_yesterday_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    log = InMemory(events_of(DEFINITION, [Event("u1", START, ("visit",), 0.0, START)]))
    assert shifts(log, DEFINITION, {"churn": log.ends - DAY}, tmp_path / "people", users=1) == {}
