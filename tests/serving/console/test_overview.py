"""Overviews: each batch is counted once, and nobody waits for a newer one."""

import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.definition.file.load import load_definition
from features.definition.schema import Definition
from features.settings import Settings
from features.time import to_instant
from serving.audience.population import Population
from serving.console.kept.overview import Overview, Overviews
from serving.scoring.earlier.batch import Earlier, scores_path
from tests.conftest import ROOT
from tests.serving.console.conftest import Consoled
from tests.serving.console.mounted import Mounted

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


def test_a_page_shows_numbers_of_one_batch_though_a_newer_one_comes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[int]()

    def newest(_: Overviews) -> Overview:
        """Each time another one: a batch of as many thousand users on a day of its own."""
        asked.append(len(asked) + 1)
        day, users = asked[-1], asked[-1] * 1_000
        sizes = dict.fromkeys(load_definition(ROOT / "propensity.yaml").segments, users + 111)
        nobody = np.zeros((len(sizes), len(sizes)), dtype=np.int64)
        return Overview(datetime(2026, 3, day, tzinfo=UTC), users, {}, {}, {}, sizes, sizes, nobody, NO_FLOWS)

    monkeypatch.setattr(Overviews, "newest", newest)
    way = {"console_user_header": "X-User", "console_groups_header": "X-Groups", "console_roles": {"all": "viewer"}}
    console = Mounted(tmp_path, **way)
    try:
        for path in ("/console/segments", "/console/segments/repeat_buyer"):
            page = console.client().get(path, headers={"x-user": "ann", "x-groups": "all"}).text
            assert set(re.findall(r"\b(\d,)111\b", page)) == {f"{asked[-1]},"}, path
            assert set(re.findall(r"2026-03-0(\d)", page)) <= {f"{asked[-1]}"}, path
    finally:
        console.close()
