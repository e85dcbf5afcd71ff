"""The console's memos in a headless Chromium: made, played, titled and deleted; long ones, pages, and refusals."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from shared.audio.folder import FolderFiles
from shared.audio.opening import AudioPlace
from shared.core.speech_settings import SpeechChoice
from shared.plans import Tier
from shared.speech.opening import Speakers
from tests.browser.sites import Site, axe_findings, log_in, needs_chromium, scrolls_sideways, serving, watched_page
from tests.fakes.long_memos import ToneVoices

pytestmark = needs_chromium

on_memory = pytest.mark.parametrize("site", ["memory"], indirect=True)
LOOKS: Final = 24
"""The number of polls of a long memo after which the page waits for the user."""

LONGEST_WAIT_MS: Final = 30_000
HOSTILE: Final = "<img src=x onerror=alert(1)>\"'&lt;script>"


@pytest.fixture(params=["memory", "micro"])
def speaking_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Yield a site with our own voices, as in `make run`."""
    speech = {"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(tmp_path)}
    with serving(request.param, speech) as site:
        yield site


def opened(page: Page) -> None:
    log_in(page)
    page.get_by_role("link", name="Memos").click()
    expect(page.get_by_role("button", name="Say it")).to_be_visible()


def fill_in(page: Page, text: str, voice: str = "rachel") -> None:
    page.get_by_label("Text").fill(text)
    page.get_by_role("region", name="Say something").get_by_label("Voice").select_option(voice)


def memos(page: Page) -> Locator:
    return page.get_by_role("region", name="Your memos").get_by_role("listitem")


def heard(audio: Locator) -> float:
    """Play the audio to its end. Returns its seconds."""
    seconds: float = audio.evaluate(
        "async audio => { const end = new Promise((done, fail) => (audio.onended = done, audio.onerror = fail));"
        " audio.playbackRate = 16; await audio.play(); await end; return audio.duration }"
    )
    return seconds


def make(site: Site, key: str, count: int = 1, **memo: Any) -> None:
    with site.api(key) as client:
        for _ in range(count):
            client.post("/api/v1/memo", json={"text": "Hello", "voice": "adam"} | memo).raise_for_status()


def test_memo_is_said_heard_named_and_deleted(browser: Browser, speaking_site: Site) -> None:
    """The page makes one key for memos alone, which expires. A memo is renamed and deleted by keyboard."""
    token = speaking_site.sign_up()["token"]
    with watched_page(browser, speaking_site, color_scheme="light") as page:
        opened(page)
        expect(page.get_by_text("No memos yet")).to_be_visible()
        page.get_by_role("button", name="Hear Rachel").click()
        expect(page.get_by_role("button", name="Stop Rachel")).to_be_visible()
        fill_in(page, "Hello there.", "adam")
        expect(page.get_by_text("This takes 1 of the 100\u00a0memos left today.")).to_be_visible()
        page.get_by_role("button", name="Say it").click()
        expect(page.get_by_text("The memo is made, with Adam's voice.")).to_be_visible()
        expect(page.get_by_label("Text")).to_have_value("")
        expect(page.get_by_text("This takes 1 of the 99\u00a0memos left today.")).to_be_visible()
        assert 0.5 < heard(memos(page).locator("audio")) < 5
        fill_in(page, "And again.")
        page.get_by_role("button", name="Say it").click()
        expect(memos(page)).to_have_count(2)
        expect(memos(page).nth(0)).to_contain_text("And again.")
        renamed_by_keyboard(page, memos(page).nth(0))
        expect(page.get_by_role("region", name="Your memos").get_by_role("list")).to_match_aria_snapshot("""
          - list:
            - listitem:
              - heading "A title" [level=3]
              - paragraph: And again.
              - paragraph:
                - text: /Rachel [\\d.]+ s 10 characters key “Console”/
                - time
              - link "Save the audio of A title"
              - button "Rename A title"
              - button "Delete A title"
            - listitem:
              - heading "Hello there." [level=3]
        """)
        assert axe_findings(page) == []
        page.emulate_media(color_scheme="dark")
        assert axe_findings(page) == []
        deleted_by_keyboard(page, memos(page).nth(0))
        page.set_viewport_size({"width": 320, "height": 800})
        assert not scrolls_sideways(page)
    with speaking_site.api(token) as session:
        new, _ = session.get("/api/keys").json()["keys"]
    assert (new["name"], new["scopes"], new["usageCount"]) == ("Console", ["memo:write"], 2)
    assert new["expiresAt"] is not None


def renamed_by_keyboard(page: Page, memo: Locator) -> None:
    memo.get_by_role("button", name="Rename").press("Enter")
    expect(memo.get_by_label("Title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(memo.get_by_role("heading")).to_be_focused()
    memo.get_by_role("button", name="Rename").press("Enter")
    expect(memo.get_by_label("Title")).to_be_focused()
    page.keyboard.type("A title")
    page.keyboard.press("Enter")
    expect(memo.get_by_role("heading")).to_have_text("A title")
    expect(memo.get_by_role("heading")).to_be_focused()


def deleted_by_keyboard(page: Page, memo: Locator) -> None:
    memo.get_by_role("button", name="Delete").press("Enter")
    dialog = page.get_by_role("dialog", name="Delete this memo?")
    expect(dialog).to_contain_text("“A title” and its audio are deleted for good")
    assert axe_findings(page) == []
    page.keyboard.press("Escape")
    expect(memo.get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("“A title” is deleted.")).to_be_visible()
    expect(memos(page)).to_have_count(1)
    expect(page.get_by_role("heading", name="Your memos")).to_be_focused()


@on_memory
def test_repeat_after_a_lost_answer_makes_one_memo(page: Page, site: Site) -> None:
    """The page states that the result is unknown, and a second press shows the memo of the first."""
    token = site.sign_up()["token"]

    def lose(route: Route) -> None:
        assert route.fetch().status == 201
        route.abort()

    opened(page)
    page.route("**/api/v1/memo", lose, times=1)
    fill_in(page, "Hello")
    page.get_by_role("button", name="Say it").click()
    expect(page.get_by_role("alert").filter(has_text="it is made once, whichever it was")).to_be_visible()
    with page.expect_response("**/api/v1/memo") as answered:
        page.get_by_role("button", name="Say it").click()
    assert answered.value.headers["idempotency-replayed"] == "true"
    expect(memos(page)).to_have_count(1)
    with site.api(token) as session:
        assert session.get("/api/v1/usage/limits").json()["daily"]["used"] == 1


def opened_without_a_key(page: Page, site: Site) -> None:
    """Log in as a new user, and revoke the key of the sign-up, in the view of the keys."""
    site.sign_up()
    log_in(page)
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="Revoke Default Key").click()
    page.get_by_role("button", name="Revoke the key").click()


@on_memory
def test_key_with_limits_of_its_own_is_not_the_pages(page: Page, site: Site) -> None:
    """Such a key was made for a program: the page uses it only if it can make no key itself."""
    opened_without_a_key(page, site)
    for number, chosen in ((1, re.compile("page")), (2, re.compile("^(?!page)"))):
        page.get_by_role("link", name="Keys").click()
        page.get_by_role("button", name="New key").click()
        dialog = page.get_by_role("dialog", name="New API key")
        dialog.get_by_label("Name", exact=True).fill(f"Agent {number}")
        dialog.get_by_text("Limits and last day").click()
        dialog.get_by_label("Memos a day", exact=True).fill("1")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="I have copied the key").click()
        page.get_by_role("link", name="Memos").click()
        page.get_by_text("Title, format and API key").click()
        expect(page.get_by_label("API key", exact=True)).to_have_value(chosen)


@on_memory
def test_form_says_what_is_wrong_beside_the_field(page: Page, site: Site) -> None:
    """Each mistake is described at its field, a limit in an alert, and the entered text stays."""
    token = site.sign_up()["token"]
    with site.api(token) as session:
        limited = session.post("/api/keys", json={"name": "Agent", "limits": {"memosPerDay": 1}}).json()["key"]["key"]
    make(site, limited)
    opened(page)
    text, pasted = page.get_by_label("Text"), page.get_by_label("Your API key")
    expect(pasted).to_have_accessible_description(re.compile("^You have 2 of 2 keys, so the page can make none."))
    for field, value, said in [
        (text, "", "Enter what is to be said."),
        (text, "a" * 5001, "A memo on your plan has at most 5,000\u00a0characters; this one has 5,001."),
        (
            text,
            "\N{GRINNING FACE}" * 5001,
            "A memo on your plan has at most 5,000\u00a0characters; this one has 5,001.",
        ),
        (pasted, "", "Enter an API key."),
        (pasted, "at_live_x", "An API key begins with at_live_ or at_test_ and has 51 characters."),
        (pasted, "at_live_" + "a" * 42 + "A", "This key does not work any more. Choose another one."),
    ]:
        field.fill(value)
        page.get_by_role("button", name="Say it").click()
        expect(page.get_by_text(said)).to_be_visible()
        if "Choose" not in said:
            expect(field).to_be_focused()
            expect(field).to_have_accessible_description(re.compile(re.escape(said)))
        if field is text:
            text.fill("Hello")
    expect(page.get_by_label("API key", exact=True)).to_be_focused()
    pasted.fill(limited)
    page.keyboard.press("Enter")
    expect(
        page.get_by_role("alert").filter(has_text="This API key's limit of 1 memos a day is reached")
    ).to_contain_text("at midnight UTC")
    expect(text).to_have_value("Hello")
    assert axe_findings(page) == []


@contextmanager
def toning_site(folder: Path, voices: ToneVoices) -> Iterator[Site]:
    """Return a site that speaks each text as a tone, piece by piece: texts longer than a piece are long memos."""

    async def nothing() -> None:
        """Close nothing: nothing was opened."""

    audio = AudioPlace(lambda: (FolderFiles(folder), nothing))
    speakers = Speakers(
        dict.fromkeys(Tier, SpeechChoice.LOCAL),
        adapters={SpeechChoice.LOCAL: lambda: (voices, nothing)},
        audio=audio,
    )
    with serving(audio=audio, speakers=speakers) as site:
        yield site


def say_long(page: Page, text: str) -> None:
    fill_in(page, text * 40)
    page.get_by_role("button", name="Say it").click()
    expect(memos(page).nth(0)).to_contain_text(text)


def test_long_memo_appears_once_it_is_made_or_says_why_not(browser: Browser, tmp_path: Path) -> None:
    """The page polls until the memo has an outcome; after some minutes it stops, and states so."""
    gate = threading.Event()

    async def held() -> None:
        await asyncio.to_thread(gate.wait)

    voices = ToneVoices(fails=lambda text: "fail" in text, before=held)
    with toning_site(tmp_path, voices) as site, watched_page(browser, site) as page:
        site.sign_up()
        page.clock.install()
        looks: list[str] = []
        page.on("request", lambda sent: looks.append(sent.url) if "/api/v1/memo/" in sent.url else None)
        opened(page)
        say_long(page, "This goes well. ")
        expect(page.get_by_text("The audio is being made.")).to_be_visible()
        assert axe_findings(page) == []
        again = page.get_by_role("button", name="Look again")
        while again.count() == 0 and len(looks) <= LOOKS:
            page.clock.fast_forward(LONGEST_WAIT_MS)
        assert len(looks) == LOOKS
        again.click()
        say_long(page, "This is to fail. ")
        gate.set()
        expect(memos(page).nth(0)).to_contain_text("This memo failed, and was not charged. The speech provider failed.")
        assert heard(memos(page).nth(1).locator("audio")) > 1
        asked: list[str] = []
        page.on("request", lambda sent: asked.append(sent.url))
        memos(page).nth(1).get_by_role("button", name="Show all of it").click()
        expect(memos(page).nth(1)).to_contain_text("This goes well. " * 39)
        assert [url for url in asked if "/api/v1/memo/" in url] == []


@on_memory
def test_list_goes_on_and_shows_a_voice_alone(page: Page, site: Site, tmp_path: Path) -> None:
    """The list grows by twenty and focuses the first older memo. The voice is in the URL. CSV is a download."""
    key = site.sign_up()["apiKey"]["key"]
    make(site, key, title="The oldest", voice="rachel")
    make(site, key, 24)
    opened(page)
    expect(memos(page)).to_have_count(20)
    expect(memos(page).nth(0)).to_contain_text("key “Default Key”")
    page.get_by_role("button", name="Show older memos").click()
    expect(memos(page)).to_have_count(25)
    expect(memos(page).nth(20).get_by_role("heading")).to_be_focused()
    expect(page.get_by_role("button", name="Show older memos")).to_have_count(0)
    page.get_by_role("region", name="Your memos").get_by_label("Voice").select_option("Rachel")
    expect(memos(page)).to_have_count(1)
    expect(memos(page)).to_contain_text("The oldest")
    assert page.url.endswith("?view=memos&voice=rachel")
    page.get_by_role("region", name="Your memos").get_by_label("Voice").select_option("Sam")
    expect(page.get_by_text("No memos with Sam's voice")).to_be_visible()
    page.get_by_role("region", name="Your memos").get_by_label("Voice").focus()
    page.keyboard.press("Home")
    expect(memos(page)).to_have_count(20)
    expect(page.get_by_role("region", name="Your memos").get_by_label("Voice")).to_be_focused()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    download.value.save_as(tmp_path / "memos.csv")
    assert (tmp_path / "memos.csv").read_text().startswith("# Memo History")


@on_memory
def test_late_page_of_one_voice_is_not_in_anothers_list(page: Page, site: Site) -> None:
    """Older memos that arrive after another voice was chosen are dropped; while a voice is loaded, none are offered."""
    key = site.sign_up()["apiKey"]["key"]
    make(site, key, voice="rachel")
    make(site, key, 24)
    opened(page)
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright takes no built-in function
        held.append(route)

    older, voice = "**/api/v1/memos?*cursor=*", page.get_by_role("region", name="Your memos").get_by_label("Voice")
    page.route(older, hold, times=1)
    page.get_by_role("button", name="Show older memos").click()
    expect(page.get_by_role("button", name="Loading…")).to_be_visible()
    voice.select_option("Rachel")
    expect(memos(page)).to_have_count(1)
    with page.expect_response("**/api/v1/usage?action=memo_created*") as names:
        held[0].continue_()
    names.value.finished()
    page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(memos(page)).to_have_count(1)
    voice.select_option("All voices")
    expect(memos(page)).to_have_count(20)
    page.route("**/api/v1/memos?*voice=rachel", hold, times=1)
    with page.expect_request("**/api/v1/memos?*voice=rachel"):
        voice.select_option("Rachel")
    expect(page.get_by_role("button", name="Show older memos")).to_have_count(0)
    held[1].continue_()
    expect(memos(page)).to_have_count(1)
    voice.select_option("All voices")
    page.route(older, lambda route: route.abort(), times=1)
    page.get_by_role("button", name="Show older memos").click()
    problem = page.get_by_role("alert").filter(has_text="The service cannot be reached.")
    expect(problem).to_be_visible()
    voice.select_option("Rachel")
    expect(memos(page)).to_have_count(1)
    expect(problem).to_have_count(0)


@on_memory
def test_next_text_stays_when_the_limits_cannot_be_read(page: Page, site: Site) -> None:
    """After a memo the limits are read again; if that fails, the form stays with what was entered meanwhile."""
    site.sign_up()
    opened(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/v1/usage/limits", hold, times=1)
    fill_in(page, "Hello")
    with page.expect_request("**/api/v1/usage/limits"):
        page.get_by_role("button", name="Say it").click()
    expect(memos(page)).to_have_count(1)
    page.get_by_label("Text").fill("The next one")
    with page.expect_event("requestfailed"):
        held[0].abort()
    page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.get_by_label("Text")).to_have_value("The next one")
    page.get_by_role("button", name="Say it").click()
    expect(memos(page)).to_have_count(2)


@on_memory
def test_test_key_is_not_the_pages(page: Page, site: Site) -> None:
    """A test key that was made in this tab makes silence: the page uses it only if it is chosen, and states so."""
    opened_without_a_key(page, site)
    page.get_by_role("button", name="New key").click()
    page.get_by_role("dialog").get_by_label("Test").check()
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="I have copied the key").click()
    page.get_by_role("link", name="Memos").click()
    page.get_by_text("Title, format and API key").click()
    expect(page.get_by_label("API key", exact=True)).to_have_value("page")
    page.get_by_label("API key", exact=True).select_option(index=0)
    expect(page.get_by_text("A test key makes silence of the right length")).to_be_visible()


@on_memory
def test_two_tabs_share_the_pages_key(page: Page, site: Site) -> None:
    """The second tab replaces the key that the first one made meanwhile, though its own list lacks it."""
    token = site.sign_up()["token"]
    opened(page)
    other = page.context.new_page()
    other.goto("/app?view=memos")
    for tab in (page, other):
        fill_in(tab, "Hello")
        tab.get_by_role("button", name="Say it").click()
        expect(tab.get_by_text("The memo is made, with Rachel's voice.")).to_be_visible()
    with site.api(token) as session:
        keys = session.get("/api/keys").json()["keys"]
    assert [(key["name"], key["isActive"]) for key in keys] == [
        *(("Console", True), ("Console", False), ("Default Key", True)),
    ]


@on_memory
def test_long_text_is_cut_between_characters(page: Page, site: Site) -> None:
    """A character of two UTF-16 units at the cut is left out, not halved."""
    make(site, site.sign_up()["apiKey"]["key"], text="a" * 279 + "😀" * 9)
    opened(page)
    expect(memos(page)).to_contain_text("a" * 279 + "…")


@on_memory
def test_hostile_texts_and_titles_only_show(page: Page, site: Site) -> None:
    key = site.sign_up()["apiKey"]["key"]
    make(site, key, text=HOSTILE, title=HOSTILE + "x" * 150)
    opened(page)
    expect(memos(page).get_by_role("heading")).to_have_text(HOSTILE + "x" * 150)
    expect(memos(page)).to_contain_text(HOSTILE)
    expect(page.get_by_role("img")).to_have_count(0)
    memos(page).get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
    page.set_viewport_size({"width": 320, "height": 800})
    assert not scrolls_sideways(page)


@on_memory
def test_outages_leave_memos_and_words_where_they_are(page: Page, site: Site) -> None:
    """503 and a lost connection show a message; input stays; an ended session leads to the log in."""
    key = site.sign_up()["apiKey"]["key"]
    make(site, key, 21)
    opened(page)
    site.is_down = True
    page.get_by_role("button", name="Show older memos").click()
    expect(page.get_by_role("alert").filter(has_text="The service is having trouble right now.")).to_be_visible()
    fill_in(page, "Not lost")
    page.get_by_role("button", name="Say it").click()
    expect(page.get_by_role("alert").filter(has_text="having trouble")).to_have_count(2)
    memos(page).nth(0).get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("having trouble")
    page.keyboard.press("Escape")
    site.is_down = False
    page.get_by_role("button", name="Show older memos").click()
    expect(memos(page)).to_have_count(21)
    page.context.set_offline(True)
    page.get_by_role("button", name="Say it").click()
    expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    expect(page.get_by_label("Text")).to_have_value("Not lost")
    page.context.set_offline(False)
    page.context.clear_cookies()
    memos(page).nth(0).get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    expect(page.get_by_text("Hello")).to_have_count(0)
