"""Answers of real servers: kept for the monitor, compared with what happened, erased, and not lost."""

import itertools
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.events.write import part_files
from features.time import DAY, Clock, to_instant
from monitoring.findings import BATCH, LIVE
from monitoring.monitor import Monitored
from monitoring.predictions.live import LivePredictions
from serving.activation.memberships import Memberships
from serving.database.live_answers import LiveAnswer, LiveAnswers
from serving.database.log.live_log import LiveLog
from serving.runtime.answer_sampler import EVERY, turns
from serving.upkeep.erase import erase
from tests.conftest import World
from tests.monitoring.scored import looked
from tests.serving.servers import Server

pytestmark = pytest.mark.xdist_group("live answers")

#: two answers about each user
ASKED = ("2026-01-10T12:00:00Z", "2026-01-11T12:00:00Z")

Answered = dict[tuple[str, str, int], tuple[float, str]]


@contextmanager
def served(world: World, log: Path, clock: str, **environment: str) -> Iterator[Server]:
    """A server of a world, by a clock of its own, which is stopped at the end."""
    server = Server(world, log, PROPENSITY_CLOCK=clock, PROPENSITY_AUTH="off", **environment).ready()
    try:
        yield server
        if server.process.poll() is None:
            server.stop()
    finally:
        server.kill()


def asked(server: Server, users: list[str]) -> Answered:
    """What a server says of users: probability or amount and tier, by outcome, user and instant."""
    answer = server.client.post("/score", json={"user_ids": users})
    assert answer.status_code == 200
    given: Answered = {}
    for record in answer.json()["records"]:
        at = to_instant(datetime.fromisoformat(record["as_of"]))
        for part, key in (("intent", "probability"), ("value", "amount")):
            for outcome, found in record[part].items():
                if found[key] is not None:
                    given[outcome, record["user_id"], at] = found[key], found["tier"]
    return given


def waiting(world: World, outcome: str = "churn") -> list[LiveAnswer]:
    """What is in the database of the live log."""
    answers = LiveAnswers(LiveLog.open(world.definition, world.settings))
    return [one for day in answers.days(outcome) for one in answers.of_day(outcome, day)]


@pytest.fixture(scope="module")
def before(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The trained world as it was on 10 January: the profiles hold what had happened by then."""
    mine = World.copied(world.folder, tmp_path_factory.mktemp("live") / "world")
    folder = mine.settings.folder(mine.definition.name)
    for name in ("profiles", "scores"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for file in (*folder.glob("online.db*"), *folder.glob("live.db*")):
        file.unlink()
    done = mine.run(sys.executable, "-m", "propensity", "materialize", "--ends", "2026-01-10")
    assert done.returncode == 0, done.stderr
    return mine


@pytest.fixture(scope="module")
def users(before: World) -> list[str]:
    log = pl.read_parquet(part_files(before.folder / "data" / "demo" / "events"))
    return log.filter(pl.col("event_time") < datetime(2026, 1, 10, tzinfo=UTC))["user_id"].unique().sort().to_list()


@pytest.fixture(scope="module")
def given(before: World, users: list[str], tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """All that was answered: on the first day by two servers at once, twice by each; on the second by one."""
    logs, found = tmp_path_factory.mktemp("servers"), {}
    with (
        served(before, logs / "first", ASKED[0]) as one,
        served(before, logs / "second", ASKED[0], PROPENSITY_WORKER="off") as other,
        ThreadPoolExecutor(4) as pool,
    ):
        for answers in pool.map(lambda server: asked(server, users), [one, other] * 2):
            found |= answers
    with served(before, logs / "third", ASKED[1]) as later:
        found |= asked(later, users)
    return found


@pytest.fixture(scope="module")
def taken(before: World, given: Answered) -> Monitored:
    return looked(before)


def test_an_answer_is_kept_on_a_users_day_once_and_as_it_was_given(
    before: World, given: Answered, taken: Monitored
) -> None:
    rows = live_rows(before, taken, "churn")
    assert len(rows) > 100
    for user, at, answer, tier in rows.select("user", "at", "answer", "tier").iter_rows():
        assert given["churn", user, at] == (pytest.approx(answer, abs=1e-12), tier)
    earliest: dict[tuple[str, int], int] = {}
    for outcome, user, at in given:
        day = at // DAY
        if outcome == "churn" and turns(before.definition, "churn", [user], pl.Series([at]).to_numpy())[0]:
            earliest[user, day] = min(at, earliest.get((user, day), at))
    assert {(user, at // DAY): at for user, at in rows.select("user", "at").iter_rows()} == earliest
    within = before.definition.outcomes["churn"].within
    share = len(earliest) / len({(user, at // DAY) for outcome, user, at in given if outcome == "churn"})
    assert share == pytest.approx(1 / (within // DAY + 1), rel=0.25), "one day in a horizon and a day"


@pytest.mark.parametrize("outcome", ["churn", "purchase", "uninstall", "spend"])
def test_no_event_answers_two_rows_of_a_user(before: World, taken: Monitored, outcome: str) -> None:
    within = before.definition.outcomes[outcome].within
    for user in ("u1", "a user", "ünï"):
        days = [day for day in range(20_000, 20_200) if turns_on(before, outcome, user, day)]
        gaps = [later - day for day, later in itertools.pairwise(days)]
        assert set(gaps) == {-(-within // DAY) + 1}
    rows = live_rows(before, taken, outcome)
    assert rows["user"].is_unique().all() or outcome == "purchase"


def turns_on(world: World, outcome: str, user: str, day: int) -> bool:
    return bool(turns(world.definition, outcome, [user], pl.Series([day * DAY + 5]).to_numpy())[0])


def live_rows(world: World, found: Monitored, outcome: str) -> pl.DataFrame:
    """Matured, and still waiting."""
    files = LivePredictions(world.definition, world.settings, LiveLog.open(world.definition, world.settings))
    return files.rows(outcome, files.batches(outcome))


def test_what_was_answered_is_compared_with_what_happened(before: World, taken: Monitored) -> None:
    """The oracle reads the demo's files with nothing of ours."""
    log = pl.read_parquet(part_files(before.folder / "data" / "demo" / "events"))
    bought = log.filter(pl.col("event") == "purchase").select("user_id", "event_time")
    live = taken.live["purchase"]
    rows, within = live.matured.rows, before.definition.outcomes["purchase"].within
    assert len(rows) > 100
    start = pl.col("at").cast(pl.Datetime("us", "UTC"))
    both = rows.with_columns(start=start).join(bought, left_on="user", right_on="user_id")
    end = pl.col("start") + pl.duration(microseconds=within)
    yes = both.filter((pl.col("event_time") >= pl.col("start")) & (pl.col("event_time") < end))
    came = rows.join(yes.select("user", "at").unique().with_columns(yes=1.0), on=["user", "at"], how="left")
    assert (came["yes"].fill_null(0.0) == came["label"]).all()
    assert live.realised.level is not None
    assert live.realised.level.observed == came["label"].sum()
    assert live.realised.level.expected == pytest.approx(rows["answer"].sum())
    assert live.realised.batches["at"].n_unique() == 2, "a row a day"
    assert not waiting(before), "what the monitor has read is not kept twice"


@pytest.mark.long
def test_it_stands_beside_the_batches_and_apart_from_them(before: World, taken: Monitored, tmp_path: Path) -> None:
    mine = World.copied(before.folder, tmp_path / "both")
    done = mine.run(sys.executable, "-m", "propensity", "score", "--as-of", ASKED[0])
    assert done.returncode == 0, done.stderr
    done = mine.run(sys.executable, "-m", "propensity", "monitor", "--json")
    assert done.returncode == 0, done.stderr
    churn = json.loads(done.stdout)["outcomes"]["churn"]
    assert churn["matured"] > 100
    assert churn["live"]["matured"] == len(taken.live["churn"].matured.rows)
    level = taken.live["churn"].realised.level
    assert level is not None
    assert churn["live"]["level"]["expected"] == pytest.approx(level.expected)
    batches = pl.read_parquet(mine.settings.monitoring(mine.definition.name) / "churn.batches.parquet")
    assert dict(batches.group_by("source").len().iter_rows()) == {BATCH: 1, LIVE: 2}
    shown = mine.run(sys.executable, "-m", "propensity", "monitor").stdout.replace("\n", " ")
    assert "Answers of the service" in shown


def test_the_same_again_changes_nothing(before: World, taken: Monitored) -> None:
    again = looked(before)
    for name, live in taken.live.items():
        assert again.live[name].matured.rows.equals(live.matured.rows)
        assert again.live[name].matured.new == []


def test_a_day_that_was_read_half_way_is_finished(before: World, taken: Monitored, tmp_path: Path) -> None:
    """Killed after its file was written, and before the database was cleared; or answers that were written later."""
    mine = World.copied(before.folder, tmp_path / "half")
    rows = live_rows(mine, taken, "churn")
    first = rows.row(0, named=True)
    answers = LiveAnswers(LiveLog.open(mine.definition, mine.settings))
    again = LiveAnswer("churn", first["user"], first["at"], first["version"], 0.5, None, None)
    late = LiveAnswer("churn", "somebody", first["at"], first["version"], 0.5, None, None)
    answers.add([again, late], most=10, since=0)
    looked(mine)
    now = live_rows(mine, taken, "churn")
    assert len(now) == len(rows) + 1
    assert now.filter(user=first["user"])["answer"].to_list() == [first["answer"]]
    assert not waiting(mine)


def test_who_is_erased_is_nowhere_in_it(before: World, taken: Monitored, tmp_path: Path) -> None:
    mine = World.copied(before.folder, tmp_path / "erased")
    user, at = taken.live["churn"].matured.rows.select("user", "at").row(0)
    live = LiveLog.open(mine.definition, mine.settings)
    one = LiveAnswer("churn", user, at + 40 * DAY, "churn/1", 0.5, "likely", "active")
    LiveAnswers(live).add([one], most=10, since=0)
    done = erase(mine.definition, mine.settings, Memberships(mine.definition, live, Clock()), [user])
    assert done.removed["live answers"] == 1
    assert not any(done.left.values())
    LiveAnswers(live).add([one], most=10, since=0)  # a process that had answered before
    assert not waiting(mine)
    assert user not in set(live_rows(mine, taken, "churn")["user"])
    assert user not in set(looked(mine).live["churn"].matured.rows["user"])


@pytest.mark.long
def test_a_server_that_is_killed_loses_what_it_answered_last(before: World, users: list[str], tmp_path: Path) -> None:
    mine = World.copied(before.folder, tmp_path / "killed")
    with served(mine, tmp_path / "log", "2026-01-11T12:00:00Z") as server:
        asked(server, users[: len(users) // 2])
        deadline = time.monotonic() + 20 * EVERY
        while not waiting(mine):
            assert time.monotonic() < deadline, "answers are written soon"
            time.sleep(0.2)
        kept = len(waiting(mine))
        asked(server, users[len(users) // 2 :])
        server.kill()
    with closing(sqlite3.connect(mine.settings.folder(mine.definition.name) / "live.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(waiting(mine)) >= kept > 0
    with served(mine, tmp_path / "log", "2026-01-11T13:00:00Z") as server:
        again = asked(server, users)
    there: dict[str, Any] = {one.user: one for one in waiting(mine)}
    assert set(there) == {
        user for outcome, user, at in again if outcome == "churn" and turns_on(mine, "churn", user, at // DAY)
    }


@pytest.mark.long
def test_answers_about_another_instant_are_not_kept(before: World, users: list[str], tmp_path: Path) -> None:
    mine = World.copied(before.folder, tmp_path / "other")
    with served(mine, tmp_path / "log", ASKED[1]) as server:
        for as_of in (ASKED[0], "2026-01-12T00:00:00Z"):
            answer = server.client.post("/score", json={"user_ids": users, "as_of": as_of})
            assert len(answer.json()["records"]) > 1_000
    assert not waiting(mine)
    with served(mine, tmp_path / "log", ASKED[1], PROPENSITY_LIVE_ANSWERS="0") as server:
        asked(server, users)
    assert not waiting(mine), "none are to be kept"
