"""No process of ours sends usage data: not the service, not a command, not a notebook that imports a part of us."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from features.system.telemetry import DEFAULTS

from propensity.startup import environment
from tests.conftest import ROOT

PACKAGES = ("features", "segments", "serving", "training", "monitoring", "propensity")

SENDING = """
from mlflow.telemetry.client import get_telemetry_client
from bentoml._internal.utils.analytics.usage_stats import do_not_track
assert get_telemetry_client() is None and do_not_track()
"""


def modules() -> list[Path]:
    """Our modules that import MLflow or BentoML."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return [file for file in files if {"mlflow", "bentoml"} & {name.split(".")[0] for name in imported(file)}]


def imported(file: Path) -> list[str]:
    """What a module imports at its top, in order."""
    names: list[str] = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def test_a_module_that_imports_mlflow_or_bentoml_turns_usage_data_off_first() -> None:
    found = modules()
    assert len(found) > 4
    for file in found:
        names = imported(file)
        libraries = [i for i, name in enumerate(names) if name.split(".")[0] in ("mlflow", "bentoml")]
        assert "features.system.telemetry" in names[: libraries[0]], file


def test_a_program_that_imports_us_sends_nothing() -> None:
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(ROOT)}  # no sign of a test
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import serving.api.service\n{SENDING}"],
        cwd=ROOT, env=bare, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_server_gets_an_environment_in_which_nothing_is_sent() -> None:
    assert environment(None, 3000).items() >= DEFAULTS.items()
