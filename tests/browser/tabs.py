"""A browser for the tests of pages, and tabs in it."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.watched import Watched

Open = Callable[..., Watched]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it; Playwright downloads none.

    It ends with the module: while Playwright runs, nothing else of the process can start an event loop.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium on this machine; install the package chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Open]:
    """Opens tabs: ``tab(address, color_scheme="dark")``. The test fails where anything went wrong on one of them."""
    opened: list[Watched] = []

    def open_one(address: str, **options: object) -> Watched:
        opened.append(Watched(browser, address, options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
