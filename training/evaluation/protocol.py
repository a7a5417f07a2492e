"""Evaluation protocols: how models of likelihoods are judged, and how models of amounts are."""

from typing import Protocol

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.time import span_name
from serving.model.card import ModelCard
from serving.model.numbers import Floats
from training.baselines.classification import baselines
from training.baselines.value import amount_floors
from training.dataset.dataset import Dataset
from training.evaluation.gate import Criterion, PolicyChoice, compare, compare_amounts
from training.evaluation.judgement import Judgement
from training.evaluation.metrics import Rank, Ranking
from training.evaluation.season import Season
from training.evaluation.value_metrics import AmountRanking


class EvaluationProtocol(Protocol):
    """How models that answer an outcome are judged.

    Attributes:
        ranks: the metrics that speak of order alone; the first is what the gate goes by.
        loss: the metric that is least for the best model.
        reported: those that a report compares models by.
    """

    ranks: tuple[str, ...]
    loss: str
    reported: tuple[str, ...]

    def rank(self, labels: Floats) -> Rank:
        """What makes answers ready to be measured on labels."""
        ...

    def baselines(self, data: Dataset, definition: Definition, states: dict[str, pl.Series]) -> dict[str, Floats]:
        """The simple models' answers on the test slice."""
        ...

    def criteria(
        self, judgement: Judgement, definition: Definition, against: PolicyChoice, season: Season | None
    ) -> list[Criterion]:
        """What the gate says of the whole test slice."""
        ...

    def words(self, card: ModelCard) -> str:
        """What the model is good for, in two sentences."""
        ...

    def tiles(self, card: ModelCard) -> list[tuple[str, str]]:
        """The numbers a reader sees first, each with what it is."""
        ...


def protocol_of(rule: Outcome | ValueOutcome) -> EvaluationProtocol:
    """The protocol of an outcome."""
    return OfLikelihood(rule) if isinstance(rule, Outcome) else OfAmount(rule)


class OfLikelihood:
    """Order, level and profit of probabilities.

    Args:
        rule: the outcome.
    """

    ranks: tuple[str, ...] = ("average_precision", "auc")
    loss: str = "log_loss"
    reported: tuple[str, ...] = ("average_precision", "auc", "recall_at_10", "log_loss")

    def __init__(self, rule: Outcome) -> None:
        self._rule = rule

    def rank(self, labels: Floats) -> Rank:
        """By probability."""
        return Ranking.of

    def baselines(self, data: Dataset, definition: Definition, states: dict[str, pl.Series]) -> dict[str, Floats]:
        """See `baselines`."""
        return baselines(data, definition, states)

    def criteria(
        self, judgement: Judgement, definition: Definition, against: PolicyChoice, season: Season | None
    ) -> list[Criterion]:
        """See `compare`."""
        return compare(judgement, definition.gate, against, season)

    def words(self, card: ModelCard) -> str:
        """How many are reached, and whether probabilities can be taken at their word."""
        found, rule = card.metrics, self._rule
        off = 100 * found["calibration_error"].value
        who = f"those who will {'not ' if rule.will_not else ''}{rule.signal.replace('_', ' ')}"
        return (
            f"Calling the top 10 % reaches {100 * found['recall_at_10'].value:.0f} % of {who} within "
            f"{span_name(rule.within)} ({found['lift_at_10'].value:.1f} × random). Its probabilities "
            f"{_level(card, 'often')}: off by {off:.1f} points on average, where {100 * card.judged_rate:.1f} % do."
        )

    def tiles(self, card: ModelCard) -> list[tuple[str, str]]:
        """Order, lift and level."""
        found = card.metrics
        return [
            (f"{found['average_precision'].value:.3f}", f"average precision (base rate {card.judged_rate:.1%})"),
            (f"{found['auc'].value:.3f}", "AUC"),
            (f"{found['lift_at_10'].value:.2f} ×", "lift in the top 10 %"),
            (f"{found['calibration_error'].value:.4f}", "calibration error"),
            (f"{found['observed_over_expected'].value:.3f}", "observed over expected"),
        ]


class OfAmount:
    """Order and totals of amounts.

    Args:
        rule: the outcome.
    """

    ranks: tuple[str, ...] = ("normalised_gini", "value_at_10")
    loss: str = "deviance"
    reported: tuple[str, ...] = ("normalised_gini", "value_at_10", "deviance", "mean_absolute_error")

    def __init__(self, rule: ValueOutcome) -> None:
        self._rule = rule

    def rank(self, labels: Floats) -> Rank:
        """By amount, beside the best possible order."""
        best = np.argsort(-labels, kind="stable")
        return lambda amount: AmountRanking.of(amount, best)

    def baselines(self, data: Dataset, definition: Definition, states: dict[str, pl.Series]) -> dict[str, Floats]:
        """See `amount_floors`."""
        return amount_floors(data, definition)

    def criteria(
        self, judgement: Judgement, definition: Definition, against: PolicyChoice, season: Season | None
    ) -> list[Criterion]:
        """See `compare_amounts`."""
        return compare_amounts(judgement, definition.gate, against, season)

    def words(self, card: ModelCard) -> str:
        """How much value the top tenth brings, and whether totals come true."""
        found, rule = card.metrics, self._rule
        off = found["calibration_error"].value
        return (
            f"The top 10 % bring {found['value_at_10'].value:.0%} of the value of {rule.signal.replace('_', ' ')} "
            f"{rule.when} (Gini {found['normalised_gini'].value:.2f} of the best possible order). Its amounts "
            f"{_level(card, 'large')}: off by {off:.0%} of the mean, tenth by tenth."
        )

    def tiles(self, card: ModelCard) -> list[tuple[str, str]]:
        """Order and totals."""
        found = card.metrics
        return [
            (f"{found['normalised_gini'].value:.3f}", "normalised Gini (1 is the best possible order)"),
            (f"{found['value_at_10'].value:.0%}", "of the value comes from the top 10 %"),
            (f"{card.base_rate:,.2f}", "a user, on average of all rows"),
            (f"{found['calibration_error'].value:.1%}", "calibration error, of the mean"),
            (f"{found['observed_over_expected'].value:.3f}", "observed over expected total"),
        ]


def _level(card: ModelCard, unit: str) -> str:
    ratio = card.metrics["observed_over_expected"].value
    return "come true" if 0.95 <= ratio <= 1.05 else f"come true {ratio:.2f} times as {unit} as predicted"
