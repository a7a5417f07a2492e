"""What callers meet before the API: one shape for every error, bounded metrics, and limits."""

import sqlite3
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest

import serving.api.middleware
from features.errors import UnavailableError
from serving.api.middleware import Guard
from serving.api.paths import Paths
from serving.desk.desk import Caller
from serving.process import metrics
from tests.serving.desks import asking, desk, opening_of


def ask(client: httpx.AsyncClient, *calls: tuple[str, str], **given: Any) -> list[httpx.Response]:
    async def all_of_them() -> list[httpx.Response]:
        async with client:
            return [await client.request(method, url, **given) for method, url in calls]

    return anyio.run(all_of_them)


def shaped(answer: httpx.Response) -> dict[str, str]:
    reported = answer.json()
    assert all(isinstance(reported[key], str) and reported[key] for key in ("error", "code", "fix")), reported
    assert "pydantic.dev" not in answer.text
    return reported


@pytest.mark.parametrize(
    ("method", "url", "status", "output"),
    [
        ("GET", "/nothing", 404, "no such path"),
        ("PUT", "/models", 405, "PUT is not allowed here"),
        ("GET", "/segments/nothing/users", 404, "there is no segment 'nothing'"),
        ("GET", "/segments/carts/users?limit=0", 422, "limit: it must be at least 1"),
        ("GET", "/segments/carts/users?limits=3", 400, "unknown key 'limits'; did you mean 'limit'?"),
        ("GET", "/models?x=1", 400, "unknown key 'x'"),
        ("GET", "/segments/carts/users?as_of=yesterday", 422, "as_of: 'yesterday' is not an instant"),
        ("GET", "/segments/carts/users?as_of=9999-12-31T23:59:59-23:59", 422, "outside the years 1 to 9999"),
        ("GET", "/transitions?since=0001-01-01T00:00:00%2B23:59", 422, "outside the years 1 to 9999"),
        ("GET", "/transitions?after=-1", 422, "after:"),
        ("GET", "/kpis", 404, "no KPIs have been published yet"),
        ("GET", "/experiments/winback", 404, "winback has not been read out yet"),
        ("GET", "/experiments/nothing", 404, "there is no experiment 'nothing'"),
        ("GET", "/kpis?segment=nothing", 404, "there is no segment 'nothing'"),
        ("GET", "/kpis?segments=carts", 400, "unknown key 'segments'; did you mean 'segment'?"),
        ("POST", "/v1/nonsense", 422, "call:"),
        ("GET", "/users/", 422, "user_id:"),
        ("GET", f"/users/{'u' * 300}", 422, "user_id:"),
    ],
)
def test_every_refusal_has_one_shape(
    monkeypatch: pytest.MonkeyPatch, method: str, url: str, status: int, output: str
) -> None:
    [answer] = ask(asking(monkeypatch, opening_of(desk)), (method, url))
    assert answer.status_code == status
    assert output in shaped(answer)["error"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnavailableError("the store is away.", fix="start it"), 503, "unavailable"),
        (sqlite3.DatabaseError("file is not a database"), 503, "unavailable"),
        (OSError("No space left on device"), 503, "unavailable"),
        (KeyError("u0000001"), 500, "internal"),
    ],
)
def test_whatever_fails_is_reported_in_the_shape_and_nobody_by_name(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    live = desk().live
    live.memberships = SimpleNamespace(history=fail)
    [answer] = ask(asking(monkeypatch, opening_of(lambda: desk(live=live))), ("GET", "/transitions"))
    assert answer.status_code == status
    assert shaped(answer)["code"] == code
    assert "u0000001" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize("since", ["2026-03-01", "2026-03-01T00:00:00Z", "2026-03-01T01:00:00%2B01:00"])
def test_instants_are_read_as_the_command_line_reads_them(monkeypatch: pytest.MonkeyPatch, since: str) -> None:
    asked = []
    live = desk().live
    live.memberships = SimpleNamespace(history=lambda **given: asked.append(given["since"]) or [])
    [answer] = ask(asking(monkeypatch, opening_of(lambda: desk(live=live))), ("GET", f"/transitions?since={since}"))
    assert answer.status_code == 200
    assert asked == [1_772_323_200_000_000]


@pytest.mark.parametrize("user", ["a/b", "/a", "a/", "a//b", "x/users/y", "a b", "ü/…"])
def test_users_with_any_slash_can_be_erased_and_read(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    asked: list[str] = []

    def erase(name: str, by: Caller) -> SimpleNamespace:
        assert by.name == "anybody"
        asked.append(name)
        return SimpleNamespace(removed={}, left={})

    def membership(name: str) -> None:
        asked.append(name)

    live = desk().live
    live.memberships.user = membership
    nobody = SimpleNamespace(score=lambda *_, **__: SimpleNamespace(records=[], missing=[]))
    client = asking(monkeypatch, opening_of(lambda: desk(erase=erase, live=live, answers=nobody)))
    url = httpx.URL("http://test").copy_with(raw_path=b"/users/" + _quoted(user))
    erased, read = ask(client, ("DELETE", url), ("GET", url))  # type: ignore[arg-type]
    assert (erased.status_code, read.status_code) == (200, 404)
    assert erased.json()["user_id"] == user
    assert set(asked) == {user}


def _quoted(text: str) -> bytes:
    from urllib.parse import quote

    return quote(text, safe="").encode()


def test_metrics_are_bounded_and_name_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    client = asking(monkeypatch, opening_of(desk), PROPENSITY_AUTH="token", PROPENSITY_TOKEN="secret")
    names = [f"secret-user-{i}" for i in range(200)]
    keyed = [*(("GET", f"/transitions?dimension={n}") for n in names), *(("GET", f"/{n}.php") for n in names)]

    async def everybody() -> None:
        async with client:
            for i, name in enumerate(names):  # without a key, at the start and in between
                await client.get(f"/users/{name}")
                await client.get(f"/assets/{name}")
                headers = {"Authorization": "Bearer secret"}
                for method, url in keyed[i::200]:
                    await client.request(method, url, headers=headers)
                await client.request("PUT", f"/users/{name}", headers=headers)
                await client.get(f"/segments/{name}/users", headers=headers)
                if i == 10:
                    early.append(len(metrics.page().splitlines()))

    early: list[int] = []
    anyio.run(everybody)
    page = metrics.page().decode()
    assert len(page.splitlines()) <= early[0] + 20
    assert "secret-user" not in page
    assert 'propensity_requests_total{route="other",status="401"}' in page
    assert 'propensity_requests_total{route="/segments/{name}/users",status="404"}' in page


def test_while_the_service_opens_everything_says_so_and_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise UnavailableError("the live log does not answer.", fix="start it")

    opening = opening_of(away)
    try:
        calls = [("GET", path) for path in ("/transitions", "/models", "/users/x", "/readyz", "/livez")]
        *answers, living = ask(asking(monkeypatch, opening), *calls)
        for answer in answers:
            assert answer.status_code == 503
            assert "the live log does not answer" in answer.text
            assert int(answer.headers["retry-after"]) >= 1
            shaped(answer)
        assert living.status_code == 200
    finally:
        opening.close(lambda _: None)


def test_a_process_whose_threads_have_ended_says_that_it_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    live = desk().live
    live.alive = False
    [answer] = ask(asking(monkeypatch, opening_of(lambda: desk(live=live))), ("GET", "/livez"))
    assert answer.status_code == 503
    assert shaped(answer)["code"] == "dead"


@pytest.mark.parametrize("name", ["Content-Type", "Authorization", "Content-Length"])
def test_a_header_that_decides_may_be_there_once_only(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    client = asking(monkeypatch, opening_of(desk))
    twice = [(name, "application/json"), (name, "application/vnd.bentoml+pickle")]
    [answer] = ask(client, ("POST", "/v1/track"), headers=twice, content=b"{}")
    assert answer.status_code == 400
    assert "more than once" in shaped(answer)["error"]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.api.middleware, "BODY_SECONDS", 0.05)
    monkeypatch.setenv("PROPENSITY_AUTH", "off")
    sent: list[Any] = []

    async def never() -> Any:
        await anyio.sleep(60)

    async def keep(message: Any) -> None:
        sent.append(message)

    async def call() -> None:
        from serving.api.routes import app, paths

        scope = {"type": "http", "method": "POST", "path": "/v1/track", "query_string": b"", "headers": []}
        await Guard(app, Paths(paths()))(scope, never, keep)

    anyio.run(call)
    assert sent[0]["status"] == 408
    assert b"too_slow" in sent[1]["body"]


def test_one_request_too_many_in_a_minute_is_refused_with_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    client = asking(monkeypatch, opening_of(desk), PROPENSITY_RATE="5")
    answers = ask(client, *[("GET", "/experiments")] * 7, ("GET", "/livez"))
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2 + [200], "probes are not counted"
    assert shaped(answers[5])["error"] == "more than 5 requests a minute."
    assert 1 <= int(answers[5].headers["retry-after"]) <= 60
