"""The usage page in a headless Chromium, served by the local gateway.

One module, with a browser of its own: Playwright runs an event loop in the thread of the tests as long as it is open.
"""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from tests.support import FakeClock, cheap_passwords
from tools.local import local_gateway

CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS: Final = 15_000  # of a machine that does much else
EMAIL: Final = "ada@example.org"
LIMIT: Final = 100
CALLS: Final = (3, 5, 2, 8, LIMIT, 1, 4, 0, 6, 12)
"""An owner's calls of each day, up to today: LIMIT is a day's on the plan of all newcomers."""

PASSWORD: Final = "correct horse battery"
OUTAGE: Final = {"error": {"code": "SERVICE_UNAVAILABLE", "message": "The service is temporarily unavailable"}}

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium, or name one in the variable CHROMIUM"
)


@dataclass(frozen=True, kw_only=True)
class Owner:
    email: str
    key: str


@pytest.fixture
def clock() -> FakeClock:
    """The services' clock starts with the browser's, and stands still."""
    return FakeClock(datetime.now(UTC))


@pytest.fixture
def origin(clock: FakeClock) -> Iterator[str]:
    """Where the local gateway serves all functions, on a store of their own, with passwords that are cheap to check."""
    store, passwords = MemoryStore(clock=clock), cheap_passwords()

    def build(settings: Settings) -> Services:
        return Services.on(store, settings, passwords=passwords, clock=clock)

    gateway = local_gateway({}, build)
    server = uvicorn.Server(uvicorn.Config(gateway, port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    (listening,) = server.servers
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    """In a context of its own. It must ask no other host, and have nothing to complain of but refused requests."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light", base_url=origin)
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    elsewhere: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda sent: None if sent.url.startswith((origin, "blob:", "data:")) else elsewhere.append(sent.url)
    )
    yield page
    page.context.close()
    assert [text for text in complaints if "Failed to load resource" not in text] == []
    assert elsewhere == []


@pytest.fixture
def newcomer(origin: str) -> Owner:
    """Who has not made a memo yet."""
    return signed_up(origin)


@pytest.fixture
def owner(origin: str, clock: FakeClock) -> Owner:
    """Who has made `CALLS`, and was refused one more on the busiest day."""
    clock.advance(timedelta(days=-len(CALLS)))
    owner = signed_up(origin)
    with httpx.Client(base_url=origin, headers={"authorization": f"Bearer {owner.key}"}) as client:
        for calls in CALLS:
            clock.advance(timedelta(days=1))
            voices = ["adam", *["rachel"] * (calls - 1)][:calls]
            made = [client.post("/api/v1/memo", json={"text": "Hello", "voice": voice}) for voice in voices]
            assert [answer for answer in made if answer.status_code != 201] == []
            if calls == LIMIT:
                assert client.post("/api/v1/memo", json={"text": "Hello", "voice": "adam"}).status_code == 429
    return owner


def signed_up(origin: str) -> Owner:
    answer = httpx.post(f"{origin}/api/v1/auth/signup", json={"email": EMAIL, "password": PASSWORD})
    return Owner(email=EMAIL, key=answer.raise_for_status().json()["apiKey"]["key"])


def enter(page: Page, owner: Owner) -> None:
    page.goto("/usage")
    page.get_by_label("API key", exact=True).fill(owner.key)
    page.get_by_role("button", name="Use this key").click()


def settled(page: Page, told: str = "The last 30 days are shown.") -> None:
    expect(page.get_by_role("status")).to_have_text(told)


def fits(page: Page) -> bool:
    """Whether nothing sticks out to the right."""
    fitting: bool = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return fitting


def drawn_in(page: Page, chart: str, colour: str) -> bool:
    """Whether a chart's lower half comes to have more of this colour than of any other."""
    return bool(
        page.get_by_role("slider", name=chart).evaluate(
            """async (area, expected) => {
              const most = () => {
                const canvas = area.querySelector("canvas"), seen = {};
                if (canvas === null) return null;
                const { width, height } = canvas;
                const { data } = canvas.getContext("2d").getImageData(0, height / 2, width, height / 2);
                for (let i = 0; i < data.length; i += 4)
                  if (data[i + 3] === 255) {
                    const colour = "#" + [0, 1, 2].map(c => data[i + c].toString(16).padStart(2, "0")).join("");
                    seen[colour] = (seen[colour] ?? 0) + 1;
                  }
                return Object.keys(seen).sort((a, b) => seen[b] - seen[a])[0];
              };
              const until = performance.now() + 5000;
              while (most() !== expected && performance.now() < until) await new Promise(requestAnimationFrame);
              return most() === expected;
            }""",
            colour,
        )
    )


def test_all_is_shown_after_signing_in_by_keyboard_alone(page: Page, owner: Owner, tmp_path: Path) -> None:
    page.goto("/usage")
    expect(page.get_by_role("heading", name="Sign in to see your usage")).to_be_visible()
    page.keyboard.press("Tab")  # past the link that skips to the content
    page.keyboard.press("Tab")
    expect(page.get_by_label("API key", exact=True)).to_be_focused()
    page.keyboard.type(owner.key)
    page.keyboard.press("Enter")
    settled(page)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("region", name="Totals")).to_contain_text("Calls in all141")
    expect(page.get_by_role("region", name="What is left")).to_contain_text("88 of 100 left")
    expect(page.get_by_role("meter", name="Today")).to_be_visible()
    expect(page.get_by_role("row", name="Rachel 132 93.6%")).to_be_visible()
    expect(page.get_by_role("region", name="Errors")).to_contain_text("1 of 142 requests failed (0.7%)")
    assert drawn_in(page, "Calls per day", "#1d5fd1")
    page.screenshot(path=tmp_path / "full.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(16, 19, 23)")
    assert drawn_in(page, "Calls per day", "#7eb0ff")
    page.screenshot(path=tmp_path / "full-dark.png", full_page=True)
    page.set_viewport_size({"width": 360, "height": 740})
    assert fits(page)
    page.screenshot(path=tmp_path / "full-narrow.png", full_page=True)


def test_the_charts_can_be_read_by_keyboard_and_as_tables(page: Page, owner: Owner) -> None:
    enter(page, owner)
    settled(page)
    chart = page.get_by_role("slider", name="Calls per day")
    today, yesterday = (f"{datetime.now(UTC) - timedelta(days=ago):%Y-%m-%d}" for ago in (0, 1))
    chart.focus()
    page.keyboard.press("End")
    expect(chart).to_have_attribute("aria-valuetext", f"{today}: 12 calls")
    page.keyboard.press("ArrowLeft")
    expect(chart).to_have_attribute("aria-valuetext", f"{yesterday}: 6 calls")
    expect(page.get_by_text(f"{yesterday}: 6 calls")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    table = page.get_by_role("group", name="Calls per day, table")
    expect(table.get_by_role("row")).to_have_count(31)
    expect(table.get_by_role("row").nth(1)).to_have_text(f"{today}12")


def test_another_range_is_asked_for_and_downloaded(page: Page, owner: Owner, tmp_path: Path) -> None:
    enter(page, owner)
    settled(page)
    page.get_by_role("radio", name="30 days").focus()
    page.keyboard.press("ArrowRight")
    settled(page, "The last 90 days are shown.")
    expect(page.get_by_text("141 calls in 90 days")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "usage.csv")
    assert re.fullmatch(r"agent-talk-usage-\d{4}-\d\d-\d\d\.csv", download.value.suggested_filename)
    assert (tmp_path / "usage.csv").read_text().startswith("# Memo History")
    assert "# Daily Usage (Last 90 Days)" in (tmp_path / "usage.csv").read_text()


def test_an_owner_without_memos_is_told_how_to_make_one(
    page: Page, newcomer: Owner, origin: str, tmp_path: Path
) -> None:
    enter(page, newcomer)
    settled(page)
    expect(page.get_by_role("heading", name="No memos yet")).to_be_visible()
    expect(page.get_by_label("Example command")).to_contain_text(f"curl {origin}/api/v1/memo")
    expect(page.get_by_role("region", name="Day by day")).to_be_hidden()
    expect(page.get_by_role("region", name="What is left")).to_contain_text("100 of 100 left")
    page.screenshot(path=tmp_path / "empty.png", full_page=True)


def test_each_part_shows_its_own_failure_and_can_be_asked_again(page: Page, owner: Owner, tmp_path: Path) -> None:
    page.route(
        "**/analytics/charts?*", lambda route: route.fulfill(status=503, headers={"Retry-After": "30"}, json=OUTAGE)
    )
    enter(page, owner)
    settled(page, "1 of 6 parts could not be loaded.")
    failed = page.get_by_role("region", name="Day by day")
    expect(failed).to_contain_text("The service is temporarily unavailable. Try again in 30 seconds.")
    expect(page.get_by_role("row", name="Rachel")).to_be_visible()
    page.screenshot(path=tmp_path / "error.png", full_page=True)
    page.unroute("**/analytics/charts?*")
    failed.get_by_role("button", name="Try again").click()
    settled(page)
    expect(page.get_by_role("slider", name="Calls per day")).to_be_visible()


def test_what_takes_long_is_said_to_be_loading(page: Page, owner: Owner, tmp_path: Path) -> None:
    waiting: list[Route] = []
    page.route("**/analytics/voices", lambda route: waiting.append(route))  # noqa: PLW0108 Playwright marks what it calls
    enter(page, owner)
    voices = page.get_by_role("region", name="Voices")
    expect(voices).to_have_attribute("aria-busy", "true")
    expect(voices).to_contain_text("Loading…")
    expect(page.get_by_role("status")).to_have_text("Loading…")
    page.screenshot(path=tmp_path / "loading.png", full_page=True)
    waiting[0].continue_()
    settled(page)
    expect(voices).to_have_attribute("aria-busy", "false")


def test_a_session_lasts_until_it_is_signed_out(page: Page, newcomer: Owner) -> None:
    page.goto("/usage")
    page.get_by_label("E-mail address").fill(newcomer.email)
    page.get_by_label("Password").fill("not the password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Invalid email or password")).to_be_visible()
    expect(page.get_by_label("Password")).to_be_focused()
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    settled(page)
    page.reload()
    settled(page)
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    page.reload()
    expect(page.get_by_role("heading", name="Sign in to see your usage")).to_be_visible()


def test_a_session_shows_the_keys_with_use_end_and_limits(
    page: Page, owner: Owner, origin: str, tmp_path: Path
) -> None:
    """Each key with its uses, last use, end and what is used of its own limits; an API key's sign-in shows none."""
    token = httpx.post(f"{origin}/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()["token"]
    with httpx.Client(base_url=origin, headers={"authorization": f"Bearer {token}"}) as client:
        limits = {"memosPerDay": 10, "charactersPerMonth": 2000}
        made = client.post("/api/keys", json={"name": "Agent", "limits": limits, "expiresAt": "2099-01-01T08:00:00Z"})
        client.post("/api/v1/memo", json={"text": "Hello", "voice": "adam"}, headers=bearer(made.json()["key"]["key"]))
        client.delete(f"/api/keys/{client.get('/api/keys').json()['keys'][1]['id']}")
    page.goto("/usage")
    page.get_by_label("E-mail address").fill(owner.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    settled(page)
    keys = page.get_by_role("region", name="API keys")
    limited = keys.get_by_role("row").nth(1)
    expect(limited).to_contain_text("Agent")
    expect(limited).to_contain_text("1 of 10 memos today, 5 of 2,000 characters this month")
    expect(limited).to_contain_text("2099-01-01 08:00 UTC")
    expect(keys.get_by_role("row").nth(2)).to_contain_text("over")
    page.screenshot(path=tmp_path / "keys.png", full_page=True)
    page.set_viewport_size({"width": 360, "height": 740})
    assert fits(page)
    page.get_by_role("button", name="Sign out").click()
    enter(page, Owner(email=EMAIL, key=made.json()["key"]["key"]))
    settled(page)
    expect(keys).to_be_hidden()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_what_is_wrong_with_a_key_is_said_at_its_field(page: Page, newcomer: Owner) -> None:
    field = page.get_by_label("API key", exact=True)
    for key, told in [
        ("", "Enter an API key."),
        ("two words", "An API key has no spaces and no special characters."),
        ("at_live_" + "a" * 43, "Invalid API key."),
    ]:
        enter(page, Owner(email=newcomer.email, key=key))
        expect(page.get_by_role("alert").filter(has_text=told)).to_be_visible()
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")


def test_page_says_whose_account_it_shows(page: Page, origin: str) -> None:
    """Signed in as somebody else, one sees it: the e-mail address of a session, the beginning of a key."""
    email = f"{'ada' * 20}@{'example' * 8}.org"
    answer = httpx.post(f"{origin}/api/v1/auth/signup", json={"email": email, "password": PASSWORD})
    key = answer.raise_for_status().json()["apiKey"]["key"]
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/usage")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("banner")).to_contain_text(f"{email} · Hobby plan")
    assert fits(page)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("banner")).to_contain_text(f"API key {key[:12]}… · Hobby plan")
    assert key not in page.get_by_role("banner").inner_text()
