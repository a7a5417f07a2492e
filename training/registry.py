"""Runs and model versions in MLflow: the one place that writes there."""

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path

import mlflow
import polars as pl
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

import serving
from features.definition.schema import Definition
from features.settings import Settings
from features.store import feature_service_name
from features.time import to_datetime
from serving.card import ModelCard
from serving.loader import CHAMPION, registered_name
from serving.model import Model


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run leaves behind, to be logged.

    Attributes:
        model: fitted and judged.
        parameters: of the fit.
        figures: pictures by file name.
        tables: tables by file name.
        data_digest: changes when a row, a label or a slice of the data set changes.
    """

    model: Model
    parameters: Mapping[str, float | int | str]
    figures: Mapping[str, Figure]
    tables: Mapping[str, pl.DataFrame]
    data_digest: str


class Registry:
    """MLflow for one definition.

    Args:
        definition: names the experiments and the registered models.
        settings: where MLflow is.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition = definition
        settings.home.mkdir(parents=True, exist_ok=True)
        self._artifacts = (settings.home.resolve() / "mlartifacts").as_uri() if not settings.tracking_uri else None
        mlflow.set_tracking_uri(settings.mlflow_uri)
        mlflow.set_registry_uri(settings.mlflow_uri)
        self._client = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri)

    def experiment(self, outcome: str) -> str:
        """The id of an outcome's experiment, made when it is not there."""
        name = f"{self._definition.name}/{outcome}"
        found = self._client.get_experiment_by_name(name)
        return found.experiment_id if found else self._client.create_experiment(name, self._artifacts)

    def register(self, trained: Trained, ends: int) -> str:
        """Log a run, register its model and make it the champion.

        Returns:
            The version, as ``outcome/7``.
        """
        card = trained.model.card
        name = registered_name(self._definition, card.outcome)
        with mlflow.start_run(
            experiment_id=self.experiment(card.outcome), run_name=f"{card.outcome} {card.definition}"
        ):
            mlflow.log_input(self._dataset(trained), context="training")
            mlflow.log_params(dict(trained.parameters))
            mlflow.log_metrics(_flat(trained.model))
            mlflow.set_tags(
                {
                    "definition": card.definition,
                    "data_ends": to_datetime(ends).isoformat(),
                    "population": card.among,
                    "question": card.question,
                }
            )
            mlflow.log_text(_yaml(self._definition), "definition.yaml")
            mlflow.log_text(card.model_dump_json(indent=2), "card.json")
            mlflow.log_text(json.dumps(card.slices, indent=2), "dataset.json")
            for file, figure in trained.figures.items():
                mlflow.log_figure(figure, f"plots/{file}")
            for file, table in trained.tables.items():
                mlflow.log_text(table.write_csv(), f"tables/{file}")
            version = self._version(name, self._log_model(trained.model), card)
        self._client.set_registered_model_alias(name, CHAMPION, version)
        return f"{card.outcome}/{version}"

    def _dataset(self, trained: Trained) -> MetaDataset:
        """Describe the data set to MLflow; its rows stay in the feature store, under the service that yields them."""
        card = trained.model.card
        said = {"feast.feature_service": feature_service_name(card.outcome, self._definition), "population": card.among}
        slices = {f"{name}.{key}": str(value) for name, part in card.slices.items() for key, value in part.items()}
        source = CodeDatasetSource(said | slices)
        # MLflow's own class for data that stay elsewhere leaves a property abstract
        return MetaDataset(source, name=card.outcome, digest=trained.data_digest)  # type: ignore[abstract]

    def _version(self, name: str, model_id: str, card: ModelCard) -> str:
        """Register a logged model as a new version that says what it needs."""
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        tags = {
            "feast.feature_service": feature_service_name(card.outcome, self._definition),
            "trained_through": card.trained_through,
            "feature_digest": card.feature_digest,
        }
        logged = self._client.get_logged_model(model_id)
        version = self._client.create_model_version(
            name, f"models:/{model_id}", run_id=logged.source_run_id, tags=tags, model_id=model_id
        )
        return str(version.version)

    @staticmethod
    def _log_model(model: Model) -> str:
        """Log a model into the run and return MLflow's id of it."""
        columns: list[ColSpec | TensorSpec] = [ColSpec("double", n, required=False) for n in model.card.features]
        columns += [ColSpec("string", n, required=False) for n in model.card.categories]
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # the signature comes from the card, so an example to infer it from is not needed
            warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
            files = Path(folder) / "model"
            model.save(files)
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(serving.__file__).with_name("pyfunc.py")),
                artifacts={file.stem: str(file) for file in files.iterdir()},
                signature=ModelSignature(Schema(columns), Schema([ColSpec("double")])),
                pip_requirements=[f"{p}=={package_version(p)}" for p in ("lightgbm", "mlflow", "numpy", "polars")],
            )
        return str(logged.model_id)


def _flat(model: Model) -> dict[str, float]:
    """Metrics as MLflow keeps them: ``auc``, ``auc.low``, ``floor.recency.auc``."""
    flat: dict[str, float] = {"base_rate": model.card.base_rate}
    groups = {"": model.card.metrics, **{f"floor.{name}.": measures for name, measures in model.card.floors.items()}}
    for prefix, measures in groups.items():
        for key, measure in measures.items():
            flat[f"{prefix}{key}"] = measure.value
            if measure.low is not None and measure.high is not None and not prefix:
                flat |= {f"{key}.low": measure.low, f"{key}.high": measure.high}
    return flat


def _yaml(definition: Definition) -> str:
    return definition._source.read_text(encoding="utf-8")
