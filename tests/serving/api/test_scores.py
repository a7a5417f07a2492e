"""Scores over HTTP: what they say of whom, and from when."""

import shutil

import httpx
import pytest

from features.events.log import InMemory
from features.reading.source import EventLog
from segments.rfm_cuts import load_cuts
from serving.model.registry.loader import Loader
from serving.scoring.batch import score_all
from serving.scoring.online import ScoreResponse
from serving.scoring.scorer import Scorer
from tests.conftest import World
from tests.serving.api.asking import AS_OF, USER, score

pytestmark = pytest.mark.xdist_group("service")


def test_a_user_is_scored(api: httpx.Client, world: World) -> None:
    answer = score(api, user_ids=[USER], reasons=3)
    assert answer.status_code == 200
    [record] = answer.json()["records"]
    assert record["user_id"] == USER
    assert record["as_of"] == AS_OF
    assert record["definition"] == world.definition.version
    assert set(record["intent"]) == {"churn", "purchase", "uninstall"}
    for intent in record["intent"].values():
        assert len(intent["reasons"]) == (0 if intent["probability"] is None else 3)


def test_what_changed_since_the_batchs_scores_is_reported_when_asked_for(api: httpx.Client, world: World) -> None:
    ids = [f"u{i:07d}" for i in range(40)]
    log = InMemory(EventLog(world.definition).read())
    scorer = Scorer(
        world.definition,
        Loader(world.definition, world.settings).champions(),
        load_cuts(world.definition, world.settings),
    )
    folder = world.settings.folder(world.definition.name) / "scores"
    before = score_all(log, scorer, log.ends, folder, reasons=8)
    try:
        plain = score(api, user_ids=ids).json()["records"]
        reported = score(api, user_ids=ids, changes=True).json()["records"]
    finally:
        shutil.rmtree(before.path)
    assert all(intent["change"] is None for record in plain for intent in record["intent"].values())
    changes = [r["intent"]["churn"]["change"] for r in reported if r["intent"]["churn"]["probability"] is not None]
    known = [change for change in changes if change is not None]
    assert len(known) >= 5
    assert {change["since"] for change in known} == {"2026-03-01T00:00:00Z"}
    moves = [move for change in known for move in change["moved"]]
    assert moves
    assert all("(before: " in move["text"] for move in moves)


def test_recency_moves_while_nobody_acts(api: httpx.Client) -> None:
    users = [f"u{i:07d}" for i in range(400)]
    now = {r["user_id"]: r for r in score(api, user_ids=users, as_of="2026-03-01T00:00:00Z").json()["records"]}
    later = {r["user_id"]: r for r in score(api, user_ids=users, as_of="2026-03-03T23:00:00Z").json()["records"]}
    moved = [u for u in users if now[u]["state"] != later[u]["state"]]
    assert moved
    risen = [
        later[u]["intent"]["churn"]["probability"] - now[u]["intent"]["churn"]["probability"]
        for u in users
        if now[u]["intent"]["churn"]["probability"] is not None
        and later[u]["intent"]["churn"]["probability"] is not None
    ]
    assert sum(d > 0 for d in risen) > 0.8 * len(risen), "three silent days make churn likelier"


def test_unknown_users_are_named_and_the_others_answered(api: httpx.Client) -> None:
    answer = score(api, user_ids=["nobody", USER, "nobody", USER]).json()
    assert [r["user_id"] for r in answer["records"]] == [USER]
    assert answer["missing"] == [{"user_id": "nobody", "why": "unknown_user"}]


def test_ids_of_requests_are_what_the_log_has(api: httpx.Client) -> None:
    answer = score(api, user_ids=[f" {USER}\t", 42, 42.0, "\u3000a/b"]).json()
    assert [r["user_id"] for r in answer["records"]] == [USER]
    assert [m["user_id"] for m in answer["missing"]] == ["42", "a/b"]
    assert api.get(f"/users/%20{USER}").json()["record"]["user_id"] == USER
    assert api.get("/users/a%2Fb").json()["code"] == "not_found", "an id may hold a slash"
    for wrong in ("\x00through", "\x00live", "", " ", "x" * 257, True, None, {}):
        assert score(api, user_ids=[USER, wrong]).status_code in (400, 422)
    for wrong in ("%00through", "%00shard-0", "%20", "x" * 257):
        assert api.get(f"/users/{wrong}").status_code in (400, 422)


def test_a_profile_cannot_be_read_before_its_events(api: httpx.Client) -> None:
    answer = score(api, user_ids=[USER], as_of="2025-01-01T00:00:00Z").json()
    missing = [{"user_id": USER, "why": "as_of_before_profile"}]
    assert answer == {"records": [], "missing": missing, "merged": []}


def test_a_stale_profile_says_so(api: httpx.Client) -> None:
    [record] = api.post("/score", json={"user_ids": [USER]}).json()["records"]  # the server's clock is months later
    assert {i["why"] for i in record["intent"].values()} == {"stale_profile"}
    assert record["state"] == "churned"


def test_ten_thousand_ids_are_answered_in_order(api: httpx.Client) -> None:
    users = [f"u{i:07d}" for i in range(3_000)] + [f"x{i}" for i in range(7_000)]
    found = score(api, user_ids=users)
    assert found.headers["content-type"] == "application/json"
    ScoreResponse.model_validate_json(found.text)
    answer = found.json()
    assert [r["user_id"] for r in answer["records"]] == users[:3_000]
    assert [m["user_id"] for m in answer["missing"]] == users[3_000:]


def test_a_date_is_midnight(api: httpx.Client) -> None:
    [record] = score(api, user_ids=[USER], as_of="2026-03-01").json()["records"]
    assert record["as_of"] == "2026-03-01T00:00:00Z"
