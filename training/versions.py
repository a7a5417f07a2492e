"""Versions of models in MLflow: registered, promoted, rolled back, and tagged."""

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from types import MappingProxyType

import features.system.telemetry  # noqa: F401

import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

import serving
from features.definition.schema import Definition
from features.errors import PropensityError, ScoringError, StoreError
from features.feature_store import feature_service_name
from features.settings import Settings
from features.time import to_datetime
from segments.dependencies import uplift_key
from serving.model.model import Model
from serving.model.registry.artifacts import know_places
from serving.model.registry.loader import Loader
from serving.model.registry.places import make_relative, registry_errors
from serving.model.registry.promoted import CARD_DIGEST, CHAMPION, CHAMPIONS, registered_name
from serving.model.uplift import UpliftModel
from serving.scoring.earlier.batch import Earlier

log = logging.getLogger("propensity")

#: no tags besides those that every version has
NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Versions:
    """The registered models of a definition.

    Args:
        definition: names the registered models.
        settings: where MLflow is.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition, self._settings = definition, settings
        self._loader = Loader(definition, settings)
        self._uri = uri = settings.mlflow_uri
        with registry_errors(uri):
            settings.home.mkdir(parents=True, exist_ok=True)
            know_places()
            make_relative(uri)
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            self._client = mlflow.MlflowClient(uri, uri)

    def register(self, model: Model, more: Mapping[str, str] = NO_TAGS) -> str:
        """Register the open run's model as a new version, champion of nothing yet.

        Args:
            model: the model.
            more: tags of the version besides those that every version has.

        Returns:
            The version, as ``7``.
        """
        card = model.card
        tags = {
            "feast.feature_service": feature_service_name(card.outcome, self._definition),
            "trained_through": card.trained_through,
            "feature_digest": card.feature_digest,
            **more,
        }
        return self._registered(card.outcome, model, [*card.features], [*card.categories], tags)

    def register_uplift(self, model: UpliftModel) -> str:
        """Register the open run's uplift model as a new version of its experiment's, champion of nothing yet.

        Returns:
            The version, as ``7``.
        """
        card = model.card
        tags = {"experiment": card.experiment, "variant": card.variant, "feature_digest": card.feature_digest}
        return self._registered(uplift_key(card.name), model, card.features, [], tags)

    def _registered(
        self, key: str, model: Model | UpliftModel, numbers: list[str], traits: list[str], tags: Mapping[str, str]
    ) -> str:
        name = registered_name(self._definition, key)
        with registry_errors(self._uri):
            if not self._client.search_registered_models(f"name = '{name}'"):
                self._client.create_registered_model(name)
            logged_id, digest = _log_model(model, numbers, traits)
            logged = self._client.get_logged_model(logged_id)
            taken = self._taken(key)
            while True:
                version = self._client.create_model_version(
                    name, f"models:/{logged.model_id}", run_id=logged.source_run_id,
                    tags={**tags, CARD_DIGEST: digest}, model_id=logged.model_id, description=model.card.words,
                )  # fmt: skip
                if int(version.version) > taken:
                    return str(version.version)
                self._client.delete_model_version(name, version.version)

    def _taken(self, outcome: str) -> int:
        """The highest number of a version that kept scores name; a new registry counts from 1 again.

        A number that was given twice would let records and transitions of two models look like those of one.
        """
        highest = 0
        for scores in Earlier.every(self._settings.scores(self._definition.name)):
            try:
                number = scores.models(self._definition).get(outcome, "").rpartition("/")[2]
            except StoreError as error:
                log.warning("numbers of models are not looked up in damaged scores: %s", error)
                continue
            highest = max(highest, int(number)) if number.isdigit() else highest
        return highest

    def champion(self, outcome: str) -> Model | None:
        """The model served now; None where there is none, or one of a form that is no longer read (the run says so)."""
        version = self._loader.versions().get(outcome)
        try:
            return self._loader.load(outcome, version) if version else None
        except ScoringError as error:
            log.warning("champion %s/%s is compared with nothing: %s", outcome, version, error)
            mlflow.set_tag("champion.unreadable", f"{outcome}/{version}: {error}"[:5_000])
            return None

    def promote(self, outcome: str, version: str, *, forced: str | None = None) -> None:
        """Make a version the champion, and note it in the outcome's history.

        Args:
            outcome: which question.
            version: its number.
            forced: why it is promoted though the gate is against it; kept with the version.
        """
        name = registered_name(self._definition, outcome)
        with registry_errors(self._uri):
            if forced:
                self._client.set_model_version_tag(name, version, "forced", forced)
            self._client.set_registered_model_tag(name, CHAMPIONS, " ".join([*self.champions(outcome), version]))
            self._client.set_registered_model_alias(name, CHAMPION, version)

    def withdraw(self, key: str, reason: str) -> None:
        """Leave a model without a champion, if it has one.

        Args:
            key: of an experiment's uplift model, as `uplift_key` writes it.
            reason: kept with the version that was champion.
        """
        name, history = registered_name(self._definition, key), self.champions(key)
        with registry_errors(self._uri):
            if not history or CHAMPION not in self._client.get_registered_model(name).aliases:
                return
            self._client.set_model_version_tag(name, history[-1], "withdrawn", reason)
            self._client.delete_registered_model_alias(name, CHAMPION)

    def monitored(
        self, outcome: str, version: str, *, findings: Sequence[str], ratio: float | None, as_of: int
    ) -> None:
        """Note what the monitor found of a version, as tags of the version and of the run that made it.

        Args:
            outcome: which question.
            version: its number.
            findings: names of findings; none where all is well.
            ratio: observed over expected outcomes; None where it is not known.
            as_of: the instant through which the log was complete.

        Raises:
            UnavailableError: MLflow does not answer, or does not know the version.
        """
        name = registered_name(self._definition, outcome)
        tags = {"monitoring.finding": ", ".join(findings) or "none", "monitoring.as_of": to_datetime(as_of).isoformat(),
                "monitoring.ratio": "" if ratio is None else f"{ratio:.4f}"}  # fmt: skip
        with registry_errors(self._uri):
            run = self._client.get_model_version(name, version).run_id
            for key, value in tags.items():
                self._client.set_model_version_tag(name, version, key, value)
                if run:
                    self._client.set_tag(run, key, value)

    def champions(self, outcome: str) -> list[str]:
        """The versions that were champion, the one that is at the end."""
        name = registered_name(self._definition, outcome)
        with registry_errors(self._uri):
            if not self._client.search_registered_models(f"name = '{name}'"):
                return []
            return str(self._client.get_registered_model(name).tags.get(CHAMPIONS, "")).split()

    def rollback(self, outcome: str, reason: str) -> tuple[str, str]:
        """Make the champion before this one the champion again.

        Returns:
            The version that was champion, and the one that is.

        Raises:
            PropensityError: there was none before.
            ScoringError: the one before is damaged; nothing has changed then.
        """
        history = self.champions(outcome)
        if len(history) < 2:
            raise PropensityError(
                f"{outcome} has had {len(history)} champions: there is none to go back to.", fix="train a better model"
            )
        *_, before, now = history
        self._loader.load(outcome, before)
        name = registered_name(self._definition, outcome)
        with registry_errors(self._uri):
            self._client.set_model_version_tag(name, now, "rolled_back", reason)
            self._client.set_registered_model_alias(name, CHAMPION, before)
            self._client.set_registered_model_tag(name, CHAMPIONS, " ".join(history[:-1]))
        return now, before


def _log_model(model: Model | UpliftModel, numbers: list[str], traits: list[str]) -> tuple[str, str]:
    """Log a model into the open run, and return MLflow's id of it and the SHA-256 of its card."""
    columns: list[ColSpec | TensorSpec] = [ColSpec("double", n, required=False) for n in numbers]
    columns += [ColSpec("string", n, required=False) for n in traits]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # the signature comes from the card, so an example to infer it from is not needed
        warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
        files = Path(folder) / "model"
        digest = model.save(files)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(serving.__file__).parent / "model" / "pyfunc.py"),
            artifacts={file.stem: str(file) for file in files.iterdir()},
            signature=ModelSignature(Schema(columns), Schema([ColSpec("double")])),
            pip_requirements=[f"{p}=={package_version(p)}" for p in ("lightgbm", "mlflow", "numpy", "polars")],
        )
    return str(logged.model_id), digest
