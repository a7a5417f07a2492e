"""Runs and model versions in MLflow: the one place that writes there."""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version as package_version
from pathlib import Path

import features.system.telemetry  # noqa: F401

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

import serving
from features.definition.schema import Definition
from features.errors import PropensityError, RefusalError, ScoringError, StoreError
from features.feature_store import feature_service_name
from features.settings import Settings
from features.time import to_datetime
from serving.model.artifacts import RELATIVE, database_of, folder_of, know_places, make_relative
from serving.model.loader import CARD_DIGEST, CHAMPION, Loader, registered_name, registry_errors
from serving.model.model import Model
from serving.scoring.previous import Earlier
from training.evaluation.gate import Criterion
from training.fitting.tune import Trial
from training.learn import Learnt
from training.report.model_report import Report, picture

log = logging.getLogger("propensity")

#: tag of a registered model: the versions that were champion, oldest first
CHAMPIONS = "champions"

#: a run's report, one page
REPORT = "report.html"


NO_TAGS: Mapping[str, str] = {}


class Registry:
    """MLflow for one definition.

    Args:
        definition: names the experiments and the registered models.
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

    def experiment(self, outcome: str) -> str:
        """The id of an outcome's experiment, made when it is not there."""
        name = f"{self._definition.name}/{outcome}"
        with registry_errors(self._uri):
            found = self._client.get_experiment_by_name(name)
            place = RELATIVE if database_of(self._uri) is not None else None
            return found.experiment_id if found else self._client.create_experiment(name, place)

    @contextmanager
    def run(self, outcome: str, ends: int) -> Iterator[str]:
        """Open an outcome's run, and yield its id.

        What is logged within goes there, and one that ends in an error is marked failed.
        """
        rule = self._definition.outcomes[outcome]
        tags = {"definition": self._definition.version, "data_ends": to_datetime(ends).isoformat(),
                "population": rule.among, "question": rule.question}  # fmt: skip
        with mlflow.start_run(
            experiment_id=self.experiment(outcome), run_name=f"{outcome} {self._definition.version}", tags=tags
        ) as run:
            mlflow.log_text(self._definition._source.read_text(encoding="utf-8"), "definition.yaml")
            try:
                yield str(run.info.run_id)
            except RefusalError as refusal:
                mlflow.set_tags({"refusal": refusal.code, "refusal.found": refusal.found[:5_000]})
                raise

    def keep(
        self,
        experiment: str,
        name: str,
        *,
        parameters: Mapping[str, str | int | float],
        metrics: Mapping[str, float],
        texts: Mapping[str, str],
    ) -> str:
        """Keep a finding that is no outcome's model as a run of an experiment of its own.

        Args:
            experiment: its name below the definition's.
            name: of the run.
            parameters: what it is of.
            metrics: its numbers.
            texts: files, by name.

        Returns:
            The id of the run.
        """
        tags = {"definition": self._definition.version}
        with (
            registry_errors(self._uri),
            mlflow.start_run(experiment_id=self.experiment(experiment), run_name=name, tags=tags) as run,
        ):
            mlflow.log_params(dict(parameters))
            mlflow.log_metrics(dict(metrics))
            for file, text in texts.items():
                mlflow.log_text(text, file)
            return str(run.info.run_id)

    def report(self, run: str) -> str:
        """Where a run's report is: a file, or MLflow's address of it; empty where it has none."""
        with registry_errors(self._uri):
            if not any(file.path == REPORT for file in self._client.list_artifacts(run)):
                return ""
        folder = folder_of(self._uri)
        return f"runs:/{run}/{REPORT}" if folder is None else str(folder / run / "artifacts" / REPORT)

    @staticmethod
    def trial(trial: Trial) -> None:
        """Log a tuning trial as a child of the open run."""
        parent = mlflow.active_run()
        experiment = parent.info.experiment_id if parent else None
        with mlflow.start_run(run_name=f"trial {trial.number}", experiment_id=experiment, nested=True):
            mlflow.log_params(dict(trial.parameters))
            mlflow.log_metrics({"loss": trial.loss, "rounds": trial.rounds, "seconds": trial.seconds})

    def log(self, learnt: Learnt, report: Report) -> None:
        """Log a judged model's numbers, tables, pictures and report into the open run."""
        card = report.card
        lists = {"gate": [told(c) for c in report.criteria],
                "audit": [{"check": f.check, "alarm": f.alarm, "fails": f.fails, "text": f.text}
                          for f in report.findings]}  # fmt: skip
        texts = {"card.json": card.model_dump_json(indent=2), "dataset.json": json.dumps(card.slices, indent=2)}
        texts |= {REPORT: report.html()}
        texts |= {f"{name}.json": json.dumps(content, indent=2) for name, content in lists.items()}
        texts |= {f"tables/{name}.csv": table.write_csv() for name, table in learnt.tables.items()}
        pictures = {f"{name}.png": picture(chart) for name, chart in report.charts.items()}
        with registry_errors(self._uri), tempfile.TemporaryDirectory() as folder:
            mlflow.log_input(self._dataset(learnt), context="training")
            mlflow.log_params(dict(learnt.parameters))
            mlflow.log_metrics(_flat(learnt, report))
            mlflow.set_tag("mlflow.note.content", f"{card.words} {card.learnt}")
            for name, text in texts.items():
                mlflow.log_text(text, name)
            for name, content in pictures.items():
                (Path(folder) / name).write_bytes(content)
            mlflow.log_artifacts(folder, "plots")

    def note(self, parameters: Mapping[str, str], metrics: Mapping[str, float], texts: Mapping[str, str]) -> None:
        """Log numbers and texts into the open run.

        Args:
            parameters: of how its model was made.
            metrics: of the model.
            texts: files, by name.
        """
        with registry_errors(self._uri):
            mlflow.log_params(dict(parameters))
            mlflow.log_metrics(dict(metrics))
            for name, text in texts.items():
                mlflow.log_text(text, name)

    def register(self, model: Model, more: Mapping[str, str] = NO_TAGS) -> str:
        """Register the open run's model as a new version, champion of nothing yet.

        Args:
            model: the model.
            more: tags of the version besides those that every version has.

        Returns:
            The version, as ``7``.
        """
        card = model.card
        name = registered_name(self._definition, card.outcome)
        with registry_errors(self._uri):
            if not self._client.search_registered_models(f"name = '{name}'"):
                self._client.create_registered_model(name)
            logged_id, digest = _log_model(model)
            tags = {
                "feast.feature_service": feature_service_name(card.outcome, self._definition),
                "trained_through": card.trained_through,
                "feature_digest": card.feature_digest,
                CARD_DIGEST: digest,
                **more,
            }
            logged = self._client.get_logged_model(logged_id)
            taken = self._taken(card.outcome)
            while True:
                version = self._client.create_model_version(
                    name, f"models:/{logged.model_id}", run_id=logged.source_run_id, tags=tags,
                    model_id=logged.model_id, description=card.words,
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

    def _dataset(self, learnt: Learnt) -> MetaDataset:
        """Describe the data set to MLflow; its rows stay in the feature store, under the service that yields them."""
        card = learnt.model.card
        tags = {"feast.feature_service": feature_service_name(card.outcome, self._definition), "population": card.among}
        slices = {f"{name}.{key}": str(value) for name, part in card.slices.items() for key, value in part.items()}
        source = CodeDatasetSource(tags | slices)
        # MLflow's own class for data that stay elsewhere leaves a property abstract
        return MetaDataset(source, name=card.outcome, digest=learnt.data_digest)  # type: ignore[abstract]


def _log_model(model: Model) -> tuple[str, str]:
    """Log a model into the open run, and return MLflow's id of it and the SHA-256 of its card."""
    columns: list[ColSpec | TensorSpec] = [ColSpec("double", n, required=False) for n in model.card.features]
    columns += [ColSpec("string", n, required=False) for n in model.card.categories]
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


def told(criterion: Criterion) -> dict[str, str | bool | None]:
    """A criterion as JSON has it."""
    return {"criterion": criterion.name, "needed": criterion.needed, "found": criterion.found,
            "passed": criterion.passed}  # fmt: skip


def _flat(learnt: Learnt, report: Report) -> dict[str, float]:
    """Metrics as MLflow keeps them: ``auc``, ``auc.low``, ``baseline.recency.auc``, ``gate.log_loss``."""
    card = learnt.model.card
    flat: dict[str, float] = {"base_rate": card.base_rate}
    groups = {"": card.metrics, **{f"baseline.{name}.": measures for name, measures in card.baselines.items()}}
    for prefix, measures in groups.items():
        for key, measure in measures.items():
            flat[f"{prefix}{key}"] = measure.value
            if measure.low is not None and measure.high is not None and not prefix:
                flat |= {f"{key}.low": measure.low, f"{key}.high": measure.high}
    for key, measure in learnt.against.get("champion", {}).items():
        flat[f"champion.{key}_ahead"] = measure.value
    for criterion in report.criteria:
        if criterion.passed is not None:
            flat[f"gate.{criterion.name.replace(' %', '').replace(' ', '_')}"] = float(criterion.passed)
    for finding in report.findings:
        flat[f"audit.{finding.check}"] = float(finding.alarm)
    return flat
