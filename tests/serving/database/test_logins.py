"""Logins at a provider, in SQLite and in a real PostgreSQL: each is taken once, however many take it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.database.console.logins import LASTS, Logins
from serving.database.console.tables import make_tables
from serving.database.log.live_log import LiveLog
from serving.database.schema import connect


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Logins]:
    address = f"sqlite:///{tmp_path / 'live.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    log = LiveLog(connect(address))
    make_tables(log)
    yield Logins(log)
    log.close()


def test_a_login_is_taken_once(kept: Logins) -> None:
    state, browser, login = kept.start("/console/users", 100)
    assert kept.take(state, "other", 101) is None
    assert kept.take("other", browser, 101) is None
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: kept.take(state, browser, 101), range(16)))
    assert [one for one in found if one is not None] == [login]


def test_a_login_that_is_too_old_is_over(kept: Logins) -> None:
    state, browser, login = kept.start("/console/users", 100)
    assert login.onward == "/console/users"
    assert kept.take(state, browser, 100 + LASTS) is None
    assert kept.take(state, browser, 101) is None
