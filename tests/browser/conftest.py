"""One browser for each module: while Playwright is open, it runs an event loop in the thread of the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.sites import CHROMIUM, FLAGS, PATIENCE_MS, Site, serving, watched_page


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of the browser as thorough, since each waits for a browser."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(params=["memory", "micro"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serving(request.param) as site:
        yield site


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with watched_page(browser, site) as page:
        yield page
