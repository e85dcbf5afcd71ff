"""The console's overview in a headless Chromium: remaining limits, the usage of a range, and refusals."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.sites import (
    EMAIL,
    Site,
    axe_findings,
    log_in,
    needs_chromium,
    scrolls_sideways,
    watched_page,
)

pytestmark = needs_chromium

on_memory = pytest.mark.parametrize("site", ["memory"], indirect=True)
HOSTILE: Final = '=HYPERLINK("http://evil.example")<img src=x onerror=alert(1)>'


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """Yield a page in Tokyo's zone, which is nine hours ahead of UTC all year."""
    with watched_page(browser, site, timezone_id="Asia/Tokyo", locale="en-US", color_scheme="light") as page:
        yield page


def used_account(site: Site, second_key: str = "Support agent") -> dict[str, Any]:
    """Sign up 40 days ago. 35 days ago: 2 memos; 3 days ago: 2 by Rachel, 1 by Adam with another key; today: 2 more."""
    now = site.clock.at
    site.clock.advance(-timedelta(days=40))
    signed_up = site.sign_up()
    first = signed_up["apiKey"]["key"]
    with site.api(signed_up["token"]) as session:
        second = session.post("/api/keys", json={"name": second_key}).raise_for_status().json()["key"]["key"]
    for days_ago, key, voice, count in [
        (35, first, "rachel", 2),
        (3, first, "rachel", 2),
        (3, second, "adam", 1),
        (0, second, "adam", 2),
    ]:
        site.clock.at = now - timedelta(days=days_ago)
        assert say(site, key, count, voice) == [201] * count
    return signed_up


def say(site: Site, key: str, count: int, voice: str = "rachel") -> list[int]:
    """Request `count` memos. Returns the statuses."""
    with site.api(key) as client:
        return [client.post("/api/v1/memo", json={"text": "Hello", "voice": voice}).status_code for _ in range(count)]


def day(days_ago: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days_ago):%Y-%m-%d}"


def opened(page: Page) -> None:
    log_in(page)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def query(page: Page) -> dict[str, str]:
    """Return the state of the view in the URL."""
    return dict(parse_qsl(urlsplit(page.url).query))


def tile(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name="What was used").get_by_role("button", name=name)


def test_overview_shows_what_is_left_and_what_was_used(page: Page, site: Site) -> None:
    """The remaining limits come first, with their reset; then the figures, with the change; axe finds nothing."""
    used_account(site)
    opened(page)
    hours = -(-(24 * 3600 - (site.clock.at - site.clock.at.replace(hour=0, minute=0, second=0)).seconds) // 3600)
    left = page.get_by_role("region", name="What is left")
    expect(left).to_contain_text("Memos today98 of 100 left")
    expect(left).to_contain_text(f"2 memos made. Starts over in {hours} hour")
    expect(left).to_contain_text("at midnight UTC (9:00 AM for you).")
    expect(page.get_by_role("main").get_by_role("heading").nth(1)).to_have_text("What is left")
    expect(tile(page, "Memos")).to_have_text("Memos5150% more than in the 30 days before")
    expect(tile(page, "Characters")).to_have_text("Characters25150% more than in the 30 days before")
    expect(tile(page, "Audio")).to_have_text("Audio2\u00a0s150% more than in the 30 days before")
    expect(page.get_by_role("region", name="By key")).to_match_aria_snapshot("""
      - heading "By key" [level=2]
      - figure:
        - text: Memos by day, by key Press a name below to see it alone.
        - slider "Memos by day, by key, bar by bar"
        - group: "As a table : Memos by day, by key"
      - list:
        - listitem:
          - button "Support agent 3 60%"
        - listitem:
          - button "Default Key 2 40%"
    """)
    expect(page.get_by_role("region", name="By voice").get_by_role("listitem")).to_have_text(["Adam360%", "Rachel240%"])
    expect(page.get_by_role("region", name="Refused")).to_contain_text("Nothing was refused and nothing failed.")
    expect(page.get_by_text("Since the beginning: 7 memos, 35 characters, 5 a memo on average.")).to_be_visible()
    assert axe_findings(page) == []
    page.emulate_media(color_scheme="dark")
    assert axe_findings(page) == []
    page.set_viewport_size({"width": 320, "height": 800})
    assert not scrolls_sideways(page)


@on_memory
def test_range_is_in_the_url_and_every_figure_follows(page: Page, site: Site) -> None:
    """The range and its unit are in the URL and survive a reload; the back button restores the previous range."""
    used_account(site)
    opened(page)
    expect(tile(page, "Memos")).to_contain_text("Memos5")
    page.get_by_role("button", name="7 days").click()
    expect(tile(page, "Memos")).to_contain_text("None in the 7 days before")
    page.get_by_role("button", name="By hour").click()
    expect(page.get_by_role("slider", name="Memos by hour, bar by bar")).to_have_attribute("aria-valuemax", "168")
    assert query(page) == {"range": "7", "by": "hour"}
    page.reload()
    expect(page.get_by_role("button", name="By hour")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="12 months").click()
    expect(tile(page, "Memos")).to_contain_text("Memos7None in the 12 months before")
    expect(page.get_by_role("slider", name="Memos by week, bar by bar")).to_have_attribute("aria-valuemax", "52")
    page.get_by_role("button", name="Two dates").click()
    page.get_by_label("First day").fill(day(35))
    page.get_by_label("Last day").fill(day(36))
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_label("Last day")).to_be_focused()
    expect(page.get_by_label("Last day")).to_have_accessible_description("The last day is before the first day.")
    page.get_by_label("Last day").fill(day(34))
    page.keyboard.press("Enter")
    expect(tile(page, "Memos")).to_contain_text("Memos2None in the 2 days before")
    assert query(page) == {"range": f"{day(35)}..{day(34)}"}
    page.go_back()
    expect(tile(page, "Memos")).to_contain_text("None in the 12 months before")
    page.goto("/app?view=overview&range=2026-02-30..2026-03-01")
    expect(page.get_by_text("so the last 30 days are shown")).to_be_visible()


@on_memory
def test_press_on_a_key_or_voice_shows_it_alone(page: Page, site: Site) -> None:
    """The filter is in the URL; a key and a voice exclude each other, with a message; clearing it shows all again."""
    used_account(site)
    opened(page)
    page.get_by_role("button", name="Support agent").click()
    expect(page.get_by_role("heading", name="What was used: Only Support agent")).to_be_visible()
    expect(tile(page, "Memos")).to_have_text("Memos3None in the 30 days before")
    expect(page.get_by_role("region", name="By voice")).to_contain_text("this shows all keys")
    assert query(page).keys() == {"key"}
    page.get_by_role("button", name="Rachel").click()
    expect(tile(page, "Memos")).to_have_text("Memos2As many as in the 30 days before")
    assert query(page) == {"voice": "rachel"}
    page.get_by_role("button", name="Rachel").click()
    expect(tile(page, "Memos")).to_contain_text("Memos5")
    page.get_by_role("button", name="Characters").click()
    expect(page.get_by_role("slider", name="Characters by day, by voice, bar by bar")).to_be_visible()
    assert query(page) == {"measure": "characters"}


@on_memory
def test_chart_is_read_by_keyboard_and_as_a_table(page: Page, site: Site) -> None:
    used_account(site)
    opened(page)
    chart = page.get_by_role("slider", name="Memos by day, by key, bar by bar")
    chart.focus()
    page.keyboard.press("End")
    today, then = (f"{datetime.now(UTC) - timedelta(days=ago):%A, %B %-d, %Y}" for ago in (0, 3))
    expect(chart).to_have_attribute("aria-valuetext", f"{today}: 2\u00a0memos (Support agent 2\u00a0memos)")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    told = f"{then}: 3\u00a0memos (Support agent 1\u00a0memo, Default Key 2\u00a0memos)"
    expect(chart).to_have_attribute("aria-valuetext", told)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    table = page.get_by_role("group", name="Memos by day, by key, table")
    expect(table.get_by_role("row")).to_have_count(31)
    expect(table.get_by_role("row").nth(0)).to_have_text("Day (UTC)MemosSupport agentDefault Key")
    expect(table.get_by_role("row").nth(4)).to_have_text(f"{then}312")


@on_memory
def test_hostile_names_only_show_and_saved_figures_are_harmless(page: Page, site: Site, tmp_path: Path) -> None:
    """A key's name is text on the page, and in the file no cell begins as a formula does."""
    used_account(site, HOSTILE)
    opened(page)
    expect(page.get_by_role("button", name=HOSTILE)).to_be_visible()
    expect(page.get_by_role("img")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    download.value.save_as(tmp_path / "figures.csv")
    assert download.value.suggested_filename == f"agent-talk-figures-{day(29)}-to-{day(0)}.csv"
    with (tmp_path / "figures.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["Start (UTC)", "End (UTC)", "By", "Name", "Memos", "Characters", "Audio (seconds)"]
    assert [row[2:6] for row in rows] == [
        ["key", f"'{HOSTILE}", "1", "5"],
        ["key", "Default Key", "2", "10"],
        ["key", f"'{HOSTILE}", "2", "10"],
        ["voice", "Adam", "1", "5"],
        ["voice", "Rachel", "2", "10"],
        ["voice", "Adam", "2", "10"],
    ]
    assert rows[0][0] == f"{day(3)}T00:00:00.000Z"


def test_refusals_say_which_limit_and_when_it_starts_over(page: Page, site: Site) -> None:
    """A key at its own limit and an owner at the daily one are distinct, in the limits and in the refusals."""
    signed_up = site.sign_up()
    with site.api(signed_up["token"]) as session:
        new = session.post("/api/keys", json={"name": "Agent", "limits": {"memosPerDay": 1}}).json()["key"]
    assert say(site, new["key"], 2) == [201, 429]
    opened(page)
    expect(page.get_by_text("Memos with the key “Agent” are being refused")).to_be_visible()
    expect(page.get_by_text("Its own limit of 1 memos a day is used up. It can be used again in ")).to_be_visible()
    refused = page.get_by_role("region", name="Refused and failed")
    expect(refused.get_by_role("listitem")).to_contain_text(["The key “Agent” reached a limit of its own on 1 day"])
    assert say(site, signed_up["apiKey"]["key"], 100)[-2:] == [201, 429]
    page.reload()
    expect(page.get_by_text("New memos are being refused")).to_be_visible()
    expect(page.get_by_text("Today's limit of 100 memos is used up. The next memo can be made in ")).to_contain_text(
        "at midnight UTC (9:00 AM for you)."
    )
    expect(refused.get_by_role("listitem").nth(0)).to_contain_text("The daily limit was reached on 1 day: ")
    assert axe_findings(page) == []


@on_memory
def test_newcomer_sees_what_to_do_first(page: Page, site: Site) -> None:
    site.sign_up()
    opened(page)
    expect(page.get_by_text("No memos yet")).to_be_visible()
    expect(page.get_by_role("group", name="command")).to_contain_text(f"curl -s {site.url}/api/v1/memo")
    expect(page.get_by_role("region", name="What was used")).to_have_count(0)
    page.get_by_role("link", name="Make your first memo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Memos")
    expect(page.get_by_role("heading", level=1)).to_be_focused()


@on_memory
def test_outage_shows_in_its_place_and_can_be_tried_again(page: Page, site: Site) -> None:
    """503 and a lost connection show a message in the figures' place; an ended session leads to the log in."""
    used_account(site)
    opened(page)
    expect(tile(page, "Memos")).to_contain_text("Memos5")
    site.is_down = True
    page.get_by_role("button", name="90 days").click()
    expect(page.get_by_role("alert")).to_contain_text("The service is having trouble right now.")
    expect(page.get_by_role("region", name="What is left")).to_contain_text("98 of 100")
    assert axe_findings(page) == []
    site.is_down = False
    page.get_by_role("button", name="Try again").click()
    expect(tile(page, "Memos")).to_contain_text("Memos7")
    page.context.set_offline(True)
    page.get_by_role("button", name="30 days").click()
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    page.context.set_offline(False)
    page.context.clear_cookies()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    assert EMAIL not in page.get_by_role("main").inner_text()
