"""A scene whose users are erased, and what an erasure promises."""

from pathlib import Path

import polars as pl
import pytest

from features.time import HOUR
from serving.upkeep.erase import erase
from tests.serving.ingest.scenes import BEGIN, Scene, message

WHO = "u001-and-nobody-else"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene whose users have ids that tell themselves from other text; one of them acts live."""
    scene = Scene.set(tmp_path)
    rows = pl.read_parquet(tmp_path / "log" / "a.parquet")
    rows.with_columns(pl.col("user_id").replace("u001", WHO)).write_parquet(tmp_path / "log" / "a.parquet")
    traits = pl.read_parquet(tmp_path / "traits.parquet")
    traits.with_columns(pl.col("user").replace("u001", WHO)).write_parquet(tmp_path / "traits.parquet")
    scene.materialize()
    scene.live.append([message(i, WHO, "visit", BEGIN + HOUR + i) for i in range(5)])
    scene.live.append([message(9, WHO, "identify", BEGIN + 2 * HOUR, plan="max")])
    scene.fold()
    return scene


def erased(scene: Scene, *users: str) -> None:
    report = erase(scene.definition, scene.settings, scene.memberships, users or [WHO])
    assert set(report.left.values()) == {0}, report.left
    assert list(report.left) == list(report.removed)
