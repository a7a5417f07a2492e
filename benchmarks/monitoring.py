"""How often monitoring and experiments are wrong: many simulated logs, each with a known truth."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.sections.outcome import Outcome
from features.time import DAY
from monitoring.experiments.comparison import LABEL, PREDICTED, REACHED, Comparison, compare
from monitoring.realised import alarms_of
from monitoring.statistics.effects.targeting import doubly_robust, targeting
from monitoring.uplift.learners import FOLDS, s_learner, sequential, within_folds

WEEK = 7 * DAY
RULE = Outcome.model_validate({"will_not": "visit", "within": "14d", "among": "tenure_days >= 0"})

#: simulated years of a champion, experiments, and uplift experiments
YEARS, EXPERIMENTS, UPLIFTS = 200, 2_000, 700

#: held out in each batch; users of an experiment, and the share that is sent nothing; users of one for uplift
HELD_OUT, USERS, NOTHING, MOVED = 1_000, 4_000, 0.1, 3_000

Floats = NDArray[np.float64]


def rates() -> tuple[pl.DataFrame, dict[str, float]]:
    """Measure all of it: false alarms, time to find what is wrong, coverage."""
    numbers = {
        "monitoring.false_alarm_rate": float(np.mean([bool(_alarms(year(seed))) for seed in range(YEARS)])),
        "monitoring.snapshots_to_find_1_2": float(np.quantile(list(_found_after()), 0.95)),
        **_experiments(),
        "uplift.coverage": float(np.mean([_covered(seed) for seed in range(UPLIFTS)])),
    }
    meanings = {
        "monitoring.false_alarm_rate": f"share of {YEARS} years without a change, looked at weekly, that alarm",
        "monitoring.snapshots_to_find_1_2": f"batches of {HELD_OUT:,} held-out users until 95 % of the logs with 1.2 "
        "times as many events as expected alarm",
        "experiments.false_positive_rate": f"share of {EXPERIMENTS:,} experiments without an effect that find one, raw",
        "experiments.false_positive_rate_adjusted": "the same, adjusted by what was predicted",
        "experiments.coverage": "share of intervals that hold a planted effect, raw",
        "experiments.coverage_adjusted": "the same, adjusted",
        "experiments.variance_cut_error": "the cut of the variance less the share that the probability explains",
        "uplift.coverage": f"share of intervals of the AUTOC that hold the true one of the ranking, {UPLIFTS} worlds",
    }
    return pl.DataFrame(
        {"number": list(numbers), "of": [meanings[n] for n in numbers], "value": list(numbers.values())}
    ), numbers


def year(seed: int, *, level: float = 1.0, batches: int = 52) -> pl.DataFrame:
    """A year of weekly batches of held-out users; it happens ``level`` times as often as was predicted."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-(-1.0 + 1.3 * rng.standard_normal((batches, HELD_OUT)))))
    y = rng.random(p.shape) < np.clip(level * p, 0, 1)
    return pl.DataFrame({"version": "churn/2", "at": np.repeat(np.arange(batches) * WEEK, HELD_OUT),
                         "answer": p.ravel(), "label": y.ravel().astype(np.float64), "weight": 1.0})  # fmt: skip


def _alarms(rows: pl.DataFrame) -> dict[str, int]:
    return alarms_of(rows, rows.clear(), yes_or_no=True)[0]


def _found_after() -> Iterator[float]:
    """Batches until the first alarm of logs whose level is 1.2; infinite where none comes within twelve."""
    for seed in range(YEARS):
        at = min(_alarms(year(10_000 + seed, level=1.2, batches=12)).values(), default=None)
        yield np.inf if at is None else at // WEEK + 1.0


def _experiments() -> dict[str, float]:
    none = [_compared(seed, effect=0.0) for seed in range(EXPERIMENTS)]
    planted = [_compared(50_000 + seed, effect=-0.05) for seed in range(EXPERIMENTS)]
    wrong = np.mean([[not _holds(one, 0.0, adjusted=a) for a in (False, True)] for one, _ in none], axis=0)
    right = np.mean([[_holds(one, truth, adjusted=a) for a in (False, True)] for one, truth in planted], axis=0)
    cuts = [one.adjusted.cut for one, _ in none if one.adjusted is not None]
    rng = np.random.default_rng(0)
    p = rng.beta(2, 4, 1_000_000)
    return {
        "experiments.false_positive_rate": float(wrong[0]),
        "experiments.false_positive_rate_adjusted": float(wrong[1]),
        "experiments.coverage": float(right[0]),
        "experiments.coverage_adjusted": float(right[1]),
        "experiments.variance_cut_error": float(np.mean(cuts) - p.var() / (p.mean() * (1 - p.mean()))),
    }


def _compared(seed: int, *, effect: float) -> tuple[Comparison, float]:
    """An experiment, and the true effect on its population."""
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 4, USERS)
    acted = rng.random(USERS) >= NOTHING
    y = rng.random(USERS) < np.clip(p + effect * acted * 3 * p, 0, 1)  # the more likely, the more is changed
    rows = pl.DataFrame({LABEL: y.astype(np.float64), PREDICTED: p, REACHED: acted})
    return compare(rows.filter(pl.Series(acted)), rows.filter(pl.Series(~acted)), RULE), effect * 3 * (2 / 6)


def _holds(one: Comparison, truth: float, *, adjusted: bool) -> bool:
    found = one.adjusted.difference if adjusted and one.adjusted is not None else one.plain
    return found is not None and found.effect.low <= truth <= found.effect.high


def _covered(seed: int) -> bool:
    """Whether the interval of the AUTOC of a learnt ranking holds what it truly is."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(MOVED, 6))
    effect = np.where(X[:, 0] > 0, 0.2, -0.1)
    treated = (rng.random(MOVED) < 0.5).astype(np.float64)
    y = (rng.random(MOVED) < 0.5 + 0.15 * np.tanh(X[:, 1]) + effect * treated).astype(np.float64)
    folds = np.arange(MOVED) % FOLDS
    seen = sequential(s_learner, X, treated, y, folds)
    places = within_folds(seen.high - seen.low, seen.folds)
    effects = doubly_robust(y[seen.rows], treated[seen.rows], seen.low, seen.high, 0.5)
    found = targeting(effects, places, seed=seed).autoc
    truth = targeting(effect[seen.rows], places).autoc.value
    return found.low <= truth <= found.high
