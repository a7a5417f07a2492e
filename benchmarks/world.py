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
    """A trained demo world, and how long its training took."""

    folder: Path
    definition: Definition
    settings: Settings
    train_seconds: float


@contextmanager
def trained(users: int) -> Iterator[World]:
    """Write and train a demo world of so many users, through the command line."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        demo = [sys.executable, "-m", "examples.demo", "--users", str(users)]
        subprocess.run(
            [*demo, "--out", str(folder / "data/demo"), "--truth", str(folder / "truth")], cwd=ROOT, check=True
        )
        file = folder / "propensity.yaml"
        file.write_text((ROOT / "propensity.yaml").read_text())
        settings = Settings(definition=file, home=folder / "var")
        command = [sys.executable, "-m", "propensity", "train", "-d", str(file)]
        began = perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, env=environment(settings))
        yield World(folder, load_definition(file), settings, perf_counter() - began)


def environment(settings: Settings) -> dict[str, str]:
    """Environment of a program that works on a world."""
    return os.environ | {"PROPENSITY_DEFINITION": str(settings.definition), "PROPENSITY_HOME": str(settings.home)}
