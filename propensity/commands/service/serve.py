"""Commands that start a program of another package: BentoML, MLflow, Feast."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from features.errors import PropensityError
from propensity.console import out
from propensity.options import DefinitionFile, opened


def serve(
    definition: DefinitionFile = None,
    host: Annotated[str, typer.Option(help="the IP address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="the port to listen on")] = 3000,
) -> None:
    """Serve the API; by default with the worker and the sender in the same process."""
    from propensity import startup
    from serving.process.logs import write_json
    from serving.process.supervisor import Supervisor

    server = [sys.executable, "-P", "-m", "propensity", "serve-on", host, str(port)]
    listening = startup.taken(host, port)
    write_json()
    raise typer.Exit(Supervisor(server, listening, startup.environment(definition, port)).run())


def serve_on(host: str, port: int, listening: int, first: int) -> None:
    """Answer on a port that `propensity serve` has taken: the process that it starts, and starts again.

    Args:
        host: the address of the port.
        port: its number.
        listening: the file descriptor of its socket.
        first: the file descriptor of a pipe that gets a byte once nothing is in the way of a start. 0 says that a
            server has started before: whatever is missing now is waited for.
    """
    from propensity import startup
    from serving.api.server import run

    if first:
        rules, settings = opened(None)
        startup.check(rules, settings, host)
        out.print(f"Serving {rules.version} on http://{host}:{port}/ (the API page)")
        os.write(first, b"+")
        os.close(first)
    run(listening)


def ui(port: Annotated[int, typer.Option(help="the port to listen on")] = 5000) -> None:
    """Serve MLflow's pages about the runs and models."""
    from features.settings import Settings
    from serving.model.registry.places import database_of, folder_of, make_relative, registry_errors

    uri = Settings().mlflow_uri
    database, artifacts = database_of(uri), folder_of(uri)
    if database is not None and not database.exists():
        raise PropensityError(f"there is no model registry at {database}.", fix="run propensity train first")
    with registry_errors(uri):
        make_relative(uri)
    command = [_program("mlflow"), "ui", "--backend-store-uri", uri, "--port", str(port)]
    command += ["--artifacts-destination", artifacts.as_uri()] if artifacts is not None else []
    out.print("Runs are under 'Model training'. No usage data are sent, whatever MLflow's banner says.")
    os.execve(command[0], command, dict(os.environ))  # noqa: S606 - our own command line, no shell


def feast(context: typer.Context, definition: DefinitionFile = None) -> None:
    """Run Feast's command line on the generated repo, as in `propensity feast feature-views list`."""
    from importlib.resources import files

    from features.feature_store import repo_variables

    rules, settings = opened(definition)
    environment = {
        **os.environ,
        **repo_variables(rules, settings),
        "PROPENSITY_DEFINITION": str(settings.definition.resolve()),
    }
    command = [_program("feast"), "-c", str(files("features.repo")), *context.args]
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603 - no shell


def _program(name: str) -> str:
    """Find a program of this environment."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise PropensityError(f"{name} is not installed.", fix="run make setup")
    return found
