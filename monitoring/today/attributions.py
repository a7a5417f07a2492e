"""Drift of attributions: whether a model's answers rest on other columns today than on the day it was fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.events.compacted import Compacted
from features.traits import read_traits, with_traits
from serving.model.model import Model
from serving.model.numbers import Floats

#: a column has moved when its share changed by so much, and by so many times the largest change of before
LEAST_MOVE, MORE = 0.02, 2.0

#: how many are shown, those that moved most
SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Attribution:
    """How much of a model's answers rests on a column: its share of the mean absolute attributions.

    Attributes:
        now, fitted: today, and on the day the model was fitted.
        usual: the largest change between snapshots of before, as far apart.
    """

    now: float
    fitted: float
    usual: float


class Attributions:
    """Compares what a model's answers rest on.

    Args:
        definition: the definition.
        models: of each outcome the champion.
        live: what of the log came by the live path: it may hold attributes of users.
    """

    def __init__(self, definition: Definition, models: Mapping[str, Model], live: Compacted) -> None:
        self._models = models
        self._traits = read_traits(definition, live) if definition.traits is not None and models else None

    def moved(self, outcome: str, parts: Sequence[pl.DataFrame]) -> dict[str, Attribution]:
        """The columns that an outcome's answers rest on more, or less, than is usual for them to change.

        Args:
            outcome: its name.
            parts: feature rows of today, of the day the model was fitted, and of as long before once or more often.

        Returns:
            By column, the largest change first; empty where the log does not go back far enough to know what is usual.
        """
        model = self._models.get(outcome)
        if model is None or len(parts) < 3:
            return {}
        shares = np.array([self._shares(model, rows) for rows in parts])
        change = np.abs(np.diff(shares, axis=0))
        usual = change[1:].max(axis=0)
        names = [*model.card.features, *model.card.categories]
        found = np.flatnonzero((change[0] >= LEAST_MOVE) & (change[0] >= MORE * usual))
        order = found[np.argsort(-change[0][found], kind="stable")][:SHOWN]
        now, fitted = shares[0].tolist(), shares[1].tolist()
        return {names[i]: Attribution(now[i], fitted[i], float(usual[i])) for i in order.tolist()}

    def _shares(self, model: Model, rows: pl.DataFrame) -> Floats:
        """Each column's share of the mean absolute attributions."""
        effects = np.abs(model.effects(model.matrix(with_traits(rows, self._traits)))).mean(axis=0)
        return np.asarray(effects / max(float(effects.sum()), 1e-300))
