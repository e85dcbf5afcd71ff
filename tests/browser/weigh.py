"""Weigh the console in Chromium: requests, bytes on the wire, and the time to first content against a bare page.

python -m tests.browser.weigh    (needs Chromium; the variable CHROMIUM names one)

The store is memory, on this machine: what differs between two lines is the page's own weight. Times are medians.
"""

from statistics import median
from typing import Final

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.sites import CHROMIUM, FLAGS, PATIENCE_MS, Site, log_in, serving, watched_page

ROUNDS: Final = 7
BARE: Final = "/llms.txt"
SHOWN: Final = (
    "/app",
    "/app?view=overview",
    "/app?view=memos",
    "/app?view=keys",
    "/app?view=plan",
    "/app?view=account",
)
"""The first one as a newcomer, the others logged in."""


def main() -> None:
    with serving(environ={"LOG_LEVEL": "ERROR"}) as site, sync_playwright() as playwright:
        site.sign_up()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        expect.set_options(timeout=PATIENCE_MS)
        print("| page | requests | bytes | first content, ms |\n|---|---|---|---|")
        for path in (BARE, *SHOWN):
            rounds = [weighed(browser, site, path, newcomer=path in (BARE, "/app")) for _ in range(ROUNDS)]
            requests, size, first = (median(figures) for figures in zip(*rounds, strict=True))
            print(f"| `{path}` | {requests:.0f} | {size:,.0f} | {first:.0f} |")
        browser.close()


def weighed(browser: Browser, site: Site, path: str, *, newcomer: bool) -> tuple[int, int, float]:
    """Requests, bytes with headers, and milliseconds to the first content of a page that nothing is cached of."""
    with watched_page(browser, site) as page:
        if not newcomer:
            log_in(page)
            expect(page.get_by_role("button", name="Log out", exact=True)).to_be_visible()
            page.goto("about:blank")
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
        sizes: list[int] = []
        devtools.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.goto(path, wait_until="networkidle")
        first: float = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return len(sizes), sum(sizes), first


if __name__ == "__main__":
    main()
