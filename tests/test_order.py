"""Groups stay together, and while one process trains the world, the other has tests that do not need it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

HOOK = """
import os
import pytest
from tests.order import pytest_collection_modifyitems

@pytest.fixture
def world():
    pass

def pytest_runtest_call(item):
    with open(os.environ["RAN"], "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], item.originalname, file=file)
"""

TESTS = """
import time
import pytest

@pytest.mark.parametrize("i", range(4))
def test_alone(i):
    time.sleep(0.05)

@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("i", range(6))
def test_grouped(world, i):
    time.sleep(0.05)

def test_trained(world):
    time.sleep(0.05)

@pytest.mark.long
@pytest.mark.xdist_group("left out")
@pytest.mark.parametrize("i", range(9))
def test_long(world, i):
    pass

@pytest.mark.xdist_group("left out")
def test_of_a_group_with_long_ones(world):
    time.sleep(0.05)
"""


def test_a_group_is_one_processs_and_comes_first_where_it_needs_the_world(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOOK)
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long\n")
    ran = tmp_path / "ran"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder", "-m",
         "not long"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "RAN": str(ran), "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    lines = [line.split() for line in ran.read_text().splitlines()]
    assert len(lines) == 12
    [worker] = {worker for worker, name in lines if name == "test_grouped"}
    assert next(name for its, name in lines if its == worker) == "test_grouped"
    assert {name for its, name in lines if its != worker} >= {"test_alone"}
