"""Models from the MLflow registry: the champion of each outcome, by alias, pinned to its version."""

import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from features.definition.schema import Definition
from features.settings import Settings
from serving.model import Model

# MLflow's news of its own tables, and a deprecation inside it, are not for our users
logging.getLogger("mlflow").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")

CHAMPION = "champion"


def registered_name(definition: Definition, outcome: str) -> str:
    """The registered model of an outcome."""
    return f"{definition.name}-{outcome}"


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads champions.

    Attributes:
        definition: whose outcomes.
        settings: where the registry is.
    """

    definition: Definition
    settings: Settings

    def versions(self) -> dict[str, str]:
        """The champion's version of each outcome that has one."""
        client = mlflow.MlflowClient(self.settings.mlflow_uri, self.settings.mlflow_uri)
        found = {}
        for outcome in self.definition.asked:
            try:
                version = client.get_model_version_by_alias(registered_name(self.definition, outcome), CHAMPION)
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                continue
            found[outcome] = str(version.version)
        return found

    def load(self, outcome: str, version: str) -> Model:
        """Load one version, natively: no pyfunc, no pickle."""
        name = registered_name(self.definition, outcome)
        with tempfile.TemporaryDirectory() as folder:
            mlflow.set_tracking_uri(self.settings.mlflow_uri)
            mlflow.set_registry_uri(self.settings.mlflow_uri)
            path = mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=folder)
            return Model.load(Path(path) / "artifacts", f"{outcome}/{version}")

    def champions(self) -> dict[str, Model]:
        """Load every champion."""
        return {outcome: self.load(outcome, version) for outcome, version in self.versions().items()}
