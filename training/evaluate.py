"""Metrics with intervals over users, paired so that small differences between models can be seen."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serving.card import Measure

Floats = NDArray[np.float64]

TOPS = (0.01, 0.05, 0.10, 0.20)
RESAMPLES = 200
BINS = 10


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


def metrics(ranking: Ranking, labels: Floats, weights: Floats) -> dict[str, float]:
    """Weighted metrics of a probability.

    Average precision and AUC take tied scores together; ``lift_at_10`` is the precision of the top tenth over the base
    rate, ``recall_at_10`` its share of all positives (ties broken by row order); ``calibration_error`` is the mean gap
    between predicted and observed rate over ten equal-mass bins.
    """
    p = ranking.probability
    w, hit = weights[ranking.order], (weights * labels)[ranking.order]
    seen, found = np.cumsum(w), np.cumsum(hit)
    total, positives = seen[-1], found[-1]
    seen_at, found_at = seen[ranking.last], found[ranking.last]
    precision = found_at / np.maximum(seen_at, 1e-12)
    negatives_at = seen_at - found_at
    auc = np.sum(np.diff(negatives_at, prepend=0.0) * (found_at + np.concatenate([[0.0], found_at[:-1]])) / 2)
    answer = {
        "average_precision": float(np.sum(np.diff(found_at, prepend=0.0) * precision) / positives),
        "auc": float(auc / (positives * (total - positives))),
    }
    base = positives / total
    for top in TOPS:
        k = np.searchsorted(seen, top * total, side="left")
        k = min(int(k), len(seen) - 1)
        answer[f"lift_at_{round(top * 100)}"] = float(found[k] / seen[k] / base)
        answer[f"recall_at_{round(top * 100)}"] = float(found[k] / positives)
    clipped = np.clip(p, 1e-9, 1 - 1e-9)
    loss = -(labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped))
    answer["log_loss"] = float(np.sum(weights * loss) / total)
    answer["brier"] = float(np.sum(weights * (labels - p) ** 2) / total)
    gaps = np.bincount(ranking.bin, weights * (p - labels), minlength=BINS)
    answer["calibration_error"] = float(np.sum(np.abs(gaps)) / total)
    answer["observed_over_expected"] = float(positives / np.sum(weights * p))
    return answer


def evaluate(
    scores: Mapping[str, Floats], labels: Floats, users: pl.Series, rows: Floats, *, seed: int, against: str
) -> dict[str, dict[str, Measure]]:
    """Measure several models on the same rows, with 95 % intervals by resampling users.

    Args:
        scores: probabilities of each model.
        labels: 0 or 1.
        users: whose rows they are; a user's rows are drawn together.
        rows: how many rows each row stands for.
        seed: of the resampling.
        against: the model the others are compared with.

    Returns:
        Per model its metrics, and for each but ``against`` also ``average_precision_behind`` and ``auc_behind``: how
        far it lies below ``against``, paired on the same resamples.
    """
    owner = users.rank("dense").to_numpy().astype(np.int64) - 1
    n_users = int(owner.max()) + 1
    rankings = {name: Ranking.of(p) for name, p in scores.items()}
    point = {name: metrics(r, labels, rows) for name, r in rankings.items()}
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[dict[str, float]]] = {name: [] for name in scores}
    for _ in range(RESAMPLES):
        weights = rows * rng.poisson(1.0, n_users)[owner]
        if not 0 < np.sum(weights * labels) < np.sum(weights):
            continue
        for name, ranking in rankings.items():
            drawn[name].append(metrics(ranking, labels, weights))
    answer: dict[str, dict[str, Measure]] = {}
    for name, found in point.items():
        answer[name] = {k: _measure(v, [d[k] for d in drawn[name]]) for k, v in found.items()}
        if name != against:
            for k in ("average_precision", "auc"):
                behind = [a[k] - b[k] for a, b in zip(drawn[against], drawn[name], strict=True)]
                answer[name][f"{k}_behind"] = _measure(point[against][k] - found[k], behind)
    return answer


def _measure(value: float, drawn: list[float]) -> Measure:
    if not drawn:
        return Measure(value=value)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measure(value=value, low=float(low), high=float(high))


def by_group(probability: Floats, rows: pl.DataFrame, group: pl.Series) -> pl.DataFrame:
    """Rows, positives, observed and expected rate and AUC of each group: a state, a snapshot."""
    answer = []
    for (name,), part in rows.with_columns(group.alias("group"), pl.Series("p", probability)).group_by("group"):
        labels, p = part["label"].to_numpy().astype(np.float64), part["p"].to_numpy()
        both = 0 < labels.sum() < len(labels)
        auc = metrics(Ranking.of(p), labels, np.ones(len(labels)))["auc"] if both else None
        answer.append(
            {"group": str(name), "rows": len(part), "positives": int(labels.sum()), "observed": float(labels.mean()),
             "expected": float(p.mean()), "auc": auc}
        )  # fmt: skip
    return pl.DataFrame(answer).sort("group")
