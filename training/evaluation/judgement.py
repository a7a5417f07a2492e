"""Models measured side by side: metrics with intervals over users, paired so that small differences can be seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.system.parallel import each
from serving.model.card import Measure
from training.evaluation.chance import Chance, chance
from training.evaluation.metrics import Floats, Rank, Ranking


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
