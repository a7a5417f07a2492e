"""Who may see and do what in the console, and what protects it from other sites."""

import re

import pytest
import sqlalchemy as sa

from features.time import DAY
from serving.database.console.sessions import LASTS, Sessions
from serving.database.console.tables import sessions
from serving.desk.keys import Keys
from tests.serving.console.conftest import ROLES, Consoled

pytestmark = pytest.mark.xdist_group("console")

PAGES = ("/", "/segments", "/overlap", "/users", "/cut-off", "/models", "/experiments", "/hand-off", "/log")
USER = "u0000003"

#: by role, whether it may pause a destination and erase a user
MAY = {
    "read": (False, False), "viewer": (False, False), "editor": (False, False), "publisher": (True, False),
    "privacy": (False, True), "admin": (True, True),
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_who_is_not_signed_in_is_asked_to_and_comes_back_to_the_page(consoled: Consoled, page: str) -> None:
    visitor = consoled.visitor()
    assert visitor.get(page).url.path == "/console/sign-in"
    visitor.client.post("/console/sign-in", data={"key": consoled.keys["viewer"], "next": f"/console{page}"})
    assert visitor.get(page).url.path == f"/console{page}"
    assert visitor.page.status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_every_page_forbids_what_is_not_its_own_and_is_kept_nowhere(consoled: Consoled, page: str) -> None:
    headers = consoled.visitor("viewer").get(page).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} <= {p.strip() for p in policy.split(";")}
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_a_wrong_key_and_one_for_events_do_not_sign_in(consoled: Consoled) -> None:
    visitor = consoled.visitor()
    visitor.get("/sign-in")
    assert visitor.post("/sign-in", key="read_wrong", next="/console/").status_code == 403
    assert "not known" in visitor.text
    assert visitor.post("/sign-in", key=consoled.keys["write"], next="/console/").status_code == 403
    assert "viewer" in visitor.text
    assert visitor.get("/segments").url.path == "/console/sign-in"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example", "//evil.example", "/console//evil.example", "/score", ""]
)
def test_signing_in_leads_to_no_other_site(consoled: Consoled, elsewhere: str) -> None:
    client = consoled.client()
    answer = client.post("/console/sign-in", data={"key": consoled.keys["viewer"], "next": elsewhere})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/console"))
    assert "Secure" not in cookie
    behind = client.post(
        "/console/sign-in", data={"key": consoled.keys["viewer"]}, headers={"x-forwarded-proto": "https"}
    )
    assert "Secure" in behind.headers["set-cookie"]


@pytest.mark.parametrize("role", [role for role in ROLES if role != "write"])
def test_each_role_may_what_it_may(consoled: Consoled, role: str) -> None:
    visitor = consoled.visitor(role)
    for page in PAGES:
        assert visitor.get(page).status_code == 200, page
    pauses, erases = MAY[role]
    visitor.get("/hand-off")
    assert ("/console/hand-off/crm" in visitor.page.text) == pauses
    assert visitor.post("/hand-off/crm", do="pause").status_code == (200 if pauses else 403)
    if pauses:
        visitor.post("/hand-off/crm", do="resume")
    else:
        assert "publisher" in visitor.text, "it names the role that may"
    visitor.get("/users")
    address = visitor.post("/users", user_id=USER).url.path.removeprefix("/console")
    assert ("/erase" in visitor.page.text) == erases
    asked = visitor.post(f"{address}/erase", typed="not the id")
    assert asked.status_code == (400 if erases else 403)
    assert visitor.get(address).status_code == 200, "nobody was erased"


@pytest.mark.parametrize("role", ["viewer", "editor", "publisher", "privacy", "write"])
def test_a_key_for_people_asks_nothing_by_http(consoled: Consoled, role: str) -> None:
    headers = {"authorization": f"Bearer {consoled.keys[role]}"}
    answer = consoled.server.client.get("/segments", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_form_that_another_site_sends_does_nothing(consoled: Consoled) -> None:
    visitor = consoled.visitor("admin")
    visitor.get("/hand-off")
    other = consoled.visitor("admin")
    other.get("/hand-off")
    for csrf in ("", "guessed", other.csrf):
        assert visitor.post("/hand-off/crm", csrf=csrf, do="pause").status_code == 403
    visitor.get("/hand-off")
    for site in ("cross-site", "same-site"):
        sent = {"csrf": visitor.csrf, "do": "pause"}
        answer = visitor.client.post("/console/hand-off/crm", data=sent, headers={"sec-fetch-site": site})
        assert answer.status_code == 403
    visitor.get("/hand-off")
    assert "paused" not in visitor.text


def test_signing_out_and_a_revoked_key_end_the_session(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    cookie = visitor.client.cookies["propensity_console"]
    visitor.get("/")
    visitor.post("/sign-out")
    visitor.client.cookies.set("propensity_console", cookie, path="/console")
    assert visitor.get("/").url.path == "/console/sign-in"
    log = consoled.log
    visitor.client.cookies.clear()
    secret = Keys(log).create("leaves soon", "viewer")
    visitor.client.post("/console/sign-in", data={"key": secret})
    assert visitor.get("/").url.path == "/console/"
    Keys(log).revoke("leaves soon")
    assert visitor.get("/").url.path == "/console/sign-in"
    log.close()


def test_a_session_ends_by_itself_and_is_kept_as_a_hash(consoled: Consoled) -> None:
    log = consoled.log
    kept = Sessions(log)
    now = 100 * DAY
    cookie, session = kept.start("somebody", ["viewer"], now)
    assert kept.find(cookie, now + LASTS - 1) == session
    assert kept.find(cookie, now + LASTS) is None
    with log.reading() as connection:
        rows = connection.execute(sa.select(sessions)).all()
    assert not any(cookie in str(row) for row in rows)
    kept.end(cookie)
    log.close()


def test_addresses_hold_no_id_and_a_made_up_one_finds_nobody(consoled: Consoled) -> None:
    visitor = consoled.visitor("read")
    visitor.get("/users")
    address = visitor.post("/users", user_id=USER).url
    assert visitor.page.status_code == 200
    assert USER not in str(address)
    assert USER in visitor.text
    handle = address.path.rpartition("/")[2]
    changed = ("A" if handle[0] != "A" else "B") + handle[1:]
    for wrong in (changed, "x", USER, "%00", "a" * 500):
        assert visitor.get(f"/users/{wrong}").status_code in (400, 404), wrong
    assert re.search("names no user", consoled.visitor("read").get(f"/users/{changed}").text)


def test_every_error_is_a_page_with_what_to_do(consoled: Consoled) -> None:
    visitor = consoled.visitor("admin")
    for path, status in (("/nothing", 404), ("/segments/nothing", 404), ("/cut-off?outcome=nothing", 404),
                         ("/static/nothing.js", 404), ("/static/../app.py", 404)):  # fmt: skip
        page = visitor.get(path)
        assert page.status_code == status, path
        assert page.headers["content-type"].startswith("text/html")
        assert "unsafe" not in page.headers["content-security-policy"]
    assert visitor.client.put("/console/").status_code == 405
    visitor.get("/hand-off")
    assert visitor.post("/hand-off/nobody", do="pause").status_code == 404
    visitor.get("/hand-off")
    assert visitor.post("/hand-off/crm", do="explode").status_code == 400
    assert "pause, resume, retry or resync" in visitor.text


def test_without_keys_it_answers_this_machine_only(consoled: Consoled) -> None:
    answer = consoled.client().get("/console/", headers={"host": "rebound.example"})
    assert answer.status_code == 303, "with keys any name will do: one has to sign in"
