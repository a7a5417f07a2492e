"""The champions to score with; where some are missing, whether that may be, and how that is reported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from features.definition.schema import Definition
from features.errors import PropensityError
from serving.model.model import Model
from serving.model.registry.loader import Loader
from serving.model.uplift import UpliftModel
from serving.scoring.earlier.batch import Earlier


@dataclass(frozen=True, slots=True)
class Champions:
    """The champions of a definition.

    Attributes:
        models: by outcome.
        uplifts: uplift models, by experiment.
        note: why outcomes have none, and what to do, in a sentence; empty where all have one.
    """

    models: Mapping[str, Model]
    uplifts: Mapping[str, UpliftModel]
    note: str

    @classmethod
    def of(cls, loader: Loader, scores: Path, *, without_models: bool = False) -> "Champions":
        """Load the champions, and refuse to go back to fewer than the newest scores were made with.

        An empty registry says that there is no champion, not that nobody is likely: before the first training that is
        how things are, afterwards something is lost.

        Args:
            loader: of the definition.
            scores: the folder of its batches' scores.
            without_models: go on without the models that are lost.

        Raises:
            PropensityError: ``models_lost``.
            ScoringError: a champion is damaged.
            UnavailableError: the registry does not answer, or is damaged.
        """
        definition, models, uplifts = loader.definition, loader.champions(), loader.uplifts()
        missing = [name for name in definition.outcomes if name not in models]
        if not missing:
            return cls(models, uplifts, "")
        had = _had(definition, scores)
        lost = [had[name] for name in missing if name in had]
        if lost and not without_models:
            raise PropensityError(
                f"the newest scores were made with {', '.join(lost)}, and there is no such champion now. "
                f"{loader.absence()}",
                fix="check that PROPENSITY_TRACKING_URI and PROPENSITY_HOME are right, or restore mlflow.db; or train; "
                "or say --without-models",
                code="models_lost",
            )
        return cls(models, uplifts, _note(missing, definition, loader))


def _had(definition: Definition, scores: Path) -> dict[str, str]:
    newest = Earlier.newest(scores)
    return newest.models(definition) if newest is not None else {}


def _note(missing: list[str], definition: Definition, loader: Loader) -> str:
    if len(missing) == len(definition.outcomes):
        return (
            f"{loader.absence()} States, RFM groups and segments need none; there is no answer to what users will do "
            "(no_model). Run propensity train first."
        )
    return f"No champion of {', '.join(missing)}: there is no answer to that (no_model). propensity train says why."
