"""Pictures of every screen of a running console, at three widths, for the documentation.

Start a service without keys over the demo, and then ``python -m examples.console_pictures``.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTHS = (360, 900, 1440)

SCREENS = {
    "today": "", "segments": "segments", "segment": "segments/repeat_buyer",
    "members": "segments/repeat_buyer/members", "builder": "segments/repeat_buyer/edit",
    "overlap": "overlap", "cut-off": "cut-off", "models": "models", "experiments": "experiments",
    "hand-off": "hand-off", "log": "log", "sign-in": "sign-in",
}  # fmt: skip

#: colours of a picture, and its greatest height: more of a long page says no more
COLOURS, HEIGHT = 200, 2_400


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:3000")
    parser.add_argument("--user", default="u0000003", help="whose page is shown")
    parser.add_argument("--out", type=Path, default=Path("docs/console"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(base_url=f"{given.address}/console/")
        page.goto("users")
        page.get_by_label("Id of the user").fill(given.user)
        page.get_by_role("button", name="Find").click()
        for name, path in (SCREENS | {"user": page.url}).items():
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(path)
                _settled(page, name)
                save(page.screenshot(full_page=True), given.out / f"{name}-{width}.png")
        browser.close()


def _settled(page: Page, name: str) -> None:
    """Wait for what is drawn or fetched after the page."""
    if name == "user":
        page.wait_for_selector("details.verdict-of")
        page.locator("details.verdict-of summary").first.click()
    page.wait_for_load_state("networkidle")
    page.evaluate("window.scrollTo(0, 0)")


def save(picture: bytes, path: Path) -> None:
    """Save a picture of few colours, cut off below."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, HEIGHT)))
    image.quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()
