"""The files for schedulers: what they call is there, and where a scheduler is installed, it loads and runs them."""

import configparser
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "operate" / "schedulers"
FILES = sorted(FOLDER.iterdir())


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_option_they_call_is_one_of_nightly() -> None:
    from propensity.app import app

    shown = CliRunner().invoke(app, ["nightly", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    calling = [file for file in FILES if "nightly" in file.read_text() and file.suffix != ".timer"]
    assert len(calling) == 3
    for file in calling:
        options = set(re.findall(r"(?<![-\w])--[a-z][a-z-]+", file.read_text())) - {"--now"}
        assert {"--retrain-after", "--recalibrate-on-alarm", "--strict"} <= options, file.name
        assert not [option for option in options if option not in shown], file.name


def test_the_units_of_systemd_are_whole() -> None:
    for name, section in (("service", "Service"), ("timer", "Timer")):
        parser = configparser.ConfigParser(strict=True, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read(FOLDER / f"propensity-nightly.{name}")
        assert section in parser
    assert parser["Timer"]["OnCalendar"] == "*-*-* 02:15:00"


def test_the_programs_of_python_compile() -> None:
    for file in FOLDER.glob("*.py"):
        compile(file.read_text(), file.name, "exec")


def test_airflow_loads_the_dag() -> None:
    pytest.importorskip("airflow", reason="Airflow is not installed")
    assert [task.task_id for task in loaded("airflow_dag").dag.tasks] == ["nightly"]


@pytest.mark.parametrize("code", [0, 1, 2])
def test_dagster_runs_the_job(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dagster = pytest.importorskip("dagster", reason="Dagster is not installed")
    program = tmp_path / "propensity"
    program.write_text(f"#!{sys.executable}\nprint('{{\"steps\": []}}')\nraise SystemExit({code})\n")
    program.chmod(0o755)
    monkeypatch.setenv("PROPENSITY_FOLDER", str(tmp_path))
    monkeypatch.setenv("PROPENSITY_COMMAND", str(program))
    module = loaded("dagster_job")
    if code == 2:
        with pytest.raises(dagster.Failure, match="ended with 2"):
            module.nightly(dagster.build_op_context())
    else:
        assert module.propensity_nightly.execute_in_process().success
