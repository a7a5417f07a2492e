"""The model card: what a model version promises, and the digests of its files."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

from features.errors import ScoringError
from segments.dependencies import UPLIFT
from segments.tiers import TierCuts

#: kinds of models, the simplest first
Kind = Literal["recency", "bg_nbd", "rfm", "blend"]

#: what a kind is called in a sentence
_KINDS: Mapping[Kind, str] = {
    "recency": "a regression on recency",
    "bg_nbd": "BG/NBD",
    "rfm": "a regression on recency, frequency and value",
    "blend": "a blend of trees and a regression on all columns",
}


#: what a card says only where there is something to say
_SELDOM = ("recalibrated", "treated")


class Measure(BaseModel):
    """A metric with its 95 % interval over users.

    Attributes:
        value: the metric.
        low: the lower end of the interval; null without one.
        high: the upper end of the interval; null without one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float | None = None
    high: float | None = None


class Ranges(BaseModel):
    """What the numeric features were in the rows fitted on, in the order of the card's features.

    Attributes:
        lowest, highest: null where a feature never had a value.
        missing: whether it was missing in some row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lowest: list[float | None]
    highest: list[float | None]
    missing: list[bool]

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> "Ranges":
        """Those of a matrix, ``[rows, columns]``; NaN where a value is missing."""
        low, high = np.fmin.reduce(numbers, axis=0), np.fmax.reduce(numbers, axis=0)
        ends = ([v if np.isfinite(v) else None for v in end.tolist()] for end in (low, high))
        return cls(lowest=next(ends), highest=next(ends), missing=np.isnan(numbers).any(axis=0).tolist())


class Procedure(BaseModel):
    """How a model is fitted, so that the same can be done again on other rows.

    Attributes:
        kind: ``blend`` of trees and a regression on all columns; or a regression alone, on the columns of ``rfm`` or of
            ``recency``; or ``bg_nbd``, which reads how often, how long ago and since when.
        half_life: horizons after which an older row counts half in fitting; None where all count alike.
        level: the same of calibration, tier cut-offs and percentiles.
        tuned: parameters of LightGBM in place of the usual ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "blend"
    half_life: float | None = None
    level: float | None = None
    tuned: dict[str, float | int | str] = {}


class Recalibrated(BaseModel):
    """How a version came out of another one by its matured labels alone.

    Attributes:
        parent: the version whose answers are moved, as ``churn/4``.
        slope, offset: of the logit of a probability.
        scale: the factor of an amount; None of probabilities.
        users: untreated users whose labels it was fitted on.
        effective: how many unweighted users they are worth.
        events: users among them to whom it happened.
        as_of: labels that were known by then.
        words: the gate's verdict in a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str
    slope: float
    offset: float
    scale: float | None
    users: int
    effective: float
    events: int
    as_of: str
    words: str = ""

    @property
    def how(self) -> str:
        """What was moved, in words."""
        if self.scale is not None:
            return f"amounts times {self.scale:.3f}"
        return f"logits times {self.slope:.3f}, {self.offset:+.3f}"


class TreatedLabels(BaseModel):
    """Labels of users who were acted on within the label's window, so that they tell what acting did.

    Attributes:
        learn, test: their share of the labels that were learnt from, and judged on, by weight.
        replaced: whether they were left out and held-out users stand for them.
        held_out: rows of held-out users.
        enough_to_learn, enough_to_judge: of these, the rarer answer in either slice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learn: float
    test: float
    replaced: bool
    held_out: int
    enough_to_learn: int
    enough_to_judge: int

    @property
    def words(self) -> str:
        """What was done about them, in a sentence."""
        share = f"{self.learn:.1%} of the labels learnt from and {self.test:.1%} of those judged on"
        if self.replaced:
            return f"{share} are of users who were acted on; {self.held_out:,} rows of held-out users stand for them."
        return (
            f"{share} are of users who were acted on, and stay: held-out users have {self.enough_to_learn:,} and "
            f"{self.enough_to_judge:,} labels of the rarer answer."
        )


class ModelCard(BaseModel):
    """What a model version answers, for whom, from what, and how well.

    Attributes:
        outcome: the question's name.
        question: the question in words.
        among: predicate of the population; nobody else is scored.
        gap, horizon: microseconds; the label window is ``[c + gap, c + gap + horizon)``.
        definition: name and digest of the definition it was trained under.
        feature_digest: digest of the feature set; another one refuses to score.
        features: numeric columns in the order of the model's matrix.
        categories: known values of each trait, in the order of their codes, after the numeric columns.
        ranges: of the numeric columns in the rows fitted on; a user far outside is not scored.
        tiers: frozen cut-offs.
        percentiles: 101 quantiles of the calibrated answer, of rows by what has not seen their user.
        base_rate: share of positives, or mean amount, of the same rows.
        trained_from, trained_through: first and last cutoff that the served model was fitted on.
        slices: rows, positives, users, first and last cutoff of what the judged model learnt from (``learn``), of what
            it was judged on (``test``), and of what the served model is fitted on (``all``).
        words: what the model is good for, in a sentence.
        metrics: of the model on the test slice, by name.
        baselines: of the simple models it has to beat, by baseline and name.
        procedure: how it was fitted; None of versions registered before that was kept.
        recalibrated: how it came out of another version; None of a version that was trained. Order, features and
            ``trained_through`` are that version's then; the metrics of level are of the labels it was recalibrated on.
        treated: labels of users who were acted on; None where there are none.
        judged_by: ``time``: on cutoffs after those learnt from; ``users``: on other users at the same cutoffs, where
            the log is too short for more.
        digests: SHA-256 of the model's other files, by name; empty before it is saved, and of versions registered
            before digests were kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: str
    question: str
    among: str
    gap: int
    horizon: int
    definition: str
    feature_digest: str
    features: list[str]
    categories: dict[str, list[str]]
    ranges: Ranges
    tiers: TierCuts
    percentiles: list[float]
    base_rate: float
    trained_from: str
    trained_through: str
    slices: dict[str, dict[str, int | str]]
    words: str = ""
    metrics: dict[str, Measure]
    baselines: dict[str, dict[str, Measure]]
    procedure: Procedure | None = None
    judged_by: Literal["time", "users"] = "time"
    recalibrated: Recalibrated | None = None
    treated: TreatedLabels | None = None
    digests: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, found: object) -> object:
        """Cards registered before baselines were called so."""
        if isinstance(found, dict) and "floors" in found:
            return {("baselines" if key == "floors" else key): value for key, value in found.items()}
        return found

    @model_serializer(mode="wrap")
    def _of_what_there_is(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Cards of trained versions keep the bytes that they had before versions could be recalibrated."""
        content: dict[str, object] = write(self)
        return {key: value for key, value in content.items() if key not in _SELDOM or value is not None}

    @property
    def judged_rate(self) -> float:
        """Share of positives among the rows that the metrics are of; of a recalibrated version its `base_rate`."""
        if self.recalibrated is not None:
            return self.base_rate
        return int(self.slices["test"]["positives"]) / int(self.slices["test"]["rows"])

    @property
    def learnt(self) -> str:
        """What was judged and what serves, in a sentence: which rows, of how many users, through when."""
        treated = self.treated.words if self.treated is not None else ""
        return " ".join(part for part in (self._fitted, treated, self._moved) if part)

    @property
    def _moved(self) -> str:
        """What was done to the version after it was fitted."""
        if (by := self.recalibrated) is None:
            return ""
        return (
            f"Recalibrated from {by.parent} ({by.how}) on {by.users:,} untreated users with {by.events:,} events, "
            f"labels known by {by.as_of[:16]}."
        )

    @property
    def _fitted(self) -> str:
        if "all" not in self.slices:
            return f"Fitted through {self.trained_through[:16]}."
        learn, test, every = (self.slices[name] for name in ("learn", "test", "all"))
        kind = f"{_KINDS[self.procedure.kind]}, " if self.procedure else ""
        later = "on later cutoffs" if self.judged_by == "time" else "on other users at the same cutoffs"
        return (
            f"Judged as of {str(learn['last_cutoff'])[:16]}, {later} through {str(test['last_cutoff'])[:16]} "
            f"({_rows(test)}). Serves {kind}fitted through {str(every['last_cutoff'])[:16]}, on {_rows(every)}."
        )

    def save(self, path: Path) -> str:
        """Write the card as JSON.

        Returns:
            Its SHA-256.
        """
        content = self.model_dump_json(indent=2).encode()
        path.write_bytes(content)
        return sha256(content).hexdigest()


def _rows(part: Mapping[str, int | str]) -> str:
    return f"{int(part['rows']):,} rows of {int(part['users']):,} users"


def checked_bytes(path: Path, digest: str | None, version: str) -> bytes:
    """Read a model's file, and check it before anybody parses it.

    Args:
        path: the file.
        digest: its SHA-256; None where it was never kept.
        version: the model's, for words.

    Raises:
        ScoringError: ``model_damaged``: the file is missing, or is not the one that was registered.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise damaged(version, f"{path.name}: {error.strerror or error}") from error
    found = sha256(content).hexdigest()
    if digest is not None and found != digest:
        raise damaged(version, f"{path.name} has SHA-256 {found[:12]}…, and {digest[:12]}… was registered")
    return content


def damaged(version: str, what: str) -> ScoringError:
    """The error of a model whose files are not what was registered."""
    name = version.partition("/")[0]
    again = f"propensity rollback {name}, or train again"
    if name.startswith(UPLIFT):
        again = f"or learn it again: propensity uplift {name.removeprefix(UPLIFT)}"
    return ScoringError(
        f"{version} cannot be loaded: {what}.",
        fix=f"restore the registry's files from a backup, {again}",
        code="model_damaged",
    )
