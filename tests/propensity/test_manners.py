"""Manners of the command line: help at once, versions, exit codes, JSON, and lines where nobody watches bars."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

import training.job
from features.errors import RefusalError
from propensity import __version__
from propensity.console import ShownSteps, progress
from serving.ingest.reconcile import Difference, Reconciled
from serving.upkeep.erase import Erased
from tests.conftest import ROOT, World
from tests.propensity.programs import Program
from tests.serving.conftest import copy_of
from training.evaluation.gate import Criterion
from training.job import Result

#: what takes long to import, and help does not need
HEAVY = {"polars", "numpy", "numba", "duckdb", "mlflow", "lightgbm", "feast", "bentoml", "sqlalchemy", "pandas"}


def test_help_needs_none_of_the_heavy_packages() -> None:
    program = "import propensity.__main__, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(
    ("command", "needless"),
    [
        ("score", {"feast", "altair"}),
        # pyarrow imports pandas at the first array that it makes or gives away itself
        ("check", {"feast", "altair", "mlflow", "lightgbm", "sqlalchemy", "pandas"}),
    ],
)
def test_a_command_imports_only_what_it_works_with(
    command: str, needless: set[str], world: World, tmp_path: Path
) -> None:
    words = [command, "-d", str(world.folder / "propensity.yaml"), "--json"]
    program = (
        "import sys\nfrom propensity.app import app\n"
        f"try:\n    app({words!r})\nfinally:\n"
        "    print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    home = shutil.copytree(world.settings.home, tmp_path / "var")
    settings = {"PROPENSITY_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=os.environ | settings
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert not needless & set(done.stderr.split())


def test_the_service_needs_nothing_that_draws_or_fits() -> None:
    program = "import serving.api.service, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"altair", "vl_convert", "matplotlib", "optuna", "training", "jupyterlab"} & set(done.stdout.split())


def test_the_version_is_the_packages(world: World, program: Program) -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
    assert program(world, "--version").out == f"propensity {__version__}\n"


@pytest.mark.parametrize("group", [(), ("keys",), ("dead-letters",), ("handoff",)])
def test_without_a_command_the_help_is_shown(world: World, program: Program, group: tuple[str, ...]) -> None:
    done = program(world, *group)
    assert done.code == 0
    assert "Usage" in done.out


PASSED, FAILED = Criterion("auc", "0.7", "0.8", True), Criterion("auc", "0.7", "0.6", False)
REFUSED = RefusalError("too_few_positives", found="3 positives", needed="40", fix="bring a longer log")


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([Result("churn", "churn/1", None, [PASSED], promoted=True), Result("purchase", None, None)], 0),
        ([Result("churn", "churn/1", None, [FAILED]), Result("purchase", None, None, refusal=REFUSED)], 3),
        ([Result("churn", None, None, refusal=REFUSED)], 1),
    ],
)
def test_training_ends_with_what_came_of_it(
    world: World, program: Program, monkeypatch: pytest.MonkeyPatch, results: Sequence[Result], code: int
) -> None:
    monkeypatch.setattr(training.job, "train", lambda *_, **__: list(results))
    assert program(world, "train").code == code
    done = program(world, "train", "--json")
    assert done.code == code
    answer = json.loads(done.out)
    assert answer["promoted"] == [r.version for r in results if r.promoted]
    assert [o["outcome"] for o in answer["outcomes"]] == [r.outcome for r in results]
    assert [o["refusal"] and o["refusal"]["code"] for o in answer["outcomes"]] == [r.refusal and r.refusal.code
                                                                                for r in results]  # fmt: skip


def test_training_says_where_the_reports_are(world: World, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    place = "/home/of/ours/mlartifacts/1f/artifacts/report.html"
    found = [Result("churn", "churn/1", None, [PASSED], promoted=True, run="1f", report=place)]
    monkeypatch.setattr(training.job, "train", lambda *_, **__: found)
    assert f"churn: {place}" in program(world, "train").out


@pytest.mark.parametrize(
    ("home", "command", "named"),
    [
        ("var", ["report", "--to", "{folder}"], "{folder}: Is a directory"),
        ("var", ["audience", "states.active", "--to", "{folder}"], "{folder}: Is a directory"),
        ("var", ["report", "--to", "{file}/x.html"], "{file}/x.html: Not a directory"),
        ("var", ["backup", "{file}/x"], "Not a directory"),
        ("{file}", ["check"], "Not a directory"),
        ("{file}/var", ["score"], "Not a directory"),
    ],
)
def test_a_path_that_cannot_be_is_reported_in_words(
    untrained_world: World, tmp_path: Path, program: Program, home: str, command: list[str], named: str
) -> None:
    scored = copy_of(untrained_world, tmp_path / "w")
    if home == "var":
        assert program(scored, "score").code == 0
    places = {"folder": str(tmp_path / "folder"), "file": str(tmp_path / "file")}
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    where = scored.settings.home if home == "var" else Path(home.format(**places))
    done = program(scored, *(word.format(**places) for word in command), PROPENSITY_HOME=str(where))
    assert done.code == 2
    message = " ".join(done.err.split())
    assert "disk cannot write" in message
    assert named.format(**places) in message
    assert "fix name a place that is free" in message
    assert [one.name for one in tmp_path.glob("*.new")] == [], "nothing half-written is left"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_is_reported_in_words(
    world: World, program: Program, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, "no room, or no right", "/somewhere/file")

    monkeypatch.setattr(training.job, "train", fail)
    done = program(world, "train")
    assert done.code == 2
    assert "disk cannot write /somewhere/file: no room, or no right." in done.err
    assert "fix make room" in done.err


def test_a_line_a_step_is_written_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as bars:
        steps = ShownSteps(bars)
        with steps("features at 26 cutoffs", 3) as advance:
            for _ in range(3):
                advance(1)
        with steps("churn: fit [calibrate] judge"):
            pass
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"00:00 features at 26 cutoffs \(\d+\.\d s\)", first)
    assert re.fullmatch(r"00:00 churn: fit \[calibrate\] judge \(\d+\.\d s\)", second)


def test_profiles_that_are_not_what_the_logs_say_are_reported_with_the_remedy(
    world: World, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Reconciled(3, [Difference("u0000001", "profile")], 0)
    monkeypatch.setattr("serving.ingest.reconcile.reconcile", lambda *_, **__: found)
    done = program(world, "reconcile")
    assert done.code == 1
    assert "u0000001: profile" in done.out
    assert "fix propensity reconcile --repair" in done.err


def test_an_erasure_that_leaves_something_is_reported_with_the_remedy(
    world: World, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.upkeep.erase.erase", lambda *_: Erased({"scores": 1}, {"scores": 2}))
    done = program(world, "erase", "u0000001")
    assert done.code == 1
    assert "fix run it again" in done.err
