"""The client: what it asks, what it sends again and for how long, and how it pages."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from propensity.client import Client, ClientError

Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, waits: list[float] | None = None, **more: Any) -> Client:
    kept = waits if waits is not None else []
    return Client("http://test", "the-key", transport=httpx.MockTransport(handler), sleep=kept.append, **more)


def answering(*answers: httpx.Response | Exception, asked: list[httpx.Request] | None = None) -> Handler:
    """One answer after the other."""
    left = list(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return handle


DEFINITION = httpx.Response(200, json={"version": "shop@1", "definition": {}})
AWAY = httpx.Response(503, json={"error": "the database is away.", "code": "unavailable", "fix": "ask again"})


def test_a_request_that_fails_for_a_moment_is_sent_again_the_same() -> None:
    asked: list[httpx.Request] = []
    waits: list[float] = []
    handler = answering(httpx.ConnectError("refused"), AWAY, httpx.Response(429), DEFINITION, asked=asked)
    with client(handler, waits) as service:
        assert service.definition()["version"] == "shop@1"
    assert len(asked) == 4
    assert {(one.method, one.url.path, one.headers["authorization"]) for one in asked} == {
        ("GET", "/definition", "Bearer the-key")
    }
    assert len(waits) == 3
    for wait, most in zip(waits, (0.2, 0.4, 0.8), strict=True):
        assert most / 2 <= wait <= most, "longer each time"


def test_it_waits_as_long_as_the_service_says() -> None:
    waits: list[float] = []
    client(answering(httpx.Response(429, headers={"retry-after": "7"}), DEFINITION), waits).definition()
    assert waits == [7.0]
    long = answering(httpx.Response(503, headers={"retry-after": "9999"}), DEFINITION)
    client(long, waits).definition()
    assert waits[1] == 30.0, "and not for ever"


def test_a_refusal_is_not_sent_again_and_keeps_its_words() -> None:
    problem = {"error": "there is no segment 'x'.", "code": "not_found", "fix": "the segments are: carts"}
    with pytest.raises(ClientError, match=r"there is no segment 'x'\. Fix: the segments are: carts") as caught:
        list(client(answering(httpx.Response(404, json=problem))).members("x"))
    assert (caught.value.code, caught.value.status) == ("not_found", 404)


def test_what_never_answers_says_where_it_was_asked() -> None:
    waits: list[float] = []
    never = answering(*[httpx.ConnectError("refused")] * 3)
    with pytest.raises(ClientError, match=r"http://test does not answer: ConnectError: refused") as caught:
        client(never, waits, tries=3).models()
    assert caught.value.status == 0
    assert len(waits) == 2, "nothing is waited for after the last try"
    with pytest.raises(ClientError, match="the database is away"):
        client(answering(AWAY), tries=1).models()
    with pytest.raises(ClientError, match="HTTP 502"):
        client(answering(httpx.Response(502, text="<html>")), tries=1).models()


def test_many_users_are_asked_for_in_several_requests_and_keep_their_order() -> None:
    sizes: list[int] = []

    def handle(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        sizes.append(len(body["user_ids"]))
        assert body["as_of"] == "2026-03-01T00:00:00+00:00"
        missing = [{"user_id": user, "why": "unknown_user"} for user in body["user_ids"]]
        return httpx.Response(200, json={"records": [], "missing": missing})

    users = [f"u{i}" for i in range(25_000)]
    found = client(handle).score(users, as_of=datetime(2026, 3, 1, tzinfo=UTC))
    assert sizes == [10_000, 10_000, 5_000]
    assert [one.user_id for one in found.missing] == users
    assert client(handle).score([]).records == []


def test_members_are_read_page_by_page_of_one_instant() -> None:
    asked: list[httpx.Request] = []
    page = {"segment": "a b", "as_of": "2026-03-01T10:00:00Z", "batch": None, "holdout": []}
    pages = [httpx.Response(200, json=page | {"users": ["a", "b"], "next": "b"}),
             httpx.Response(200, json=page | {"users": ["c"], "next": None})]  # fmt: skip
    assert list(client(answering(*pages, asked=asked)).members("a b")) == ["a", "b", "c"]
    assert asked[0].url.raw_path.startswith(b"/segments/a%20b/users?limit=1000")
    assert asked[1].url.params["after"] == "b"
    assert asked[1].url.params["as_of"] == "2026-03-01T10:00:00+00:00"


def test_transitions_go_on_after_the_last_one() -> None:
    asked: list[httpx.Request] = []

    def moved(number: int) -> dict[str, Any]:
        return {"id": number, "user_id": "u", "at": "2026-03-01T00:00:00Z", "dimension": "states", "before": None,
                "after": "new", "cause": "time", "scores_before": {}, "scores_after": {}, "models": {},
                "definition": "shop@1"}  # fmt: skip

    pages = [httpx.Response(200, json=[moved(i) for i in range(1, 10_001)]), httpx.Response(200, json=[moved(10_001)])]
    found = list(client(answering(*pages, asked=asked)).transitions(dimension="states", since="2026-02-01"))
    assert [one.id for one in found] == list(range(1, 10_002))
    assert [one.url.params["after"] for one in asked] == ["0", "10000"]
    assert list(client(answering(httpx.Response(200, json=[]))).transitions()) == []


def test_messages_have_an_id_that_stays_when_they_are_sent_again() -> None:
    asked: list[httpx.Request] = []
    taken = httpx.Response(200, json={"success": True, "accepted": 1, "corrected": 0, "duplicates": 0, "refused": [],
                                      "refused_total": 0})  # fmt: skip
    service = client(answering(AWAY, taken, asked=asked))
    assert service.track("u1", "visit", {"item": 3}, timestamp="2026-03-01").accepted == 1
    first, second = (json.loads(one.content)["batch"][0] for one in asked)
    assert first == second
    assert len(first["messageId"]) == 36
    assert first["userId"] == "u1"
    many = client(answering(taken, taken, taken))
    assert len(many.send({"type": "track", "userId": "u", "event": "visit"} for _ in range(1_100))) == 3


def test_messages_that_were_all_refused_are_an_answer() -> None:
    body = {"error": "no message was taken", "code": "refused", "fix": "", "success": False, "accepted": 0,
            "corrected": 0, "duplicates": 0, "refused_total": 1,
            "refused": [{"index": 0, "message_id": "m", "code": "no_user", "reason": "no user"}]}  # fmt: skip
    [received] = client(answering(httpx.Response(400, json=body))).send([{"type": "track"}])
    assert (received.success, received.refused[0].code) == (False, "no_user")


def test_ids_are_escaped() -> None:
    asked: list[httpx.Request] = []
    handler = answering(
        httpx.Response(200, json={"user_id": "a/b c", "removed": {}, "left": {"scores": 0}}), asked=asked
    )
    assert client(handler).erase("a/b c") == {"scores": 0}
    assert (asked[0].method, asked[0].url.raw_path) == ("DELETE", b"/users/a%2Fb%20c")


def test_no_try_is_no_client() -> None:
    with pytest.raises(ValueError, match="tries is 0"):
        Client(tries=0)
