"""Registered versions of models: what was trained, what the gate found, and how reliable each was on its test."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import features.system.telemetry  # noqa: F401

import polars as pl

from features.definition.schema import Definition
from features.settings import Settings
from serving.model.registry.places import database_of, registry_errors
from serving.model.registry.promoted import CHAMPION, CHAMPIONS, registered_name
from serving.published.bins import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

#: versions that are looked through, and those of them that are described
LOOKED, MOST = 100, 5


@dataclass(frozen=True, slots=True)
class Check:
    """A criterion of the gate, in the gate's words.

    Attributes:
        name: of the criterion.
        needed: what was asked for.
        found: what was found.
        passed: None where it did not apply.
    """

    name: str
    needed: str
    found: str
    passed: bool | None


@dataclass(frozen=True, slots=True)
class Challenger:
    """A version that did not become champion, or was taken back.

    Attributes:
        version: as ``churn/7``.
        registered: when, in microseconds.
        trained_through: the newest cutoff that it was fitted on.
        run: MLflow's id of its run.
        experiment: MLflow's id of the run's experiment.
        words: what it is good for.
        checks: of the gate; None where they were not kept.
        rolled_back: why it was taken back; empty where it never was champion.
    """

    version: str
    registered: int
    trained_through: str
    run: str
    experiment: str
    words: str
    checks: tuple[Check, ...] | None
    rolled_back: str

    @property
    def failed(self) -> tuple[Check, ...]:
        """The criteria that it failed."""
        return tuple(one for one in self.checks or () if one.passed is False)


@dataclass(frozen=True, slots=True)
class Registered:
    """The versions of an outcome.

    Attributes:
        champion: the number of the version that serves; empty without one.
        run: MLflow's id of its run.
        experiment: MLflow's id of the run's experiment.
        reliability: of the champion on its test, the lowest answers first; empty where it was not kept.
        challengers: the newest first.
    """

    champion: str
    run: str
    experiment: str
    reliability: tuple[Point, ...]
    challengers: tuple[Challenger, ...]


def registered(definition: Definition, settings: Settings) -> dict[str, Registered]:
    """The versions of each outcome that has one; the registry is asked some ten times an outcome.

    Raises:
        UnavailableError: the registry does not answer, or is damaged.
    """
    uri = settings.mlflow_uri
    database = database_of(uri)
    if database is not None and not (database.exists() and database.stat().st_size):
        return {}  # MLflow would make an empty one
    with registry_errors(uri):
        import mlflow  # takes two seconds, which no start of a service need wait for

        from serving.model.registry.artifacts import know_places

        know_places()
        mlflow.set_tracking_uri(uri)
        reader = _Reader(mlflow.MlflowClient(uri, uri))
        names = {outcome: registered_name(definition, outcome) for outcome in definition.outcomes}
        found = {outcome: reader.outcome(outcome, name) for outcome, name in names.items()}
    return {outcome: one for outcome, one in found.items() if one is not None}


@dataclass(frozen=True, slots=True)
class _Reader:
    client: "MlflowClient"

    def outcome(self, outcome: str, name: str) -> Registered | None:
        models = self.client.search_registered_models(f"name = '{name}'")
        if not models:
            return None
        champion = str(models[0].aliases.get(CHAMPION, ""))
        served = {champion, *str(models[0].tags.get(CHAMPIONS, "")).split()}
        newest = self.client.search_model_versions(
            f"name = '{name}'", max_results=LOOKED, order_by=["version_number DESC"]
        )
        others = [one for one in newest if str(one.version) not in served][:MOST]
        mine = next((one for one in newest if str(one.version) == champion), None)
        if mine is None and champion:
            mine = self.client.get_model_version(name, champion)
        return Registered(
            champion, *(("", "") if mine is None else self._run(mine)),
            () if mine is None else self._reliability(mine),
            tuple(self._challenger(outcome, one) for one in others),
        )  # fmt: skip

    def _run(self, version: "ModelVersion") -> tuple[str, str]:
        run = str(version.run_id or "")
        return run, str(self.client.get_run(run).info.experiment_id) if run else ""

    def _challenger(self, outcome: str, version: "ModelVersion") -> Challenger:
        text = self._text(version, "gate.json")
        run, experiment = self._run(version)
        return Challenger(
            f"{outcome}/{version.version}", int(version.creation_timestamp) * 1_000,
            str(version.tags.get("trained_through", "")), run, experiment, str(version.description or ""),
            None if text is None else tuple(map(_check, json.loads(text))), str(version.tags.get("rolled_back", "")),
        )  # fmt: skip

    def _reliability(self, version: "ModelVersion") -> tuple[Point, ...]:
        text = self._text(version, "tables/reliability.csv")
        if text is None:
            return ()
        rows = pl.read_csv(io.BytesIO(text.encode())).select("predicted", "observed", "low", "high", "rows")
        return tuple(Point(**row) for row in rows.iter_rows(named=True))

    def _text(self, version: "ModelVersion", path: str) -> str | None:
        """A text of a version's run; None where it has none."""
        if not version.run_id:
            return None
        folder = path.rpartition("/")[0] or None
        if not any(file.path == path for file in self.client.list_artifacts(version.run_id, folder)):
            return None
        import mlflow

        return str(mlflow.artifacts.load_text(f"runs:/{version.run_id}/{path}"))


def _check(content: Mapping[str, object]) -> Check:
    name, needed, found = (str(content.get(key, "")) for key in ("criterion", "needed", "found"))
    passed = content.get("passed")
    return Check(name, needed, found, passed if isinstance(passed, bool) else None)
