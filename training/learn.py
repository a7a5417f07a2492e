"""One outcome, learnt and judged: beside the baselines, beside the champion, by slice and by snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import ValueOutcome
from features.definition.sections.rule import predicates
from features.expressions.program import columns_of
from features.snapshot import WEIGHT
from segments.evaluator import Evaluator
from segments.rfm import RfmCuts, with_rfm
from serving.model.card import Measure, ModelCard, Procedure, TreatedLabels
from serving.model.model import Model
from serving.model.numbers import Floats
from training.candidates import Candidates, TestRows, newest, serving_model
from training.dataset.dataset import Dataset
from training.dataset.matrices import Matrices
from training.evaluation.gate import Criterion, policy_of, slices
from training.evaluation.judgement import Judgement, by_group, judge
from training.evaluation.protocol import EvaluationProtocol, protocol_of
from training.evaluation.reliability import reliability
from training.evaluation.season import season
from training.evaluation.simplest import simplest
from training.fitting.trees import Parameters
from training.report import model_plots as plots
from training.report.pictures import Pictures, pictures_of

if TYPE_CHECKING:
    import altair as alt

#: resamples of the users never seen in training
UNSEEN_DRAWS = 300
#: resamples that tell whether a simpler kind of model is as good
KIND_DRAWS = 500
#: rows of the test that the picture of importance explains
EXPLAINED = 2_000


#: what is done when nothing was searched for
USUAL = Procedure()


@dataclass(frozen=True, slots=True)
class Learnt:
    """A fitted and judged model.

    Attributes:
        model: what serves, fitted on everything that is known, with its card.
        answers: what the same procedure, fitted on the ``learn`` slice alone, says of the test slice.
        parameters: of the fit.
        criteria: of the gate, as far as the test slice decides them.
        against: how far the model is ahead of the champion and the baselines, by model and metric.
        charts: pictures by name.
        tables: tables by name: ``slices``, ``snapshots``, ``base_rates``, ``kinds``, ``reliability``.
        data_digest: changes when a row, a label or a slice of the data set changes.
    """

    model: Model
    answers: Floats
    parameters: Parameters
    criteria: list[Criterion]
    against: Mapping[str, Mapping[str, Measure]]
    charts: "Mapping[str, alt.Chart]"
    tables: Mapping[str, pl.DataFrame]
    data_digest: str


def learn(
    data: Dataset,
    matrices: Matrices,
    definition: Definition,
    cuts: RfmCuts | None,
    *,
    champion: ModelCard | None = None,
    procedure: Procedure = USUAL,
) -> Learnt:
    """Judge a procedure on the test slice, and fit what serves by it on everything that is known.

    Args:
        data: the data set.
        matrices: the same, laid out.
        definition: the definition.
        cuts: frozen RFM cut-offs, for the rule states.
        champion: the card of the model served now, if it answers the same question from the same features.
        procedure: how to fit; its kind is chosen here.
    """
    rule, seed = definition.outcomes[data.outcome], definition.training.seed
    protocol, pictures, test = protocol_of(rule), pictures_of(rule), data.part("test")
    candidates = Candidates(data, matrices, definition)
    labels, weights = test["label"].to_numpy().astype(np.float64), test[WEIGHT].to_numpy()
    judging = TestRows(labels, weights, test["user"], seed, protocol.rank(labels))
    states, kinds = _states(data, definition, cuts), _of_kinds(candidates, procedure)
    others = {**_of_champion(candidates, champion), **{k: p for k, p in kinds.items() if k != "blend"}}
    others |= protocol.baselines(data, definition, states)
    judged = judging.judge(kinds | others, max(KIND_DRAWS, definition.gate.draws))  # all once, on the same resamples
    chosen, compared = _chosen(judged.among({kind: kind for kind in kinds}, KIND_DRAWS), protocol, definition)
    procedure, answers = procedure.model_copy(update={"kind": chosen}), kinds[chosen]
    learnt = candidates.cross_fitted(candidates.model(procedure))
    scores = {"model": answers, **others}
    judgement = judged.among({"model": chosen, **{name: name for name in others}}, definition.gate.draws)
    model, parameters = serving_model(data, matrices, definition, procedure)
    unseen = _of_unseen(answers, test, protocol, seed)
    model = replace(model, card=_judged(model.card, judgement, protocol, unseen))
    level = season(data.part("learn"), learnt, test, answers, relative=isinstance(rule, ValueOutcome), seed=seed)
    against = policy_of(champion, procedure, newest(data.rows), rule.within, definition.gate.stale, candidates.kinds)
    criteria = protocol.criteria(judgement, definition, against, level)
    groups = {"state": states["test"], "tenure": _tenure(test)}
    tables = {"slices": _by_groups(answers, test, groups, protocol), "base_rates": data.previewed,
              "snapshots": _snapshots(learnt, answers, data, protocol), "kinds": compared,
              "reliability": reliability(answers, labels, weights)}  # fmt: skip
    return Learnt(
        model=model,
        answers=answers,
        parameters=parameters,
        criteria=[*criteria, _gated_slices(scores, test, groups, definition, protocol)],
        against={n: {m: judgement.ahead("model", n, m) for m in judgement.metrics} for n in scores if n != "model"},
        charts=_charts(plots.Judged(labels, weights, scores, pictures.terms), model, test, tables, pictures),
        tables=tables,
        data_digest=_digest(data),
    )


def of_treated(learnt: Learnt, treated: TreatedLabels) -> Learnt:
    """The same with what its card and its parameters say of labels of users who were acted on."""
    model = replace(learnt.model, card=learnt.model.card.model_copy(update={"treated": treated}))
    shown = {f"treated_{name}": value for name, value in treated.model_dump().items()}
    return replace(learnt, model=model, parameters={**learnt.parameters, **shown})


def _of_kinds(candidates: Candidates, procedure: Procedure) -> dict[str, Floats]:
    """What the same procedure, followed with every kind of model, says of the test slice."""
    return {
        kind: candidates.answers(candidates.model(procedure.model_copy(update={"kind": kind})))
        for kind in candidates.kinds
    }


def _chosen(kinds: Judgement, protocol: EvaluationProtocol, definition: Definition) -> tuple[str, pl.DataFrame]:
    """The simplest kind that is as good as the best, and each kind's metrics."""
    chosen = simplest(kinds, protocol.loss, protocol.ranks[0], definition.gate.simple)
    rows = [{"kind": name, **{m: kinds.measure(name, m).value for m in kinds.metrics}} for name in kinds.point]
    return chosen, pl.DataFrame(rows)


def _of_champion(candidates: Candidates, champion: ModelCard | None) -> dict[str, Floats]:
    """What the champion's procedure says of the test slice, if its kind can be fitted here."""
    if champion is None or champion.procedure is None or champion.procedure.kind not in candidates.kinds:
        return {}
    return {"champion": candidates.answers(candidates.model(champion.procedure))}


def _states(data: Dataset, definition: Definition, cuts: RfmCuts | None) -> dict[str, pl.Series]:
    """The rule state of each row of both slices."""
    evaluator, found = Evaluator(predicates(definition.states)), dict[str, pl.Series]()
    for name in ("learn", "test"):
        rows = with_rfm(data.part(name), definition.rfm, cuts)
        states = evaluator.first(columns_of(rows, evaluator.columns), len(rows))
        found[name] = states.to_series().alias("state")
    return found


def _judged(
    card: ModelCard, judgement: Judgement, protocol: EvaluationProtocol, unseen: Mapping[str, Measure]
) -> ModelCard:
    """The card with what the judged model, and the baselines, have shown."""
    baselines = [name for name in judgement.point if name not in ("model", "champion")]
    found = card.model_copy(
        update={
            "metrics": {**judgement.measures("model"), **unseen},
            "baselines": {name: _beside(judgement, name, protocol) for name in baselines},
        }
    )
    return found.model_copy(update={"words": protocol.words(found)})


def _charts(
    judged: plots.Judged, model: Model, test: pl.DataFrame, tables: Mapping[str, pl.DataFrame], pictures: Pictures
) -> "dict[str, alt.Chart]":
    """The report's pictures."""
    terms, card = pictures.terms, model.card
    some = test.sample(min(len(test), EXPLAINED), seed=1)
    return {
        "gains": plots.gains(judged),
        "lift": plots.lift(judged),
        "calibration": plots.calibration(tables["reliability"], terms),
        "stability": plots.stability(tables["snapshots"], terms),
        "slices": plots.slices(tables["slices"], terms),
        "importance": plots.importance([*card.features, *card.categories], model.effects(model.matrix(some)), terms),
        "base_rates": plots.base_rates(tables["base_rates"], terms),
        **pictures.own(judged),
    }


def _beside(judgement: Judgement, baseline: str, protocol: EvaluationProtocol) -> dict[str, Measure]:
    """A baseline's metrics, and how far it lies behind the model."""
    behind = {f"{m}_behind": judgement.ahead("model", baseline, m) for m in protocol.ranks}
    return judgement.measures(baseline) | behind


def _of_unseen(answers: Floats, test: pl.DataFrame, protocol: EvaluationProtocol, seed: int) -> dict[str, Measure]:
    """How well the users are ordered who are in the test only."""
    held = test["unseen"].to_numpy()
    unseen = test.filter("unseen")
    labels, weights = unseen["label"].to_numpy().astype(np.float64), unseen[WEIGHT].to_numpy()
    rank = protocol.rank(labels)
    if unseen.is_empty() or not rank(answers[held]).can_tell(labels, weights):
        return {}
    found = judge({"m": answers[held]}, labels, unseen["user"], weights, seed=seed, draws=UNSEEN_DRAWS, rank=rank)
    return {f"unseen_{key}": found.measure("m", key) for key in protocol.ranks}


def _gated_slices(
    scores: Mapping[str, Floats],
    test: pl.DataFrame,
    groups: dict[str, pl.Series],
    definition: Definition,
    protocol: EvaluationProtocol,
) -> Criterion:
    """The gate's criterion that no slice falls behind the champion."""
    both = {name: p for name, p in scores.items() if name in ("model", "champion")}
    return slices(
        both, test, groups, definition.gate,
        seed=definition.training.seed, metric=protocol.ranks[0], rank=protocol.rank,
    )  # fmt: skip


def _digest(data: Dataset) -> str:
    """Eight hex digits that change when a row, a label or a slice changes."""
    return f"{data.rows.select('user', 'cutoff', 'slice', 'label').hash_rows(seed=1).sum():016x}"[-8:]


def _by_groups(
    answers: Floats, test: pl.DataFrame, groups: Mapping[str, pl.Series], protocol: EvaluationProtocol
) -> pl.DataFrame:
    """How the judged model does in each group of each kind."""
    return pl.concat(
        _by(answers, test, group, protocol).insert_column(0, pl.lit(kind).alias("kind"))
        for kind, group in groups.items()
    )


def _by(answers: Floats, rows: pl.DataFrame, group: pl.Series, protocol: EvaluationProtocol) -> pl.DataFrame:
    return by_group(answers, rows, group, protocol.rank, protocol.ranks)


def _tenure(rows: pl.DataFrame) -> pl.Series:
    """How long each row's user is known, in words."""
    days = pl.col("tenure_days")
    name = pl.when(days <= 30).then(pl.lit("up to 30 days")).when(days <= 90).then(pl.lit("31 to 90 days"))
    return rows.select(name.otherwise(pl.lit("more than 90 days")).alias("tenure")).to_series()


def _snapshots(learnt: Floats, tested: Floats, data: Dataset, protocol: EvaluationProtocol) -> pl.DataFrame:
    """How the judged model does at each cutoff it learnt from, on users it had not seen, and at those of the test."""
    parts = [
        data.part(name).select("cutoff", "label", WEIGHT, pl.lit(period).alias("period"))
        for name, period in (("learn", "cross-fitted"), ("test", "test"))
    ]
    rows = pl.concat(parts)
    instant = pl.col("cutoff").dt.to_string("%Y-%m-%dT%H:%M:%S")
    both = rows.select(instant.alias("cutoff"), "period").unique()
    one = both.group_by("cutoff").agg(pl.col("period").max())  # a split by users has the same cutoffs in both
    found = _by(np.concatenate([learnt, tested]), rows, rows.select(instant).to_series(), protocol)
    ratio = (pl.col("observed") / pl.col("expected")).alias("ratio")
    return found.rename({"group": "cutoff"}).join(one, on="cutoff").sort("cutoff").with_columns(ratio)
