"""The live path as its callers meet it: real SDKs, a real server, events in and scores out."""

import base64
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from features.log.messages import Message
from serving.live.log import LiveLog
from tests.conftest import World
from tests.serving.servers import Server

pytestmark = pytest.mark.xdist_group("api")

#: the server's clock begins here: the demo's log ends nine hours earlier
CLOCK = "2026-03-01T09:00:00Z"


def command(world: World, *words: str) -> str:
    done = world.run(sys.executable, "-m", "propensity", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def keys(live_world: World) -> dict[str, str]:
    return {
        role: command(live_world, "keys", "create", role, "--role", role).strip() for role in ("write", "read", "admin")
    }


@pytest.fixture(scope="module")
def server(live_world: World, keys: dict[str, str]) -> Iterator[Server]:
    assert keys
    running = Server(live_world, live_world.folder / "serve.log", PROPENSITY_CLOCK=CLOCK, PROPENSITY_RATE="3000")
    try:
        yield running.ready()
    finally:
        running.stop()


def client(server: Server, key: str) -> httpx.Client:
    return httpx.Client(base_url=server.client.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


@pytest.fixture
def ask(server: Server, keys: dict[str, str]) -> Iterator[httpx.Client]:
    with client(server, keys["read"]) as opened:
        yield opened


@pytest.fixture
def send(server: Server, keys: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.client.base_url, auth=(keys["write"], ""), timeout=30) as opened:
        yield opened


def until(holds: Callable[[], object], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.05)


def record(ask: httpx.Client, user: str, **body: object) -> dict:
    answer = ask.post("/score", json={"user_ids": [user], **body})
    assert answer.status_code == 200, answer.text
    return (answer.json()["records"] or [{"segments": [], "missing": True}])[0]


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


def test_identify_becomes_traits_and_clocks_are_put_right(live_world: World, send: httpx.Client) -> None:
    wrong = datetime(2031, 5, 1, 12, tzinfo=UTC)  # a device five years ahead
    said = {"userId": "clock", "timestamp": wrong.isoformat()}
    later = (wrong + timedelta(days=9)).isoformat()
    bought = {"event": "purchase", "properties": {"revenue": "12.5"}, "messageId": "clock-2", "timestamp": later}
    batch = [
        {"type": "identify", **said, "traits": {"plan": "gold"}},
        {"type": "track", **said, "event": "app_open", "messageId": "clock-1"},
        {"type": "track", **said, **bought},
    ]
    sent = {"sentAt": (wrong + timedelta(seconds=90)).isoformat(), "batch": batch}
    assert send.post("/v1/batch", json=sent).json()["accepted"] == 3
    live = LiveLog.open(live_world.definition, live_world.settings)
    found = {m.id: m for m in live.of_users(["clock"])}
    assert found["clock-1"].received - found["clock-1"].t == 90_000_000
    assert found["clock-2"].t == found["clock-2"].received, "nothing happens after it was received"
    live.close()


def test_a_clock_that_is_behind_the_others_answers_all_the_same(
    live_world: World, send: httpx.Client, ask: httpx.Client
) -> None:
    ahead = datetime.fromisoformat(CLOCK) + timedelta(hours=3)
    live = LiveLog.open(live_world.definition, live_world.settings)
    at = int(ahead.timestamp() * 1e6)  # as a server whose clock is three hours ahead would have it
    live.append([Message("skew-1", "skew", "track", "app_open", at, at, {})])
    live.close()
    send.post("/v1/track", json={"userId": "skew-2", "event": "app_open"})  # wakes the worker
    until(lambda: not record(ask, "skew").get("missing"))
    assert datetime.fromisoformat(record(ask, "skew")["as_of"]) >= ahead
    asked = ask.post("/score", json={"user_ids": ["skew"], "as_of": CLOCK}).json()
    assert asked["missing"] == [{"user_id": "skew", "why": "as_of_before_profile"}]


def test_a_client_that_tries_again_counts_once(send: httpx.Client, live_world: World) -> None:
    body = {"userId": "again", "event": "app_open", "messageId": "again-1"}
    answers = [send.post("/v1/track", json=body).json() for _ in range(3)]
    assert [a["accepted"] for a in answers] == [1, 0, 0]
    assert [a["duplicates"] for a in answers] == [0, 1, 1]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "track", "event": "x"}, "no_user"),
        ({"type": "track", "userId": "u"}, "no_event"),
        ({"type": "alias", "userId": "u"}, "unknown_type"),
        ({"type": "track", "userId": "u", "event": "x", "timestamp": "yesterday"}, "timestamp"),
        ({"type": "track", "userId": "u", "event": "x", "properties": [1]}, "not_an_object"),
        ({"type": "track", "userId": "u", "event": "purchase", "properties": {"revenue": "a lot"}}, "property"),
        ({"type": "track", "userId": "u", "event": "x", "properties": {"blob": "x" * 33_000}}, "too_large"),
        ({"type": "track", "userId": "u" * 300, "event": "x"}, "too_large"),
        ({"type": "track", "userId": {"id": 1}, "event": "x"}, "not_text"),
        ({"type": "track", "userId": "half \ud800", "event": "x"}, "not_text"),
        ({"type": "track", "userId": "nul\x00", "event": "x"}, "not_text"),
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
)
def test_bodies_that_hold_no_messages(send: httpx.Client, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = send.post("/v1/batch", content=content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "code"}


def test_a_single_bad_message_is_a_bad_request(send: httpx.Client) -> None:
    answer = send.post("/v1/track", json={"userId": "u"})
    assert answer.status_code == 400
    assert answer.json()["refused"][0]["reason"] == "a track message without 'event'"


def test_dead_letters_are_listed_and_replayed(live_world: World, send: httpx.Client) -> None:
    send.post("/v1/track", json={"userId": "u", "event": "x", "timestamp": "whenever", "messageId": "letter"})
    assert "timestamp 'whenever' is no ISO time" in command(live_world, "dead-letters", "list", "--limit", "1000")
    bodies = command(live_world, "dead-letters", "list", "--bodies", "--limit", "1000")
    [letter] = [json.loads(line) for line in bodies.splitlines() if '"letter"' in line]
    assert letter["timestamp"] == "whenever"
    live = LiveLog.open(live_world.definition, live_world.settings)
    with live.writing() as connection:  # mended by hand, as when the definition takes now what it did not then
        connection.exec_driver_sql("UPDATE live_dead_letters SET body = replace(body, '\"whenever\"', 'null')")
    assert "1 taken" in command(live_world, "dead-letters", "replay")
    assert [m.id for m in live.of_users(["u"])] == ["letter"]
    assert "0 taken" in command(live_world, "dead-letters", "replay")
    live.close()


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("write", "POST", "/score", 403), ("write", "GET", "/models", 403), ("read", "POST", "/v1/track", 403),
        ("read", "DELETE", "/users/nobody", 403), ("admin", "GET", "/models", 200), ("read", "GET", "/metrics", 200),
        ("admin", "POST", "/v1/track", 403), ("read", "GET", "/segments", 200),
    ],
)  # fmt: skip
def test_each_key_may_do_its_own(
    server: Server, keys: dict[str, str], role: str, method: str, path: str, status: int
) -> None:
    with client(server, keys[role]) as asking:
        assert asking.request(method, path).status_code == status


def test_wrong_keys_and_none(server: Server, keys: dict[str, str]) -> None:
    basic = base64.b64encode(f"{keys['write']}x:".encode()).decode()
    for header in (None, f"Basic {basic}", "Basic %%%", "Digest x", f"Bearer {keys['write'][:-1]}"):
        headers = {"Authorization": header} if header else {}
        assert server.client.post("/v1/track", headers=headers).status_code == 401


def test_a_rotated_key_is_taken_up_without_a_restart(live_world: World, server: Server) -> None:
    old = command(live_world, "keys", "create", "rotating", "--role", "read").strip()

    def status(key: str) -> int:
        with client(server, key) as asking:
            return asking.get("/models").status_code

    until(lambda: status(old) == 200)
    new = command(live_world, "keys", "rotate", "rotating", "--grace", "0s").strip()
    until(lambda: status(new) == 200)
    until(lambda: status(old) == 401)
    assert "rotating" in command(live_world, "keys", "list")
    command(live_world, "keys", "revoke", "rotating")
    until(lambda: status(new) == 401)


def test_who_asks_too_often_is_told_when_to_come_back(live_world: World, server: Server) -> None:
    key = command(live_world, "keys", "create", "greedy", "--role", "read").strip()
    with client(server, key) as asking:
        until(lambda: asking.get("/segments").status_code == 200)
        statuses = [asking.get("/segments") for _ in range(3_100)]
    limited = [answer for answer in statuses if answer.status_code == 429]
    assert limited
    assert 1 <= int(limited[0].headers["retry-after"]) <= 60


def test_members_of_a_segment_in_pages(live_world: World, send: httpx.Client, ask: httpx.Client) -> None:
    command(live_world, "score")
    batch = [{"type": "track", "userId": f"member{i:02d}", "event": "add_to_cart"} for i in range(25)]
    assert send.post("/v1/batch", json={"batch": batch}).json()["accepted"] == 25
    until(lambda: "cart_abandoned_24h" in record(ask, "member24")["segments"])
    users, after = [], ""
    while after is not None:
        page = ask.get("/segments/cart_abandoned_24h/users", params={"limit": 7, "after": after}).json()
        assert len(page["users"]) <= 7
        users += page["users"]
        after = page["next"]
    assert users == sorted(set(users))
    assert {f"member{i:02d}" for i in range(25)} <= set(users)
    everybody = [f"u{i:07d}" for i in range(3_000)]
    now = {r["user_id"] for r in ask.post("/score", json={"user_ids": everybody}).json()["records"]
           if "cart_abandoned_24h" in r["segments"]}  # fmt: skip
    assert {u for u in users if u.startswith("u0")} == now, "those of the batch, as they are now"
    assert ask.get("/segments/nonsense/users").status_code == 404
    assert ask.get("/segments/cart_abandoned_24h/users", params={"limit": 0}).status_code == 422


def test_a_user_is_erased_everywhere_and_stays_out(
    live_world: World, server: Server, keys: dict[str, str], send: httpx.Client, ask: httpx.Client
) -> None:
    user = "u0000042"
    send.post("/v1/track", json={"userId": user, "event": "add_to_cart", "messageId": "erase-me"})
    send.post("/v1/track", json={"userId": user})  # a dead letter of theirs
    until(lambda: "cart_abandoned_24h" in record(ask, user)["segments"])
    with client(server, keys["admin"]) as admin:
        report = admin.delete(f"/users/{user}").json()
    for place in ("live events", "dead letters", "event store", "kept profiles", "snapshots", "online store"):
        assert report["removed"][place] > 0, place
    assert set(report["left"].values()) == {0}
    assert ask.post("/score", json={"user_ids": [user]}).json()["missing"] == [{"user_id": user, "why": "unknown_user"}]
    answer = send.post("/v1/track", json={"userId": user, "event": "app_open"}).json()
    assert answer["refused"][0]["code"] == "erased_user"
    command(live_world, "materialize")
    command(live_world, "reconcile")
    assert ask.post("/score", json={"user_ids": [user]}).json()["records"] == []
    for file in (live_world.settings.folder("demo-shop")).rglob("*"):
        if file.is_file() and file.suffix in (".parquet", ".json"):
            assert user.encode() not in file.read_bytes(), file


def test_the_log_tells_no_secret_and_no_user(server: Server, keys: dict[str, str]) -> None:
    said = server.log.read_text()
    for secret in (*keys.values(), "sdk-user", "x@example.org", "u0000042", "member01"):
        assert secret not in said


def test_metrics_tell_what_goes_in_and_out(server: Server, send: httpx.Client, ask: httpx.Client) -> None:
    assert server.client.get("/models").status_code == 401
    send.post("/v1/track", json={"userId": "metrics", "event": "app_open"})
    until(lambda: not record(ask, "metrics").get("missing"))
    record(ask, "u0000011")
    text = ask.get("/metrics").text
    for name in (
        'propensity_events_total{result="accepted"}', "propensity_events_folded_total", "propensity_lag_seconds",
        "propensity_freshness_seconds_bucket", "propensity_scores_total{", "propensity_model_served{",
        'propensity_errors_total{code="401"}',
    ):  # fmt: skip
        assert name in text


def test_compaction_and_reconciliation_by_their_commands(live_world: World, send: httpx.Client) -> None:
    send.post("/v1/track", json={"userId": "u0000007", "event": "purchase", "properties": {"revenue": 5}})
    time.sleep(1)
    assert "0 differences" in command(live_world, "reconcile")
    said = command(live_world, "compact")
    assert "events" in said
    assert "0 events and 0 changes" in command(live_world, "compact")
    assert "0 differences" in command(live_world, "reconcile")


def test_schemathesis_finds_no_server_error(live_world: World, server: Server) -> None:
    assert server, "two servers share one live log"
    everything = Server(live_world, live_world.folder / "open.log", PROPENSITY_CLOCK=CLOCK, PROPENSITY_AUTH="off")
    try:
        url = str(everything.ready().client.base_url)
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/docs.json", "--url", url, "--checks",
             "not_a_server_error", "--max-examples", "25", "--seed", "1"],
            cwd=live_world.folder, capture_output=True, text=True, timeout=300, check=False,
            env=live_world.environment,
        )  # fmt: skip
    finally:
        everything.stop()
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-1_000:]
