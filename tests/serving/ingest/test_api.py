"""Keys, members, erasure, metrics and commands beside a running server with a live path."""

import base64
import subprocess
import sys
import time

import httpx
import pytest

from features.system.files.lock import locked
from tests.conftest import ROOT, World
from tests.serving.ingest.asking import client, command, record, until
from tests.serving.servers import Server

pytestmark = pytest.mark.xdist_group("api")


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


def test_a_rotated_key_is_taken_up_without_a_restart(served_world: World, server: Server) -> None:
    old = command(served_world, "keys", "create", "rotating", "--role", "read").strip()

    def status(key: str) -> int:
        with client(server, key) as asking:
            return asking.get("/models").status_code

    until(lambda: status(old) == 200)
    new = command(served_world, "keys", "rotate", "rotating", "--grace", "0s").strip()
    until(lambda: status(new) == 200)
    until(lambda: status(old) == 401)
    assert "rotating" in command(served_world, "keys", "list")
    command(served_world, "keys", "revoke", "rotating")
    until(lambda: status(new) == 401)


def test_members_of_a_segment_in_pages(served_world: World, send: httpx.Client, ask: httpx.Client) -> None:
    command(served_world, "score")
    batch = [{"type": "track", "userId": f"member{i:02d}", "event": "add_to_cart"} for i in range(25)]
    assert send.post("/v1/batch", json={"batch": batch}).json()["accepted"] == 25
    until(lambda: "cart_abandoned_24h" in record(ask, "member24")["segments"])
    users, held, after = [], [], ""
    while after is not None:
        page = ask.get("/segments/cart_abandoned_24h/users", params={"limit": 7, "after": after}).json()
        assert len(page["users"]) <= 7
        users += page["users"]
        held += page["holdout"]
        after = page["next"]
    assert users == sorted(set(users))
    assert {f"member{i:02d}" for i in range(25)} <= set(users)
    everybody = [f"u{i:07d}" for i in range(3_000)]
    now = {r["user_id"] for r in ask.post("/score", json={"user_ids": everybody}).json()["records"]
           if "cart_abandoned_24h" in r["segments"]}  # fmt: skip
    assert {u for u in users if u.startswith("u0")} == now, "those of the batch, as they are now"
    records = ask.post("/score", json={"user_ids": users}).json()["records"]
    assert held == [r["user_id"] for r in records if "cart_abandoned_24h" in r["holdout"]]
    assert 0 < len(held) < len(users) / 4
    assert ask.get("/segments/nonsense/users").status_code == 404
    assert ask.get("/segments/cart_abandoned_24h/users", params={"limit": 0}).status_code == 422


def test_a_users_history_in_one_call(served_world: World, send: httpx.Client, ask: httpx.Client) -> None:
    command(served_world, "score")  # from here on transitions are recorded
    user = "u0000099"
    send.post("/v1/track", json={"userId": user, "event": "add_to_cart"})

    def entered() -> list[dict]:
        moved = ask.get(f"/users/{user}").json()["transitions"]
        return [move for move in moved if move["dimension"] == "segments.cart_abandoned_24h"]

    until(entered)
    found = ask.get(f"/users/{user}", params={"limit": 5, "reasons": 1}).json()
    assert found["record"]["user_id"] == user
    assert len(found["record"]["intent"]["churn"]["reasons"]) <= 1
    assert found["memberships"]["segments.cart_abandoned_24h"]["value"] == "in"
    assert (entered()[0]["after"], entered()[0]["cause"]) == ("in", "behaviour")
    [move] = ask.get("/transitions", params={"after": entered()[0]["id"] - 1, "limit": 1}).json()
    assert move["user_id"] == user
    assert ask.get("/transitions", params={"dimension": "nothing"}).json() == []
    assert ask.get("/users/nobody-at-all").status_code == 404


def test_who_erases_during_a_batch_is_reported_to_come_back(
    served_world: World, server: Server, keys: dict[str, str]
) -> None:
    with client(server, keys["admin"]) as admin, locked(served_world.settings.folder("demo-shop")):
        answer = admin.delete("/users/u0000043")
    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["retry-after"]) >= 1


def test_a_user_is_erased_everywhere_and_stays_out(
    served_world: World, server: Server, keys: dict[str, str], send: httpx.Client, ask: httpx.Client
) -> None:
    command(served_world, "score")  # from here on transitions are recorded
    user = "u0000042"
    send.post("/v1/track", json={"userId": user, "event": "add_to_cart", "messageId": "erase-me"})
    send.post("/v1/track", json={"userId": user})  # a dead letter of theirs
    until(lambda: "cart_abandoned_24h" in record(ask, user)["segments"])
    with client(server, keys["admin"]) as admin:
        report = admin.delete(f"/users/{user}").json()
    for place in (
        "live events",
        "dead letters",
        "event store",
        "kept profiles",
        "snapshots",
        "online store",
        "memberships",
    ):
        assert report["removed"][place] > 0, place
    assert set(report["left"].values()) == {0}
    assert ask.post("/score", json={"user_ids": [user]}).json()["missing"] == [{"user_id": user, "why": "unknown_user"}]
    answer = send.post("/v1/track", json={"userId": user, "event": "app_open"}).json()
    assert answer["refused"][0]["code"] == "erased_user"
    command(served_world, "materialize")
    command(served_world, "reconcile")
    assert ask.post("/score", json={"user_ids": [user]}).json()["records"] == []
    for file in (served_world.settings.folder("demo-shop")).rglob("*"):
        if file.is_file() and file.suffix in (".parquet", ".json"):
            assert user.encode() not in file.read_bytes(), file


def test_the_log_tells_no_secret_and_no_user(server: Server, keys: dict[str, str]) -> None:
    output = server.log.read_text()
    for secret in (*keys.values(), "sdk-user", "x@example.org", "u0000042", "member01"):
        assert secret not in output


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


def test_compaction_and_reconciliation_by_their_commands(served_world: World, send: httpx.Client) -> None:
    send.post("/v1/track", json={"userId": "u0000007", "event": "purchase", "properties": {"revenue": 5}})
    time.sleep(1)
    assert "0 differences" in command(served_world, "reconcile")
    output = command(served_world, "compact")
    assert "events" in output
    assert "0 events and 0 changes" in command(served_world, "compact")
    assert "0 differences" in command(served_world, "reconcile")


@pytest.mark.long
@pytest.mark.parametrize(
    "role", ["admin", *(pytest.param(role, marks=pytest.mark.nightly) for role in ("write", "read"))]
)
def test_schemathesis_finds_no_server_error_and_one_error_shape(
    served_world: World, server: Server, keys: dict[str, str], role: str
) -> None:
    url, hooks = str(server.client.base_url), "tests.serving.ingest.error_shape"
    with client(server, keys[role]) as asking:
        until(lambda: asking.get("/segments").status_code != 401)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/docs.json", "--url", url, "--checks",
         "not_a_server_error,one_error_shape", "--max-examples", "100", "--seed", "1",
         "--header", f"Authorization: Bearer {keys[role]}"],
        cwd=served_world.folder, capture_output=True, text=True, timeout=300, check=False,
        env=served_world.environment | {"SCHEMATHESIS_HOOKS": hooks, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-1_000:]
