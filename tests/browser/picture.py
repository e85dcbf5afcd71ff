"""Take the picture of the console that the README shows: `make picture`. It needs Chromium.

The account is invented, with a past of two months; the picture is of the day on which it is taken.
"""

import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

from tests.browser.lived import lived_account
from tests.browser.sites import CHROMIUM, FLAGS, log_in, serving

PICTURE: Final = Path(__file__).resolve().parents[2] / "docs" / "images" / "console.png"
MOST_BYTES: Final = 200_000
SIZE: Final = {"width": 1200, "height": 1500}


def main() -> int:
    if CHROMIUM is None:
        print("no Chromium: apt-get install chromium, or name one in the variable CHROMIUM", file=sys.stderr)
        return 1
    with serving(environ={"LOG_LEVEL": "ERROR"}) as site, sync_playwright() as playwright:
        lived_account(site, days=60, busy=14)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        page = browser.new_page(base_url=site.url, viewport=SIZE, color_scheme="light", timezone_id="UTC")
        log_in(page)
        page.get_by_role("region", name="By voice").get_by_role("listitem").first.wait_for()
        page.mouse.move(0, 0)
        page.screenshot(path=PICTURE, animations="disabled")
        browser.close()
    return _judged(PICTURE)


def _judged(picture: Path) -> int:
    size = picture.stat().st_size
    print(f"{picture.relative_to(ROOT)}: {size:,} bytes")
    return 0 if size < MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
