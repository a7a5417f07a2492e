"""The scorer: feature rows in; state, RFM group, answers, tiers and segments out. Batch and API use it alike."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.definition.sections.rule import predicates
from features.errors import ScoringError
from features.rows import FEW, INSTANT, FeatureRows, rows_of
from features.time import DAY, Instants, to_datetime
from segments.dependencies import outcomes_in
from segments.evaluator import Evaluator
from segments.holdout import Holdout
from segments.lead_score import Leads
from segments.rfm import SCORES, RfmCuts, rfm_columns, rfm_of, with_rfm
from segments.tiers import SILENT, TIERS, VALUE_TIERS, tiers_of
from segments.value_to_date import ValueToDate
from serving.model.model import Model
from serving.model.treeshap import WORTHWHILE
from serving.scoring.explain import Explainer
from serving.scoring.previous import Earlier
from serving.scoring.record import Change, Reason
from serving.scoring.scores import Scored
from serving.scoring.wording import Wording

#: why nothing is said of who is far outside what the model saw
BEYOND = "outside_trained_range"
#: why nothing is said where an outcome has no champion
NO_MODEL = "no_model"


@dataclass
class _Marks:
    """Which rows lie outside what a model was fitted on: those with too much at stake, and those with a mark."""

    details: dict[int, str] = field(default_factory=dict)
    marks: dict[int, str] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)

    def columns(self, count: int) -> dict[str, list[str | None]]:
        """What the record says of it."""
        parts = {"detail": self.details, "extrapolated": self.marks}
        return {key: [part.get(i) for i in range(count)] if part else [None] * count for key, part in parts.items()}


class Scorer:
    """Applies a definition's rules and models to feature rows.

    Args:
        definition: states, segments and outcomes.
        models: the served model of each outcome; an outcome without one is answered ``no_model``, and nobody is in a
            segment that rests on it.
        rfm: frozen RFM cut-offs.
        absent: of outcomes whose model is there and cannot be used, what is said instead of ``no_model``.

    Raises:
        ScoringError: a model was trained on another feature set.
    """

    def __init__(
        self,
        definition: Definition,
        models: Mapping[str, Model],
        rfm: RfmCuts | None,
        absent: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        digest = feature_set(definition).digest
        for name, model in models.items():
            if model.card.feature_digest != digest:
                raise ScoringError(
                    f"{model.version} was trained on feature set {model.card.feature_digest}; "
                    f"{definition.version} yields {digest}.",
                    fix=f"train {name} again under this definition, or serve the definition it was trained under",
                    code="feature_digest_mismatch",
                )
        self.definition = definition
        self.models, self.absent = dict(models), dict(absent)
        self._wording = Wording(definition)
        self.rfm = rfm
        #: segments of which nothing is known, by name, with the outcomes whose model is missing
        self.silent = {
            name: sorted(missing)
            for name, rule in definition.segments.items()
            if (missing := outcomes_in(rule, definition) - models.keys())
        }
        told = {name: rule for name, rule in definition.segments.items() if name not in self.silent}
        self._states, self._every = (Evaluator.of(predicates(rules)) for rules in (definition.states, told))
        self._among = Evaluator.of({name: outcome.among for name, outcome in definition.asked.items()})
        self._rules = [
            self._states.first().alias("state"),
            *(self._why_silent(name).alias(f"{name}_why") for name in definition.asked),
        ]
        self._version = definition.version
        self._leads, self._value_to_date = Leads(definition.leads), ValueToDate(definition)
        exits = {name: rule.exit_when for name, rule in told.items() if rule.exit_when is not None}
        self._exits = Evaluator.of(exits)
        self._holdout = Holdout(definition)
        self._lasts = [feature_set(definition).numeric.index(f"days_since_{name}") for name in definition.signals]
        # models that know the same values of traits share one matrix
        self._layouts = {name: json.dumps(model.card.categories) for name, model in self.models.items()}
        self._versions = {name: models[name].version if name in models else None for name in definition.asked}
        measured = [name for name in rfm_columns(definition.rfm) if name] if definition.rfm else []
        self._needed = _roots(self._rules).union(self._leads.roots, self._every.columns, self._exits.columns, measured)

    def _why_silent(self, outcome: str) -> pl.Expr:
        """The reason there is not enough to say, or null."""
        rules = self.definition.scoring
        age = (pl.col("cutoff") - pl.col("through")).dt.total_microseconds()
        inside = self._among.predicates[outcome].fill_null(False)
        return (
            pl.when(pl.lit(outcome not in self.models))
            .then(pl.lit(self.absent.get(outcome, NO_MODEL)))
            .when(age > rules.max_age)
            .then(pl.lit("stale_profile"))
            .when(~inside)
            .then(pl.lit("outside_population"))
            .when(pl.col("tenure_days") * DAY < rules.min_history)
            .then(pl.lit("short_history"))
        )

    @property
    def schema(self) -> pl.Schema:
        """Columns of the records."""
        return self.score(self._made_up(0), np.zeros(0, dtype=np.int64)).records.schema

    def warm_up(self) -> None:
        """Score and explain users who are not: what is compiled or made once is there when the first are asked for."""
        for count in (1, FEW + 1):
            rows = self._made_up(count)
            self.reasons(self.score(rows, rows.cutoffs), 1)
        for model in self.models.values():
            model.effects(np.zeros((WORTHWHILE, len(model.card.features) + len(model.card.categories))))

    def _made_up(self, count: int) -> FeatureRows:
        features = feature_set(self.definition)
        traits = pl.DataFrame({name: pl.Series([None] * count, dtype=pl.String) for name in features.traits})
        at, matrix = np.zeros(count, dtype=np.int64), np.zeros((count, len(features.numeric)))
        return rows_of(self.definition, pl.Series("user", [""] * count, pl.String), at, matrix, traits)

    def score(self, rows: FeatureRows, through: Instants) -> Scored:
        """Score feature rows.

        Args:
            rows: the feature rows.
            through: the log is folded into each of them through this instant.
        """
        if len(rows) <= FEW:
            return self._score_few(rows, through)
        folded = pl.Series("through", through).cast(INSTANT)
        frame = with_rfm(rows.frame(self._needed).hstack([folded]), self.definition.rfm, self.rfm)
        frame = frame.hstack(frame.select_seq(self._rules))
        frame = frame.hstack(self._leads.of(frame))
        answers: list[pl.Series] = []
        laid_out: dict[str, NDArray[np.float64]] = {}
        for name, question in self.definition.asked.items():
            why = frame[f"{name}_why"]
            answer, percentile, outside = self._answer(name, rows, _nulls(why), laid_out)
            tiers = self._tiers(name, answer)
            answers += [
                pl.Series(f"{name}_{question.answer}", answer, nan_to_null=True),
                pl.Series(f"{name}_percentile", percentile, nan_to_null=True).cast(pl.Int64),
                pl.Series(f"{name}_tier", tiers, dtype=pl.String),
                *(
                    pl.Series(f"{name}_{k}", values, dtype=pl.String)
                    for k, values in outside.columns(len(rows)).items()
                ),
            ]
            if outside.silent:
                frame = frame.with_columns(why.scatter(sorted(outside.silent), BEYOND))
        answers += [pl.Series(k, values, nan_to_null=True) for k, values in self._value_to_date.of(rows.matrix).items()]
        frame = frame.hstack(answers)
        lists = [self._every.every(frame).alias("segments"), self._exits.every(frame).alias("leaves")]
        frame = frame.hstack([*lists, pl.Series("last_seen", self._seen(rows)).cast(INSTANT)])
        return Scored(rows, frame.hstack([self._held_out(frame)]), self._versions, self.definition, self._version)

    def _seen(self, rows: FeatureRows) -> Instants:
        """When users last did something that is a signal."""
        days = np.fmin.reduce(rows.matrix[:, self._lasts], axis=1)
        ago: Instants = np.rint(np.nan_to_num(days) * DAY).astype(np.int64)
        return rows.cutoffs - ago

    def _held_out(self, frame: pl.DataFrame) -> pl.Series:
        """Of the segments users are in, those they are held out of."""
        members = frame.select("user", "segments").with_row_index("row").explode("segments").drop_nulls("segments")
        held = self._holdout.of(members["user"].to_list(), [f"segments.{name}" for name in members["segments"]])
        of = members.filter(pl.Series(held)).group_by("row").agg(pl.col("segments").alias("holdout"))
        rows = pl.DataFrame({"row": pl.Series(range(len(frame)), dtype=members.schema["row"])})
        joined = rows.join(of, on="row", how="left", maintain_order="left")["holdout"]
        return joined.cast(pl.List(pl.String)).fill_null([])

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
                marks_of.details[at] = model.told_beyond(matrix[at], column)
                if outside.effect[at] > rules.max_extrapolation:
                    marks_of.silent.add(at)
                else:
                    marks_of.marks[at] = model.card.features[column]
            if marks_of.silent:
                asked = asked.copy()
                asked[sorted(marks_of.silent)] = False
            found = model.predict(matrix if asked.all() else matrix[asked]) if asked.any() else np.zeros(0)
            answer[asked] = found
            percentile[asked] = np.clip(np.searchsorted(model.card.percentiles, found, side="right") - 1, 0, 100)
        return answer, percentile, marks_of

    def _tiers(self, outcome: str, answers: NDArray[np.float64]) -> list[str]:
        names, model = VALUE_TIERS if outcome in self.definition.values else TIERS, self.models.get(outcome)
        return tiers_of(answers, model.card.tiers, names) if model else [SILENT] * len(answers)

    def _score_few(self, rows: FeatureRows, through: Instants) -> Scored:
        """As `score`, one user after the other: setting up frames is what an answer about one user would cost."""
        known, rule = rows.few(self._needed), self.definition.rfm
        columns: dict[str, list[Any]] = {"user": rows.users.to_list(), "cutoff": [to_datetime(c) for c in rows.cutoffs]}
        if rule is None or self.rfm is None:
            columns |= {name: [None] * len(rows) for name in (*SCORES, "rfm_group")}
        else:
            place, nothing = rows.features.numeric.index, np.zeros(len(rows))
            measured = [rows.matrix[:, place(name)] if name else nothing for name in rfm_columns(rule)]
            columns |= rfm_of(measured, self.rfm)
        rfm = {name: columns[name] for name in (*SCORES, "rfm_group")}
        for i, row in enumerate(known):
            row |= {name: values[i] for name, values in rfm.items()}
        columns["state"] = [self._states.first_of(row) for row in known]
        for row, state in zip(known, columns["state"], strict=True):
            row["state"] = state
        leads = [self._leads.of_row(row) for row in known]
        columns |= {name: [lead[name] for lead in leads] for name in self._leads.columns}
        for name, values in self._value_to_date.of(rows.matrix).items():
            columns[name] = [None if value != value else value for value in values.tolist()]
        ages = (rows.cutoffs - through).tolist()
        laid_out: dict[str, NDArray[np.float64]] = {}
        for name, question in self.definition.asked.items():
            why = [self._silent(name, row, age) for row, age in zip(known, ages, strict=True)]
            asked = np.array([reason is None for reason in why], dtype=np.bool_)
            answer, percentile, outside = self._answer(name, rows, asked, laid_out)
            columns |= {
                f"{name}_{question.answer}": [None if a != a else a for a in answer.tolist()],
                f"{name}_percentile": [None if p != p else int(p) for p in percentile.tolist()],
                f"{name}_tier": self._tiers(name, answer),
                f"{name}_why": [BEYOND if i in outside.silent else reason for i, reason in enumerate(why)],
                **{f"{name}_{key}": values for key, values in outside.columns(len(rows)).items()},
            }
        for i, row in enumerate(known):
            row |= {name: values[i] for name, values in columns.items()}
        columns["segments"] = [self._every.every_of(row) for row in known]
        columns["leaves"] = [self._exits.every_of(row) for row in known]
        columns["last_seen"] = [to_datetime(instant) for instant in self._seen(rows).tolist()]
        inside = [(i, user, name) for i, user in enumerate(columns["user"]) for name in columns["segments"][i]]
        held = self._holdout.of([user for _, user, _ in inside], [f"segments.{name}" for _, _, name in inside])
        columns["holdout"] = [[] for _ in known]
        for (i, _, name), out in zip(inside, held.tolist(), strict=True):
            if out:
                columns["holdout"][i].append(name)
        return Scored(rows, columns, self._versions, self.definition, self._version)

    def _silent(self, outcome: str, row: Mapping[str, Any], age: int) -> str | None:
        """As `_why_silent`, for one row."""
        rules, inside, tenure = self.definition.scoring, self._among.few[outcome], row["tenure_days"]
        if outcome not in self.models:
            return self.absent.get(outcome, NO_MODEL)
        if age > rules.max_age:
            return "stale_profile"
        if not inside(row):
            return "outside_population"
        return "short_history" if tenure is not None and tenure * DAY < rules.min_history else None

    def reasons(self, scored: Scored, count: int) -> dict[str, list[list[Reason]]]:
        """Explain each answer by its strongest columns, strongest first; none where nothing was said."""
        return Explainer(scored.rows, self._wording).reasons(self.models, scored.said, count)

    def changes(self, scored: Scored, earlier: Earlier, count: int) -> dict[str, list[Change | None]]:
        """What changed for each user and likelihood since earlier scores; None for whom there are none."""
        likelihoods = {name: model for name, model in self.models.items() if name in self.definition.outcomes}
        return Explainer(scored.rows, self._wording).changes(likelihoods, scored.said, earlier, count)


def _nulls(series: pl.Series) -> NDArray[np.bool_]:
    """Where there is nothing; all or none is told without looking, and for one user it is always one of them."""
    if (nulls := series.null_count()) in (0, len(series)):
        return np.full(len(series), nulls > 0)
    return series.is_null().to_numpy()


def _roots(expressions: Iterable[pl.Expr]) -> set[str]:
    return {name for e in expressions for name in e.meta.root_names()}
