"""Overviews: each batch is counted once, and nobody waits for a newer one."""

import shutil
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from features.definition.schema import Definition
from features.settings import Settings
from features.time import to_instant
from serving.audience.population import Population
from serving.console.kept.overview import Overviews
from serving.scoring.previous import Earlier, scores_path
from tests.serving.console.conftest import Consoled

pytestmark = pytest.mark.xdist_group("console")

NO_FLOWS = pl.DataFrame(
    schema={**dict.fromkeys(("dimension", "before", "after", "cause"), pl.String), "users": pl.Int64}
)


@pytest.fixture
def newest(consoled: Consoled) -> Earlier:
    found = Earlier.newest(consoled.world.settings.scores(consoled.world.definition.name))
    assert found is not None
    return found


def overviews(definition: Definition, folder: Path) -> Overviews:
    memberships: Any = SimpleNamespace(last=lambda: None, flows=lambda since: NO_FLOWS)
    return Overviews(definition, folder, memberships, Population(definition, Settings(home=folder)))


def test_before_a_batch_there_is_none(consoled: Consoled, tmp_path: Path) -> None:
    assert overviews(consoled.world.definition, tmp_path).newest() is None


def test_a_newer_batch_is_counted_meanwhile_and_then_shown(consoled: Consoled, newest: Earlier, tmp_path: Path) -> None:
    shutil.copytree(newest.path, tmp_path / newest.path.name)
    kept = overviews(consoled.world.definition, tmp_path)
    first = kept.newest()
    assert first is not None
    assert kept.newest() is first, "it is counted once"
    later = scores_path(tmp_path, to_instant(newest.as_of + timedelta(days=1)))
    shutil.copytree(newest.path, later)
    assert kept.newest() is first, "nobody waits"
    for _ in range(100):
        found = kept.newest()
        if found is not first:
            break
        time.sleep(0.05)
    assert found is not None
    assert found.as_of == newest.as_of + timedelta(days=1)
    assert (found.states, found.segments) == (first.states, first.segments)


def test_a_damaged_newer_batch_leaves_what_was_there(consoled: Consoled, newest: Earlier, tmp_path: Path) -> None:
    shutil.copytree(newest.path, tmp_path / newest.path.name)
    kept = overviews(consoled.world.definition, tmp_path)
    first = kept.newest()
    later = scores_path(tmp_path, to_instant(newest.as_of + timedelta(days=1)))
    shutil.copytree(newest.path, later)
    for file in later.iterdir():
        file.write_bytes(b"PAR1 no more")
    for _ in range(10):
        assert kept.newest() is first
        time.sleep(0.02)
