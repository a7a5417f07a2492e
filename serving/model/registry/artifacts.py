"""Where MLflow's files lie: beside its SQLite database, and named relative to it, so that a home can be moved."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import features.system.telemetry  # noqa: F401

import mlflow
from mlflow.store.artifact import artifact_repository_registry as repositories
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

#: MLflow's own scheme for files whose place its server knows; ``mlflow server --artifacts-destination`` reads them, too
SCHEME = "mlflow-artifacts"
RELATIVE = f"{SCHEME}:/"

FOLDER = "mlartifacts"

#: the columns of MLflow's tables that name places of files
_PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def database_of(uri: str) -> Path | None:
    """The SQLite file that a tracking address names; None where it names a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def folder_of(uri: str) -> Path | None:
    """The folder of the files that belong to a tracking address; None where a server keeps them."""
    database = database_of(uri)
    return None if database is None else database.resolve().parent / FOLDER


def know_places() -> None:
    """Let MLflow find files beside the database, in this process; both names they have had."""
    for scheme in (SCHEME, "file"):
        repositories._artifact_repository_registry.register(scheme, repository_of)  # type: ignore[no-untyped-call]


def make_relative(uri: str) -> None:
    """Name the files of a database relative to it, where an older version of this program wrote absolute paths."""
    database = database_of(uri)
    if database is None or not database.exists():
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, columns in _PLACES.items():
            for column in columns if table in tables else ():
                # names come from the list above
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || ltrim(substr({column}, instr({column}, ?) + ?), '/')"  # noqa: S608
                    f" WHERE {column} LIKE 'file:%' AND instr({column} || '/', ?)",
                    (RELATIVE, f"/{FOLDER}", len(FOLDER) + 1, f"/{FOLDER}/"),
                )


def repository_of(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> ArtifactRepository:
    """The files of an address: those of a home beside its database, others where MLflow keeps them."""
    folder = folder_of(tracking_uri or mlflow.get_tracking_uri())
    inside = _inside(artifact_uri)
    if folder is not None and inside is not None:
        return LocalArtifactRepository((folder / inside).as_uri(), tracking_uri, registry_uri)
    kind = MlflowArtifactsRepository if artifact_uri.startswith(f"{SCHEME}:") else LocalArtifactRepository
    return kind(artifact_uri, tracking_uri, registry_uri)


def _inside(uri: str) -> str | None:
    """The path below the folder of files; None of a file that lies elsewhere."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme == SCHEME:
        return path.strip("/") if not parts.netloc else None
    _, there, inside = f"{path}/".partition(f"/{FOLDER}/")
    return inside.strip("/") if there else None
