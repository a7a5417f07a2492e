"""The gate: what a challenger must show, in writing, before it becomes the champion of its outcome."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.definition.learning import Gate
from features.snapshot import WEIGHT
from serving.card import Measure
from serving.model import Floats
from training.evaluate import Judgement, Rank, Ranking, judge

#: slices smaller than this are told, and decide nothing
SLICE_ROWS, SLICE_POSITIVES = 300, 30
SLICE_DRAWS = 300


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing a challenger must show.

    Attributes:
        name: of the criterion.
        needed: what is asked for, in words.
        found: what was found, in words.
        passed: None where it does not apply, such as a comparison without a champion.
    """

    name: str
    needed: str
    found: str
    passed: bool | None


def passes(criteria: list[Criterion]) -> bool:
    """Whether no criterion is failed."""
    return all(criterion.passed is not False for criterion in criteria)


def compare(judgement: Judgement, rules: Gate) -> list[Criterion]:
    """The criteria on the whole test slice; models are ``model``, ``champion`` where there is one, and the floors."""
    order, top = ("average_precision", rules.average_precision), ("recall_at_10", rules.recall)
    return _criteria(judgement, order, top, "log_loss", rules.calibration_error, rules.observed_over_expected)


def compare_amounts(judgement: Judgement, rules: Gate) -> list[Criterion]:
    """The same of amounts."""
    order, top = ("normalised_gini", rules.gini), ("value_at_10", rules.value)
    return _criteria(judgement, order, top, "deviance", rules.value_calibration_error, rules.value_over_expected)


def _criteria(
    judgement: Judgement, order: tuple[str, float], top: tuple[str, float], loss: str, error: float,
    level: tuple[float, float],
) -> list[Criterion]:  # fmt: skip
    """Order and top tenth with how far they may fall, the loss, and the bounds of the calibration."""
    floors = [name for name in judgement.point if name not in ("model", "champion")]
    return [
        _higher(judgement, *order, better=True),
        _higher(judgement, *top, better=False),
        _loss(judgement, loss),
        _calibration_error(judgement, error),
        _observed(judgement, level),
        *(_beats(judgement, floor, order[0]) for floor in floors),
    ]


def _higher(judgement: Judgement, metric: str, margin: float, *, better: bool) -> Criterion:
    name = named(metric)
    needed = f"at most {margin:.2%} below the champion's with 97.5 % confidence" + (", and above it" if better else "")
    if "champion" not in judgement.point:
        return Criterion(name, needed, "no champion to compare with", None)
    ahead = judgement.ahead("model", "champion", metric, relative=True)
    sure = ahead.low is not None and ahead.low >= -margin
    return Criterion(name, needed, said(ahead), sure and (ahead.value > 0 or not better))


def _loss(judgement: Judgement, metric: str) -> Criterion:
    name, needed = named(metric), "not above the champion's with an interval that excludes 0"
    if "champion" not in judgement.point:
        return Criterion(name, needed, "no champion to compare with", None)
    more = judgement.ahead("model", "champion", metric, relative=True)
    return Criterion(name, needed, said(more), more.low is not None and not more.low > 0)


def _calibration_error(judgement: Judgement, limit: float) -> Criterion:
    error = judgement.measure("model", "calibration_error").value
    return Criterion("calibration error", f"at most {limit:g}", f"{error:.4f}", error <= limit)


def _observed(judgement: Judgement, limits: tuple[float, float]) -> Criterion:
    ratio = judgement.measure("model", "observed_over_expected").value
    low, high = limits
    return Criterion("observed over expected", f"{low:g} to {high:g}", f"{ratio:.3f}", low <= ratio <= high)


def _beats(judgement: Judgement, floor: str, metric: str) -> Criterion:
    ahead = judgement.ahead("model", floor, metric)
    found = f"{ahead.value:+.4f}{_range(ahead, '+.4f')} {named(metric)}"
    return Criterion(f"beats {named(floor)}", "above the floor", found, ahead.value > 0)


def slices(
    scores: dict[str, Floats],
    test: pl.DataFrame,
    groups: dict[str, pl.Series],
    rules: Gate,
    *,
    seed: int,
    metric: str = "average_precision",
    rank: Callable[[Floats], Rank] = lambda labels: Ranking.of,
) -> Criterion:
    """No state and no tenure slice may lose what the whole gains.

    Args:
        scores: answers of ``model`` and, where there is one, ``champion``.
        test: the test slice.
        groups: names of slices, by kind: each row's state, each row's tenure.
        rules: the gate.
        seed: of the resampling.
        metric: what may not fall.
        rank: makes answers ready to be measured on labels.
    """
    what, drop = named(metric), f"{rules.slice_drop:.0%}"
    needed = f"{what} of none below the champion's by {drop} with an interval excluding 0"
    if "champion" not in scores:
        return Criterion("slices", needed, "no champion to compare with", None)
    labels, weights = test["label"].to_numpy().astype(np.float64), test[WEIGHT].to_numpy()
    looked, fallen = 0, []
    for kind, group in groups.items():
        for name in group.drop_nulls().unique().sort():
            inside = (group == name).fill_null(False).to_numpy()
            mine = labels[inside]
            rarer = min((mine > 0).sum(), (mine < mine.max()).sum())
            if mine.size < SLICE_ROWS or rarer < SLICE_POSITIVES:
                continue
            looked += 1
            part = {model: p[inside] for model, p in scores.items()}
            judged = judge(
                part, mine, test["user"].filter(pl.Series(inside)), weights[inside],
                seed=seed, draws=SLICE_DRAWS, rank=rank(mine),
            )  # fmt: skip
            ahead = judged.ahead("model", "champion", metric, relative=True)
            if ahead.value < -rules.slice_drop and ahead.high is not None and ahead.high < 0:
                fallen.append(f"{kind} {name} {said(ahead)}")
    return Criterion("slices", needed, "; ".join(fallen) or f"{looked} slices hold", not fallen)


def served_alike(served: Floats, trained: Floats, missing: int) -> Criterion:
    """Training–serving parity: what the service would answer is what the evaluation was about.

    Args:
        served: answers from stored profiles and the model as it is saved.
        trained: of the same users, from the log and the model as it was judged.
        missing: users the service cannot answer.
    """
    apart = float(np.max(np.abs(served - trained), initial=0.0))
    unknown = f", {missing:,} more cannot be answered (unknown, or stored as of later)" if missing else ""
    found = f"{len(served):,} users, largest difference {apart:.1e}{unknown}"
    return Criterion("training-serving parity", "the same answers", found, apart == 0.0 and missing == 0)


def named(of: str) -> str:
    """A metric or a floor in words."""
    words = {"bg_nbd": "BG/NBD", "gini": "Gini", "auc": "AUC", "at_10": "in the top 10 %"}
    for name, word in words.items():
        of = of.replace(name, word)
    return of.replace("_", " ")


def said(relative: Measure) -> str:
    """A relative difference in words."""
    return f"{relative.value:+.2%}{_range(relative, '+.2%')}"


def _range(measure: Measure, form: str) -> str:
    if measure.low is None or measure.high is None:
        return ""
    return f" ({measure.low:{form}} to {measure.high:{form}})"
