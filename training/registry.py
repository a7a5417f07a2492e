"""Runs in MLflow, with what is logged of each; with the versions, the one place that writes there."""

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import features.system.telemetry  # noqa: F401

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset

from features.errors import RefusalError
from features.feature_store import feature_service_name
from features.time import to_datetime
from serving.model.registry.places import RELATIVE, database_of, folder_of, registry_errors
from training.fitting.tune import Trial
from training.learn import Learnt
from training.report.model_report import Report, picture
from training.versions import Versions

log = logging.getLogger("propensity")

#: a run's report, one page
REPORT = "report.html"


class Registry(Versions):
    """MLflow for one definition: the runs of its experiments, and the versions of its models.

    Args:
        definition: names the experiments and the registered models.
        settings: where MLflow is.
    """

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

    @contextmanager
    def kept(
        self,
        experiment: str,
        name: str,
        *,
        parameters: Mapping[str, str],
        metrics: Mapping[str, float],
        texts: Mapping[str, str],
    ) -> Iterator[str]:
        """Keep a finding that is no outcome's model as a run of an experiment of its own, open until the block ends.

        Args:
            experiment: its name below the definition's.
            name: of the run.
            parameters: what it is of.
            metrics: its numbers.
            texts: files, by name.

        Yields:
            The id of the run.
        """
        tags = {"definition": self._definition.version}
        with (
            registry_errors(self._uri),
            mlflow.start_run(experiment_id=self.experiment(experiment), run_name=name, tags=tags) as run,
        ):
            self.note(parameters, metrics, texts)
            yield str(run.info.run_id)

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
        lists = {"gate": [c.content for c in report.criteria],
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

    def _dataset(self, learnt: Learnt) -> MetaDataset:
        """Describe the data set to MLflow; its rows stay in the feature store, under the service that yields them."""
        card = learnt.model.card
        tags = {"feast.feature_service": feature_service_name(card.outcome, self._definition), "population": card.among}
        slices = {f"{name}.{key}": str(value) for name, part in card.slices.items() for key, value in part.items()}
        source = CodeDatasetSource(tags | slices)
        # MLflow's own class for data that stay elsewhere leaves a property abstract
        return MetaDataset(source, name=card.outcome, digest=learnt.data_digest)  # type: ignore[abstract]


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
