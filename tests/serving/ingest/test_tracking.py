"""The tracking API as its callers meet it: real SDKs, a real server, events in and scores out."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from features.reading.live_messages import Message
from serving.database.log.live_log import LiveLog
from tests.conftest import World
from tests.serving.ingest.asking import CLOCK, command, record, until
from tests.serving.servers import Server

pytestmark = pytest.mark.xdist_group("api")


def test_the_segment_sdk_works_unchanged(server: Server, keys: dict[str, str], ask: httpx.Client) -> None:
    from segment.analytics.client import Client

    failed: list[object] = []
    sdk = Client(
        keys["write"], host=str(server.client.base_url).rstrip("/"), gzip=True, on_error=lambda *e: failed.append(e)
    )
    sdk.identify("sdk-user", {"plan": "gold", "email": "x@example.org"})
    sdk.track("sdk-user", "app_open")
    sdk.track("sdk-user", "add_to_cart", {"item": "boots"})
    sdk.flush()
    sdk.join()
    assert not failed
    until(lambda: "cart_abandoned_24h" in record(ask, "sdk-user")["segments"])
    sdk = Client(keys["write"], host=str(server.client.base_url).rstrip("/"))
    sdk.track("sdk-user", "purchase", {"revenue": 19.9})
    sdk.flush()
    sdk.join()
    until(lambda: "cart_abandoned_24h" not in record(ask, "sdk-user")["segments"])


def test_the_rudder_sdk_works_unchanged(server: Server, keys: dict[str, str], ask: httpx.Client) -> None:
    from rudderstack.analytics.client import Client

    failed: list[object] = []
    sdk = Client(keys["write"], host=str(server.client.base_url).rstrip("/"), on_error=lambda *e: failed.append(e))
    sdk.identify("rudder-user", {"plan": "gold"})
    sdk.track("rudder-user", "add_to_cart")
    sdk.flush()
    sdk.join()
    assert not failed
    until(lambda: "cart_abandoned_24h" in record(ask, "rudder-user")["segments"])


def test_a_segment_of_minutes_is_right_while_nobody_acts(send: httpx.Client, ask: httpx.Client) -> None:
    assert send.post("/v1/track", json={"userId": "minutes", "event": "add_to_cart"}).json()["accepted"] == 1
    until(lambda: "cart_abandoned_24h" in record(ask, "minutes")["segments"])
    tomorrow = (datetime.fromisoformat(CLOCK) + timedelta(hours=25)).isoformat()
    assert "cart_abandoned_24h" not in record(ask, "minutes", as_of=tomorrow)["segments"]


def test_identify_becomes_traits_and_clocks_are_put_right(served_world: World, send: httpx.Client) -> None:
    wrong = datetime(2031, 5, 1, 12, tzinfo=UTC)  # a device five years ahead
    output = {"userId": "clock", "timestamp": wrong.isoformat()}
    later = (wrong + timedelta(days=9)).isoformat()
    bought = {"event": "purchase", "properties": {"revenue": "12.5"}, "messageId": "clock-2", "timestamp": later}
    batch = [
        {"type": "identify", **output, "traits": {"plan": "gold"}},
        {"type": "track", **output, "event": "app_open", "messageId": "clock-1"},
        {"type": "track", **output, **bought},
    ]
    sent = {"sentAt": (wrong + timedelta(seconds=90)).isoformat(), "batch": batch}
    assert send.post("/v1/batch", json=sent).json()["accepted"] == 3
    live = LiveLog.open(served_world.definition, served_world.settings)
    found = {m.id: m for m in live.of_users(["clock"])}
    assert found["clock-1"].received - found["clock-1"].t == 90_000_000
    assert found["clock-2"].t == found["clock-2"].received, "nothing happens after it was received"
    live.close()


def test_a_clock_that_is_behind_the_others_answers_all_the_same(
    served_world: World, send: httpx.Client, ask: httpx.Client
) -> None:
    ahead = datetime.fromisoformat(CLOCK) + timedelta(hours=3)
    live = LiveLog.open(served_world.definition, served_world.settings)
    at = int(ahead.timestamp() * 1e6)  # as a server whose clock is three hours ahead would have it
    live.append([Message("skew-1", "skew", "track", "app_open", at, at, {})])
    live.close()
    send.post("/v1/track", json={"userId": "skew-2", "event": "app_open"})  # wakes the worker
    until(lambda: not record(ask, "skew").get("missing"))
    assert datetime.fromisoformat(record(ask, "skew")["as_of"]) >= ahead
    asked = ask.post("/score", json={"user_ids": ["skew"], "as_of": CLOCK}).json()
    assert asked["missing"] == [{"user_id": "skew", "why": "as_of_before_profile"}]


def test_a_client_that_tries_again_counts_once(send: httpx.Client, served_world: World) -> None:
    body = {"userId": "again", "event": "app_open", "messageId": "again-1"}
    answers = [send.post("/v1/track", json=body).json() for _ in range(3)]
    assert [a["accepted"] for a in answers] == [1, 0, 0]
    assert [a["duplicates"] for a in answers] == [0, 1, 1]


def test_a_client_that_corrects_its_event_is_answered_so_and_another_users_is_refused(send: httpx.Client) -> None:
    first = {"type": "track", "userId": "mends", "event": "app_open", "messageId": "mends-1",
             "timestamp": "2026-03-01T08:00:00Z"}  # fmt: skip
    other_time = first | {"timestamp": "2026-03-01T07:00:00Z"}
    clock = first | {"sentAt": "2026-03-01T08:30:00Z"}
    sent = [first, clock, first | {"event": "cart_add"}, other_time, other_time,
            other_time | {"userId": "x", "event": "cart_add"}]  # fmt: skip
    answer = send.post("/v1/batch", json={"batch": sent}).json()
    assert (answer["accepted"], answer["corrected"], answer["duplicates"], answer["refused_total"]) == (3, 2, 2, 1)
    assert [(one["index"], one["code"]) for one in answer["refused"]] == [(5, "id_taken")]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "track", "event": "x"}, "no_user"),
        ({"type": "track", "userId": "u"}, "no_event"),
        ({"type": "group", "userId": "u"}, "unknown_type"),
        ({"type": "alias", "userId": "u", "previousId": "v"}, "no_identities"),
        ({"type": "track", "userId": "u", "event": "x", "timestamp": "yesterday"}, "timestamp"),
        ({"type": "track", "userId": "u", "event": "x", "properties": [1]}, "not_an_object"),
        ({"type": "track", "userId": "u", "event": "purchase", "properties": {"revenue": "a lot"}}, "property"),
        ({"type": "track", "userId": "u", "event": "x", "properties": {"blob": "x" * 33_000}}, "too_large"),
        ({"type": "track", "userId": "u" * 300, "event": "x"}, "user_id"),
        ({"type": "track", "userId": {"id": 1}, "event": "x"}, "user_id"),
        ({"type": "track", "userId": "half \ud800", "event": "x"}, "user_id"),
        ({"type": "track", "userId": "nul\x00", "event": "x"}, "user_id"),
        ("text", "not_an_object"),
        (None, "not_an_object"),
    ],
)
def test_bad_messages_are_refused_one_by_one(send: httpx.Client, message: object, code: str) -> None:
    good = {"type": "track", "userId": "good", "event": "app_open"}
    answer = send.post("/v1/batch", content=json.dumps({"batch": [good, message, good]}))
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2
    [refused] = answer.json()["refused"]
    assert (refused["index"], refused["code"]) == (1, code)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{nonsense", {}, 400),
        (b"[]", {}, 400),
        (b'{"batch": {}}', {}, 400),
        (b"", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b'{"batch": []}')[:-9], {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b" " * 100_000_000), {"Content-Encoding": "gzip"}, 413),
        (b" " * 500_001, {}, 413),
        (b"{}", {"Content-Encoding": "br"}, 415),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,  # compressed bytes hold the time of day
)
def test_bodies_that_hold_no_messages(send: httpx.Client, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = send.post("/v1/batch", content=content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "code", "fix"}


def test_a_single_bad_message_is_a_bad_request(send: httpx.Client) -> None:
    answer = send.post("/v1/track", json={"userId": "u"})
    assert answer.status_code == 400
    assert answer.json()["refused"][0]["reason"] == "a track message without 'event'"


def test_dead_letters_are_listed_and_replayed(served_world: World, send: httpx.Client) -> None:
    send.post("/v1/track", json={"userId": "u", "event": "x", "timestamp": "whenever", "messageId": "letter"})
    listed = command(served_world, "dead-letters", "list", "--limit", "1000")
    assert "timestamp 'whenever' is not an ISO 8601 time" in listed
    bodies = command(served_world, "dead-letters", "list", "--bodies", "--limit", "1000")
    [letter] = [json.loads(line) for line in bodies.splitlines() if '"letter"' in line]
    assert letter["timestamp"] == "whenever"
    live = LiveLog.open(served_world.definition, served_world.settings)
    with live.writing() as connection:  # mended by hand, as when the definition takes now what it did not then
        connection.exec_driver_sql("UPDATE live_dead_letters SET body = replace(body, '\"whenever\"', 'null')")
    assert "1 taken" in command(served_world, "dead-letters", "replay")
    assert [m.id for m in live.of_users(["u"])] == ["letter"]
    assert "0 taken" in command(served_world, "dead-letters", "replay")
    live.close()


def test_a_letter_that_is_refused_again_stays_one_letter(served_world: World, send: httpx.Client) -> None:
    for user in ("first", "second"):
        message = {"userId": user, "event": f"by {user}", "messageId": "id-of-two", "timestamp": "2026-03-01T00:00:00Z"}
        send.post("/v1/track", json=message)
    live = LiveLog.open(served_world.definition, served_world.settings)
    [letter] = [one.id for one in live.dead_letters(limit=1_000) if one.message_id == "id-of-two"]
    for _ in range(2):
        assert "0 taken" in command(served_world, "dead-letters", "replay", "--id", str(letter))
        assert [one.id for one in live.dead_letters(limit=1_000) if one.message_id == "id-of-two"] == [letter]
    assert "refused again" in command(served_world, "dead-letters", "replay")
    assert [one.id for one in live.dead_letters(limit=1_000) if one.message_id == "id-of-two"] == [letter]
    assert [message.user for message in live.of_users(["first", "second"]) if message.id == "id-of-two"] == ["first"]
    live.close()
