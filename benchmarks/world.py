"""The demo world of a benchmark: written and trained once into a temporary folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from features.definition import Definition, load_definition
from features.settings import Settings

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class World:
    """A trained demo world, how long its training took, and the most memory that a process of it had."""

    folder: Path
    definition: Definition
    settings: Settings
    train_seconds: float
    train_gib: float


#: users of the demo world whose log has ten million events
USERS_OF_TEN_MILLION = 112_000

#: events of the demo world's log that has a million users
A_MILLION_USERS = round(10_000_000 * 1_000_000 / USERS_OF_TEN_MILLION)


@dataclass(frozen=True)
class Log:
    """An untrained log of the demo world.

    Attributes:
        folder: holds ``propensity.yaml`` and ``data/demo``.
        definition: the demo's definition, or a variation of it.
        events: about how many events there are.
    """

    folder: Path
    definition: Definition
    events: int

    @contextmanager
    def fresh_home(self) -> Iterator[Path]:
        """A folder in which nothing is kept yet."""
        with TemporaryDirectory(dir=self.folder) as home:
            yield Path(home)


def log_of(events: int, folder: Path) -> Log:
    """The demo world's log of about so many events; written once into a folder, and kept there."""
    mine = folder / f"demo-{events}"
    if not (mine / "propensity.yaml").exists():
        users = str(round(USERS_OF_TEN_MILLION * events / 10_000_000))
        demo = [sys.executable, "-m", "examples.demo", "--users", users, "--out", str(mine / "data/demo")]
        subprocess.run(demo, cwd=ROOT, check=True)
        (mine / "propensity.yaml").write_text((ROOT / "propensity.yaml").read_text())
    return Log(mine, load_definition(mine / "propensity.yaml"), events)


@contextmanager
def trained(users: int, dynamics: str = "shop") -> Iterator[World]:
    """Write and train a demo world of so many users, through the command line."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        demo = [sys.executable, "-m", "examples.demo", "--users", str(users), "--world", dynamics]
        subprocess.run(
            [*demo, "--out", str(folder / "data/demo"), "--truth", str(folder / "truth")], cwd=ROOT, check=True
        )
        file = folder / "propensity.yaml"
        file.write_text((ROOT / "propensity.yaml").read_text())
        settings = Settings(definition=file, home=folder / "var")
        # what is measured is the model, whatever the gate says of it
        command = [sys.executable, "-m", "propensity", "train", "-d", str(file), "--force", "to be measured"]
        began = perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=environment(settings))
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
        yield World(folder, load_definition(file), settings, perf_counter() - began, usage.ru_maxrss / 2**20)


def environment(settings: Settings) -> dict[str, str]:
    """Environment of a program that works on a world."""
    return os.environ | {"PROPENSITY_DEFINITION": str(settings.definition), "PROPENSITY_HOME": str(settings.home)}
