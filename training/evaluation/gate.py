"""The gate: what a challenger must show, in writing, before it becomes the champion of its outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from features.definition.sections.learning import Gate
from features.snapshot import WEIGHT
from serving.model.card import Kind, Measure, ModelCard, Procedure, TreatedLabels
from serving.model.numbers import Floats
from training.evaluation.judgement import Judgement, judge
from training.evaluation.metrics import Rank, Ranking
from training.evaluation.season import Season
from training.evaluation.simplest import KINDS

#: slices smaller than this are reported, and decide nothing
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

    @property
    def content(self) -> dict[str, str | bool | None]:
        """The same as JSON has it."""
        return {"criterion": self.name, "needed": self.needed, "found": self.found, "passed": self.passed}


def passes(criteria: list[Criterion]) -> bool:
    """Whether no criterion is failed."""
    return all(criterion.passed is not False for criterion in criteria)


Policy = Literal["first", "refresh", "stale", "challenger"]


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """Which policy a new model is judged by, and why.

    * ``first``: there is no champion that answers the same question from the same features and says how it was fitted;
      only the absolute criteria decide.
    * ``refresh``: the champion was fitted in the same way: on the same rows both are the same model, so the new one
      replaces it if it is fitted on newer rows.
    * ``stale``: the champion is fitted through long ago: a challenger must be no worse.
    * ``challenger``: it must be better.

    Attributes:
        policy: see above.
        found: the same in words, with the dates.
        newer: whether the new model is fitted on newer rows than the champion.
    """

    policy: Policy
    found: str
    newer: bool = True


FIRST = PolicyChoice("first", "no champion to compare with")
CHALLENGER = PolicyChoice("challenger", "another procedure than the champion's")


def policy_of(
    champion: ModelCard | None, procedure: Procedure, through: datetime, horizon: int, stale: float,
    kinds: Sequence[Kind] = KINDS,
) -> PolicyChoice:  # fmt: skip
    """Choose the policy.

    Args:
        champion: its card; None where there is none to compare with.
        procedure: of the new model.
        through: the newest cutoff the new model is fitted on.
        horizon: microseconds.
        stale: horizons after which a champion is stale.
        kinds: of models that can answer the outcome now.
    """
    if champion is None:
        return FIRST
    if champion.procedure is None:
        return PolicyChoice(
            "first", "the champion does not say how it was fitted, and cannot be fitted again to compare"
        )
    if champion.procedure.kind not in kinds:
        found = f"the champion is of the kind {named(champion.procedure.kind)}, which these rows do not allow any more"
        return PolicyChoice("first", found)
    fitted = datetime.fromisoformat(champion.trained_through)
    dates = f"fitted through {through:%Y-%m-%d %H:%M}, the champion through {fitted:%Y-%m-%d %H:%M}"
    if champion.procedure == procedure:
        return PolicyChoice("refresh", dates, through > fitted)
    old = (through - fitted) > stale * timedelta(microseconds=horizon)
    return PolicyChoice("stale" if old else "challenger", dates, through > fitted)


def compare(
    judgement: Judgement, rules: Gate, against: PolicyChoice | None = None, season: Season | None = None
) -> list[Criterion]:
    """The criteria on the whole test slice; models are ``model``, ``champion`` where there is one, and the baselines.

    The champion is its procedure, fitted on the same rows as the model.

    Args:
        judgement: of the models.
        rules: the gate.
        against: the policy; that of a challenger when left out, or of a first champion where there is none.
        season: the level over the same weeks of earlier years, too; None where the log has none.
    """
    order, top = ("average_precision", rules.average_precision), ("recall_at_10", rules.recall)
    level = (rules.calibration_error, *rules.observed_over_expected)
    return _criteria(judgement, rules, against, order, top, "log_loss", level, season)


def compare_amounts(
    judgement: Judgement, rules: Gate, against: PolicyChoice | None = None, season: Season | None = None
) -> list[Criterion]:
    """The same of amounts."""
    order, top = ("normalised_gini", rules.gini), ("value_at_10", rules.value)
    level = (rules.value_calibration_error, *rules.value_over_expected)
    return _criteria(judgement, rules, against, order, top, "deviance", level, season)


def _criteria(
    judgement: Judgement, rules: Gate, against: PolicyChoice | None, order: tuple[str, float], top: tuple[str, float],
    loss: str, level: tuple[float, float, float], season: Season | None,
) -> list[Criterion]:  # fmt: skip
    """Policy, order and top tenth with how far they may fall, loss, bounds of the calibration, and baselines."""
    baselines = [name for name in judgement.point if name not in ("model", "champion")]
    against = against or (CHALLENGER if "champion" in judgement.point else FIRST)
    better = against.policy == "challenger"
    error, *bounds = level
    return [
        _policy(against),
        _higher(judgement, against, *order, better=better),
        _higher(judgement, against, *top, better=False),
        _loss(judgement, against, loss),
        _calibration_error(judgement, error),
        _observed(judgement, bounds[0], bounds[1], season),
        *(_beats(judgement, baseline, order[0], rules.baseline) for baseline in baselines),
    ]


def _policy(against: PolicyChoice) -> Criterion:
    needed = {
        "first": "the first champion: the criteria that need none",
        "refresh": "the champion's own procedure: newer rows than the champion's",
        "stale": "a stale champion: no worse",
        "challenger": "a challenger: better",
    }[against.policy]
    return Criterion("policy", needed, against.found, against.newer if against.policy == "refresh" else None)


def _higher(judgement: Judgement, against: PolicyChoice, metric: str, margin: float, *, better: bool) -> Criterion:
    name = named(metric)
    needed = f"at most {margin:.2%} below the champion's with 97.5 % confidence" + (", and above it" if better else "")
    if (found := _incomparable(judgement, against)) is not None:
        return Criterion(name, needed, found, None)
    ahead = judgement.ahead("model", "champion", metric, relative=True)
    sure = ahead.low is not None and ahead.low >= -margin
    return Criterion(name, needed, in_words(ahead), sure and (ahead.value > 0 or not better))


def _loss(judgement: Judgement, against: PolicyChoice, metric: str) -> Criterion:
    name, needed = named(metric), "not above the champion's with an interval that excludes 0"
    if (found := _incomparable(judgement, against)) is not None:
        return Criterion(name, needed, found, None)
    more = judgement.ahead("model", "champion", metric, relative=True)
    return Criterion(name, needed, in_words(more), more.low is not None and not more.low > 0)


def _incomparable(judgement: Judgement, against: PolicyChoice) -> str | None:
    """Why there is nothing to compare with, or None."""
    if against.policy == "refresh":
        return "the same procedure on the same rows is the same model"
    return None if "champion" in judgement.point else against.found


def _calibration_error(judgement: Judgement, limit: float) -> Criterion:
    error, chance = judgement.measure("model", "calibration_error").value, judgement.chance["model"].calibration_error
    needed = f"at most {limit:g}" + (f", here {chance:.4f}: a perfect forecast may show that" if chance > limit else "")
    return Criterion("calibration error", needed, f"{error:.4f}", error <= max(limit, chance))


def _observed(judgement: Judgement, low: float, high: float, season: Season | None) -> Criterion:
    """The level of the test; where the log holds the same weeks of earlier years, of these together with it."""
    ratio, chance = judgement.measure("model", "observed_over_expected").value, judgement.chance["model"].level
    found = f"{ratio:.3f}; level not known for this season: no snapshot a year before"
    if season is not None:
        weeks = f"{season.snapshots} snapshots of the same weeks of earlier years"
        found = f"{season.ratio:.3f} with {weeks}, {ratio:.3f} without"
        ratio, chance = season.ratio, season.chance
    least, most = min(low, 1 - chance), max(high, 1 + chance)
    needed = f"{low:g} to {high:g}"
    if (least, most) != (low, high):
        needed += f", here {least:.3f} to {most:.3f}: a perfect forecast may show that"
    return Criterion("observed over expected", needed, found, least <= ratio <= most)


def _beats(judgement: Judgement, baseline: str, metric: str, margin: float) -> Criterion:
    ahead = judgement.ahead("model", baseline, metric)
    found = f"{ahead.value:+.4f}{_range(ahead, '+.4f')} {named(metric)}"
    least = -margin * abs(judgement.measure(baseline, metric).value)
    needed = f"not behind the baseline beyond doubt, nor by more than {margin:.0%} of it"
    behind = ahead.value < least or (ahead.high is not None and ahead.high < 0)
    return Criterion(f"beats {named(baseline)}", needed, found, not behind)


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
                fallen.append(f"{kind} {name} {in_words(ahead)}")
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


def treated_labels(treated: TreatedLabels, rules: Gate) -> Criterion:
    """The test must tell what happens by itself: not what acting did.

    Args:
        treated: how many labels are of users who were acted on, and whether held-out users stand for them.
        rules: the gate.
    """
    needed = f"at most {rules.treated:.0%} of the test's labels, or enough held-out users to stand for them"
    return Criterion("treated labels", needed, treated.words, treated.replaced or treated.test <= rules.treated)


def named(of: str) -> str:
    """A metric or a baseline in words."""
    words = {"bg_nbd": "BG/NBD", "gini": "Gini", "auc": "AUC", "at_10": "in the top 10 %"}
    for name, word in words.items():
        of = of.replace(name, word)
    return of.replace("_", " ")


def in_words(relative: Measure) -> str:
    """A relative difference in words."""
    return f"{relative.value:+.2%}{_range(relative, '+.2%')}"


def _range(measure: Measure, form: str) -> str:
    if measure.low is None or measure.high is None:
        return ""
    return f" ({measure.low:{form}} to {measure.high:{form}})"
