"""Steps of signing in at a provider, as a browser takes them."""

import re
from urllib.parse import quote

import httpx

from tests.serving.console.mounted import Browser


def begun(browser: Browser, onward: str = "/console/users") -> str:
    """The address at the provider that somebody is sent to."""
    page = browser.get(f"/console/sign-in/oidc?next={quote(onward)}")
    assert page.status_code == 303, page.text
    return page.headers["location"]


def back_from(address: str) -> str:
    """The address that the provider sends somebody back to."""
    return httpx.get(address).headers["location"]


def sign_in(browser: Browser, onward: str = "/console/users") -> httpx.Response:
    return browser.get(back_from(begun(browser, onward)))


def refused(page: httpx.Response, status: int, words: str) -> None:
    """It is an error page in words, which lets nobody in and shows nothing of a token."""
    text = re.sub(r"<[^>]+>", "", page.text.replace("&#39;", "'"))
    assert (page.status_code, page.headers["content-type"][:9]) == (status, "text/html"), text
    assert words in text
    assert "propensity_console=" not in page.headers.get("set-cookie", "")
    assert "eyJ" not in page.text
    assert "ann@example.com" not in page.text
