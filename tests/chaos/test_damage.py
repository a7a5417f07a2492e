"""Every kind of file under a home is damaged in turn: commands say what is wrong and how to mend it."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.batches import batch_of, fill
from tests.conftest import ROOT, World
from tests.forks import run_module
from tests.serving.conftest import copy_of

pytestmark = pytest.mark.chaos

#: pages, pictures and descriptions that nothing reads again
_UNREAD = (".png", ".html", ".csv", ".lock", ".readers", "conda.yaml", "python_env.yaml", "pyfunc.py")
_OF_RUNS = re.compile(r"mlartifacts/[^/]+/artifacts/|requirements\.txt$")

#: what a power cut, a bad disk or a wrong copy leaves of a file
_WAYS = ("cut", "flipped", "emptied", "garbage")

#: the first reads models, too
_COMMANDS = ("score",), ("reconcile",)


def run(world: World, *commands: Sequence[str]) -> tuple[list[int], str]:
    """Run commands on a world; returns their exit codes and their output."""
    done = [run_module("propensity", command, world.environment, ROOT) for command in commands]
    return [one.returncode for one in done], "".join(one.stdout + one.stderr for one in done)


@pytest.fixture(scope="module")
def used(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world that has seen everything: batches, live events, a compaction, kept profiles."""
    one = copy_of(world, tmp_path_factory.mktemp("used") / "world")
    fill(one)
    codes, answer = run(one, ("score", "--as-of", "2026-02-20"), ("compact",), ("materialize",), *_COMMANDS)
    assert set(codes) == {0}, answer
    return one


def kind_of(file: Path) -> str:
    """What kind of file it is: its path without numbers and digests."""
    return re.sub(r"[0-9a-f]{8,}|\d+", "#", str(file))


def kinds(world: World) -> dict[str, Path]:
    """The largest file of each kind, by kind."""
    home = world.settings.home
    found: dict[str, Path] = {}
    for file in sorted(home.rglob("*")):
        if not file.is_file() or file.name.endswith(_UNREAD) or not file.stat().st_size:
            continue
        if _OF_RUNS.search(str(file.relative_to(home))):
            continue
        kind = kind_of(file.relative_to(home))
        if kind not in found or file.stat().st_size > (home / found[kind]).stat().st_size:
            found[kind] = file.relative_to(home)
    return found


def damage(file: Path, how: str) -> None:
    """Damage a file in one of the ways."""
    content = file.read_bytes()
    middle = len(content) // 2
    changed = {"emptied": b"", "cut": content[:middle],
               "flipped": content[:middle] + bytes([content[middle] ^ 0x15]) + content[middle + 1 :],
               "garbage": b"\x00garbage\xff" * 64}[how]  # fmt: skip
    file.write_bytes(changed)


@pytest.fixture(scope="module")
def clean(used: World) -> str:
    """The newest batch of the world that nothing happened to."""
    return batch_of(used)


#: every way by make test-all, one of them in CI
_EACH = [pytest.param(way, marks=pytest.mark.nightly) if way != "flipped" else way for way in _WAYS]


@pytest.mark.parametrize("how", _EACH)
def test_each_kind_of_file_damaged(used: World, clean: str, tmp_path: Path, how: str) -> None:
    faults = []
    for number, (kind, place) in enumerate(kinds(used).items()):
        one = copy_of(used, tmp_path / f"{number}")
        damage(one.settings.home / place, how)
        codes, answer = run(one, *(_COMMANDS[:1] if place.parts[0].startswith("ml") else _COMMANDS))
        if min(codes) < 0 or "Traceback" in answer or re.search(r"^\w+Error: ", answer, re.MULTILINE):
            faults.append(f"{kind}: {answer[-1500:]}")
        elif any(codes) and "fix" not in answer:
            faults.append(f"{kind} {codes}: refused without a remedy: {answer[-800:]}")
        elif codes[0] == 0 and batch_of(one) != clean:
            faults.append(f"{kind}: other scores")
        shutil.rmtree(one.folder)
    assert not faults, f"{how}: {len(faults)} kinds of files\n" + "\n\n".join(faults)
