"""The page of the API in a browser: at all widths, light and dark, by keyboard, without JavaScript, and with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.tabs import Open
from tests.browser.watched import Scheme, accessible, at_widths
from tests.conftest import World
from tests.serving.servers import Server

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("serve") / "log"
    running = Server(world, log, PROPENSITY_TOKEN="secret-token", PROPENSITY_CLOCK="2026-03-01T10:15:00Z")
    try:
        yield running.ready()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def address(server: Server) -> str:
    return str(server.client.base_url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_at_all_widths_it_is_whole_and_accessible(tab: Open, address: str, scheme: Scheme, tmp_path: Path) -> None:
    one = tab(address, color_scheme=scheme)
    for width, picture in at_widths(one.page, "/", tmp_path, scheme).items():
        assert picture.stat().st_size > 50_000
        one.page.set_viewport_size({"width": width, "height": 900})
        for details in one.page.locator("details:visible").all()[:2]:
            details.locator("summary").first.click()
        accessible(one.page)
    assert one.hosts == {address.removeprefix("http://")}


def test_light_and_dark_are_two_looks(tab: Open, address: str) -> None:
    def paper(scheme: Scheme) -> str:
        page = tab(address, color_scheme=scheme).page
        page.goto("/")
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert paper("light") != paper("dark")


def test_without_javascript_everything_is_there_but_what_needs_it(tab: Open, address: str, world: World) -> None:
    page = tab(address, java_script_enabled=False).page
    page.goto("/")
    assert world.definition.version in page.inner_text("header")
    assert "probability" in page.inner_text("article:has(#post-score) >> text=Answer >> xpath=..")
    assert page.locator("form:visible, input:visible").count() == 0
    page.get_by_role("navigation").get_by_text("The models").click()
    assert page.url.endswith("#get-models")


def test_by_keyboard_the_first_stop_leads_past_the_navigation(tab: Open, address: str) -> None:
    page = tab(address).page
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the calls"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#post-score"


def test_a_call_can_be_tried(tab: Open, address: str) -> None:
    one = tab(address)
    page = one.page
    page.goto("/")
    page.get_by_label("Your key").fill("secret-token")
    score = page.locator("article", has=page.locator("#post-score"))
    score.get_by_text("Try it").click()
    score.get_by_label("body").fill('{"user_ids": ["u0000001", "nobody"]}')
    score.get_by_role("button", name="Send").click()
    score.locator(".status.good").wait_for()
    assert score.get_by_role("status").inner_text().startswith("200")
    assert '"user_id": "u0000001"' in score.locator("form pre").inner_text()
    accessible(page)
    members = page.locator("article", has=page.locator("#get-segments-name-users"))
    members.get_by_text("Try it").click()
    members.get_by_label("limit").fill("2")
    with page.expect_response("**/users?*") as waiting:
        members.get_by_role("button", name="Send").click()
    assert waiting.value.url.endswith("/segments/cart_abandoned_24h/users?as_of=2026-03-01T10%3A15%3A00Z&limit=2")
    assert waiting.value.status == 200


def test_what_is_refused_is_shown_as_it_was_answered(tab: Open, address: str) -> None:
    one = tab(address)
    one.page.goto("/")
    models = one.page.locator("article", has=one.page.locator("#get-models"))
    models.get_by_text("Try it").click()
    models.get_by_role("button", name="Send").click()
    models.locator(".status.bad").wait_for()
    assert '"code": "unauthorized"' in models.locator("form pre").inner_text()
    [logged] = one.errors
    assert "401" in logged
    one.errors.clear()  # the browser writes every 401 into its console
