"""Metrics with intervals over users, paired so that small differences between models can be seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numba as nb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.system.parallel import each
from serving.model.card import Measure
from training.evaluation.chance import Chance, chance

Floats = NDArray[np.float64]

TOPS = (0.01, 0.05, 0.10, 0.20)
BINS = 10
METRICS = (
    "average_precision", "auc", "log_loss", "brier", "calibration_error", "observed_over_expected",
    *(f"lift_at_{round(top * 100)}" for top in TOPS), *(f"recall_at_{round(top * 100)}" for top in TOPS),
)  # fmt: skip


class Ranked(Protocol):
    """A model's answers on rows, ready to be measured on resamples of them."""

    #: names of what is measured
    METRICS: ClassVar[tuple[str, ...]]
    #: whether the calibration error is relative to the total that came true
    RELATIVE: ClassVar[bool]

    @property
    def bin(self) -> NDArray[np.int64]:
        """Equal-mass bin of each row, from 0 on."""
        ...

    @property
    def answers(self) -> Floats:
        """The prediction of each row."""
        ...

    @staticmethod
    def can_tell(labels: Floats, weights: Floats) -> bool:
        """Whether the labels of a resample differ at all."""
        ...

    def measure(self, labels: Floats, weights: Floats) -> Floats:
        """The `METRICS`, in their order."""
        ...


Rank = Callable[[Floats], Ranked]


@dataclass(frozen=True, slots=True)
class Ranking:
    """A probability's order over rows, computed once for all resamples.

    Attributes:
        order: rows from the highest score down.
        last: whether a row of the order is the last of those with an equal score.
        bin: equal-mass bin of each row, for the calibration error.
        probability: the score.
        losses: log loss of each row, were its label 0 and were it 1.
    """

    METRICS: ClassVar[tuple[str, ...]] = METRICS
    RELATIVE: ClassVar[bool] = False

    order: NDArray[np.int64]
    last: NDArray[np.bool_]
    bin: NDArray[np.int64]
    probability: Floats
    losses: Floats

    @classmethod
    def of(cls, probability: Floats) -> "Ranking":
        """Rank rows by a probability."""
        return cls(*ordered(probability), probability, _losses(probability))

    @property
    def answers(self) -> Floats:
        """The probability."""
        return self.probability

    @staticmethod
    def can_tell(labels: Floats, weights: Floats) -> bool:
        """Whether there are both."""
        return bool(0 < np.sum(weights * labels) < np.sum(weights))

    def measure(self, labels: Floats, weights: Floats) -> Floats:
        """The `METRICS` of the score, in their order."""
        return np.asarray(
            _measure(self.order, self.last, self.bin, self.probability, self.losses, labels, weights, np.array(TOPS))
        )


def ordered(score: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Rows from the highest score down, whether one is the last of equal scores there, and each row's tenth."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    edges = np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1])
    return order, np.append(ranked[1:] != ranked[:-1], True), np.searchsorted(edges, score, side="right")


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _losses(probability: Floats) -> Floats:
    """Log loss of each row, ``[label, rows]``: logarithms are taken once, not for each resample."""
    answer = np.empty((2, probability.size))
    for row in range(probability.size):
        clipped = min(max(probability[row], 1e-9), 1.0 - 1e-9)
        answer[0, row], answer[1, row] = -np.log(1.0 - clipped), -np.log(clipped)
    return answer


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _measure(
    order: NDArray[np.int64], last: NDArray[np.bool_], bins: NDArray[np.int64], probability: Floats, losses: Floats,
    labels: Floats, weights: Floats, tops: Floats,
) -> Floats:  # fmt: skip
    """All metrics in two passes over the rows."""
    total, positives, expected, loss, brier, gap = _level(bins, probability, losses, labels, weights)
    precision, area, lifts, recalls = _ranked(order, last, labels, weights, tops, total, positives)
    answer = np.empty(6 + 2 * tops.size)
    answer[0] = precision / positives
    answer[1] = area / (positives * (total - positives))
    answer[2] = loss / total
    answer[3] = brier / total
    answer[4] = gap / total
    answer[5] = positives / expected
    answer[6 : 6 + tops.size] = lifts
    answer[6 + tops.size :] = recalls
    return answer


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _level(
    bins: NDArray[np.int64], probability: Floats, losses: Floats, labels: Floats, weights: Floats
) -> tuple[float, float, float, float, float, float]:
    """Sums over the rows: weight, positives, expected positives, log loss, Brier loss, and the bins' absolute gaps."""
    total = positives = expected = loss = brier = 0.0
    gaps = np.zeros(BINS)
    for row in range(bins.size):
        w, y, p = weights[row], labels[row], probability[row]
        if w == 0.0:
            continue
        total += w
        positives += w * y
        expected += w * p
        loss += w * losses[1 if y == 1.0 else 0, row]
        brier += w * (y - p) ** 2
        gaps[bins[row]] += w * (p - y)
    return total, positives, expected, loss, brier, np.abs(gaps).sum()


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _ranked(
    order: NDArray[np.int64], last: NDArray[np.bool_], labels: Floats, weights: Floats, tops: Floats, total: float,
    positives: float,
) -> tuple[float, float, Floats, Floats]:  # fmt: skip
    """From the highest score down: the sum of precisions, the area, and lifts and recalls of the top shares."""
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
    return precision, area, lifts, recalls


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
        metrics: what is measured.
        point: the metrics of each model.
        drawn: the same of each resample, ``[draws, metrics]``.
        numbers: of the resamples, from 0 on; those whose labels are all alike are left out.
        chance: what calibration error and level of each model would be by chance alone, were it perfect.
    """

    metrics: tuple[str, ...]
    point: Mapping[str, Floats]
    drawn: Mapping[str, Floats]
    numbers: NDArray[np.int64]
    chance: Mapping[str, Chance]

    def among(self, names: Mapping[str, str], draws: int) -> "Judgement":
        """Some of the models on the first resamples, as if only they had been measured on so many.

        Args:
            names: what each is called then, and what it is called here.
            draws: how many resamples.
        """
        kept = self.numbers < draws
        return Judgement(
            metrics=self.metrics,
            point={name: self.point[was] for name, was in names.items()},
            drawn={name: self.drawn[was][kept] for name, was in names.items()},
            numbers=self.numbers[kept],
            chance={name: self.chance[was] for name, was in names.items()},
        )

    def measure(self, model: str, metric: str) -> Measure:
        """A metric with its 95 % interval."""
        at = self.metrics.index(metric)
        return _interval(self.point[model][at], self.drawn[model][:, at])

    def measures(self, model: str) -> dict[str, Measure]:
        """All metrics of a model."""
        return {metric: self.measure(model, metric) for metric in self.metrics}

    def ahead(self, model: str, other: str, metric: str, *, relative: bool = False) -> Measure:
        """How much higher a metric of a model is than another's, paired; relative to the other's value if asked."""
        at = self.metrics.index(metric)
        value = self.point[model][at] - self.point[other][at]
        drawn = self.drawn[model][:, at] - self.drawn[other][:, at]
        if relative:
            value, drawn = value / self.point[other][at], drawn / self.drawn[other][:, at]
        return _interval(value, drawn)


def judge(
    scores: Mapping[str, Floats],
    labels: Floats,
    users: pl.Series,
    rows: Floats,
    *,
    seed: int,
    draws: int,
    rank: Rank = Ranking.of,
) -> Judgement:
    """Measure several models on the same rows, and on resamples of the users (Poisson bootstrap).

    Args:
        scores: probabilities of each model, or amounts.
        labels: 0 or 1, both present; or amounts.
        users: whose rows they are; a user's rows are drawn together.
        rows: how many rows each row stands for.
        seed: of the resampling.
        draws: how many resamples; those whose labels are all alike are left out.
        rank: makes a model's answers ready to be measured.
    """
    owner = users.rank("dense").to_numpy().astype(np.int64) - 1
    n_users = int(owner.max()) + 1
    rankings = {name: rank(p) for name, p in scores.items()}
    first = next(iter(rankings.values()))

    def draw(number: int) -> list[Floats] | None:
        counts = np.random.default_rng([seed, number]).poisson(1.0, n_users).astype(np.float64)
        weights = rows * counts[owner]
        if not first.can_tell(labels, weights):
            return None
        return [ranking.measure(labels, weights) for ranking in rankings.values()]

    kept = [(number, found) for number, found in enumerate(each(range(draws), draw)) if found is not None]
    drawn = [found for _, found in kept]
    table = np.array(drawn).reshape(len(drawn), len(rankings), len(first.METRICS))
    return Judgement(
        metrics=first.METRICS,
        point={name: ranking.measure(labels, rows) for name, ranking in rankings.items()},
        drawn={name: table[:, i] for i, name in enumerate(rankings)},
        numbers=np.array([number for number, _ in kept], dtype=np.int64),
        chance={
            name: chance(r.answers, labels, r.bin, owner, rows, relative=r.RELATIVE, seed=seed)
            for name, r in rankings.items()
        },
    )


def _interval(value: float, drawn: Floats) -> Measure:
    if not drawn.size:
        return Measure(value=float(value))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measure(value=float(value), low=float(low), high=float(high))


def by_group(
    answers: Floats, rows: pl.DataFrame, group: pl.Series, rank: Callable[[Floats], Rank], kept: Sequence[str]
) -> pl.DataFrame:
    """Rows, positives, observed and expected mean of each group (a state, a snapshot), and how it is ranked.

    Args:
        answers: of the model.
        rows: with ``label`` and ``weight``.
        group: each row's.
        rank: makes answers ready to be measured on labels.
        kept: the metrics to report, null where a group's labels are all alike.
    """
    answer = []
    framed = rows.select("label", "weight", group.alias("group"), pl.Series("answer", answers))
    for (name,), part in framed.group_by("group"):
        labels, answers = part["label"].to_numpy().astype(np.float64), part["answer"].to_numpy()
        weights = part["weight"].to_numpy()
        ranked = rank(labels)(answers)
        tells = ranked.can_tell(labels, weights)
        found = dict(zip(ranked.METRICS, ranked.measure(labels, weights).tolist(), strict=True)) if tells else {}
        answer.append(
            {"group": str(name), "rows": len(part), "positives": int((labels > 0).sum()),
             "observed": float(np.average(labels, weights=weights)),
             "expected": float(np.average(answers, weights=weights)), **{metric: found.get(metric) for metric in kept}}
        )  # fmt: skip
    return pl.DataFrame(answer, schema_overrides=dict.fromkeys(kept, pl.Float64)).sort("group")
