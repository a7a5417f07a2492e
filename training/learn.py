"""One outcome, learnt and judged: beside the floors, beside the champion, by slice and by snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import altair as alt
import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.rule import predicates
from features.definition.schema import Definition
from features.snapshot import WEIGHT
from segments.evaluator import Evaluator
from segments.rfm import RfmCuts, with_rfm
from segments.tiers import fit_tiers, quantiles
from serving.card import Measure, ModelCard, Ranges
from serving.model import Floats, Model
from training import plots
from training.dataset import Dataset
from training.evaluate import Judgement, by_group, judge
from training.fit import Fitted, Matrices, Parameters, fit
from training.gate import Criterion, slices
from training.yardstick import Yardstick, yardstick_of

#: resamples of the users never seen in training
UNSEEN_DRAWS = 300


@dataclass(frozen=True, slots=True)
class Learnt:
    """A fitted and judged model.

    Attributes:
        model: with its card.
        answers: what it says of the test slice.
        parameters: of the fit.
        criteria: of the gate, as far as the test slice tells them.
        against: how far the model is ahead of the champion and the floors, by model and metric.
        charts: pictures by name.
        tables: tables by name: ``slices``, ``snapshots``, ``base_rates``.
        data_digest: changes when a row, a label or a slice of the data set changes.
    """

    model: Model
    answers: Floats
    parameters: Parameters
    criteria: list[Criterion]
    against: Mapping[str, Mapping[str, Measure]]
    charts: Mapping[str, alt.Chart]
    tables: Mapping[str, pl.DataFrame]
    data_digest: str


def learn(
    data: Dataset,
    matrices: Matrices,
    definition: Definition,
    cuts: RfmCuts | None,
    *,
    champion: Model | None = None,
    tuned: Parameters | None = None,
) -> Learnt:
    """Fit an outcome's model and judge it on the test slice.

    Args:
        data: the data set.
        matrices: the same, laid out.
        definition: the definition.
        cuts: frozen RFM cut-offs, for the rule states.
        champion: the model served now, if it reads the same features.
        tuned: parameters found by tuning.
    """
    fitted = fit(data, matrices, definition, tuned)
    model = Model(fitted.booster, fitted.numbers, _card(data, matrices, definition, fitted), f"{data.outcome}/new")
    test, seed = data.part("test"), definition.training.seed
    yardstick = yardstick_of(definition.asked[data.outcome])
    matrix = model.matrix(test)
    state = Evaluator.of(predicates(definition.states)).first().alias("state")
    states = {
        name: with_rfm(data.part(name), definition.rfm, cuts).with_columns(state)["state"] for name in ("fit", "test")
    }
    scores = {"model": model.predict(matrix)}
    if champion is not None:
        scores["champion"] = champion.predict(champion.matrix(test))
    scores |= yardstick.floors(data, definition, states)
    labels, weights = test["label"].to_numpy().astype(np.float64), test[WEIGHT].to_numpy()
    rank = yardstick.rank(labels)
    judgement = judge(scores, labels, test["user"], weights, seed=seed, draws=definition.gate.draws, rank=rank)
    measured = judgement.measures("model") | _of_unseen(scores["model"], test, yardstick, seed)
    card = model.card.model_copy(
        update={
            "metrics": measured,
            "floors": {
                name: _beside(judgement, name, yardstick) for name in scores if name not in ("model", "champion")
            },
        }
    )
    card = card.model_copy(update={"words": yardstick.words(card)})
    model = replace(model, card=card)
    groups = {"state": states["test"], "tenure": _tenure(test)}
    both = {name: p for name, p in scores.items() if name in ("model", "champion")}
    gated = slices(
        both, test, groups, definition.gate, seed=seed, metric=yardstick.ranks[0], rank=yardstick.rank
    )  # fmt: skip
    tables = {
        "slices": pl.concat(
            _by(scores["model"], test, group, yardstick).insert_column(0, pl.lit(kind).alias("kind"))
            for kind, group in groups.items()
        ),
        "snapshots": _snapshots(model, data, yardstick),
        "base_rates": data.previewed,
    }
    terms = yardstick.terms
    judged = plots.Judged(labels, weights, scores, terms)
    some = matrix[np.random.default_rng(seed).permutation(len(matrix))[:2_000]]
    return Learnt(
        model=model,
        answers=scores["model"],
        parameters=fitted.parameters,
        criteria=[*yardstick.criteria(judgement, definition), gated],
        against={n: {m: judgement.ahead("model", n, m) for m in judgement.metrics} for n in scores if n != "model"},
        charts={
            "gains": plots.gains(judged),
            "lift": plots.lift(judged),
            "calibration": plots.calibration(judged),
            "stability": plots.stability(tables["snapshots"], terms),
            "slices": plots.slices(tables["slices"], terms),
            "importance": plots.importance([*card.features, *card.categories], model.effects(some), terms),
            "base_rates": plots.base_rates(data.previewed, terms),
            **yardstick.charts(judged),
        },
        tables=tables,
        data_digest=f"{data.rows.select('user', 'cutoff', 'slice', 'label').hash_rows(seed=1).sum():016x}"[-8:],
    )


def _beside(judgement: Judgement, floor: str, yardstick: Yardstick) -> dict[str, Measure]:
    """A floor's metrics, and how far it lies behind the model."""
    behind = {f"{m}_behind": judgement.ahead("model", floor, m) for m in yardstick.ranks}
    return judgement.measures(floor) | behind


def _of_unseen(answers: Floats, test: pl.DataFrame, yardstick: Yardstick, seed: int) -> dict[str, Measure]:
    """How well the users are ordered whom no slice but the test has held."""
    held = test["unseen"].to_numpy()
    unseen = test.filter("unseen")
    labels, weights = unseen["label"].to_numpy().astype(np.float64), unseen[WEIGHT].to_numpy()
    rank = yardstick.rank(labels)
    if unseen.is_empty() or not rank(answers[held]).can_tell(labels, weights):
        return {}
    found = judge({"m": answers[held]}, labels, unseen["user"], weights, seed=seed, draws=UNSEEN_DRAWS, rank=rank)
    return {f"unseen_{key}": found.measure("m", key) for key in yardstick.ranks}


def _by(answers: Floats, rows: pl.DataFrame, group: pl.Series, yardstick: Yardstick) -> pl.DataFrame:
    return by_group(answers, rows, group, yardstick.rank, yardstick.ranks)


def _tenure(rows: pl.DataFrame) -> pl.Series:
    """How long each row's user is known, in words."""
    days = pl.col("tenure_days")
    name = pl.when(days <= 30).then(pl.lit("up to 30 days")).when(days <= 90).then(pl.lit("31 to 90 days"))
    return rows.select(name.otherwise(pl.lit("more than 90 days")).alias("tenure")).to_series()


def _snapshots(model: Model, data: Dataset, yardstick: Yardstick) -> pl.DataFrame:
    """How the model does at each cutoff it was not fitted on: those it was adjusted on, and those of the test."""
    parts = []
    for name, period in (("stop", "adjusted on"), ("calibrate", "adjusted on"), ("test", "test")):
        parts.append(data.part(name).with_columns(pl.lit(period).alias("period")))
    rows = pl.concat(parts)
    found = _by(model.predict(model.matrix(rows)), rows, rows["cutoff"].dt.to_string("%Y-%m-%dT%H:%M:%S"), yardstick)
    periods = rows.select(pl.col("cutoff").dt.to_string("%Y-%m-%dT%H:%M:%S").alias("group"), "period").unique("group")
    ratio = (pl.col("observed") / pl.col("expected")).alias("ratio")
    return found.join(periods, on="group").sort("group").with_columns(ratio).rename({"group": "cutoff"})


def _card(data: Dataset, matrices: Matrices, definition: Definition, fitted: Fitted) -> ModelCard:
    """The card of a model that is not judged yet."""
    rule, slices = definition.asked[data.outcome], data.summary()
    labels, weights = matrices.y["calibrate"], matrices.weights["calibrate"]
    base_rate = float(np.average(labels, weights=weights))
    names = list(feature_set(definition).numeric)
    return ModelCard(
        outcome=data.outcome,
        question=rule.question,
        among=rule.among,
        gap=rule.gap,
        horizon=rule.within,
        definition=definition.version,
        feature_digest=feature_set(definition).digest,
        features=names,
        categories=fitted.categories,
        ranges=_ranges([matrices.X[name][:, : len(names)] for name in ("fit", "stop")]),
        tiers=fit_tiers(rule, fitted.calibrated, weights, base_rate),
        percentiles=quantiles(fitted.calibrated, weights, np.linspace(0, 1, 101).tolist()),
        base_rate=base_rate,
        trained_from=str(slices["fit"]["first_cutoff"]),
        trained_through=str(slices["fit"]["last_cutoff"]),
        slices=slices,
        metrics={},
        floors={},
    )


def _ranges(slices: Sequence[Floats]) -> Ranges:
    """Lowest and highest value of each column in what was fitted on, None where it has none; where some are missing."""
    low = np.min([np.where(np.isnan(X), np.inf, X).min(axis=0) for X in slices], axis=0)
    high = np.max([np.where(np.isnan(X), -np.inf, X).max(axis=0) for X in slices], axis=0)
    missing = np.any([np.isnan(X).any(axis=0) for X in slices], axis=0)
    ends = ([v if np.isfinite(v) else None for v in end.tolist()] for end in (low, high))
    return Ranges(lowest=next(ends), highest=next(ends), missing=missing.tolist())
