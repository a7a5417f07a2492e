"""Where MLflow's files lie: beside its SQLite database, and named relative to it, so that a home can be moved."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from features.errors import PropensityError, UnavailableError

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


def shown(uri: str) -> str:
    """An address without user and password."""
    database, parts = database_of(uri), urlsplit(uri)
    return str(database) if database is not None else uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1)


def inside(uri: str) -> str | None:
    """The path below the folder of files; None of a file that lies elsewhere."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme == SCHEME:
        return path.strip("/") if not parts.netloc else None
    _, there, below = f"{path}/".partition(f"/{FOLDER}/")
    return below.strip("/") if there else None


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
