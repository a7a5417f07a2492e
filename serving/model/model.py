"""A model: LightGBM and a regression blended where both add up, or BG/NBD; calibrated, with its card. No pickle."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import ScoringError
from features.rows import FeatureRows
from serving.model.bg_nbd import BgNbdPart
from serving.model.card import ModelCard, checked_bytes, damaged
from serving.model.linear import Linear
from serving.model.numbers import Floats, Numbers, model_matrix, with_codes
from serving.model.trees.forest import Forest

BOOSTER, NUMBERS, CARD = "booster.txt", "numbers.json", "card.json"


@dataclass(frozen=True, slots=True)
class Outside:
    """Where rows lie outside what a model was fitted on.

    Attributes:
        column: of each row, the numeric column that lies furthest outside; -1 where none does.
        effect: by how much the calibrated score (log-odds, or the logarithm of an amount) differs between the end of
            the ranges and the regression, or BG/NBD, that goes on beyond them.
    """

    column: NDArray[np.int64]
    effect: Floats


@dataclass(frozen=True)
class Model:
    """A fitted model.

    Attributes:
        booster: LightGBM's trees; None where the regression, or BG/NBD, answers alone.
        numbers: regression or BG/NBD, blend and calibration.
        card: what it promises.
        version: ``outcome/version`` in the registry, or ``outcome/new`` before it is registered.
        card_digest: SHA-256 of the card that the registry vouches for; None where it does not.
    """

    booster: Forest | None
    numbers: Numbers
    card: ModelCard
    version: str
    card_digest: str | None = None

    @property
    def identity(self) -> str:
        """The version and 12 digits of the card's digest, as ``churn/4@1a2b3c4d5e6f``; the version where it has none.

        Another registry, or a restored one, may have given the number to another model.
        """
        return f"{self.version}@{self.card_digest[:12]}" if self.card_digest else self.version

    def matrix_of(self, rows: FeatureRows) -> Floats:
        """Lay feature rows out as the model's matrix; their feature set is the model's (the scorer sees to it)."""
        return with_codes(rows.matrix, rows.traits, self.card.categories)

    def matrix(self, rows: pl.DataFrame) -> Floats:
        """Lay a frame out as the model's matrix: numbers, then category codes; NaN where missing or unknown.

        Raises:
            ScoringError: a column is missing.
        """
        lost = [name for name in (*self.card.features, *self.card.categories) if name not in rows.columns]
        if lost:
            raise ScoringError(
                f"{self.version} needs {len(lost)} columns that are not there: {', '.join(lost[:5])}.",
                fix="compute features under the definition it was trained with, or train again",
            )
        return model_matrix(rows, self.card.features, self.card.categories)

    def scores(self, matrix: Floats) -> Floats:
        """Blended score, before calibration; a number outside the range fitted on counts as the nearest end of it.

        BG/NBD reads numbers as they are: its formula is about time that goes on.
        """
        weight, matrix = self.numbers.weight, self._taken(matrix)
        score = np.zeros(len(matrix))
        if self.booster is not None:
            score += weight * self.booster.predict(matrix)
        if weight < 1:
            score += (1 - weight) * self._line(matrix)
        return score

    def _line(self, matrix: Floats) -> Floats:
        """The score of the regression, or of BG/NBD."""
        return self._part.score(matrix)

    def predict(self, matrix: Floats) -> Floats:
        """Calibrated probability of the outcome, or the amount that is expected; a number a row."""
        return self.numbers.calibration.apply(self.scores(matrix))

    def percentile(self, answers: Floats) -> Floats:
        """How many of a hundred users of the snapshots fitted on had a lower answer."""
        return np.minimum(np.maximum(self._percentiles.searchsorted(answers, side="right") - 1, 0), 100).astype(float)

    @cached_property
    def _percentiles(self) -> Floats:
        return np.array(self.card.percentiles)

    def effects(self, matrix: Floats) -> Floats:
        """What each column adds to the calibrated score, ``[rows, columns]``, against the average user.

        Exact attributions of the trees (path-dependent TreeSHAP) and the terms of the regression (or of BG/NBD: Shapley
        values of its three columns), blended as the scores are.
        """
        weight, slope, matrix = self.numbers.weight, self.numbers.calibration.steepness, self._taken(matrix)
        total = np.zeros(matrix.shape) if self.booster is None else self.booster.effects(matrix)
        total *= slope * weight
        if weight < 1:
            line = self._part.effects(matrix)
            line *= slope * (1 - weight)
            total += line
        return total

    def _taken(self, matrix: Floats) -> Floats:
        """The matrix as the score takes it."""
        return matrix if self.numbers.bg_nbd is not None else self.within(matrix)

    def within(self, matrix: Floats) -> Floats:
        """The matrix with numbers outside the range fitted on moved to its nearest end; what is missing stays so."""
        low, high = self._ends
        numbers = matrix[:, : low.size]
        if not ((numbers < low) | (numbers > high)).any():
            return matrix
        inside = matrix.copy()
        np.clip(numbers, low, high, out=inside[:, : low.size])
        return inside

    def outside(self, matrix: Floats, widths: float) -> Outside:
        """Who lies outside what the model was fitted on, by which column, and what the model would make of that.

        Args:
            matrix: the model's matrix, as it is.
            widths: how far outside, in widths of the range fitted on, a number is worth a mark; what is missing and
                never was counts as outside. Columns that the answer does not hang on are left out.
        """
        low, high, width, missed = self._seen
        numbers = matrix[:, : low.size]
        gone = np.isnan(numbers) & ~missed & self._used
        outside = gone | (((numbers < low - widths * width) | (numbers > high + widths * width)) & self._used)
        furthest, effect = np.full(len(matrix), -1), np.zeros(len(matrix))
        row, column = np.nonzero(outside)
        if not row.size:
            return Outside(furthest, effect)
        value = numbers[row, column]
        past = np.maximum(low[column] - value, value - high[column]) / width[column]
        past[np.isnan(past)] = np.inf  # a value that is missing, or that was never there
        begins = np.flatnonzero(np.diff(row, prepend=-1))
        most = np.repeat(np.maximum.reduceat(past, begins), np.diff(begins, append=row.size))
        row, column = row[past == most], column[past == most]
        rows, first = np.unique(row, return_index=True)
        furthest[rows] = column[first]
        # trees say the same of the end of the range and of what lies beyond; regressions and BG/NBD go on
        change = self._part.change(self.within(matrix[rows]), matrix[rows])
        effect[rows] = abs(self.numbers.calibration.steepness) * (1 - self.numbers.weight) * np.abs(change)
        return Outside(furthest, effect)

    def words_beyond(self, row: Floats, column: int) -> str:
        """Say which column of a row lies outside, and what was seen in fitting."""
        ranges, name = self.card.ranges, self.card.features[column]
        found = "missing" if np.isnan(row[column]) else f"{row[column]:.6g}"
        return f"{name} is {found}; fitted on {ranges.lowest[column]:.6g} to {ranges.highest[column]:.6g}"

    @cached_property
    def _seen(self) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
        """Lowest and highest value of each numeric column in fitting, and their distance; where some had no value."""
        ranges = self.card.ranges
        low, high = (np.array([np.nan if v is None else v for v in part]) for part in (ranges.lowest, ranges.highest))
        return low, high, np.where(high > low, high - low, 1.0), np.array(ranges.missing, dtype=np.bool_)

    @cached_property
    def _ends(self) -> tuple[Floats, Floats]:
        """Lowest and highest value of each numeric column in fitting; infinite where it had none."""
        low, high, _, _ = self._seen
        return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)

    @cached_property
    def _used(self) -> NDArray[np.bool_]:
        """The numeric columns that the answer hangs on: trees split by them, or the regression weighs them."""
        count = len(self.card.features)
        used = np.zeros(count + len(self.card.categories), dtype=np.bool_)
        if self.numbers.weight < 1:
            used[self._part.read] = True
        if self.booster is not None:
            used |= self.booster.used
        return used[:count]

    @cached_property
    def _part(self) -> Linear | BgNbdPart:
        """What answers beside the booster, or alone, over this model's matrix."""
        return self.numbers.part.over([len(categories) for categories in self.card.categories.values()])

    def save(self, folder: Path) -> str:
        """Write ``booster.txt`` where there is one, ``numbers.json``, and ``card.json`` with the digests of these.

        Returns:
            The SHA-256 of the card.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = {NUMBERS: self.numbers.to_json()}
        if self.booster is not None:
            files[BOOSTER] = self.booster.text
        for name, text in files.items():
            (folder / name).write_bytes(text.encode())
        digests = {name: sha256(text.encode()).hexdigest() for name, text in files.items()}
        return self.card.model_copy(update={"digests": digests}).save(folder / CARD)

    @classmethod
    def load(cls, folder: Path, version: str, card_digest: str | None = None) -> "Model":
        """Read what `save` wrote; every file is checked before it is parsed.

        Args:
            folder: of the files.
            version: the model's name from now on.
            card_digest: the SHA-256 of the card, where it is known.

        Raises:
            ScoringError: ``model_damaged``: a file is missing or not what was registered.
        """
        try:
            card = ModelCard.model_validate_json(checked_bytes(folder / CARD, card_digest, version))
            numbers = Numbers.model_validate_json(checked_bytes(folder / NUMBERS, card.digests.get(NUMBERS), version))
            if not numbers.part.fits(len(card.features), [len(c) for c in card.categories.values()]):
                raise ValueError(f"{NUMBERS} is not of the columns that {CARD} names")
            if not numbers.weight and BOOSTER not in card.digests:
                return cls(None, numbers, card, version, card_digest)
            booster = checked_bytes(folder / BOOSTER, card.digests.get(BOOSTER), version)
            return cls(_forest(booster, card), numbers, card, version, card_digest)
        except ValueError as error:
            raise damaged(version, str(error)) from error


def _forest(booster: bytes, card: ModelCard) -> Forest:
    """The trees of a file.

    Raises:
        ValueError: it is damaged, or its trees read other columns than the card names.
    """
    try:
        forest = Forest.of(booster.decode())
    except ValueError as error:
        raise ValueError(f"{BOOSTER} cannot be read: {error}") from error
    if forest.columns != len(card.features) + len(card.categories):
        raise ValueError(f"{BOOSTER} is not of the columns that {CARD} names")
    return forest
