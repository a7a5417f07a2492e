"""Models from the MLflow registry: the champion of each outcome, by alias, pinned to its version."""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import features.system.telemetry  # noqa: F401

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from features.definition.schema import Definition
from features.errors import PropensityError, ScoringError, UnavailableError
from features.settings import Settings
from segments.dependencies import uplift_key
from serving.model.card import damaged
from serving.model.model import Model
from serving.model.registry.artifacts import database_of, know_places
from serving.model.uplift import UpliftModel

log = logging.getLogger("propensity")

# MLflow's news of its own tables, and a deprecation inside it, are not for our users
logging.getLogger("mlflow").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")

CHAMPION = "champion"

#: tag of a registered model: the versions that were champion, oldest first
CHAMPIONS = "champions"

#: tag of a registered version: the SHA-256 of its card, which holds those of the other files
CARD_DIGEST = "card_sha256"


def registered_name(definition: Definition, outcome: str) -> str:
    """The registered model of an outcome, or of an experiment by its `uplift_key`."""
    return f"{definition.name}-{outcome}"


@contextmanager
def registry_errors(uri: str) -> Iterator[None]:
    """Turn whatever MLflow, its database or its server raises into words.

    Raises:
        UnavailableError: ``registry``: it does not answer, or is damaged.
    """
    try:
        yield
    except PropensityError:
        raise
    except Exception as error:
        # MLflow passes on what its database, its server and the disk raise, and they have no base class in common
        line = (str(error).strip().splitlines() or [""])[0].replace(uri, shown(uri))[:300]
        fix = "check that PROPENSITY_TRACKING_URI is right and that the server answers"
        if database_of(uri) is not None:
            fix = "see that the disk is neither full nor read-only; restore a damaged file from a backup"
        raise UnavailableError(
            f"the model registry at {shown(uri)} fails: {type(error).__name__}: {line}.",
            fix=fix,
            code="registry",
        ) from error


def shown(uri: str) -> str:
    """An address without user and password."""
    database, parts = database_of(uri), urlsplit(uri)
    return str(database) if database is not None else uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1)


@dataclass(frozen=True, slots=True)
class Promoted:
    """A version that is champion; a registry that was restored or made again may hold another model of that number.

    Attributes:
        number: of the version.
        card: SHA-256 of its card; None where it was registered before digests were kept.
    """

    number: str
    card: str | None


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads champions; it makes nothing where there is nothing.

    Attributes:
        definition: whose outcomes.
        settings: where the registry is.
    """

    definition: Definition
    settings: Settings

    def versions(self) -> dict[str, str]:
        """The number of each outcome's champion, where it has one.

        Raises:
            UnavailableError: the registry does not answer, or is damaged.
        """
        return {outcome: promoted.number for outcome, promoted in self.promoted().items()}

    def promoted(self) -> dict[str, Promoted]:
        """The champion of each outcome that has one.

        Raises:
            UnavailableError: the registry does not answer, or is damaged.
        """
        return self._promoted({outcome: outcome for outcome in self.definition.outcomes})

    def promoted_uplifts(self) -> dict[str, Promoted]:
        """The uplift champion of each experiment that has one.

        Raises:
            UnavailableError: the registry does not answer, or is damaged.
        """
        return self._promoted({name: uplift_key(name) for name in self.definition.uplifts})

    def _promoted(self, keys: Mapping[str, str]) -> dict[str, Promoted]:
        """By the names asked for, the champions of models by their keys."""
        if self._is_missing():
            return {}
        found = {}
        with registry_errors(self._uri):
            for name, key in keys.items():
                version = self._champion(key)
                if version is not None:
                    found[name] = Promoted(str(version.version), version.tags.get(CARD_DIGEST))
        return found

    def absence(self) -> str:
        """Say why there is no champion, in a sentence: no registry, none of this definition's models, or no alias."""
        place, name = shown(self._uri), self.definition.name
        if self._is_missing():
            return f"There is no model registry at {place}."
        with registry_errors(self._uri):
            client = self._client()
            every = {model.name for model in client.search_registered_models(max_results=1_000)}
        mine = every & {registered_name(self.definition, outcome) for outcome in self.definition.outcomes}
        if not every:
            return f"The model registry at {place} is empty."
        if not mine:
            return f"The model registry at {place} holds no model of {name} (but {', '.join(sorted(every)[:5])})."
        return f"The models of {name} at {place} have no champion: no version passed the gate."

    def load(self, outcome: str, version: str) -> Model:
        """Load one version, natively: no pyfunc, no pickle; its files are checked before they are parsed.

        Raises:
            ScoringError: a file is missing, changed, or not what it should be.
            UnavailableError: the registry does not answer, or is damaged.
        """
        named = f"{outcome}/{version}"
        with self._fetched(outcome, version) as (path, card):
            model = Model.load(path, named, card)
        if model.card.outcome != outcome:
            raise ScoringError(
                f"{named} in the registry is a model of {model.card.outcome}.",
                fix=f"propensity rollback {outcome}",
                code="model_damaged",
            )
        if not model.card.digests:
            log.warning("%s was registered without digests: its files are not checked. Train again.", named)
        return model

    def champions(self) -> dict[str, Model]:
        """Load every champion."""
        return {outcome: self.load(outcome, version) for outcome, version in self.versions().items()}

    def load_uplift(self, experiment: str, version: str) -> UpliftModel:
        """Load one version of an experiment's uplift model, as `load` does.

        Raises:
            ScoringError: a file is missing, changed, or not what it should be.
            UnavailableError: the registry does not answer, or is damaged.
        """
        key = uplift_key(experiment)
        named = f"{key}/{version}"
        with self._fetched(key, version) as (path, card):
            model = UpliftModel.load(path, named, card)
        if model.card.name != experiment:
            raise damaged(named, f"it is of the experiment {model.card.name}")
        return model

    def uplifts(self) -> dict[str, UpliftModel]:
        """Load every uplift champion, by experiment."""
        return {name: self.load_uplift(name, promoted.number) for name, promoted in self.promoted_uplifts().items()}

    @contextmanager
    def _fetched(self, key: str, version: str) -> Iterator[tuple[Path, str | None]]:
        """A version's files, in a folder until the end of the block, and the SHA-256 of its card where it is known."""
        name = registered_name(self.definition, key)
        with tempfile.TemporaryDirectory() as folder:
            with registry_errors(self._uri):
                card = self._client().get_model_version(name, version).tags.get(CARD_DIGEST)
            yield self._files(f"models:/{name}/{version}", f"{key}/{version}", Path(folder)), card

    @property
    def _uri(self) -> str:
        return self.settings.mlflow_uri

    def _is_missing(self) -> bool:
        """Whether there is no database; MLflow would make an empty one."""
        database = database_of(self._uri)
        return database is not None and not (database.exists() and database.stat().st_size)

    def _client(self) -> mlflow.MlflowClient:
        know_places()
        # MLflow would ask a server that is away for four minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        return mlflow.MlflowClient(self._uri, self._uri)

    def _champion(self, outcome: str) -> ModelVersion | None:
        try:
            return self._client().get_model_version_by_alias(registered_name(self.definition, outcome), CHAMPION)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None

    def _files(self, uri: str, named: str, folder: Path) -> Path:
        """Fetch a version's files.

        Raises:
            ScoringError: they are not there.
        """
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        try:
            with registry_errors(self._uri):
                return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))) / "artifacts"
        except UnavailableError as error:
            if database_of(self._uri) is None:
                raise  # a server may answer a moment later
            raise damaged(named, error.message.rstrip(".")) from error
