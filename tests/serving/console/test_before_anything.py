"""The console of who has just begun: no model, no batch, no monitor, and a definition that says little."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import World
from tests.serving.console.mounted import Mounted
from tests.serving.servers import Server

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("console before anything")]

PAGES = ("", "segments", "new-segment", "overlap", "users", "cut-off", "models", "experiments", "hand-off", "log")

#: what a definition need not have
OPTIONAL = ("packs", "segments", "states", "leads", "rfm", "traits", "derived")


@pytest.fixture(scope="module", params=["without a batch", "bare"])
def begun(
    request: pytest.FixtureRequest, untrained_world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("begun")
    shutil.copytree(untrained_world.folder, folder / "world")
    file = folder / "world" / "propensity.yaml"
    content = yaml.safe_load(file.read_text())
    if request.param == "bare":
        content = {key: value for key, value in content.items() if key not in OPTIONAL}
        content["outcomes"] = {"spend": {"sum_of": "purchase", "within": "30d", "among": "days_since_visit < 90"}}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    world = World.at(file.parent)
    done = world.run(sys.executable, "-m", "propensity", "materialize")
    assert done.returncode == 0, done.stdout + done.stderr
    server = Server(world, folder / "log", PROPENSITY_AUTH="off", PROPENSITY_CLOCK="2026-03-01T12:00:00Z")
    client = httpx.Client(base_url=f"{server.client.base_url}/console/", follow_redirects=True, timeout=60)
    try:
        server.ready()
        yield client
    finally:
        client.close()
        server.stop()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_what_is_not_there_yet(begun: httpx.Client, page: str) -> None:
    answer = begun.get(page)
    assert answer.status_code == 200, answer.text
    assert re.search(r"<h1[^>]*>[^<]+</h1>", answer.text)


def test_the_first_page_says_what_to_do(begun: httpx.Client) -> None:
    assert "run propensity score, or propensity nightly" in begun.get("").text


def test_a_user_is_shown_without_models_and_a_rule_is_edited_without_a_batch(begun: httpx.Client) -> None:
    form = begun.get("users").text
    csrf = re.findall(r'name="csrf" value="([^"]+)"', form)[0]
    found = begun.post("users", data={"csrf": csrf, "user_id": "u0000003"})
    assert found.status_code == 200, found.text
    assert begun.get(f"{found.url.path.removeprefix('/console/')}/truth").status_code == 200
    tree = '{"kind": "group", "how": "all", "of": [{"kind": "sql", "sql": "tenure_days > 3"}]}'
    edited = begun.post("edit-segment", data={"csrf": csrf, "tree": tree, "do": "add:"})
    assert edited.status_code == 200
    assert "propensity score writes it" in edited.text


def test_without_it_there_is_none(tmp_path: Path) -> None:
    off = Mounted(tmp_path, console="off")
    try:
        answer = off.client().get("/console/")
        assert answer.status_code == 404
        assert "The console is off" in answer.text
    finally:
        off.close()
