"""Metrics with intervals over users, paired so that small differences between models can be seen."""

from collections.abc import Mapping
from dataclasses import dataclass

import numba as nb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.parallel import each
from serving.card import Measure

Floats = NDArray[np.float64]

TOPS = (0.01, 0.05, 0.10, 0.20)
BINS = 10
METRICS = (
    "average_precision", "auc", "log_loss", "brier", "calibration_error", "observed_over_expected",
    *(f"lift_at_{round(top * 100)}" for top in TOPS), *(f"recall_at_{round(top * 100)}" for top in TOPS),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ranking:
    """A score's order over rows, worked out once for all resamples.

    Attributes:
        order: rows from the highest score down.
        last: whether a row of the order is the last of those with an equal score.
        bin: equal-mass bin of each row, for the calibration error.
        probability: the score.
    """

    order: NDArray[np.int64]
    last: NDArray[np.bool_]
    bin: NDArray[np.int64]
    probability: Floats

    @classmethod
    def of(cls, probability: Floats) -> "Ranking":
        """Rank rows by a probability."""
        order = np.argsort(-probability, kind="stable")
        ranked = probability[order]
        last = np.append(ranked[1:] != ranked[:-1], True)
        edges = np.quantile(probability, np.linspace(0, 1, BINS + 1)[1:-1])
        return cls(order, last, np.searchsorted(edges, probability, side="right"), probability)

    def measure(self, labels: Floats, weights: Floats) -> Floats:
        """The `METRICS` of the score, in their order."""
        return np.asarray(_measure(self.order, self.last, self.bin, self.probability, labels, weights, np.array(TOPS)))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _measure(
    order: NDArray[np.int64], last: NDArray[np.bool_], bins: NDArray[np.int64], probability: Floats, labels: Floats,
    weights: Floats, tops: Floats,
) -> Floats:  # fmt: skip
    """All metrics in two passes over the rows, the second from the highest score down."""
    total = positives = expected = loss = brier = 0.0
    gaps = np.zeros(BINS)
    for row in range(order.size):
        w, y, p = weights[row], labels[row], probability[row]
        if w == 0.0:
            continue
        total += w
        positives += w * y
        expected += w * p
        clipped = min(max(p, 1e-9), 1.0 - 1e-9)
        loss -= w * np.log(clipped if y == 1.0 else 1.0 - clipped)
        brier += w * (y - p) ** 2
        gaps[bins[row]] += w * (p - y)
    seen = found = seen_before = found_before = area = precision = 0.0
    lifts, recalls = np.empty(tops.size), np.empty(tops.size)
    top = 0
    for place in range(order.size):
        row = order[place]
        seen += weights[row]
        found += weights[row] * labels[row]
        while top < tops.size and seen >= tops[top] * total:
            lifts[top], recalls[top] = found / seen / (positives / total), found / positives
            top += 1
        if last[place]:  # tied scores are taken together
            if seen > 0.0:
                precision += (found - found_before) * found / seen
            area += ((seen - found) - (seen_before - found_before)) * (found + found_before) / 2.0
            seen_before, found_before = seen, found
    lifts[top:], recalls[top:] = 1.0, 1.0
    answer = np.empty(6 + 2 * tops.size)
    answer[0] = precision / positives
    answer[1] = area / (positives * (total - positives))
    answer[2] = loss / total
    answer[3] = brier / total
    answer[4] = np.abs(gaps).sum() / total
    answer[5] = positives / expected
    answer[6 : 6 + tops.size] = lifts
    answer[6 + tops.size :] = recalls
    return answer


def metrics(ranking: Ranking, labels: Floats, weights: Floats) -> dict[str, float]:
    """Weighted metrics of a probability.

    Average precision and AUC take tied scores together; ``lift_at_10`` is the precision of the top tenth over the base
    rate, ``recall_at_10`` its share of all positives (ties broken by row order); ``calibration_error`` is the mean gap
    between predicted and observed rate over ten equal-mass bins.
    """
    return dict(zip(METRICS, ranking.measure(labels, weights).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Judgement:
    """Several models measured on the same rows and the same resamples of their users.

    Attributes:
        point: the metrics of each model.
        drawn: the same of each resample, ``[draws, metrics]``.
    """

    point: Mapping[str, Floats]
    drawn: Mapping[str, Floats]

    def measure(self, model: str, metric: str) -> Measure:
        """A metric with its 95 % interval."""
        at = METRICS.index(metric)
        return _interval(self.point[model][at], self.drawn[model][:, at])

    def measures(self, model: str) -> dict[str, Measure]:
        """All metrics of a model."""
        return {metric: self.measure(model, metric) for metric in METRICS}

    def ahead(self, model: str, other: str, metric: str, *, relative: bool = False) -> Measure:
        """How much higher a metric of a model is than another's, paired; relative to the other's value if asked."""
        at = METRICS.index(metric)
        value = self.point[model][at] - self.point[other][at]
        drawn = self.drawn[model][:, at] - self.drawn[other][:, at]
        if relative:
            value, drawn = value / self.point[other][at], drawn / self.drawn[other][:, at]
        return _interval(value, drawn)


def judge(
    scores: Mapping[str, Floats], labels: Floats, users: pl.Series, rows: Floats, *, seed: int, draws: int
) -> Judgement:
    """Measure several models on the same rows, and on resamples of the users (Poisson bootstrap).

    Args:
        scores: probabilities of each model.
        labels: 0 or 1, both present.
        users: whose rows they are; a user's rows are drawn together.
        rows: how many rows each row stands for.
        seed: of the resampling.
        draws: how many resamples; those without both labels are left out.
    """
    owner = users.rank("dense").to_numpy().astype(np.int64) - 1
    n_users = int(owner.max()) + 1
    rankings = {name: Ranking.of(p) for name, p in scores.items()}

    def draw(number: int) -> list[Floats] | None:
        counts = np.random.default_rng([seed, number]).poisson(1.0, n_users).astype(np.float64)
        weights = rows * counts[owner]
        if not 0 < np.sum(weights * labels) < np.sum(weights):
            return None
        return [ranking.measure(labels, weights) for ranking in rankings.values()]

    drawn = [found for found in each(range(draws), draw) if found is not None]
    table = np.array(drawn).reshape(len(drawn), len(rankings), len(METRICS))
    return Judgement(
        point={name: ranking.measure(labels, rows) for name, ranking in rankings.items()},
        drawn={name: table[:, i] for i, name in enumerate(rankings)},
    )


def _interval(value: float, drawn: Floats) -> Measure:
    if not drawn.size:
        return Measure(value=float(value))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measure(value=float(value), low=float(low), high=float(high))


def by_group(probability: Floats, rows: pl.DataFrame, group: pl.Series) -> pl.DataFrame:
    """Rows, positives, observed and expected rate, AUC and average precision of each group: a state, a snapshot."""
    answer = []
    framed = rows.with_columns(group.alias("group"), pl.Series("p", probability))
    for (name,), part in framed.group_by("group"):
        labels, p = part["label"].to_numpy().astype(np.float64), part["p"].to_numpy()
        weights = part["weight"].to_numpy()
        both = 0 < labels.sum() < len(labels)
        found = metrics(Ranking.of(p), labels, weights) if both else {}
        answer.append(
            {"group": str(name), "rows": len(part), "positives": int(labels.sum()),
             "observed": float(np.average(labels, weights=weights)),
             "expected": float(np.average(p, weights=weights)), "auc": found.get("auc"),
             "average_precision": found.get("average_precision")}
        )  # fmt: skip
    return pl.DataFrame(answer, schema_overrides={"auc": pl.Float64, "average_precision": pl.Float64}).sort("group")
