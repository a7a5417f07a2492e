"""A tab of a real browser that keeps what went wrong in it, and checks of how a page looks."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request

#: a telephone, a tablet, a desk
WIDTHS = (360, 900, 1440)

Scheme = Literal["light", "dark"]

_NONE: Mapping[str, object] = MappingProxyType({})

#: before any script of the page: what the Content-Security-Policy stopped goes to the console, with what it was
_REPORT = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} stopped ${event.blockedURI || "inline"}`))"""


class Watched:
    """A tab whose errors are written down.

    Attributes:
        page: Playwright's page.
        errors: errors of the console and of scripts, what a policy stopped, and failed requests.
        hosts: the hosts that requests went to.

    Args:
        browser: opens the tab.
        address: of the service; pages are opened by their path.
        options: of the tab: ``color_scheme``, ``java_script_enabled``, ``extra_http_headers`` and others.
    """

    def __init__(self, browser: Browser, address: str, options: Mapping[str, object] = _NONE) -> None:
        self._context: BrowserContext = browser.new_context(base_url=address, **options)  # type: ignore[arg-type]
        if options.get("java_script_enabled", True):
            self._context.add_init_script(_REPORT)
        self.page: Page = self._context.new_page()
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._logged)
        self.page.on("pageerror", self._failed)
        self.page.on("requestfailed", self._unanswered)
        self.page.on("request", self._requested)

    def _logged(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _failed(self, error: Error) -> None:
        self.errors.append(str(error))

    def _unanswered(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # nobody waits for it: the tab has gone on to another page
            self.errors.append(f"no answer: {request.url} ({request.failure})")

    def _requested(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).netloc)

    def close(self) -> None:
        """Close the tab; fails where anything went wrong on it."""
        self._context.close()
        assert not self.errors, "\n".join(self.errors)


#: sentences in tables that are narrower than some words, or that begin or end out of sight
CRAMPED = """() => [...document.querySelectorAll('.scroll td, .scroll th')]
  .filter(cell => cell.innerText.length > 60 && cell.getClientRects().length)
  .filter(cell => {
    const shown = cell.closest('.scroll').getBoundingClientRect(), own = cell.getBoundingClientRect();
    return own.width < 140 || own.left < shown.left - 1 || own.right > shown.right + 1;
  }).map(cell => cell.innerText)"""


def accessible(page: Page) -> None:
    """Check a page with axe, as it is now."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def at_widths(page: Page, path: str, folder: Path, name: str = "page") -> dict[int, Path]:
    """Pictures of a whole page at each of `WIDTHS`: nothing is cut off at the side, and sentences in tables have room.

    Args:
        page: a tab.
        path: of the page.
        folder: where the pictures go.
        name: the first part of their names.
    """
    found = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(path)
        right = page.locator("html").evaluate("root => root.scrollWidth")
        assert right <= width, f"{path} is {right} wide in a window of {width}"
        assert page.evaluate(CRAMPED) == [], f"{path} hides or squeezes sentences in a window of {width}"
        found[width] = folder / f"{name}-{width}.png"
        page.screenshot(path=found[width], full_page=True)
    return found
