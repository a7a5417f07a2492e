"""The level in this season: what the same weeks of earlier years add, and the verdict where there are none."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from features.definition.sections.learning import Gate
from training.evaluation.gate import Criterion, compare
from training.evaluation.judgement import judge
from training.evaluation.season import Season, season

#: cutoffs every four weeks
START = datetime(2023, 1, 2, tzinfo=UTC)
USERS = 300


def rows(first: int, last: int, level: float, seed: int = 1) -> pl.DataFrame:
    """Users at cutoffs number ``first`` to ``last`` who say yes at a level."""
    rng, count = np.random.default_rng(seed), (last - first) * USERS
    return pl.DataFrame(
        {
            "user": [f"u{i}" for i in range(USERS)] * (last - first),
            "cutoff": [START + timedelta(weeks=4 * i) for i in range(first, last) for _ in range(USERS)],
            "label": (rng.random(count) < level).astype(np.int8),
            "weight": np.ones(count),
        }
    )


def found(learn: pl.DataFrame, test: pl.DataFrame, answer: float) -> Season | None:
    return season(learn, np.full(len(learn), answer), test, np.full(len(test), answer), relative=False, seed=1)


def observed(test: pl.DataFrame, answer: float, level: Season | None) -> Criterion:
    answers = np.full(len(test), answer) + np.linspace(-1e-3, 1e-3, len(test))
    judged = judge(
        {"model": answers}, test["label"].to_numpy().astype(float), test["user"], test["weight"].to_numpy(),
        seed=1, draws=20,
    )  # fmt: skip
    return next(c for c in compare(judged, Gate(), season=level) if c.name == "observed over expected")


def test_a_log_of_less_than_a_year_says_that_its_level_is_not_known_for_this_season() -> None:
    learn, test = rows(0, 9, 0.3), rows(10, 12, 0.3)
    assert found(learn, test, 0.3) is None
    answer = observed(test, 0.3, None)
    assert answer.passed
    assert "level not known for this season" in answer.found


def test_the_same_weeks_of_earlier_years_are_judged_with_the_test() -> None:
    test = rows(26, 28, 0.2, seed=2)  # two years after the first cutoff
    learn = rows(0, 25, 0.3)
    level = found(learn, test, 0.25)
    assert level is not None
    assert level.snapshots == 4, "two cutoffs in each of two earlier years"
    same = learn.filter(pl.col("cutoff").is_in(level_cutoffs()))
    both = pl.concat([same, test])["label"]
    assert level.ratio == both.mean() / 0.25
    answer = observed(test, 0.25, level)
    assert answer.passed, "a level that is off by a fifth in one year only is no reason to refuse"
    assert "4 snapshots of the same weeks of earlier years" in answer.found


def level_cutoffs() -> list[datetime]:
    return [START + timedelta(weeks=4 * i) for i in (0, 1, 13, 14)]


def test_a_level_that_is_wrong_every_year_is_refused() -> None:
    level = found(rows(0, 25, 0.3), test := rows(26, 28, 0.3, seed=2), 0.15)
    answer = observed(test, 0.15, level)
    assert answer.passed is False
