"""The scorer: feature rows in; state, RFM group, likelihoods, tiers and segments out. Batch and API use it alike."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import ScoringError
from features.rows import INSTANT, FeatureRows, expression, rows_of
from features.time import Instants
from segments.evaluator import Evaluator
from segments.rfm import RfmCuts, rfm_columns, with_rfm
from segments.tiers import SILENT, tiers_of
from serving.earlier import Earlier
from serving.explain import Explainer
from serving.model import Model
from serving.reasons import Wording
from serving.record import Change, Reason, ScoreRecord, record_columns


@dataclass(frozen=True, slots=True)
class Scored:
    """Scored users.

    Attributes:
        rows: what they were scored on.
        frame: ``user, cutoff, state, rfm_…, <outcome>_probability, …_percentile, …_tier, …_why, …_detail, segments``.
        records: the same with the record's names and nesting.
    """

    rows: FeatureRows
    frame: pl.DataFrame
    records: pl.DataFrame

    def said(self, outcome: str) -> NDArray[np.bool_]:
        """Of whom a likelihood was said."""
        return self.frame[f"{outcome}_probability"].is_not_null().to_numpy()

    def to_records(
        self,
        reasons: Mapping[str, list[list[Reason]]] | None = None,
        changes: Mapping[str, list[Change | None]] | None = None,
    ) -> list[ScoreRecord]:
        """Make records, with each outcome's reasons and changes where given."""
        rows = self.records.to_dicts()
        for key, given in (("reasons", reasons), ("change", changes)):
            for name, per_row in (given or {}).items():
                for row, found in zip(rows, per_row, strict=True):
                    row["intent"][name][key] = found
        return [ScoreRecord.model_validate(row) for row in rows]


class Scorer:
    """Applies a definition's rules and models to feature rows.

    Args:
        definition: states, segments and outcomes.
        models: the served model of each outcome; an outcome without one is answered ``no_model``.
        rfm: frozen RFM cut-offs.

    Raises:
        ScoringError: a model was trained on another feature set.
    """

    def __init__(self, definition: Definition, models: Mapping[str, Model], rfm: RfmCuts | None) -> None:
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
        self.models = dict(models)
        self._wording = Wording(definition)
        self._rfm = rfm
        self._rules = [
            Evaluator.of(definition.states).first().alias("state"),
            *(self._why_silent(name).alias(f"{name}_why") for name in definition.outcomes),
        ]
        self._segments = Evaluator.of(definition.segments).every().alias("segments")
        versions = {name: models[name].version if name in models else None for name in definition.outcomes}
        self._record = record_columns(versions, definition.version)
        measured = [name for name in rfm_columns(definition.rfm) if name] if definition.rfm else []
        self._needed = _roots([*self._rules, self._segments]).union(measured)

    def _why_silent(self, outcome: str) -> pl.Expr:
        """The reason there is not enough to say, or null."""
        rules = self.definition.scoring
        age = (pl.col("cutoff") - pl.col("through")).dt.total_microseconds()
        inside = expression(self.definition.outcomes[outcome].among).fill_null(False)
        return (
            pl.when(pl.lit(outcome not in self.models))
            .then(pl.lit("no_model"))
            .when(age > rules.max_age)
            .then(pl.lit("stale_profile"))
            .when(~inside)
            .then(pl.lit("outside_population"))
            .when(pl.col("tenure_days") * 86_400_000_000 < rules.min_history)
            .then(pl.lit("short_history"))
        )

    @property
    def schema(self) -> pl.Schema:
        """Columns of the records."""
        features = feature_set(self.definition)
        traits = pl.DataFrame(schema=dict.fromkeys(features.traits, pl.String()))
        at, matrix = np.zeros(0, dtype=np.int64), np.zeros((0, len(features.numeric)))
        nobody = rows_of(self.definition, pl.Series("user", [], pl.String), at, matrix, traits)
        return self.score(nobody, at).records.schema

    def score(self, rows: FeatureRows, through: Instants) -> Scored:
        """Score feature rows.

        Args:
            rows: the feature rows.
            through: the log is folded into each of them through this instant.
        """
        folded = pl.Series("through", through).cast(INSTANT)
        frame = with_rfm(rows.frame(self._needed).with_columns(folded), self.definition.rfm, self._rfm)
        frame = frame.with_columns(self._rules)
        answers: list[pl.Series] = []
        for name in self.definition.outcomes:
            why = frame[f"{name}_why"]
            probability, percentile, detail = self._likelihood(name, rows, why.is_null().to_numpy())
            model = self.models.get(name)
            tiers = tiers_of(probability, model.card.tiers) if model else [SILENT] * len(rows)
            answers += [
                pl.Series(f"{name}_probability", probability, nan_to_null=True),
                pl.Series(f"{name}_percentile", percentile, nan_to_null=True).cast(pl.Int64),
                pl.Series(f"{name}_tier", tiers, dtype=pl.String),
                why.set(detail.is_not_null(), "outside_trained_range"),
                detail.alias(f"{name}_detail"),
            ]
        frame = frame.with_columns(answers).with_columns(self._segments)
        return Scored(rows, frame, frame.select(self._record))

    def _likelihood(
        self, outcome: str, rows: FeatureRows, asked: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], pl.Series]:
        """Probability and percentile, NaN where not asked or far outside what was learnt; and what lies there."""
        probability, percentile = np.full((2, len(rows)), np.nan)
        detail: list[str | None] = [None] * len(rows)
        model = self.models.get(outcome)
        if model is not None and asked.any():
            matrix = model.matrix_of(rows)
            beyond = np.where(asked, model.beyond(matrix, self.definition.scoring.max_beyond), -1)
            for at in np.flatnonzero(beyond >= 0).tolist():
                detail[at] = model.told_beyond(matrix[at], int(beyond[at]))
            asked = asked & (beyond < 0)
            found = model.probabilities(matrix if asked.all() else matrix[asked]) if asked.any() else np.zeros(0)
            probability[asked] = found
            percentile[asked] = np.clip(np.searchsorted(model.card.percentiles, found, side="right") - 1, 0, 100)
        return probability, percentile, pl.Series(detail, dtype=pl.String)

    def reasons(self, scored: Scored, count: int) -> dict[str, list[list[Reason]]]:
        """Explain each likelihood by its strongest columns, strongest first; none where nothing was said."""
        return Explainer(scored.rows, self._wording).reasons(self.models, scored.said, count)

    def changes(self, scored: Scored, earlier: Earlier, count: int) -> dict[str, list[Change | None]]:
        """What changed for each user and outcome since earlier scores; None for whom there are none."""
        return Explainer(scored.rows, self._wording).changes(self.models, scored.said, earlier, count)


def _roots(expressions: Iterable[pl.Expr]) -> set[str]:
    return {name for e in expressions for name in e.meta.root_names()}
