"""The live log, in SQLite and in a real PostgreSQL: each message once, in one order, however often it is sent."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from features.errors import PropensityError, UnavailableError
from features.reading.live_messages import Message
from features.time import HOUR
from serving.database.log.dead_letters import DeadLetter
from serving.database.log.live_log import LiveLog
from serving.database.log.message_rows import hash_of
from serving.database.log.taken_ids import IdRules
from serving.database.schema import connect
from serving.database.tables import SHARDS, erased_before
from serving.desk.keys import KeyRing, Keys
from serving.ingest.group_commit import Committer
from serving.ingest.leases import Leases
from tests.serving.ingest.scenes import BEGIN, message


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveLog]:
    address = f"sqlite:///{tmp_path / 'live.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    opened = LiveLog(connect(address))
    yield opened
    opened.close()


def some(first: int, count: int) -> list[Message]:
    return [message(i, f"u{i % 7}", "visit", BEGIN + i) for i in range(first, first + count)]


def test_the_same_message_counts_once(log: LiveLog) -> None:
    sent = some(0, 5)
    assert log.append(sent) == ["accepted"] * 5
    assert log.append([*sent[3:], *some(5, 1), *some(5, 1)]) == ["duplicate", "duplicate", "accepted", "duplicate"]
    found = log.between(0, log.last(), 100)
    assert [m.id for m in found] == [f"m{i}" for i in range(6)]
    assert [m.position for m in found] == sorted({m.position for m in found})


FIRST = Message("m-3", "u1", "track", "purchase", BEGIN, BEGIN, {"revenue": 20, "tags": ["a"]}, stated=BEGIN)


def test_a_message_of_another_events_id_is_refused_and_kept_and_a_retry_is_not(log: LiveLog) -> None:
    """As in files: no matter who sends it again, and by which clock, it is one event; what differs is reported."""
    retried = replace(FIRST, user="anon-1", t=BEGIN - 5_000, received=BEGIN + HOUR)
    others = [replace(FIRST, user="anon-1", event="visit"), replace(FIRST, kind="identify"),
              replace(FIRST, user="u2", body={"revenue": 2})]  # fmt: skip
    assert log.append([FIRST, retried, *others]) == ["accepted", "duplicate", *["id_taken"] * 3]
    assert log.append([retried, *others]) == ["duplicate", *["id_taken"] * 3]
    [found] = log.between(0, log.last(), 100)
    assert (found.user, found.body) == ("u1", FIRST.body)
    letters = log.dead_letters()
    assert {(letter.code, letter.message_id) for letter in letters} == {("id_taken", "m-3")}
    assert [letter.user for letter in letters] == ["anon-1", "u1", "u2"] * 2
    assert json.loads(letters[2].body)["properties"] == {"revenue": 2}


def test_a_message_corrects_the_users_event_of_its_id(log: LiveLog) -> None:
    later = replace(FIRST, received=BEGIN + HOUR)
    dearer = replace(later, body={"revenue": 30})
    earlier = replace(dearer, t=BEGIN - HOUR, stated=BEGIN - HOUR)
    assert log.append([FIRST, dearer, dearer]) == ["accepted", "corrected", "duplicate"]
    assert log.append([earlier, earlier]) == ["corrected", "duplicate"], "another time is another content"
    assert log.append([replace(earlier, t=BEGIN - HOUR + 5)]) == ["duplicate"], "by another clock it is the same time"
    assert log.append([replace(earlier, event="visit")]) == ["corrected"]
    assert log.append([later]) == ["corrected"], "what was corrected before may come back"
    found = log.of_users(["u1"])
    assert [m.corrects for m in found] == [False, True, True, True, True]
    assert [m.body for m in found] == [FIRST.body, dearer.body, dearer.body, dearer.body, FIRST.body]
    assert log.dead_letters() == []


def test_an_attribute_is_not_corrected(log: LiveLog) -> None:
    """A newer message of other attributes takes the place of older ones by itself."""
    output = message(1, "u1", "identify", BEGIN, plan="pro")
    other = message(1, "u1", "identify", BEGIN + HOUR, plan="max")
    again = replace(output, t=BEGIN + HOUR, stated=BEGIN + HOUR)
    assert log.append([output, other, again]) == ["accepted", "id_taken", "duplicate"]


def test_nothing_is_corrected_where_files_could_not_tell(log: LiveLog) -> None:
    """Without a column for ids both rows would count in files."""
    log = LiveLog(log.engine, rules=IdRules(correctable=lambda: False))
    moved = replace(FIRST, t=BEGIN - HOUR, stated=BEGIN - HOUR)
    assert log.append([FIRST, replace(FIRST, event="visit"), moved]) == ["accepted", "id_taken", "duplicate"]


def test_the_newest_arrival_is_the_one_that_counts_whenever_it_is_appended(log: LiveLog) -> None:
    """Servers receive and append in different orders: as files do, the log goes by what they received."""
    newest, older = replace(FIRST, received=BEGIN + 2 * HOUR), replace(FIRST, event="visit", received=BEGIN + HOUR)
    assert log.append([newest, older]) == ["accepted", "corrected"]
    assert log.append([replace(newest, received=BEGIN + 3 * HOUR)]) == ["duplicate"], "it counts already"


def test_repeats_of_pruned_messages_are_known(log: LiveLog) -> None:
    here = log.state().id
    visit = replace(FIRST, id="m-4", event="visit", received=BEGIN + HOUR)
    log.append([FIRST, replace(FIRST, body={"revenue": 30}, received=BEGIN + HOUR), visit, *some(10, 3)])
    assert log.prune(log.last(), BEGIN + 2 * HOUR, log=here) == 5, "the newest stays"
    newest = replace(FIRST, body={"revenue": 30}, received=BEGIN + 3 * HOUR)
    assert log.append([newest, replace(visit, user="u9")]) == ["duplicate", "duplicate"]
    assert log.append([replace(newest, user="u9", event="visit")]) == ["id_taken"]
    assert log.append([replace(FIRST, received=BEGIN + 4 * HOUR)]) == ["corrected"]
    assert log.append([replace(FIRST, received=BEGIN + 5 * HOUR)]) == ["duplicate"], "of the one that corrected it"
    log.append(some(20, 1))
    log.prune(log.last(), BEGIN + 9 * HOUR, log=here)
    assert log.append([replace(FIRST, received=BEGIN + 6 * HOUR), visit]) == ["duplicate", "duplicate"]
    log.prune(log.last(), 0, log=here, ids_before=BEGIN + 2 * HOUR)
    assert log.append([FIRST, visit]) == ["duplicate", "accepted"], "what is not kept any more is not known"


def test_nothing_is_kept_of_pruned_messages_of_erased_users(log: LiveLog) -> None:
    log.append([*some(0, 14), message(99, "u1", "visit", BEGIN)])
    log.prune(log.last(), BEGIN + HOUR, log=log.state().id)
    assert log.rows_of(["u3", "u4"])["live_pruned_ids"] == 4
    assert log.erase(["u3", "u4"]) == {
        "live events": 0,
        "ids of pruned events": 4,
        "live answers": 0,
        "dead letters": 0,
    }
    assert log.rows_of(["u3", "u4"])["live_pruned_ids"] == 0


def test_what_is_read_is_what_was_written(log: LiveLog) -> None:
    body = {"ünïcode": "☃ 'quoted' \"twice\"", "n": 1.5, "deep": {"list": [1, None, True]}, "nul": "a\x00b"}
    log.append([Message("x", "Zoë; DROP TABLE", "track", "bought", BEGIN - HOUR, BEGIN, body)])
    [found] = log.of_users(["Zoë; DROP TABLE"])
    assert (found.id, found.event, found.t, found.received, found.body) == ("x", "bought", BEGIN - HOUR, BEGIN, body)


def test_many_senders_at_once_lose_and_double_nothing(log: LiveLog) -> None:
    other = LiveLog(connect(log.engine.url.render_as_string(hide_password=False)))
    seen: list[int] = []
    done = threading.Event()

    def follow() -> None:
        """Reads the end of the log as a worker does: what is passed over is never seen again."""
        position = 0
        while True:
            last = done.is_set()
            for found in log.tail(dict.fromkeys(range(SHARDS), position), 50):
                seen.append(found.position)
                position = found.position
            if last:
                return

    reader = threading.Thread(target=follow)
    reader.start()
    with ThreadPoolExecutor(8) as pool:
        # every message is sent by two servers
        answers = list(pool.map(lambda i: (log, other)[i % 2].append(some(i // 2 * 20, 20)), range(40)))
    done.set()
    reader.join(30)
    other.close()
    assert sum(answer.count("accepted") for answer in answers) == 400
    assert len(seen) == len(set(seen)) == 400, "no position appears behind the reader"


def test_tail_is_in_order_and_only_of_the_shards_asked_for(log: LiveLog) -> None:
    log.append(some(0, 200))
    first = log.tail(dict.fromkeys(range(SHARDS), 0), 50)
    assert [m.id for m in first] == [f"m{i}" for i in range(50)]
    half = log.tail(dict.fromkeys(range(SHARDS // 2), 0), 1_000)
    rest = log.tail(dict.fromkeys(range(SHARDS // 2, SHARDS), 0), 1_000)
    assert {m.user for m in half} & {m.user for m in rest} == set()
    assert len(half) + len(rest) == 200
    assert log.tail({}, 10) == []


def test_erased_users_stay_out(log: LiveLog) -> None:
    log.append(
        some(0, 14),
        [DeadLetter("ingest", "x", "y", "{}", BEGIN, "d", "u3"), DeadLetter("ingest", "x", "y", "{}", BEGIN)],
    )
    assert log.erase(["u3", "never seen"]) == {
        "live events": 2,
        "ids of pruned events": 0,
        "live answers": 0,
        "dead letters": 1,
    }
    assert log.append(some(10, 7)) == [
        "erased_user",
        "duplicate",
        "duplicate",
        "duplicate",
        "accepted",
        "accepted",
        "accepted",
    ]
    assert log.of_users(["u3"]) == []


def test_pruning_keeps_what_is_not_in_the_event_store_and_the_newest(log: LiveLog) -> None:
    log.append(some(0, 10))
    positions = [m.position for m in log.between(0, log.last(), 100)]
    assert log.prune(positions[5], BEGIN + 4, log=log.state().id) == 4
    assert log.prune(positions[9], BEGIN + 100, log=log.state().id) == 5
    assert log.last() == positions[9]
    assert log.append(some(10, 1)) == ["accepted"]
    assert log.last() > positions[9]


def test_group_commit_answers_each_with_its_own(log: LiveLog) -> None:
    reported = threading.Event()
    committer = Committer(log, reported.set)
    futures = [committer.submit(some(i * 3, 3 + (i % 2)), []) for i in range(100)]
    answers = [future.result(20) for future in futures]
    committer.close()
    assert reported.is_set()
    assert [len(answer) for answer in answers] == [3 + (i % 2) for i in range(100)]
    assert sum(answer.count("accepted") for answer in answers) == 301, "the 301st comes with the last request"


def test_a_request_at_fault_does_not_take_others_with_it(log: LiveLog) -> None:
    committer = Committer(log, lambda: None)
    broken = Message("b", "u1", "track", "visit", BEGIN, BEGIN, {"f": object()})  # no JSON
    futures = [committer.submit([m], []) for m in (some(0, 1)[0], broken, some(1, 1)[0])]
    assert futures[0].result(20) == futures[2].result(20) == ["accepted"]
    with pytest.raises(TypeError):
        futures[1].result(20)
    committer.close()


def test_shards_are_shared_and_taken_over(log: LiveLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.ingest.leases.RENEW", 0.0)
    one, two = Leases(log, "one"), Leases(log, "two")
    assert one.mine() == list(range(SHARDS))
    assert two.mine() == [], "held by the other for the moment"
    one.mine()
    shared = [one.mine(), two.mine()]
    assert sorted(shared[0] + shared[1]) == list(range(SHARDS))
    assert len(shared[0]) == len(shared[1]) == SHARDS // 2
    one.give_back()
    assert two.mine() == list(range(SHARDS))


def test_who_dies_is_replaced(log: LiveLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.ingest.leases.RENEW", 0.0)
    monkeypatch.setattr("serving.ingest.leases.HELD", 200_000)
    dead, heir = Leases(log, "dead"), Leases(log, "heir")
    assert dead.mine() == list(range(SHARDS))
    threading.Event().wait(0.3)
    assert heir.mine() == list(range(SHARDS))


def test_keys_are_kept_as_hashes_rotated_and_revoked(log: LiveLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.desk.keys.REFRESH", 0.05)
    keys = Keys(log)
    secret = keys.create("web", "write")
    ring = KeyRing(keys, [])
    found = ring.find(secret)
    assert found is not None
    assert (found.name, found.role) == ("web", "write")
    assert ring.find(secret + "x") is ring.find("") is None
    with log.reading() as connection:
        rows = str(connection.execute(sa.text("SELECT * FROM live_keys")).all())
    assert secret not in rows
    newer = keys.rotate("web", grace=10_000_000)
    threading.Event().wait(0.3)
    assert None not in (ring.find(secret), ring.find(newer)), "the old one works for a while"
    keys.rotate("web", grace=0)
    threading.Event().wait(0.3)
    assert ring.find(secret) is ring.find(newer) is None
    keys.revoke("web")
    with pytest.raises(PropensityError, match="there is no key 'web'"):
        keys.rotate("web", grace=0)
    with pytest.raises(PropensityError, match="unknown role 'boss'"):
        keys.create("x", "boss")
    ring.close()


def test_a_full_disk_is_said_and_nothing_is_half_there(tmp_path: Path) -> None:
    log = LiveLog(connect(f"sqlite:///{tmp_path / 'live.db'}"))
    with log.engine.connect() as connection:
        pages = connection.execution_options(reading=True).exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}")
    accepted = []

    def fill() -> None:
        for i in range(100):
            accepted.append(log.append([message(i, "u1", "visit", BEGIN + i, blob="x" * 20_000)]))

    with pytest.raises(UnavailableError, match="full"):
        fill()
    assert len(log.of_users(["u1"])) == len(accepted) > 0
    log.close()


def test_tombstones_of_before_there_were_digests_are_honoured_and_collisions_are_not(log: LiveLog) -> None:
    with log.writing() as connection:
        connection.execute(sa.insert(erased_before), [{"user_hash": hash_of(["u3"])[0]}])
    log.erase(["u4"])
    users = [message.user for message in some(0, 7)]
    assert [u for u, a in zip(users, log.append(some(0, 7)), strict=True) if a == "erased_user"] == ["u3", "u4"]


def test_a_connection_that_is_in_use_when_the_log_closes_is_closed_when_it_comes_back(log: LiveLog) -> None:
    with log.reading() as connection:
        driver = connection.connection.dbapi_connection
        log.close()
        assert connection.scalar(sa.text("SELECT 1")) == 1, "what is under way is finished"
    assert driver is not None
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match="closed"):
        driver.cursor().execute("SELECT 1")
