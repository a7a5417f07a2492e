"""A segment that is published is used by the running service within seconds, and no request is lost meanwhile."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from features.definition.file.load import load_definition
from serving.audience.population import Population
from serving.audience.published import found_by, published_since
from tests.serving.console.conftest import Consoled
from tests.serving.ingest.asking import until

pytestmark = pytest.mark.xdist_group("console")

NAME = "published_meanwhile"
RULE = "tenure_days > 200 AND days_since_visit < 20"


@pytest.fixture
def file(consoled: Consoled) -> Iterator[Path]:
    """The included file; the service is back to what it was when the test ends."""
    path = consoled.world.folder / "segments.yaml"
    yield path
    path.unlink(missing_ok=True)
    client = api(consoled)
    until(lambda: NAME not in client.get("/segments").json(), 60)


def api(consoled: Consoled, role: str = "admin") -> httpx.Client:
    client = consoled.client()
    client.headers["authorization"] = f"Bearer {consoled.keys[role]}"
    return client


def test_it_is_answered_with_its_size_and_its_members_and_no_request_fails(consoled: Consoled, file: Path) -> None:
    client, stop, answers = api(consoled), threading.Event(), set[int]()
    scoring, tracking = api(consoled, "read"), api(consoled, "write")

    def ask() -> None:
        while not stop.is_set():
            answers.add(scoring.post("/score", json={"user_ids": ["nobody"]}).status_code)
            message = {"userId": "busy", "event": "app_open", "timestamp": "2026-03-01T11:00:00Z"}
            answers.add(tracking.post("/v1/track", json=message).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        file.write_text(f"segments: {{{NAME}: {{when: {RULE}, holdout: 0.2}}}}")
        until(lambda: NAME in client.get("/segments").json(), 60)
    finally:
        stop.set()
        asking.join(60)
    assert answers == {200}
    definition = load_definition(consoled.world.folder / "propensity.yaml")
    population = Population(definition, consoled.world.settings)
    assert published_since(population) == [NAME]
    found = found_by(population, NAME)
    assert 50 < len(found.users) < 2_000
    assert 0.1 < len(found.held_out) / len(found.users) < 0.3
    members, after = list[str](), ""
    while after is not None:
        page = client.get(f"/segments/{NAME}/users", params={"after": after, "limit": 1_000}).json()
        members += page["users"]
        after = page["next"]
    # a day has passed since the batch, so that some have left by doing nothing; nobody else was active
    assert set(members) <= set(found.users)
    assert len(members) > 0.8 * len(found.users)
    [record] = client.post("/score", json={"user_ids": members[:1]}).json()["records"]
    assert NAME in record["segments"]


def test_its_size_is_on_the_pages_and_an_export_waits_for_the_next_batch(consoled: Consoled, file: Path) -> None:
    editor = consoled.visitor("editor")
    file.write_text(f"segments: {{{NAME}: {{when: {RULE}}}}}")
    until(lambda: editor.get(f"/segments/{NAME}").status_code == 200, 60)
    definition = load_definition(consoled.world.folder / "propensity.yaml")
    count = len(found_by(Population(definition, consoled.world.settings), NAME).users)
    until(lambda: f"{count:,}" in editor.get(f"/segments/{NAME}").text, 30)
    assert NAME in editor.get("/overlap").text
    members = editor.get(f"/segments/{NAME}/members").text
    assert f"{count:,}" in members
    editor.get(f"/segments/{NAME}")
    assert editor.post(f"/segments/{NAME}/download", form="csv").status_code == 400
    assert "its rule was published since" in editor.text
    done = consoled.world.run(sys.executable, "-m", "propensity", "audience", NAME)
    assert done.returncode != 0
    assert "its rule was published since" in done.stderr
