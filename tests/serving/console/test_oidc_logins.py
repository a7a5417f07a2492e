"""A login counts once, in the browser in which it began, and for ten minutes."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from features.time import MINUTE
from serving.database.console import logins
from serving.database.console.tables import logins as table
from serving.database.console.tables import make_tables
from tests.serving.console.mounted import Mounted
from tests.serving.console.provider import Provider
from tests.serving.console.steps import back_from, begun, refused, sign_in


@pytest.mark.parametrize("state", ["", "guessed", None])
def test_a_wrong_state(console: Mounted, provider: Provider, state: str | None) -> None:
    browser = console.client("http://localhost")
    query = parse_qs(urlsplit(back_from(begun(browser))).query)
    given = {"code": query["code"][0]} | ({} if state is None else {"state": state})
    refused(browser.get("/console/sign-in/oidc/return", params=given), 403, "not begun in this browser")
    assert "/token" not in provider.asked


def test_a_state_and_a_code_count_once(console: Mounted, provider: Provider) -> None:
    browser = console.client("http://localhost")
    start = browser.get("/console/sign-in/oidc")
    kept = browser.cookies["propensity_login"]
    back = back_from(start.headers["location"])
    assert browser.get(back).status_code == 303
    browser.cookies.set("propensity_login", kept, domain="localhost.local", path="/console/sign-in/oidc")
    refused(browser.get(back), 403, "was used already")
    other = begun(browser)
    state = parse_qs(urlsplit(other).query)["state"][0]
    code = parse_qs(urlsplit(back).query)["code"][0]
    replayed = {"state": state, "code": code}
    refused(browser.get("/console/sign-in/oidc/return", params=replayed), 403, "invalid_grant")


def test_a_login_of_another_browser_signs_nobody_in(console: Mounted) -> None:
    """Somebody sends their own way back to a victim, who would then work as them; or steals a victim's."""
    mine, victim = console.client("http://localhost"), console.client("http://localhost")
    back = back_from(begun(mine))
    refused(victim.get(back), 403, "not begun in this browser")
    begun(victim)
    refused(victim.get(back), 403, "not begun in this browser")
    assert mine.get(back).status_code == 303, "that did not use it up"


def test_a_code_of_another_login_is_no_use_without_its_verifier(console: Mounted) -> None:
    mine, victim = console.client("http://localhost"), console.client("http://localhost")
    stolen = parse_qs(urlsplit(back_from(begun(victim))).query)["code"][0]
    state = parse_qs(urlsplit(begun(mine)).query)["state"][0]
    page = mine.get("/console/sign-in/oidc/return", params={"state": state, "code": stolen})
    refused(page, 403, "invalid_grant")


def test_a_login_ends_after_ten_minutes_by_the_services_clock(console: Mounted) -> None:
    assert logins.LASTS == 10 * MINUTE
    browser = console.client("http://localhost")
    back = back_from(begun(browser))
    console.clock.at += logins.LASTS
    refused(browser.get(back), 403, "older than 10 minutes")
    back = back_from(begun(browser))
    console.clock.at += logins.LASTS - 1
    assert browser.get(back).status_code == 303


def test_logins_are_kept_as_hashes_and_not_without_end(console: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tables(console.log)
    kept = logins.Logins(console.log)
    state, browser, login = kept.start("/console/", 100)
    with console.log.reading() as connection:
        rows = str(connection.execute(sa.select(table)).all())
    assert state not in rows
    assert browser not in rows
    monkeypatch.setattr(logins, "MOST", 3)
    for at in range(101, 105):
        kept.start("/console/", at)
    with console.log.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 3
    assert kept.take(state, browser, 105) is None
    state, browser, login = kept.start("/console/", 105)
    assert kept.take(state, "other", 106) is None
    assert kept.take(state, browser, 106) == login
    assert kept.take(state, browser, 106) is None


@pytest.mark.parametrize(("error", "shown"), [("access_denied", "access_denied"), ("<b>eyJ", "(error)")])
def test_a_provider_that_refuses_somebody(console: Mounted, provider: Provider, error: str, shown: str) -> None:
    provider.deny = error
    browser = console.client("http://localhost")
    back = back_from(begun(browser))
    refused(browser.get(back), 403, shown)
    provider.deny = ""
    refused(browser.get(back), 403, "was used already")
    assert sign_in(browser).status_code == 303


def test_an_answer_of_another_provider(make: Callable[..., Mounted], provider: Provider) -> None:
    provider.more["authorization_response_iss_parameter_supported"] = True
    browser = make().client("http://localhost")
    assert sign_in(browser).status_code == 303
    refused(browser.get(f"{back_from(begun(browser))}&iss=https://evil.example"), 403, "claim iss")
    back = re.sub(r"&iss=[^&]*", "", back_from(begun(browser)))
    assert "iss=" not in back
    refused(browser.get(back), 403, "claim iss")
