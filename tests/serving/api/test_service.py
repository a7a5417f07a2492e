"""The service, as its callers meet it: a real server, a real client, every odd request with a defined answer."""

import json
import re
import time
from pathlib import Path

import httpx
import mlflow
import pytest
import yaml

from features.definition import load_definition
from propensity.client import Client, ClientError
from serving.model.registry.promoted import CHAMPION, registered_name
from tests.conftest import World
from tests.serving.api.asking import AS_OF, USER, score
from tests.serving.servers import Server

pytestmark = pytest.mark.xdist_group("service")


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({"user_ids": []}, "user_ids: it must be a list of at least 1 item, and has 0"),
        (
            {"user_ids": [f"u{i}" for i in range(10_001)]},
            "user_ids: it must be a list of at most 10000 items, and has 10001",
        ),
        ({"user_ids": [[17]]}, "a user id is a list"),
        ({"user_ids": [""]}, "a user id is empty"),
        ({"user_ids": ["u" * 300]}, "a user id has 300 characters"),
        ({"user_ids": "u1"}, "user_ids: it must be a list"),
        ({"user_ids": None}, "user_ids: it must be a list"),
        ({}, "user_ids: it is missing"),
        ({"user_ids": [USER], "as_of": "yesterday"}, "as_of: 'yesterday' is not an instant"),
        ({"user_ids": [USER], "as_of": "9999-12-31T23:59:59-23:59"}, "outside the years 1 to 9999"),
        ({"user_ids": [USER], "as_of": "0001-01-01T00:00:00+23:59"}, "outside the years 1 to 9999"),
        ({"user_ids": [USER], "as_of": 17}, "is not an instant"),
        ({"user_ids": [USER], "reason": 3}, "unknown key 'reason'; did you mean 'reasons'?"),
        ({"user_ids": [USER], "reasons": -1}, "reasons: it must be at least 0"),
        ({"user_ids": [USER], "reasons": 99}, "reasons: it must be at most 20"),
        ({"user_ids": [USER], "reasons": "many"}, "reasons: it must be a whole number"),
        ([], "it must be an object: keys with values"),
    ],
)
def test_a_wrong_request_is_reported_what_is_wrong(api: httpx.Client, body: object, output: str) -> None:
    answer = api.post("/score", json=body)
    assert answer.status_code == 400
    reported = answer.json()
    assert output in reported["error"]
    assert reported["code"] == "invalid"
    assert reported["fix"]
    assert "pydantic.dev" not in answer.text
    assert "Fix:" not in answer.text, "the remedy has a place of its own"
    assert not re.search(r"Input should|validation|NoneType", answer.text)


def test_nothing_of_a_refused_request_is_logged(api: httpx.Client, server: Server) -> None:
    assert score(api, user_ids=["one-not-to-be-logged"], reasons=-1).status_code == 400
    assert score(api, user_ids=["one-not-to-be-logged"]).status_code == 200
    output = server.log.read_text()
    assert "one-not-to-be-logged" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/score", 405), ("POST", "/score/submit", 404), ("POST", "/score?reasons=3", 400), ("PATCH", "/", 405)],
)
def test_errors_of_the_server_below_have_the_same_shape(api: httpx.Client, method: str, path: str, status: int) -> None:
    answer = api.request(method, path, json={"user_ids": [USER]} if method == "POST" else None)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "code", "fix"}


def test_a_body_that_is_not_json(api: httpx.Client) -> None:
    answer = api.post("/score", content=b"{nonsense", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "Invalid JSON" in answer.text


@pytest.mark.parametrize("header", [None, "Bearer wrong", "secret-token", "Basic c2VjcmV0", "Bearer secret-token2"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/score"), ("GET", "/models"), ("GET", "/definition"), ("GET", "/metrics")]
)
def test_without_the_token_nothing_is_said(server: Server, method: str, path: str, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = server.client.request(
        method, path, headers=headers, json={"user_ids": [USER]} if method == "POST" else None
    )
    assert answer.status_code == 401
    assert answer.json()["error"] == "missing or wrong key."
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/healthz", "/", "/docs.json", "/page/style.css", "/page/try.js", "/page/icon.svg"]
)
def test_health_and_the_pages_are_open(server: Server, path: str) -> None:
    assert server.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/static_content/swagger-ui-bundle.js", "/page/../routes.py", "/page/%2e%2e/page.py"])
def test_nothing_but_the_files_of_the_page_is_open(server: Server, path: str) -> None:
    answer = server.client.get(path)
    assert answer.status_code in (401, 404)
    assert set(answer.json()) == {"error", "code", "fix"}


def test_the_definition_and_the_models_can_be_read(api: httpx.Client, world: World, tmp_path: Path) -> None:
    definition = api.get("/definition").json()
    assert definition["version"] == world.definition.version
    assert set(definition["definition"]["outcomes"]) == {"churn", "purchase", "uninstall", "spend"}
    (tmp_path / "shown.yaml").write_text(yaml.safe_dump(definition["definition"], sort_keys=False))
    assert load_definition(tmp_path / "shown.yaml").version == world.definition.version, "what is shown loads again"
    models = {m["outcome"]: m for m in api.get("/models").json()}
    assert models["churn"]["question"] == "will not visit within 14d"
    assert 0.5 < models["churn"]["metrics"]["auc"]["value"] < 1


def test_the_api_page_describes_what_is_served_and_loads_nothing_from_elsewhere(
    api: httpx.Client, world: World
) -> None:
    page = api.get("/")
    assert "<title>propensity" in page.text
    assert world.definition.version in page.text
    policy = page.headers["content-security-policy"]
    assert policy == "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    assert f"{str(api.base_url).rstrip('/')}/models" in page.text
    document = api.get("/docs.json").json()
    assert document["info"]["title"] == "propensity API"
    assert document["info"]["version"] == world.definition.version
    output = json.dumps(document)
    for elsewhere in ("shields.io", "bentoml.com", "slack", "twitter"):
        assert elsewhere not in output.lower()
    for word in ("user_ids", "as_of", "reasons", "ScoreRecord", "percentile", "not_enough_to_say"):
        assert word in output
    calls = {(method, path): call for path, calls in document["paths"].items() for method, call in calls.items()}
    assert {path for _, path in calls} >= {"/score", "/definition", "/models", "/users/{user_id}", "/v1/{call}"}
    for (_, path), call in calls.items():
        assert " " in call["summary"], path
        for status, answer in call["responses"].items():
            if int(status) >= 400:
                assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
    for path in ("/score", "/v1/{call}"):
        assert calls["post", path]["requestBody"]["content"]["application/json"]["example"]
    assert score(api, **calls["post", "/score"]["requestBody"]["content"]["application/json"]["example"]).is_success


def test_a_promoted_champion_is_served_without_a_restart_and_a_broken_one_is_not(
    api: httpx.Client, world: World
) -> None:
    uri, name = world.settings.mlflow_uri, registered_name(world.definition, "purchase")
    client = mlflow.MlflowClient(uri, uri)
    first = client.get_model_version_by_alias(name, CHAMPION)

    def served() -> str:
        return next(m["version"] for m in api.get("/models").json() if m["outcome"] == "purchase")

    def wait_until(version: str, seconds: float = 20) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if served() == version:
                return True
            time.sleep(0.2)
        return False

    assert served() == f"purchase/{first.version}"
    mlflow.set_tracking_uri(world.settings.mlflow_uri)  # where MLflow looks the source up
    twin = client.create_model_version(name, first.source, first.run_id)
    broken = client.create_model_version(name, f"file://{world.folder}/nowhere", first.run_id)
    try:
        client.set_registered_model_alias(name, CHAMPION, twin.version)
        assert wait_until(f"purchase/{twin.version}")
        [record] = score(api, user_ids=[USER]).json()["records"]
        assert record["intent"]["purchase"]["model"] == f"purchase/{twin.version}"
        client.set_registered_model_alias(name, CHAMPION, broken.version)
        assert not wait_until(f"purchase/{broken.version}", 5), "the old champion keeps serving"
        assert served() == f"purchase/{twin.version}"
        assert score(api, user_ids=[USER]).status_code == 200
    finally:
        client.set_registered_model_alias(name, CHAMPION, first.version)
    assert wait_until(f"purchase/{first.version}")


def test_the_client_of_the_package(server: Server, world: World) -> None:
    with Client(str(server.client.base_url), "secret-token", tries=2) as service:
        found = service.score([USER, "nobody"], as_of=AS_OF, reasons=2)
        assert [one.user_id for one in found.records] == [USER]
        assert [one.user_id for one in found.missing] == ["nobody"]
        assert service.definition()["version"] == world.definition.version
        assert {one.outcome for one in service.models()} == set(world.definition.outcomes)
        assert list(service.transitions()) == []
        assert service.user(USER).record is not None
        segment = next(iter(world.definition.segments))
        assert all(isinstance(user, str) for user in service.members(segment, as_of=AS_OF))
        assert service.experiments() == {}
        for ask in (lambda: service.kpis(), lambda: service.user("nobody")):
            with pytest.raises(ClientError) as caught:
                ask()
            assert caught.value.status == 404
    with Client(str(server.client.base_url), "wrong", tries=2) as stranger, pytest.raises(ClientError) as refused:
        stranger.models()
    assert refused.value.status == 401
