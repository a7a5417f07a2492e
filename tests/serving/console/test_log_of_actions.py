"""The log of actions: rows are chained, and any change of them shows."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.database.console.actions import FIRST, Actions
from serving.database.console.chain import Chain, Checked
from serving.database.console.tables import actions, make_tables
from serving.database.log.live_log import LiveLog
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


def written(log: LiveLog, first: int, count: int) -> None:
    for i in range(first, first + count):
        Actions(log).add(i, "somebody", "127.0.0.1", "publish", f"segment {i}", {"size": i})


def change(log: LiveLog, number: int, **values: object) -> None:
    with log.writing() as connection:
        connection.execute(sa.update(actions).where(actions.c.id == number).values(**values))


def test_rows_are_chained_and_a_change_of_any_field_shows(log: LiveLog) -> None:
    written(log, 0, 5)
    kept, chain = Actions(log), Chain(log)
    assert chain.whole(9) == Checked(None, 9, 5)
    assert [one.subject for one in kept.page(limit=2)] == ["segment 4", "segment 3"]
    assert [one.subject for one in kept.page(before=4, limit=2)] == ["segment 2", "segment 1"]
    for column, value in (("who", "another"), ("at", 7), ("detail", "{}"), ("action", "x"), ("origin", "y")):
        with log.reading() as connection:
            [before] = connection.scalars(sa.select(actions.c[column]).where(actions.c.id == 3))
        change(log, 3, **{column: value})
        assert chain.whole(10).broken == 3, column
        change(log, 3, **{column: before})
    assert chain.whole(11).broken is None
    with log.writing() as connection:
        connection.execute(sa.delete(actions).where(actions.c.id == 2))
    assert chain.whole(12).broken == 3


def test_a_look_checks_newer_rows_alone_and_the_whole_check_finds_an_older_one(log: LiveLog) -> None:
    written(log, 0, 5)
    chain = Chain(log)
    chain.whole(9)
    change(log, 2, who="another")
    written(log, 5, 3)
    assert chain.newer() == Checked(None, 9, 5, newer=3), "an older row is not read again"
    assert chain.whole(10).broken == 2
    assert chain.newer().broken == 2, "it stays found"
    change(log, 2, who="somebody")
    assert chain.whole(11) == Checked(None, 11, 8)


def test_a_look_finds_a_newer_row_that_was_changed_and_the_last_one_removed(log: LiveLog) -> None:
    written(log, 0, 5)
    changed, removed = Chain(log), Chain(log)
    for chain in (changed, removed):
        chain.whole(9)
    written(log, 5, 3)
    change(log, 7, subject="segment 600")
    assert changed.newer().broken == 7
    with log.writing() as connection:
        connection.execute(sa.delete(actions).where(actions.c.id >= 5))
    assert removed.newer().broken == 5


def test_before_all_rows_were_checked_a_look_begins_with_the_newest(log: LiveLog) -> None:
    written(log, 0, 5)
    change(log, 2, who="another")
    chain = Chain(log)
    written(log, 5, 1)
    assert chain.newer() == Checked(None, None, 0, newer=1)
    chain.start(9)
    for _ in range(100):
        if chain.newer().whole_at == 9:
            break
        time.sleep(0.02)
    assert chain.newer().broken == 2
    assert Chain(log).newer() == Checked()


@pytest.mark.xdist_group("console")
def test_the_page_says_what_was_checked_and_checks_all_rows_when_asked(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    visitor.get("/log")
    assert re.search(r"All [\d,]+ rows that were there on 2026-03-01 12:00 UTC follow from one another", visitor.text)
    log = consoled.log
    try:
        with log.reading() as connection:
            number, who = connection.execute(sa.select(actions.c.id, actions.c.who).order_by(actions.c.id)).first()
        change(log, number, who="another")
        visitor.get("/log")
        assert "does not follow" not in visitor.text
        visitor.post("/log/check")
        assert f"Row {number} does not follow from the one before" in visitor.text
        change(log, number, who=who)
        visitor.post("/log/check")
        assert "does not follow" not in visitor.text
    finally:
        log.close()


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
