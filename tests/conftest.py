"""What all tests share: their order, servers, and a small demo world that is trained once."""

import os

# two test processes share two cores; threads that wait for each other by spinning would take minutes
os.environ |= {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import yaml
from hypothesis import HealthCheck, settings

from features.definition import Definition, load_definition
from features.settings import Settings
from features.system.files.lock import locked
from tests.browser.tabs import browser, tab  # noqa: F401 - fixtures
from tests.databases import Redis
from tests.forks import run_module
from tests.order import pytest_collection_modifyitems as pytest_collection_modifyitems

ROOT = Path(__file__).parents[1]

# the same examples in every run, so that it does not fail by luck; HYPOTHESIS_PROFILE=explore looks further. CI tries
# more of them than `make test`
_SLOW = [HealthCheck.too_slow]
settings.register_profile("quick", deadline=None, suppress_health_check=_SLOW, max_examples=50, derandomize=True)
settings.register_profile("ci", deadline=None, suppress_health_check=_SLOW, max_examples=150, derandomize=True)
settings.register_profile("explore", deadline=None, suppress_health_check=_SLOW, max_examples=150)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    store = Redis(tmp_path_factory.mktemp("redis"), kept=False)
    yield store
    store.stop()


@pytest.fixture
def redis_server(redis_process: Redis) -> Iterator[str]:
    """The address of a real Redis, empty."""
    if redis_process.process is None:  # an earlier test has failed with the reason
        redis_process.start()
    with redis.Redis(port=redis_process.port) as client:
        client.flushall()
    yield redis_process.address
    redis_process.check()


@dataclass(frozen=True)
class World:
    """A small demo world, trained.

    Attributes:
        folder: holds ``propensity.yaml``, the log, and ``var``.
        definition: the demo's definition over the small log.
        settings: ``home`` is the folder's ``var``.
    """

    folder: Path
    definition: Definition
    settings: Settings

    @classmethod
    def copied(cls, origin: Path, folder: Path) -> "World":
        """The world of a folder, in another one."""
        shutil.copytree(origin, folder)
        return cls.at(folder)

    @classmethod
    def at(cls, folder: Path) -> "World":
        """The world of a folder."""
        return cls(folder, load_definition(folder / "propensity.yaml"), Settings(home=folder / "var"))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that works on this world."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PROPENSITY_")}
        return clean | {
            "PROPENSITY_DEFINITION": str(self.folder / "propensity.yaml"),
            "PROPENSITY_HOME": str(self.folder / "var"),
            "COLUMNS": "160",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment to its end; ``python -m MODULE`` as a fork, which imports nothing again."""
        if command[:2] == (sys.executable, "-m"):
            return run_module(command[2], command[3:], self.environment, ROOT)
        return self.start(*command)

    def start(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment to its end, as a process that begins with nothing, as a user's does.

        Args:
            command: the program and its words.
            more: further variables of its environment.
        """
        return subprocess.run(
            command, env=self.environment | more, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )

    def redefined(self, **changes: object) -> Definition:
        """The world's definition with some keys replaced; paths start where they did."""
        definition = Definition.model_validate(self.definition.model_dump() | changes)
        definition._source = self.definition._source
        return definition


def build_world(folder: Path, users: int) -> World:
    """Write a demo world and its definition into a folder."""
    demo = [sys.executable, "-m", "examples.demo", "--users", str(users)]
    paths = ["--out", str(folder / "data" / "demo"), "--truth", str(folder / "truth")]
    subprocess.run([*demo, *paths], cwd=ROOT, check=True, capture_output=True)
    content = yaml.safe_load((ROOT / "propensity.yaml").read_text()) | {
        "training": {"min_positives": 40},
        "snapshots": {"count": 26},
        "gate": {"draws": 200},
    }
    (folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return World.at(folder)


@pytest.fixture(scope="session")
def untrained_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("untrained"), 1_500)


def train_world(folder: Path) -> None:
    """Train as a user would: by the command line."""
    built = build_world(folder, 3_000)
    # so few users do not always pass the gate
    done = built.start(sys.executable, "-m", "propensity", "train", "--force", "to be tested")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Trained by the first of the test processes that needs it; each has a copy of its own."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    with locked(shared, wait=True):
        if not (shared / "whole").exists():
            train_world(shared / "world")
            (shared / "whole").touch()
    return World.copied(shared / "world", tmp_path_factory.mktemp("world") / "world")
