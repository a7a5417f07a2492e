"""The model card: what a model version promises."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from segments.tiers import TierCuts


class Measure(BaseModel):
    """A metric with its 95 % interval over users."""

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
        percentiles: 101 quantiles of the calibrated probability on the calibration slice.
        base_rate: share of positives there.
        trained_from, trained_through: first and last cutoff of the fitting slice.
        slices: rows, positives, first and last cutoff of every slice.
        words: what the model is good for, in a sentence.
        metrics: of the model on the test slice, by name.
        floors: of the simple models it has to beat, by floor and name.
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
    floors: dict[str, dict[str, Measure]]

    def save(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(self.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "ModelCard":
        """Read a card."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
