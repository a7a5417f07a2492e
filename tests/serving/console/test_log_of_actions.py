"""The log of actions: rows are chained, and any change of them shows."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.database.console.actions import FIRST, Actions
from serving.database.console.tables import actions, make_tables
from serving.database.live_log import LiveLog
from serving.database.schema import connect
from tests.serving.console.conftest import Consoled


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveLog]:
    url = f"sqlite:///{tmp_path / 'live.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    live = LiveLog(connect(url))
    make_tables(live)
    make_tables(live)
    yield live
    live.close()


def test_rows_are_chained_and_a_change_of_any_field_shows(log: LiveLog) -> None:
    kept = Actions(log)
    for i in range(5):
        kept.add(i, "somebody", "127.0.0.1", "publish", f"segment {i}", {"size": i})
    assert kept.broken() is None
    assert [one.subject for one in kept.page(limit=2)] == ["segment 4", "segment 3"]
    assert [one.subject for one in kept.page(before=4, limit=2)] == ["segment 2", "segment 1"]
    for column, value in (("who", "another"), ("at", 7), ("detail", "{}"), ("action", "x"), ("origin", "y")):
        with log.writing() as connection:
            [before] = connection.scalars(sa.select(actions.c[column]).where(actions.c.id == 3))
            connection.execute(sa.update(actions).where(actions.c.id == 3).values({column: value}))
        assert kept.broken() == 3, column
        with log.writing() as connection:
            connection.execute(sa.update(actions).where(actions.c.id == 3).values({column: before}))
    assert kept.broken() is None
    with log.writing() as connection:
        connection.execute(sa.delete(actions).where(actions.c.id == 2))
    assert kept.broken() == 3


@pytest.mark.xdist_group("console")
def test_the_export_can_be_checked_by_anybody(consoled: Consoled) -> None:
    visitor = consoled.visitor("privacy")
    visitor.get("/log")
    lines = visitor.post("/log/export").text.splitlines()
    assert lines
    before = FIRST
    for row in map(json.loads, lines):
        assert row["hash"] == _chained(before, row)
        before = row["hash"]
    visitor.get("/log")
    assert "export" in visitor.text


def _chained(before: str, row: dict[str, object]) -> str:
    """As docs/how-to/console.md describes it."""
    fields = {name: row[name] for name in ("at", "who", "origin", "action", "subject")}
    fields["detail"] = json.dumps(row["detail"], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(json.dumps([before, fields], ensure_ascii=False, sort_keys=True).encode()).hexdigest()
