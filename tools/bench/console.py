"""Measure the console in Chromium against a bare page of the same run: `make bench-console`.

Bytes are those on the wire, headers included. Each page is opened in turn in its own browser context, so nothing is
cached. Times are medians, from the start of the navigation to the first content on the screen.
"""

import socket
import statistics
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.lived import lived_account
from tests.browser.sites import CHROMIUM, FLAGS, Site, log_in, serving

RUNS: Final = 11
VIEWS: Final = {"overview": ".groups", "memos": ".memo", "keys": "h1", "plan": "h1", "account": "h1"}
"""A selector of each view that appears with its first answers; after it the bench waits until the network is idle."""

BARE: Final = b"<!doctype html><html lang=en><title>Bare</title><link rel=icon href=data:,><h1>Log in</h1>"

_PAINTED: Final = """async () => {
  const paint = () => performance.getEntriesByName("first-contentful-paint")[0];
  while (paint() === undefined) await new Promise(requestAnimationFrame);
  const sent = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const bytes = sent.reduce((sum, one) => sum + one.transferSize, 0);
  return {first_ms: paint().startTime, bytes, requests: sent.length};
}"""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The costs of opening a page once."""

    first_ms: float
    bytes: int
    requests: int


def main() -> int:
    if CHROMIUM is None:
        print("no Chromium: apt-get install chromium, or name one in the variable CHROMIUM", file=sys.stderr)
        return 1
    with serving(environ={"LOG_LEVEL": "ERROR"}) as site, _bare_page() as bare, sync_playwright() as playwright:
        lived_account(site, days=35, busy=1, full_day=False)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        session = _session(browser, site)
        pages: dict[str, Callable[[], Opened]] = {
            "a bare page": lambda: _opened(browser.new_context(), bare, "h1"),
            "log in": lambda: _opened(browser.new_context(), f"{site.url}/app", "h1"),
        } | {
            view: partial(_view, browser, session, f"{site.url}/app?view={view}", shown)
            for view, shown in VIEWS.items()
        }
        runs: dict[str, list[Opened]] = {name: [] for name in pages}
        for run in range(RUNS + 1):
            for name, opened in pages.items():
                found = opened()
                if run:  # the first run warms the server
                    runs[name].append(found)
        browser.close()
    _print(runs)
    return 0


def _print(runs: dict[str, list[Opened]]) -> None:
    floor = statistics.median(run.first_ms for run in runs["a bare page"])
    print("| page | bytes | requests | first content | against the bare page |\n|---|---|---|---|---|")
    for name, opened in runs.items():
        first = statistics.median(run.first_ms for run in opened)
        newest = opened[-1]
        print(f"| {name} | {newest.bytes:,} | {newest.requests} | {first:.0f} ms | {first / floor:.2f} |")


def _opened(context: BrowserContext, url: str, shown: str) -> Opened:
    """Open a page. Returns its costs until the selector `shown` matches and the network is idle."""
    page: Page = context.new_page()
    page.goto(url)
    page.locator(shown).first.wait_for()
    page.wait_for_load_state("networkidle")
    took: dict[str, Any] = page.evaluate(_PAINTED)
    context.close()
    return Opened(**took)


def _view(browser: Browser, session: Any, url: str, shown: str) -> Opened:
    return _opened(browser.new_context(storage_state=session), url, shown)


def _session(browser: Browser, site: Site) -> Any:
    """Return a browser's stored state of a session."""
    page = browser.new_page(base_url=site.url)
    log_in(page)
    page.get_by_role("heading", name="Overview").wait_for()
    kept = page.context.storage_state()
    page.context.close()
    return kept


@contextmanager
def _bare_page() -> Iterator[str]:
    """Serve a minimal page by uvicorn, and yield its URL."""

    async def serve(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html"), (b"content-length", str(len(BARE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BARE})

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(serve, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://localhost:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join()
    listening.close()


if __name__ == "__main__":
    sys.exit(main())
