"""Who is in a segment is one answer for each who asks, however many ask at once."""

import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from features.settings import Settings
from features.time import to_instant
from serving.audience.population import Population
from serving.desk.segment_members import SegmentMembers
from serving.scoring.earlier.batch import Earlier, scores_path
from tests.worlds import definition_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def often() -> Iterator[None]:
    """Threads take turns all the time."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def members_in(folder: Path, segments: Sequence[str]) -> SegmentMembers:
    """Two users of each segment, who are in it still."""
    path = scores_path(folder, to_instant(NOW))
    path.mkdir(parents=True)
    rows = [(f"{name}-{i}", [name]) for name in segments for i in range(2)]
    pl.DataFrame(rows, schema=["user_id", "segments"], orient="row").write_parquet(path / "part-0.parquet")
    answers: Any = SimpleNamespace(
        definition=SimpleNamespace(segments=dict.fromkeys(segments)), silent={},
        earlier=lambda _: Earlier.newest(folder), inside=lambda users, _, __: dict.fromkeys(users, False),
    )  # fmt: skip
    live: Any = SimpleNamespace(touched=lambda *_: [])
    return SegmentMembers(answers, live, Population(definition_of(), Settings(home=folder)))


@pytest.mark.usefixtures("often")
def test_segments_that_are_asked_for_at_once(tmp_path: Path) -> None:
    names, found = ["one", "other"], list[tuple[str, list[str]]]()
    members = members_in(tmp_path, names)

    def ask(name: str) -> None:
        for _ in range(200):
            found.append((name, members.page(name, NOW, after="", limit=10).users))

    threads = [threading.Thread(target=ask, args=(name,)) for name in names * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(name, users) for name, users in found if users != [f"{name}-0", f"{name}-1"]] == []
    assert len(found) == 200 * len(threads)
