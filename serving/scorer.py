"""The scorer: feature rows in; state, RFM group, likelihoods, tiers and segments out. Batch, API and evaluation use it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import ScoringError
from features.time import span_name
from segments.evaluator import Evaluator
from segments.rfm import RfmCuts, rfm_expressions
from segments.tiers import tier_expression
from serving.model import Model
from serving.reasons import Wording
from serving.record import Reason, ScoreRecord, record_columns


@dataclass(frozen=True, slots=True)
class Scored:
    """Scored users, as a frame with the record's columns, and what is needed to explain them."""

    frame: pl.DataFrame
    records: pl.DataFrame

    def to_records(self, reasons: Mapping[str, list[list[Reason]]] | None = None) -> list[ScoreRecord]:
        """Make records, with each outcome's reasons where given."""
        rows = self.records.to_dicts()
        for name, per_row in (reasons or {}).items():
            for row, found in zip(rows, per_row, strict=True):
                row["intent"][name]["reasons"] = found
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
                )
        self.definition = definition
        self.models = dict(models)
        self._wording = Wording(definition)
        self._rfm = rfm_expressions(definition, rfm)
        self._state = Evaluator.of(definition.states).first().alias("state")
        self._segments = Evaluator.of(definition.segments).every().alias("segments")
        self._why = [self._why_silent(name).alias(f"{name}_why") for name in definition.outcomes]
        versions = {name: models[name].version if name in models else None for name in definition.outcomes}
        self._record = record_columns(versions, definition.version)

    def _why_silent(self, outcome: str) -> pl.Expr:
        """The reason there is not enough to say, or null."""
        rules = self.definition.scoring
        age = (pl.col("cutoff") - pl.col("through")).dt.total_microseconds()
        inside = pl.sql_expr(self.definition.outcomes[outcome].among).fill_null(False)
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

    def score(self, rows: pl.DataFrame) -> Scored:
        """Score feature rows.

        Args:
            rows: ``user``, ``cutoff``, ``through`` (UTC; the log is folded in through it) and the feature set.

        Returns:
            The rows with ``state``, ``rfm_…``, ``<outcome>_probability``, ``…_percentile``, ``…_tier``, ``…_why`` and
            ``segments``; and the same as nested record columns.
        """
        frame = rows.with_columns(self._rfm).with_columns(self._state, *self._why)
        answers: list[pl.Expr | pl.Series] = []
        for name in self.definition.outcomes:
            model = self.models.get(name)
            probability = np.full(len(frame), np.nan)
            percentile = np.full(len(frame), -1, dtype=np.int64)
            if model is not None:
                asked = frame[f"{name}_why"].is_null().to_numpy()
                if asked.any():
                    some = frame if asked.all() else frame.filter(pl.Series(asked))
                    found = model.probabilities(model.matrix(some))
                    probability[asked] = found
                    table = model.card.percentiles
                    percentile[asked] = np.clip(np.searchsorted(table, found, side="right") - 1, 0, 100)
            p = pl.Series(f"{name}_probability", probability).fill_nan(None)
            answers += [p, pl.Series(f"{name}_percentile", percentile).replace(-1, None)]
        tiers = [
            tier_expression(pl.col(f"{n}_probability"), m.card.tiers).alias(f"{n}_tier") for n, m in self.models.items()
        ]
        tiers += [
            pl.lit("not_enough_to_say").alias(f"{n}_tier") for n in self.definition.outcomes if n not in self.models
        ]
        frame = frame.with_columns(answers).with_columns(tiers).with_columns(self._segments)
        return Scored(frame, frame.select(self._record))

    def reasons(self, scored: Scored, count: int) -> dict[str, list[list[Reason]]]:
        """Explain each likelihood by its strongest columns, most telling first; none where nothing was said."""
        answer: dict[str, list[list[Reason]]] = {}
        for name, model in self.models.items():
            said = scored.frame[f"{name}_probability"].is_not_null()
            found = iter(self._explain(model, scored.frame.filter(said), count))
            answer[name] = [next(found) if ok else [] for ok in said]
        return answer

    def _explain(self, model: Model, rows: pl.DataFrame, count: int) -> list[list[Reason]]:
        if rows.is_empty():
            return []
        effects = model.effects(model.matrix(rows))
        names = [*model.card.features, *model.card.categories]
        explained = []
        for i, row in enumerate(rows.iter_rows(named=True)):
            strongest = np.argsort(-np.abs(effects[i]), kind="stable")[:count]
            explained.append(
                [
                    Reason(
                        feature=names[j],
                        value=row[names[j]],
                        effect=round(float(effects[i, j]), 4),
                        text=self._wording.say(names[j], row),
                    )
                    for j in strongest
                    if effects[i, j] != 0.0
                ]
            )
        return explained


def question(definition: Definition, outcome: str) -> str:
    """Put an outcome into words: ``will not visit within 14d``."""
    rule = definition.outcomes[outcome]
    gap = f" after {span_name(rule.gap)}" if rule.gap else ""
    return f"{'will' if rule.will else 'will not'} {rule.signal} within {span_name(rule.within)}{gap}"
