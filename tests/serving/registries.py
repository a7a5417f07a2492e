"""Registries that tests may damage: a copy of a trained world, and where a version's files lie."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import mlflow

from serving.model.registry.promoted import CARD_DIGEST, CHAMPION, registered_name
from tests.conftest import World
from tests.ports import free_port, wait_for
from tests.serving.servers import kill_with_children


class RegistryServer:
    """An MLflow server over the registry of a world, at a port of its own; it is not started yet."""

    def __init__(self, world: World, log: Path) -> None:
        self._world, self._log, self.port = world, log, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        files = (self._world.settings.home / "mlartifacts").as_uri()
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self._world.settings.mlflow_uri,
                   "--artifacts-destination", files, "--port", str(self.port), "--workers", "1"]  # fmt: skip
        environment = self._world.environment | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self._world.folder, stdout=out, stderr=out, start_new_session=True
            )
        wait_for(self.port, self.process, 120)

    def stop(self) -> None:
        """At once, with its workers."""
        if self.process is not None:
            kill_with_children(self.process)
            self.process = None


def client(world: World) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(world.settings.mlflow_uri, world.settings.mlflow_uri)


def files_of(world: World, outcome: str) -> Path:
    """The folder of the champion's booster, numbers and card."""
    version = client(world).get_model_version_by_alias(registered_name(world.definition, outcome), CHAMPION)
    model = version.source.removeprefix("models:/")
    return world.settings.home / "mlartifacts" / "models" / model / "artifacts" / "artifacts"


def twin_of(world: World, outcome: str) -> str:
    """Register the champion once more, and make the new version the champion."""
    registry, name = client(world), registered_name(world.definition, outcome)
    first = registry.get_model_version_by_alias(name, CHAMPION)
    mlflow.set_tracking_uri(world.settings.mlflow_uri)  # where MLflow looks the source up
    twin = registry.create_model_version(name, first.source, first.run_id, tags=first.tags)
    registry.set_registered_model_alias(name, CHAMPION, twin.version)
    return str(twin.version)


def with_card(world: World, outcome: str, **changes: object) -> None:
    """Give the champion another card, registered as such."""
    card, name = files_of(world, outcome) / "card.json", registered_name(world.definition, outcome)
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))
    version, digest = client(world).get_model_version_by_alias(name, CHAMPION).version, sha256(card.read_bytes())
    client(world).set_model_version_tag(name, version, CARD_DIGEST, digest.hexdigest())


def as_older_versions_wrote_it(world: World, home: Path) -> None:
    """Name the files by absolute paths in a home, as the registry did before homes could be moved."""
    place = f"file://{home / 'mlartifacts'}"
    columns = {"runs": "artifact_uri", "experiments": "artifact_location", "logged_models": "artifact_location",
               "model_versions": "storage_location"}  # fmt: skip
    with closing(sqlite3.connect(world.settings.home / "mlflow.db")) as connection, connection:
        for table, column in columns.items():
            connection.execute(
                f"UPDATE {table} SET {column} = rtrim(? || '/' || substr({column}, 19), '/') "
                f"WHERE {column} LIKE 'mlflow-artifacts:/%'",
                (place,),
            )


def without_digests(world: World) -> None:
    """Forget the digests of all models, as if they had been registered before digests were kept."""
    with closing(sqlite3.connect(world.settings.home / "mlflow.db")) as connection, connection:
        connection.execute("DELETE FROM model_version_tags WHERE key = 'card_sha256'")
    for card in (world.settings.home / "mlartifacts").glob("models/*/artifacts/artifacts/card.json"):
        text = card.read_text()
        card.write_text(text[: text.index(',\n  "digests"')] + "\n}")
