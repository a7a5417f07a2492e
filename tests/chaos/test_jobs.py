"""Jobs are killed at durable steps and run again: the result is that of a run without harm."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from features.time import Clock, to_datetime
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.ingest.reconcile import reconcile
from serving.model.registry.loader import Loader
from serving.upkeep.erase import erase
from tests.chaos.batches import ENDS, batch_of, fill
from tests.chaos.dying import place_of
from tests.conftest import ROOT, World
from tests.forks import run_module
from tests.serving.conftest import copy_of

pytestmark = pytest.mark.chaos


def steps_of(world: World, *command: str) -> int:
    """How many durable steps a command takes; it is run to its end."""
    count = world.folder / "steps"
    done = _dying(world, [0], count, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(count.read_text())


def kill_at(world: World, steps: Sequence[int], *command: str) -> int:
    """Start a command once for each step and kill it there; returns how often it died.

    What an earlier attempt has done already may leave fewer steps to a later one: then it comes to its end.
    """
    died = 0
    for step in steps:
        done = _dying(world, [step], world.folder / "steps", command)
        died += done.returncode == -signal.SIGKILL
        assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return died


def killed_at(world: World, steps: Sequence[int], *command: str) -> list[World]:
    """The world as it is when a command is killed at each of some steps; the command is started once."""
    done = _dying(world, steps, world.folder / "steps", command)
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    folders = [place for step in steps if (place := place_of(world.folder, step)).exists()]
    return [World.at(folder) for folder in (*folders, world.folder)]


def some_of(total: int, count: int) -> list[int]:
    """So many steps of all, the first and the last among them."""
    return sorted({round(1 + (total - 1) * i / (count - 1)) for i in range(count)})


def _dying(world: World, steps: Sequence[int], count: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    at = ",".join(str(step) for step in steps)
    return run_module("tests.chaos.dying", [at, str(count), *command], world.environment, ROOT)


def transitions_of(world: World) -> list[tuple[object, ...]]:
    live = LiveLog.open(world.definition, world.settings)
    try:
        found = Memberships(world.definition, live, Clock(to_datetime(ENDS))).history(limit=10**6)
        return sorted((t.user, t.dimension, str(t.before), str(t.after)) for t in found)
    finally:
        live.close()


def test_a_score_killed_at_its_steps(world: World, tmp_path: Path) -> None:
    calm, harmed = (copy_of(world, tmp_path / name) for name in ("calm", "harmed"))
    # an earlier batch of a week before, so that there are transitions to tell
    for one in (calm, harmed):
        steps_of(one, "score", "--as-of", "2026-02-20")
    total = steps_of(calm, "score")
    assert kill_at(harmed, some_of(total, 5)[:-1], "score") >= 3
    steps_of(harmed, "score")
    assert batch_of(harmed) == batch_of(calm)
    assert transitions_of(harmed) == transitions_of(calm) != []


def test_a_compaction_killed_at_its_steps(world: World, tmp_path: Path) -> None:
    calm, harmed = (copy_of(world, tmp_path / name) for name in ("calm", "harmed"))
    sent = fill(calm)
    assert fill(harmed) == sent
    total = steps_of(calm, "compact")
    assert kill_at(harmed, some_of(total, 6), "compact") >= 3
    steps_of(harmed, "compact")
    for one in (calm, harmed):
        files = sorted((one.settings.live(one.definition.name)).glob("events-*.parquet"))
        ids = pl.concat([pl.read_parquet(file, columns=["event_id"]) for file in files])["event_id"].to_list()
        assert sorted(ids) == sorted(sent), "each message once"
        live = LiveLog.open(one.definition, one.settings)
        try:
            assert reconcile(one.definition, one.settings, live).differences == []
        finally:
            live.close()


def test_an_erasure_killed_at_its_steps(own: World, tmp_path: Path) -> None:
    fill(own)
    steps_of(own, "compact")
    user = "u0000003"
    total = steps_of(copy_of(own, tmp_path / "calm"), "erase", user)
    assert kill_at(own, some_of(total, 5), "erase", user) >= 2
    steps_of(own, "erase", user)
    live = LiveLog.open(own.definition, own.settings)
    try:
        ledger = Memberships(own.definition, live, Clock(to_datetime(ENDS)))
        assert sum(erase(own.definition, own.settings, ledger, [user]).left.values()) == 0
        assert reconcile(own.definition, own.settings, live).differences == []
    finally:
        live.close()


@pytest.mark.nightly
def test_a_training_killed_inside_and_while_it_promotes(own: World, tmp_path: Path) -> None:
    """The champion is the old one or the new one, whole, at every moment."""
    train = ("train", "--outcome", "purchase", "--force", "to be killed")
    calm = copy_of(own, tmp_path / "calm")
    total = steps_of(calm, *train)
    assert Loader(calm.definition, calm.settings).versions()["purchase"] == "2"
    harmed = killed_at(own, [total // 3, total - 4, total - 2, total - 1, total], *train)
    assert len(harmed) >= 4
    for one in harmed:
        champions = Loader(one.definition, one.settings).champions()
        assert set(champions) == set(one.definition.outcomes)
        steps_of(one, "score")
    # what it had registered and not promoted
    steps_of(harmed[-2], *train)
    registry = Loader(harmed[-2].definition, harmed[-2].settings)
    assert int(registry.versions()["purchase"]) >= 2
    registry.champions()
