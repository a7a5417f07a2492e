"""Procedures: fitted on what the test must not know to be compared, and on everything that is known to serve."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.system.parallel import each
from segments.tiers import fit_tiers, quantiles
from serving.model.card import Kind, ModelCard, Procedure, Ranges
from serving.model.model import Model
from serving.model.numbers import Floats
from training.baselines.classification import rfm_columns
from training.dataset.dataset import Dataset
from training.dataset.matrices import Matrices
from training.evaluation.judgement import Judgement, judge
from training.evaluation.metrics import Rank
from training.evaluation.simplest import KINDS
from training.fitting.bg_nbd import applies
from training.fitting.fit import Fitted, fit
from training.fitting.trees import Parameters

#: rows that are asked about together
AT_ONCE = 4_096


@dataclass(frozen=True, slots=True)
class TestRows:
    """The rows that candidates are compared on.

    Attributes:
        labels, weights, users: of the rows.
        seed: of the resampling.
        rank: makes answers ready to be measured.
    """

    labels: Floats
    weights: Floats
    users: pl.Series
    seed: int
    rank: Rank

    def judge(self, scores: dict[str, Floats], draws: int) -> Judgement:
        """Measure models' answers on these rows, and on resamples of their users."""
        return judge(scores, self.labels, self.users, self.weights, seed=self.seed, draws=draws, rank=self.rank)


@dataclass(frozen=True)
class Candidates:
    """Fits procedures on the ``learn`` slice, each once, and asks them about the test.

    Attributes:
        data: the data set.
        matrices: the same, laid out.
        definition: the definition.
    """

    data: Dataset
    matrices: Matrices
    definition: Definition
    _fitted: dict[str, tuple[Model, Fitted]] = field(default_factory=dict)

    def model(self, procedure: Procedure) -> Model:
        """The model of a procedure."""
        key = procedure.model_dump_json()
        if key not in self._fitted:
            fitted = _follow(self._learn, self.definition, self.data.outcome, procedure)
            card = _card(self.data, self._learn, self.definition, fitted, procedure)
            model = Model(fitted.booster, fitted.numbers, card, f"{self.data.outcome}/judged")
            self._fitted[key] = (model, fitted)
        return self._fitted[key][0]

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of models that can answer the outcome, the simplest first."""
        repeated = applies(self._learn, self.definition.outcomes[self.data.outcome])
        return tuple(kind for kind in KINDS if repeated or kind != "bg_nbd")

    @cached_property
    def _learn(self) -> Matrices:
        """The rows learnt from, laid out once for all procedures."""
        return self.matrices.part("learn")

    def answers(self, model: Model) -> Floats:
        """What a model says of the test."""
        rows = self.matrices.slices["test"]
        parts = np.array_split(rows, max(1, len(rows) // AT_ONCE))
        return np.concatenate(list(each(parts, lambda part: model.predict(self.matrices.X[part]))))

    def cross_fitted(self, model: Model) -> Floats:
        """What a model's folds say of the rows learnt from, each of users it has not seen."""
        return next(fitted.answers for found, fitted in self._fitted.values() if found is model)


def serving_model(
    data: Dataset, matrices: Matrices, definition: Definition, procedure: Procedure
) -> tuple[Model, Parameters]:
    """Follow a procedure on all labelled rows up to the newest: the model that serves, not judged yet."""
    fitted = _follow(matrices, definition, data.outcome, procedure)
    card = _card(data, matrices, definition, fitted, procedure)
    return Model(fitted.booster, fitted.numbers, card, f"{data.outcome}/new"), fitted.parameters


def newest(rows: pl.DataFrame) -> datetime:
    """The newest cutoff of rows."""
    found = rows["cutoff"].max()
    if not isinstance(found, datetime):
        raise TypeError(f"cutoffs are {rows['cutoff'].dtype}, not instants")
    return found


def columns_of(kind: Kind, definition: Definition, outcome: str) -> list[str] | None:
    """What a kind's regression reads; None for all columns, or where there is no regression."""
    if kind in ("blend", "bg_nbd"):
        return None
    names = rfm_columns(definition, outcome)
    return names if kind == "rfm" else [name for name in names if name.startswith("days_since_")]


def _follow(matrices: Matrices, definition: Definition, outcome: str, procedure: Procedure) -> Fitted:
    return fit(matrices, definition, outcome, procedure, columns_of(procedure.kind, definition, outcome))


def _card(data: Dataset, matrices: Matrices, definition: Definition, fitted: Fitted, procedure: Procedure) -> ModelCard:
    """The card of a model that is not judged yet, of the rows it was fitted on."""
    rule, features = definition.outcomes[data.outcome], feature_set(definition)
    base_rate = float(np.average(matrices.y, weights=fitted.weights))
    from_, through = (str(pl.Series([f(matrices.cutoffs)]).cast(pl.Datetime("us", "UTC"))[0]) for f in (np.min, np.max))
    return ModelCard(
        outcome=data.outcome,
        question=rule.question,
        among=rule.among,
        gap=rule.gap,
        horizon=rule.within,
        definition=definition.version,
        feature_digest=features.digest,
        features=list(features.numeric),
        categories=matrices.categories,
        ranges=Ranges.of(matrices.X[:, : matrices.numeric]),
        tiers=fit_tiers(rule, fitted.answers, fitted.weights, base_rate),
        percentiles=quantiles(fitted.answers, fitted.weights, np.linspace(0, 1, 101).tolist()),
        base_rate=base_rate,
        trained_from=from_,
        trained_through=through,
        slices=data.summary(),
        metrics={},
        baselines={},
        procedure=procedure,
        judged_by=data.by,
    )
