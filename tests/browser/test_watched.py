"""What the watched tab finds: errors, what a policy stops, other hosts, and what axe complains of."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser

from tests.browser.watched import Watched, accessible

PAGES = {
    "/good": '<!DOCTYPE html><html lang="en"><title>good</title><main><h1>Good</h1></main>',
    "/inline": '<!DOCTYPE html><html lang="en"><title>inline</title><script>1</script><main><h1>Inline</h1></main>',
    "/broken": '<!DOCTYPE html><html lang="en"><title>broken</title><script src="/throws.js"></script>',
    "/throws.js": "throw new Error('it broke')",
    "/unnamed": "<!DOCTYPE html><html><img src='/icon.svg'>",
    "/icon.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>',
}
KINDS = {"js": "text/javascript", "svg": "image/svg+xml"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES.get(self.path, "").encode()
        self.send_response(200)
        self.send_header("Content-Type", KINDS.get(self.path.rpartition(".")[2], "text/html"))
        self.send_header("Content-Security-Policy", "default-src 'self'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_good_page_passes(browser: Browser, address: str) -> None:
    one = Watched(browser, address)
    one.page.goto("/good")
    accessible(one.page)
    one.close()
    assert one.hosts == {address.removeprefix("http://")}


@pytest.mark.parametrize(
    ("path", "found"), [("/inline", "policy: script-src-elem stopped inline"), ("/broken", "it broke")]
)
def test_what_goes_wrong_fails_at_the_end(browser: Browser, address: str, path: str, found: str) -> None:
    one = Watched(browser, address)
    one.page.goto(path)
    with pytest.raises(AssertionError, match=found):
        one.close()


def test_what_axe_complains_of_fails(browser: Browser, address: str) -> None:
    one = Watched(browser, address)
    one.page.goto("/unnamed")
    with pytest.raises(AssertionError, match="image-alt"):
        accessible(one.page)
    one.close()
