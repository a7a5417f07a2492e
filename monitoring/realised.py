"""Observed against expected outcomes of untreated users: by batch and by group, with intervals."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from features.definition.sections.outcome import Outcome, ValueOutcome
from monitoring.predictions.files import TRAIT
from monitoring.statistics.inputs import Floats, two_sided
from monitoring.statistics.probabilities import estimated
from monitoring.statistics.probabilities.calibration import Level, Line, dispersion, level, logit_line
from monitoring.statistics.probabilities.estimated import effective_size
from monitoring.statistics.probabilities.recalibration import spiegelhalter
from monitoring.statistics.probabilities.sequence import AlarmSequence
from serving.activation.hand_offs import HANDED_OFF
from training.evaluation.metrics import Ranking
from training.evaluation.value_metrics import AmountRanking

#: what is shown of a batch besides its level
SHOWN: Final = ("auc", "average_precision", "log_loss", "lift_at_10")
SHOWN_OF_AMOUNTS: Final = ("normalised_gini", "mean_absolute_error")

#: batches are looked at together until so many events, and as many of those that do not happen, are expected
LOOK: Final = 50

#: a group with fewer expected events is not shown
LEAST_EVENTS: Final = 10

#: values of a trait that are shown, the commonest first
MOST_VALUES: Final = 12

#: bands of days since a user's first event
TENURE: Final = ((7, "first week"), (30, "first month"), (90, "first quarter"), (365, "first year"))

#: the chance of a false alarm in the life of a champion, half of it for the level and half for the ranking: together
#: one in a hundred, most of it for the batches, which score everybody
ALPHA_BATCHES, ALPHA_LIVE = 0.008, 0.002

#: deviations that matter: of the level from 1, and of the slope from 1
LEVEL_TAU, SLOPE_TAU = 0.05, 0.1

#: over-dispersion is estimated from so many looks at earlier models, or not at all
EARLIER_LOOKS: Final = 5


@dataclass(frozen=True, slots=True)
class Realised:
    """Observed against expected outcomes.

    Attributes:
        batches: a row a version and batch: ``version, at, users, handed_off, effective, expected, observed, ratio, low,
            high``, and how it was ranked.
        groups: of the newest version ``by, group, users, expected, observed, ratio, low, high``.
        level: of the newest version, all its batches; None where everybody was treated.
        line: calibration intercept and slope of the newest version; of likelihoods.
        promised: estimated AUC, log loss, precision and lift of the top tenth of the newest predictions, before their
            labels are known: right if the probabilities are, and blind to wrong ones.
        alarms: which of ``level`` and ``ranking`` has alarmed for the newest version, and at which batch.
        spiegelhalter: of likelihoods of the newest version, Spiegelhalter's Z: beyond 2 or -2 the probabilities are
            too extreme, not extreme enough, or of a wrong level.
        evidence: of both, the logarithm of the evidence against the newest version; it alarms above 5.5, of the
            service's answers above 6.9.
    """

    batches: pl.DataFrame
    groups: pl.DataFrame
    level: Level | None
    line: Line | None
    promised: dict[str, float]
    alarms: dict[str, int]
    evidence: dict[str, float]
    spiegelhalter: float | None = None


def realised(
    rows: pl.DataFrame, rule: Outcome | ValueOutcome, newest: pl.DataFrame, *, alpha: float = ALPHA_BATCHES
) -> Realised:
    """Compare predictions with labels.

    Only untreated users are compared; held-out users are weighted to stand for treated ones
    (`serving.activation.hand_offs`).

    Args:
        rows: all that has matured of an outcome, `monitoring.matured.Matured.rows`.
        rule: the outcome.
        newest: the newest predictions that have not matured; ``answer``.
        alpha: the chance of a false alarm in the life of a version.
    """
    yes_or_no = isinstance(rule, Outcome)
    promised = _promised(newest["answer"].to_numpy()) if yes_or_no and len(newest) else {}
    batches = pl.DataFrame([_batch(part, yes_or_no) for part in _parts(rows, "version", "at")])
    untreated = rows.filter(pl.col("weight") > 0)
    if not len(untreated):
        return Realised(batches, GROUPS.to_frame(), None, None, promised, {}, {})
    version = rows.sort("at")["version"][-1]
    mine, earlier = (untreated.filter(pl.col("version") == version), untreated.filter(pl.col("version") != version))
    alarms, evidence = alarms_of(mine, earlier, yes_or_no, alpha)
    whole = level_of(mine, yes_or_no) if len(mine) else None
    line = line_of(mine) if len(mine) and yes_or_no else None
    p, y, w = _numbers(mine)
    z = spiegelhalter(p, y, w=w) if len(mine) and yes_or_no else None
    return Realised(batches, _groups(mine, yes_or_no), whole, line, promised, alarms, evidence, z)


def _promised(p: Floats) -> dict[str, float]:
    tenth = estimated.top(p, 0.1)
    found = {"auc": estimated.auc(p), "log_loss": estimated.log_loss(p), "precision_at_10": tenth.precision,
             "lift_at_10": tenth.lift}  # fmt: skip
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _parts(rows: pl.DataFrame, *by: str) -> list[pl.DataFrame]:
    return [part for _, part in rows.sort("at").group_by(*by, maintain_order=True)] if len(rows) else []


def _numbers(rows: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
    answer, label, weight = (rows[name].to_numpy() for name in ("answer", "label", "weight"))
    return answer, label, weight


def level_of(rows: pl.DataFrame, yes_or_no: bool) -> Level:
    """Observed over expected; of amounts the spread is that of what came about what was predicted."""
    p, y, w = _numbers(rows)
    if yes_or_no:
        return level(p, y, w=w)
    expected, observed = float(w @ p), float(w @ y)
    spread = math.sqrt(float(w**2 @ (y - p) ** 2))
    ratio, error = (observed / expected, spread / expected) if expected > 0 else (math.nan, math.nan)
    reach = two_sided(0.95) * error
    return Level(len(rows), expected, observed, ratio, error, max(0.0, ratio - reach), ratio + reach)


def line_of(rows: pl.DataFrame) -> Line:
    """Calibration intercept and slope of likelihoods."""
    p, y, w = _numbers(rows)
    return logit_line(p, y, w=w)


def _batch(rows: pl.DataFrame, yes_or_no: bool) -> dict[str, object]:
    """One batch: how many were treated, and observed against expected outcomes of the others."""
    untreated = rows.filter(pl.col("weight") > 0)
    p, y, w = _numbers(untreated)
    shown = SHOWN if yes_or_no else SHOWN_OF_AMOUNTS
    measured: dict[str, float] = {}
    if len(untreated):
        ranking = Ranking.of(p) if yes_or_no else AmountRanking.of(p, np.argsort(-y, kind="stable"))
        if ranking.can_tell(y, w):
            measured = dict(zip(ranking.METRICS, ranking.measure(y, w).tolist(), strict=True))
    of = level_of(untreated, yes_or_no) if len(untreated) else None
    return {
        "version": rows["version"][0], "at": rows["at"][0], "users": len(rows),
        "handed_off": int((rows["population"] == HANDED_OFF).sum()),
        "effective": effective_size(w) if len(untreated) else 0.0,
        "expected": of.expected if of else None, "observed": of.observed if of else None,
        "ratio": of.ratio if of else None, "low": of.low if of else None, "high": of.high if of else None,
        **{name: measured.get(name) for name in shown},
    }  # fmt: skip


def _looks(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Batches together until they hold enough events for a sum of them to be normal; the last ones may wait."""
    waiting: list[pl.DataFrame] = []
    expected = np.zeros(2)
    for part in _parts(rows, "at"):
        waiting.append(part)
        p, _, w = _numbers(part)
        # of weighted users the fewer count: as many as would say as much
        share = effective_size(w) / w.sum()
        expected += share * np.array([w @ p, w @ (1 - p)])
        if expected.min() >= LOOK:
            yield pl.concat(waiting)
            waiting, expected = [], np.zeros(2)


def alarms_of(
    mine: pl.DataFrame, earlier: pl.DataFrame, yes_or_no: bool, alpha: float = ALPHA_BATCHES
) -> tuple[dict[str, int], dict[str, float]]:
    """Which sequence of the newest version has alarmed and when, and the evidence of each by now."""
    if not yes_or_no:
        return {}, {}
    before = [level_of(look, yes_or_no).z for part in _parts(earlier, "version") for look in _looks(part)]
    phi = dispersion(before) if len(before) >= EARLIER_LOOKS else 1.0
    sequences = {"level": AlarmSequence(LEVEL_TAU, alpha / 2), "ranking": AlarmSequence(SLOPE_TAU, alpha / 2)}
    seen: dict[str, list[int]] = {name: [] for name in sequences}
    for look in _looks(mine):
        of, line, at = level_of(look, yes_or_no), line_of(look), int(look["at"].max())  # type: ignore[arg-type]
        for name, value, error in (("level", of.ratio, of.error), ("ranking", line.slope, line.slope_error)):
            if math.isfinite(value) and error > 0:
                sequences[name] = sequences[name].add(value - 1, error**2, phi=phi)
                seen[name].append(at)
    alarms = {name: seen[name][first] for name, one in sequences.items() if (first := one.alarmed_at) is not None}
    return alarms, {name: float(one.evidence[-1]) for name, one in sequences.items() if seen[name]}


GROUPS: Final = pl.Schema(
    {"by": pl.String(), "group": pl.String(), "users": pl.Int64(), "expected": pl.Float64(), "observed": pl.Float64(),
     "ratio": pl.Float64(), "low": pl.Float64(), "high": pl.Float64()}
)  # fmt: skip


def _groups(rows: pl.DataFrame, yes_or_no: bool) -> pl.DataFrame:
    """Level of each group: tier, state, tenure, population and traits, all as of the prediction."""
    traits = [name for name in rows.columns if name.startswith(TRAIT)]
    cut = pl.lit("longer")
    for days, band in reversed(TENURE):
        cut = pl.when(pl.col("tenure_days") < days).then(pl.lit(band)).otherwise(cut)
    grouped = rows.with_columns(tenure=pl.when(pl.col("tenure_days").is_not_null()).then(cut))
    found = []
    for by in ("tier", "state", "tenure", "population", *traits):
        parts = sorted(_parts(grouped.filter(pl.col(by).is_not_null()), by), key=len, reverse=True)
        for part in parts[:MOST_VALUES]:
            of = level_of(part, yes_or_no)
            if not yes_or_no or of.expected >= LEAST_EVENTS:
                found.append({"by": by.removeprefix(TRAIT), "group": str(part[by][0]), "users": len(part),
                              "expected": of.expected, "observed": of.observed, "ratio": of.ratio, "low": of.low,
                              "high": of.high})  # fmt: skip
    return pl.DataFrame(found, schema=GROUPS)
