"""An uplift model: who is moved by acting, as an experiment has shown it. LightGBM and a card; no pickle."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from segments.tiers import UpliftTier
from serving.model.card import Measure, Ranges, checked_bytes, damaged
from serving.model.numbers import Floats, sigmoid
from serving.model.trees.forest import Forest

CARD = "uplift.json"


class Responses:
    """Predicts what users do without and with acting.

    Args:
        texts: boosters as LightGBM writes them: one of all users with the assignment as the last column (S-learner), or
            one of who was sent nothing and one of who was acted on (T-learner).

    Raises:
        ValueError: a text is no booster.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self._boosters = tuple(map(Forest.of, self.texts))

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """The probability of what is wanted, without and with acting; the same of few rows as of many.

        Args:
            X: features, ``[rows, columns]``.
        """
        if len(self._boosters) == 1:
            both = (np.column_stack([X, np.full(len(X), flag)]) for flag in (0.0, 1.0))
            low, high = (self._of(0, one) for one in both)
        else:
            low, high = self._of(0, X), self._of(1, X)
        return low, high

    def _of(self, at: int, X: Floats) -> Floats:
        return sigmoid(self._boosters[at].predict(X))

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """The columns that the trees split by, that of the assignment among them where there is one."""
        return np.asarray(np.any([booster.used for booster in self._boosters], axis=0))


class UpliftGroup(BaseModel):
    """A fifth of the users of an experiment, by predicted uplift.

    Attributes:
        least: the smallest predicted uplift in it; users below that of the last group are in it, too.
        effect: what acting was seen to do to them, positive where it does what is wanted.
        low, high: the interval of the effect.
        tier: its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: float
    effect: float
    low: float
    high: float
    tier: UpliftTier


class UpliftCard(BaseModel):
    """What an uplift model answers, from what it was learnt, and how well it ranks.

    Attributes:
        name: the experiment's name in the definition.
        experiment: ``name@digest``, the experiment that was read.
        variant: the variant whose effect it is.
        outcome, better: what the experiment is judged by, and whether more or less of it is wanted.
        definition: name and digest of the definition it was learnt under.
        feature_digest: digest of the feature set; another one is not answered from.
        features: numeric columns in the order of the matrix.
        learner: ``s`` or ``t``, as in `Responses`.
        ranges: of the features at the assignment.
        groups: the fifths, the most moved first.
        users: of both arms.
        autoc: the area under the targeting curve, on users who were not used in the fit.
        words: the verdict in a sentence.
        digests: SHA-256 of the boosters, by file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    experiment: str
    variant: str
    outcome: str
    better: Literal["more", "less"]
    definition: str
    feature_digest: str
    features: list[str]
    learner: Literal["s", "t"]
    ranges: Ranges
    groups: list[UpliftGroup] = Field(min_length=1)
    users: int
    autoc: Measure
    words: str
    digests: dict[str, str] = {}


@dataclass(frozen=True)
class UpliftModel:
    """A fitted uplift model.

    Attributes:
        responses: its boosters.
        card: what it promises.
        version: ``uplift.<experiment>/<number>`` in the registry, or ``…/new`` before it is registered.
        card_digest: SHA-256 of the card that the registry vouches for; None before it is registered.
    """

    responses: Responses
    card: UpliftCard
    version: str
    card_digest: str | None = None

    @property
    def identity(self) -> str:
        """As `serving.model.model.Model.identity`."""
        return f"{self.version}@{self.card_digest[:12]}" if self.card_digest else self.version

    def matrix(self, rows: pl.DataFrame) -> Floats:
        """Lay a frame out as the model's matrix, NaN where missing."""
        return rows.select(self.card.features).fill_null(float("nan")).to_numpy(order="c")

    def predict(self, matrix: Floats) -> Floats:
        """Predicted uplift: the probability of what is wanted with acting, less that without; a number a row."""
        low, high = self.responses.predict(matrix)
        return high - low

    def group_of(self, uplift: Floats) -> NDArray[np.int64]:
        """The place of each predicted uplift among the card's groups."""
        borders = np.array([group.least for group in self.card.groups[:-1]])
        return np.asarray((uplift[:, None] < borders).sum(axis=1), dtype=np.int64)

    def outside(self, matrix: Floats, widths: float) -> NDArray[np.bool_]:
        """Rows unlike the users of the experiment: a column that the trees split by lies outside its range there.

        Args:
            matrix: the model's matrix.
            widths: how far outside, in widths of the range; what is missing and never was is outside.
        """
        low, high, missed = self._seen
        reach = widths * np.where(high > low, high - low, 1.0)
        far = (matrix < low - reach) | (matrix > high + reach) | (np.isnan(matrix) & ~missed)
        return np.asarray((far & self.responses.used[: low.size]).any(axis=1))

    @cached_property
    def _seen(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """The ends of each column's range, infinite where it had no value, and whether some had none."""
        ranges = self.card.ranges
        low = np.array([-np.inf if value is None else value for value in ranges.lowest])
        high = np.array([np.inf if value is None else value for value in ranges.highest])
        return low, high, np.array(ranges.missing, dtype=np.bool_)

    def save(self, folder: Path) -> str:
        """Write the boosters, and ``uplift.json`` with their digests.

        Returns:
            The SHA-256 of the card.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = {f"booster-{i}.txt": text.encode() for i, text in enumerate(self.responses.texts)}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        digests = {name: sha256(content).hexdigest() for name, content in files.items()}
        card = self.card.model_copy(update={"digests": digests}).model_dump_json(indent=2).encode()
        (folder / CARD).write_bytes(card)
        return sha256(card).hexdigest()

    @classmethod
    def load(cls, folder: Path, version: str, card_digest: str | None = None) -> Self:
        """Read what `save` wrote; every file is checked before it is parsed.

        Args:
            folder: of the files.
            version: the model's name from now on.
            card_digest: the SHA-256 of the card, where it is known.

        Raises:
            ScoringError: ``model_damaged``: a file is missing or not what was registered.
        """
        try:
            card = UpliftCard.model_validate_json(checked_bytes(folder / CARD, card_digest, version))
            texts = [checked_bytes(folder / name, digest, version).decode() for name, digest in card.digests.items()]
            if len(texts) != {"s": 1, "t": 2}[card.learner]:
                raise ValueError(f"{len(texts)} boosters of a {card.learner}-learner")
            return cls(Responses(texts), card, version, card_digest)
        except ValueError as error:
            raise damaged(version, str(error)) from error
