"""The scorer: feature rows in; state, RFM group, answers, tiers and segments out. Batch and API use it alike."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import feature_set
from features.definition.dimension import Dimension
from features.definition.schema import Definition
from features.definition.sections.outcome import ValueOutcome
from features.definition.sections.rule import predicates
from features.errors import ScoringError
from features.expressions.values import Texts
from features.rows import FeatureRows, rows_of
from features.system.parallel import each
from features.time import DAY, Instants
from segments.dependencies import models_in, uplift_key
from segments.evaluator import Evaluator, Names
from segments.holdout import Holdout
from segments.lead_score import Leads
from segments.rfm import RfmCuts, rfm_columns, rfm_of
from segments.tiers import SILENT, TIERS, VALUE_TIERS, tier_codes
from segments.value_to_date import ValueToDate
from serving.model.model import Model
from serving.model.numbers import Floats
from serving.model.trees.treeshap import WORTHWHILE
from serving.model.uplift import UpliftModel
from serving.scoring.earlier.batch import EarlierAnswers
from serving.scoring.reasons.columns import Changes, Reasons
from serving.scoring.reasons.explain import Explainer
from serving.scoring.reasons.wording import Wording
from serving.scoring.scores import Column, Scored, values_of
from serving.scoring.serialize import UpliftVersion
from serving.scoring.uplifts import Uplifts

#: why there is no answer for who is far outside what the model saw
BEYOND = "outside_trained_range"
#: users from whom on models are explained side by side
SIDE_BY_SIDE = 64
#: why there is no answer where an outcome has no champion
NO_MODEL = "no_model"


class Explained(NamedTuple):
    """Why answers are what they are, by outcome, and what changed since earlier ones."""

    reasons: dict[str, Reasons]
    changes: dict[str, Changes]


@dataclass
class _Marks:
    """Which rows lie outside what a model was fitted on: those with too much at stake, and those with a mark."""

    details: dict[int, str] = field(default_factory=dict)
    marks: dict[int, str] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)

    def columns(self, count: int) -> dict[str, Texts]:
        """What the record says of it."""
        nothing = Texts(np.full(count, -1), ())
        texts = {"detail": self.details, "extrapolated": self.marks}
        return {name: _texts_at(at, count) if at else nothing for name, at in texts.items()}


class Scorer:
    """Applies a definition's rules and models to feature rows.

    Args:
        definition: states, segments and outcomes.
        models: the served model of each outcome; an outcome without one is answered ``no_model``, and nobody is in a
            segment that rests on it.
        rfm: frozen RFM cut-offs.
        absent: of outcomes whose model is there and cannot be used, the reason given instead of ``no_model``; of
            experiments by `uplift_key`, too.
        uplifts: the uplift model of each experiment that has one.

    Raises:
        ScoringError: a model was trained on another feature set.
    """

    def __init__(
        self,
        definition: Definition,
        models: Mapping[str, Model],
        rfm: RfmCuts | None,
        absent: Mapping[str, str] = MappingProxyType({}),
        uplifts: Mapping[str, UpliftModel] = MappingProxyType({}),
    ) -> None:
        _check_features(definition, models)
        self.definition = definition
        self.models, self.absent, self.uplifts = dict(models), dict(absent), dict(uplifts)
        self._uplifts = Uplifts(definition, uplifts, absent)
        self._wording = Wording(definition)
        self.rfm = rfm
        #: segments of which nothing is known, by name, with the models that are missing
        self.silent = {
            name: sorted(missing)
            for name, rule in definition.segments.items()
            if (missing := models_in(rule, definition) - self.identities.keys())
        }
        answerable = {name: rule for name, rule in definition.segments.items() if name not in self.silent}
        self._states, self._every = (Evaluator(predicates(rules)) for rules in (definition.states, answerable))
        self._among = Evaluator({name: outcome.among for name, outcome in definition.outcomes.items()})
        self._exits = Evaluator(
            {name: rule.exit_when for name, rule in answerable.items() if rule.exit_when is not None}
        )
        self._version = definition.version
        self._tier_names = {
            name: VALUE_TIERS if isinstance(rule, ValueOutcome) else TIERS for name, rule in definition.outcomes.items()
        }
        self._leads, self._value_to_date = Leads(definition.leads), ValueToDate(definition)
        self._holdout = Holdout(definition)
        numeric = feature_set(definition).numeric
        self._lasts = np.array([numeric.index(f"days_since_{name}") for name in definition.signals])
        self._tenure = numeric.index("tenure_days")
        # models that know the same values of traits share one matrix
        self._layouts = {name: json.dumps(model.card.categories) for name, model in self.models.items()}
        self._versions = {name: models[name].version if name in models else None for name in definition.outcomes}
        measured = {name for name in rfm_columns(definition.rfm, numeric) if name} if definition.rfm else set()
        rules = (self._states, self._among, self._every, self._exits, self._leads)
        self._fewer: dict[frozenset[str], Scorer] = {}
        self._needed = measured.union(*(rule.columns for rule in rules))

    def _why(self, outcome: str, inside: NDArray[np.bool_], old: NDArray[np.bool_], short: NDArray[np.bool_]) -> Texts:
        """The reason there is not enough to say of each row; the first of several."""
        reasons = (self.absent.get(outcome, NO_MODEL), "stale_profile", "outside_population", "short_history", BEYOND)
        if outcome not in self.models:
            return Texts(np.zeros(len(inside), dtype=np.int64), reasons)
        return Texts(np.where(old, 1, np.where(~inside, 2, np.where(short, 3, -1))), reasons)

    @property
    def identities(self) -> dict[str, str]:
        """The models that answer, by outcome and by the `uplift_key` of experiments."""
        return {key: model.identity for key, model in self.loaded.items() if key not in self._uplifts.unfit}

    @property
    def loaded(self) -> dict[str, Model | UpliftModel]:
        """All models, by outcome and by the `uplift_key` of experiments."""
        return {**self.models, **{uplift_key(name): model for name, model in self.uplifts.items()}}

    @property
    def uplift_versions(self) -> Mapping[str, UpliftVersion | None]:
        """The uplift model of each experiment that can have one; None where none answers."""
        return self._uplifts.versions

    @property
    def schema(self) -> pl.Schema:
        """Columns of the records."""
        return self.score(self._made_up(0), np.zeros(0, dtype=np.int64)).records.schema

    def only(self, outcomes: Collection[str]) -> "Scorer":
        """A scorer that answers some outcomes alone, since models are most of what scoring costs; made once."""
        names = frozenset(outcomes).intersection(self.models)
        if names not in self._fewer:
            models = {name: model for name, model in self.models.items() if name in names}
            self._fewer[names] = Scorer(self.definition, models, self.rfm, self.absent, self.uplifts)
        return self._fewer[names]

    def warm_up(self) -> None:
        """Score and explain users who are not: what is compiled or made once is there when the first are asked for."""
        rows = self._made_up(1)
        self.explain(self.score(rows, rows.cutoffs), 1)
        for model in self.models.values():
            model.effects(np.zeros((WORTHWHILE, len(model.card.features) + len(model.card.categories))))

    def _made_up(self, count: int) -> FeatureRows:
        features = feature_set(self.definition)
        traits = {name: Texts.of([None] * count) for name in features.traits}
        at, matrix = np.zeros(count, dtype=np.int64), np.zeros((count, len(features.numeric)))
        return rows_of(self.definition, pl.Series("user", [""] * count, pl.String), at, matrix, traits)

    def score(self, rows: FeatureRows, through: Instants) -> Scored:
        """Score feature rows.

        Args:
            rows: the feature rows.
            through: the log is folded into each of them through this instant.
        """
        count, rules = len(rows), self.definition.scoring
        known = rows.values(self._needed)
        columns: dict[str, Column] = {"user": rows.users, "cutoff": rows.cutoffs}
        scores, group = rfm_of(known, self.definition.rfm, self.rfm, count)
        columns |= {**scores, "rfm_group": group}
        known |= values_of(columns)
        columns["state"] = known["state"] = self._states.first(known, count)
        columns |= self._leads.of(known, count)
        columns |= self._value_to_date.of(rows.matrix)
        inside = self._among.holds(known, count)
        old = rows.cutoffs - through > rules.max_age
        short = rows.matrix[:, self._tenure] * DAY < rules.min_history
        laid_out: dict[str, NDArray[np.float64]] = {}
        for i, (name, question) in enumerate(self.definition.outcomes.items()):
            why = self._why(name, inside[:, i], old, short)
            answer, percentile, outside = self._answer(name, rows, why.codes < 0, laid_out)
            why.codes[list(outside.silent)] = len(why.values) - 1
            columns |= {
                f"{name}_{question.answer}": answer,
                f"{name}_percentile": percentile,
                f"{name}_tier": self._tiers(name, answer),
                f"{name}_why": why,
                **{f"{name}_{key}": texts for key, texts in outside.columns(count).items()},
            }
        columns |= self._uplifts.of(rows, old, short)
        known |= values_of(columns)
        segments = self._every.every(known, count)
        columns |= {"segments": segments, "leaves": self._exits.every(known, count), "last_seen": self._seen(rows)}
        columns["holdout"] = self._held_out(rows, segments)
        return Scored(rows, columns, self._versions, self._uplifts.versions, self.definition, self._version)

    def _seen(self, rows: FeatureRows) -> Instants:
        """When users last did something that is a signal."""
        days = np.fmin.reduce(rows.matrix[:, self._lasts], axis=1)
        ago: Instants = np.rint(np.where(np.isnan(days), 0, days) * DAY).astype(np.int64)
        return rows.cutoffs - ago

    def _held_out(self, rows: FeatureRows, segments: Names) -> Names:
        """Of the segments users are in, those they are held out of."""
        names = [rows.drawn_as.get(user, user) for user in rows.users] if rows.drawn_as else rows.users.to_list()
        owners = [names[row] for row in segments.rows.tolist()]
        dimensions = [Dimension.segment(segments.names[code]) for code in segments.codes.tolist()]
        return segments.where(self._holdout.of(owners, dimensions))

    def _answer(
        self, outcome: str, rows: FeatureRows, asked: NDArray[np.bool_], laid_out: dict[str, NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], "_Marks"]:
        """Answer and percentile, NaN where not asked or where too much hangs on what nobody saw; and who is outside.

        Matrices are looked up in ``laid_out``, and put there.
        """
        answer, percentile = np.full((2, len(rows)), np.nan)
        marks_of, rules = _Marks(), self.definition.scoring
        model = self.models.get(outcome)
        if model is not None and asked.any():
            if (layout := self._layouts[outcome]) not in laid_out:
                laid_out[layout] = model.matrix_of(rows)
            matrix = laid_out[layout]
            outside = model.outside(matrix, rules.max_beyond)
            for at in np.flatnonzero(asked & (outside.column >= 0)).tolist():
                column = int(outside.column[at])
                marks_of.details[at] = model.words_beyond(matrix[at], column)
                if outside.effect[at] > rules.max_extrapolation:
                    marks_of.silent.add(at)
                else:
                    marks_of.marks[at] = model.card.features[column]
            if marks_of.silent:
                asked = asked.copy()
                asked[sorted(marks_of.silent)] = False
            found = model.predict(matrix if asked.all() else matrix[asked]) if asked.any() else np.zeros(0)
            answer[asked] = found
            percentile[asked] = model.percentile(found)
        return answer, percentile, marks_of

    def _tiers(self, outcome: str, answers: NDArray[np.float64]) -> Texts:
        names, model = self._tier_names[outcome], self.models.get(outcome)
        return Texts(
            tier_codes(answers, model.card.tiers) if model else np.full(len(answers), names.index(SILENT)), names
        )

    def explain(self, scored: Scored, reasons: int, earlier: EarlierAnswers | None = None, moved: int = 0) -> Explained:
        """Explain each answer by its strongest columns, strongest first; nothing where there is no answer.

        Args:
            scored: by this scorer.
            reasons: how many columns an answer.
            earlier: tells what changed since these scores, too, of likelihoods.
            moved: how many of the reasons given then, those that moved most.
        """
        explainer = Explainer(scored.rows, self._wording)
        before = earlier.of(scored.rows.users.to_list()) if earlier else {}
        explained = Explained({}, {})
        models = [(name, model, scored.answered(name)) for name, model in self.models.items()]

        def effects_of(one: tuple[str, Model, NDArray[np.bool_]]) -> Floats:
            return explainer.effects(*one[1:])

        # while one model's reasons are put into words, which holds the interpreter, the next one's are computed
        found = each(models, effects_of) if len(scored.rows) >= SIDE_BY_SIDE else map(effects_of, models)
        for (name, model, answered), effects in zip(models, found, strict=True):
            if reasons:
                explained.reasons[name] = explainer.reasons(model, answered, effects, reasons)
            if earlier and name in before and name in self.definition.likelihoods:
                explained.changes[name] = explainer.changes(model, answered, effects, before[name], earlier, moved)
        return explained


def _texts_at(texts: Mapping[int, str], count: int) -> Texts:
    """Texts of some rows, by row."""
    codes = np.full(count, -1)
    codes[list(texts)] = np.arange(len(texts))
    return Texts(codes, tuple(texts.values()))


def _check_features(definition: Definition, models: Mapping[str, Model]) -> None:
    """Refuse a model that was trained on other features than the definition yields."""
    digest = feature_set(definition).digest
    for name, model in models.items():
        if model.card.feature_digest != digest:
            raise ScoringError(
                f"{model.version} was trained on feature set {model.card.feature_digest}; "
                f"{definition.version} yields {digest}.",
                fix=f"train {name} again under this definition, or serve the definition it was trained under",
                code="feature_digest_mismatch",
            )
