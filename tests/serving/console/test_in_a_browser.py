"""The console in a real browser: every screen at every width, light and dark, without JavaScript, by keyboard."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from features.definition import load_definition
from tests.browser.tabs import Open
from tests.browser.watched import Scheme, accessible, at_widths
from tests.serving.console.conftest import Consoled

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("console")]

SCREENS = {
    "today": "/console/", "segments": "/console/segments", "segment": "/console/segments/repeat_buyer",
    "members": "/console/segments/repeat_buyer/members?page=2",
    "builder": "/console/segments/repeat_buyer/edit", "overlap": "/console/overlap", "users": "/console/users",
    "cut_off": "/console/cut-off", "models": "/console/models", "experiments": "/console/experiments",
    "hand_off": "/console/hand-off", "log": "/console/log", "sign_in": "/console/sign-in",
}  # fmt: skip

USER = "u0000003"


def enter(page: Page, key: str) -> None:
    """Sign in as somebody does."""
    page.goto("/console/")
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Today")


def address_of(consoled: Consoled) -> str:
    return str(consoled.server.client.base_url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen_is_whole_at_every_width_and_accessible(
    consoled: Consoled,
    tab: Open,
    scheme: Scheme,
    tmp_path: Path,
) -> None:
    one = tab(address_of(consoled), color_scheme=scheme)
    enter(one.page, consoled.keys["admin"])
    one.page.goto("/console/users")
    one.page.get_by_label("Id of the user").fill(USER)
    one.page.get_by_role("button", name="Find").click()
    screens = SCREENS | {"user": one.page.url}
    for name, path in screens.items():
        pictures = at_widths(one.page, path, tmp_path, f"{name}-{scheme}")
        assert all(picture.stat().st_size > 5_000 for picture in pictures.values()), name
        if name == "user":
            one.page.wait_for_selector("details.verdict-of")
            one.page.locator("details.verdict-of summary").first.click()
        accessible(one.page)
    assert one.hosts == {address_of(consoled).removeprefix("http://")}


def in_the_list(page: Page, name: str) -> Locator:
    """The row of a segment in the list, once the service has it; people load the page again."""
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))
    for _ in range(60):
        page.goto("/console/segments")
        if row.count() and row.get_by_role("cell").first.inner_text() != "–":
            break
        page.wait_for_timeout(500)
    return row


def nightly(consoled: Consoled) -> None:
    """Score as every night: the marketer does not."""
    done = consoled.world.run(sys.executable, "-m", "propensity", "score")
    assert done.returncode == 0, done.stderr


def received(consoled: Consoled, dimension: str) -> list[str]:
    """The users whom the tool behind the destination was sent as in a segment."""
    sent = [one for taken in consoled.receiver.requests for one in taken.transitions]
    return sorted({one["user_id"] for one in sent if one["dimension"] == dimension and one["after"] == "in"})


def until_some(found: Callable[[], list[str]]) -> list[str]:
    """What is found once no more of it comes."""
    before: list[str] = []
    for _ in range(60):
        now = found()
        if now and now == before:
            return now
        before = now
        time.sleep(2)
    return before


def test_a_marketer_goes_from_who_will_leave_to_a_published_segment(consoled: Consoled, tab: Open) -> None:
    """Without a terminal: who leaves, where to cut, a segment of them, its publication, its hand-off, its holdout."""
    page = tab(address_of(consoled)).page
    enter(page, consoled.keys["publisher"])
    navigation = page.get_by_role("navigation")
    navigation.get_by_role("link", name="Cut-off").click()
    users = page.locator('[data-cut="users"]')
    before = users.inner_text()
    page.get_by_label("Probability from").evaluate(
        "slider => { slider.value = 0.4; slider.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    expect(users).not_to_have_text(before)
    chosen = users.inner_text()
    expect(page.locator("[data-chart] canvas")).to_be_visible()
    navigation.get_by_role("link", name="Segments").click()
    page.get_by_role("link", name="A new segment").click()
    found = page.locator("aside .number")
    page.get_by_label("Kind of condition").select_option("answer")
    page.get_by_label("Outcome", exact=True).select_option("churn")
    page.get_by_label("Number", exact=True).fill("0.4")
    page.get_by_label("Number", exact=True).press("Tab")
    expect(found).to_have_text(chosen)
    page.get_by_role("button", name="Add a condition").click()
    expect(page.get_by_label("Kind of condition")).to_have_count(2)
    page.get_by_label("Kind of condition").nth(1).select_option("state")
    page.get_by_label("Values").select_option(["at_risk", "dormant"])
    expect(page.locator("#builder[aria-busy]")).to_have_count(0)
    size = found.inner_text()
    page.get_by_label("Name", exact=True).fill("soon_gone")
    page.get_by_label("Playbook").fill("Ask what is missing.")
    page.get_by_role("button", name="Save as a draft").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Draft of soon_gone")
    expect(page.locator(".tile", has_text="Users")).to_contain_text(size)
    page.get_by_label("Why").fill("the campaign of March")
    page.get_by_label("I have looked at who enters and leaves.").check()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("status")).to_contain_text("segments.yaml")
    rule = load_definition(consoled.world.folder / "propensity.yaml").segments["soon_gone"]
    assert "churn_probability >= 0.4" in rule.when
    published = page.url
    row = in_the_list(page, "soon_gone")
    expect(row.get_by_role("cell").first).to_have_text(size)
    nightly(consoled)
    handed_off = until_some(lambda: received(consoled, "segments.soon_gone"))
    held_out = int(row.locator("[data-label='Held out']").inner_text().split()[0])
    assert held_out > 0, "so that it can be read out whether it helped"
    assert len(handed_off) == int(size.replace(",", "")) - held_out
    navigation.get_by_role("link", name="Hand-off").click()
    waiting, delivered = (page.get_by_role("row", name="crm").get_by_role("cell").nth(i) for i in (2, 3))
    expect(waiting).to_have_text("0")
    expect(delivered).not_to_have_text("0")
    page.goto(published)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Undo the last publication").click()
    expect(page.get_by_text("taken out")).to_be_visible()
    navigation.get_by_role("link", name="Log").click()
    expect(page.get_by_text("the campaign of March").first).to_be_visible()
    (consoled.world.folder / "segments.yaml").unlink()


def test_a_released_slider_brings_what_came_true_there(consoled: Consoled, tab: Open) -> None:
    page = tab(address_of(consoled)).page
    enter(page, consoled.keys["viewer"])
    page.goto("/console/cut-off?outcome=purchase&at=0.1")
    matured = page.locator("#matured")
    expect(matured.get_by_role("heading")).to_have_text("What came true from 0.100 on")
    before = matured.get_by_role("cell").first.inner_text()
    page.get_by_label("Probability from").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(matured.get_by_role("heading")).to_have_text("What came true from 0.200 on")
    assert matured.get_by_role("cell").first.inner_text() != before


def test_reliability_is_drawn_for_each_model_and_members_are_fetched_after_the_page(
    consoled: Consoled, tab: Open
) -> None:
    page = tab(address_of(consoled)).page
    enter(page, consoled.keys["viewer"])
    page.goto("/console/models")
    expect(page.locator('[data-chart="reliability"] canvas')).to_have_count(4)
    page.goto("/console/segments/repeat_buyer")
    expect(page.locator(".members li")).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_text("51 to 100 of")).to_be_visible()


def test_what_is_filled_in_while_an_answer_is_on_its_way_stays(consoled: Consoled, tab: Open) -> None:
    page = tab(address_of(consoled)).page
    enter(page, consoled.keys["editor"])
    page.goto("/console/new-segment")

    def slowly(route: Route) -> None:
        page.wait_for_timeout(700)
        route.continue_()

    page.route("**/edit-segment", slowly)
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_label("Name", exact=True).fill("written_meanwhile")
    page.get_by_label("Number", exact=True).first.fill("3")
    expect(page.get_by_label("Kind of condition")).to_have_count(2, timeout=10_000)
    expect(page.locator("#builder[aria-busy]")).to_have_count(0, timeout=10_000)
    assert page.get_by_label("Name", exact=True).input_value() == "written_meanwhile"
    assert page.get_by_label("Number", exact=True).first.input_value() == "3"
    assert '"number":3.0' in page.locator('input[name="tree"]').input_value()


def test_what_is_typed_after_an_answer_came_replaces_what_was_selected(consoled: Consoled, tab: Open) -> None:
    page = tab(address_of(consoled)).page
    enter(page, consoled.keys["editor"])
    page.goto("/console/new-segment")
    page.get_by_label("Kind of condition").select_option("answer")
    expect(page.locator("#builder[aria-busy]")).to_have_count(0)
    number = page.get_by_label("Number", exact=True)
    assert number.input_value() == "0.5"
    number.select_text()
    with page.expect_response("**/edit-segment"):
        page.get_by_label("Outcome", exact=True).evaluate(
            "field => field.dispatchEvent(new Event('change', {bubbles: true}))"
        )
    expect(page.locator("#builder[aria-busy]")).to_have_count(0)
    page.keyboard.insert_text("0.4")
    expect(number).to_have_value("0.4")


def test_without_javascript_everything_is_read_and_a_rule_is_edited(consoled: Consoled, tab: Open) -> None:
    page = tab(address_of(consoled), java_script_enabled=False).page
    enter(page, consoled.keys["editor"])
    for path in SCREENS.values():
        page.goto(path)
        assert page.get_by_role("heading", level=1).is_visible()
    page.goto("/console/segments/repeat_buyer/edit")
    size = page.locator("aside .number").inner_text()
    page.get_by_role("button", name="Add a condition").first.click()
    last = page.get_by_label("Kind of condition").last
    last.select_option("member")
    page.get_by_role("button", name="Count", exact=True).click()
    expect(page.get_by_label("Segment", exact=True)).to_be_visible()
    assert page.locator("aside .number").inner_text() != size
    page.goto("/console/users")
    page.get_by_label("Id of the user").fill(USER)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Show every condition").click()
    expect(page.get_by_text("Every condition as it is now")).to_be_visible()


def test_by_keyboard_one_gets_past_the_navigation_and_to_every_page(consoled: Consoled, tab: Open) -> None:
    page = tab(address_of(consoled)).page
    enter(page, consoled.keys["viewer"])
    page.goto("/console/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    page.goto("/console/")
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('href')"))
    assert {path for path in SCREENS.values() if path.count("/") == 2} <= reached | {"/console/sign-in"}


def test_light_and_dark_are_two_looks_and_korean_is_spoken(consoled: Consoled, tab: Open) -> None:
    papers = set()
    for scheme in ("light", "dark"):
        page = tab(address_of(consoled), color_scheme=scheme, locale="ko-KR").page
        page.goto("/console/")
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.get_by_label("키").fill(consoled.keys["viewer"])
        page.get_by_role("button", name="로그인").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("오늘")
        assert not re.search(r"\b(Segments|Today|Users)\b", page.get_by_role("navigation").inner_text())
    assert len(papers) == 2
