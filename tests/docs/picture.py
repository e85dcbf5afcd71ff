"""Draw docs/images/console.png: the real console, in a headless Chromium, with two months of one owner's memos.

`make picture` runs this. It needs Chromium; the variable CHROMIUM names one. It fails if the picture is too large.
"""

from pathlib import Path
from typing import Final

from playwright.sync_api import expect, sync_playwright

from tests.browser.lived import lived_account
from tests.browser.sites import CHROMIUM, FLAGS, PATIENCE_MS, log_in, serving, watched_page

PICTURE: Final = Path(__file__).resolve().parents[2] / "docs" / "images" / "console.png"
MOST_BYTES: Final = 200_000
WIDTH: Final = 1120
HEIGHT: Final = 1640


def main() -> None:
    with serving(environ={"LOG_LEVEL": "ERROR"}) as site, sync_playwright() as playwright:
        lived_account(site, days=60, busy=14)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        size = {"width": WIDTH, "height": HEIGHT}
        with watched_page(browser, site, viewport=size, color_scheme="light") as page:
            expect.set_options(timeout=PATIENCE_MS)
            log_in(page)
            expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            expect(page.locator(".uplot").first).to_be_visible()
            page.screenshot(path=PICTURE, animations="disabled")
        browser.close()
    if (size_bytes := PICTURE.stat().st_size) > MOST_BYTES:
        raise SystemExit(f"{PICTURE.name} has {size_bytes:,} bytes: make it smaller, every clone fetches it")


if __name__ == "__main__":
    main()
