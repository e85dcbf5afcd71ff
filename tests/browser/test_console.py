"""The console around its views: its first request, sessions that end, outages, and addresses."""

import re
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.sites import (
    EMAIL,
    Site,
    axe_findings,
    log_in,
    needs_chromium,
    scrolls_sideways,
    serving,
    watched_page,
)

pytestmark = needs_chromium

VIEWS = ("overview", "memos", "keys", "plan", "account")
WIDTHS: Final[dict[int, Literal["dark", "light"]]] = {320: "dark", 1280: "light"}
FIRST_VIEW_BYTES = 150_000
HOSTILE_EMAIL = "'onload=alert`1`//{&lt}@example.org"

on_memory = pytest.mark.parametrize("site", ["memory"], indirect=True)


def logged_in(page: Page, site: Site, email: str = EMAIL) -> dict[str, Any]:
    signed_up = site.sign_up(email)
    log_in(page, email)
    expect(page.get_by_role("button", name="Log out", exact=True)).to_be_visible()
    return signed_up


def end_sessions(page: Page, site: Site) -> None:
    """End the page's session from outside, while the page has no request in progress."""
    page.goto("/app?view=account", wait_until="networkidle")
    expect(page.get_by_text("Not confirmed")).to_be_visible()
    (token,) = [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "auth_token"]
    with site.api(token) as api:
        api.post("/api/v1/auth/logout").raise_for_status()


@on_memory
def test_first_view_takes_one_round_and_few_bytes(page: Page, site: Site) -> None:
    """One request for the page, then one round to the API: no request follows the first answer, none is sent twice."""
    logged_in(page, site)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    sizes: list[int] = []
    devtools.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    happened: list[tuple[str, str]] = []
    page.on("request", lambda sent: happened.append(("asked", sent.url)))
    page.on("response", lambda answer: happened.append(("answered", answer.url)))
    for view in VIEWS:
        page.goto("about:blank")
        sizes.clear()
        happened.clear()
        page.goto(f"/app?view={view}", wait_until="networkidle")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        asked = [url for what, url in happened if what == "asked" and "/api/" in url]
        first_answer = happened.index(next(one for one in happened if one[0] == "answered" and "/api/" in one[1]))
        assert [url for what, url in happened[first_answer:] if what == "asked"] == [], view
        assert len(asked) == len(set(asked)), view
        assert 0 < sum(sizes) < FIRST_VIEW_BYTES, (view, sizes)


@on_memory
def test_address_with_names_of_objects_shows_the_overview(page: Page, site: Site) -> None:
    """A view or figure that is named as a part of every object is unknown, and the page shows the first ones."""
    with site.api(logged_in(page, site)["apiKey"]["key"]) as api:
        api.post("/api/v1/memo", json={"text": "Hello", "voice": "adam"}).raise_for_status()
    page.goto("/app?view=constructor&measure=constructor")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_role("button", name="Memos 1")).to_have_attribute("aria-pressed", "true")


@on_memory
def test_own_views_have_no_findings_and_fit_a_phone(page: Page, site: Site) -> None:
    """axe-core finds nothing in keys, plan and account, dark at 320 pixels and light at 1280; none scrolls sideways."""
    logged_in(page, site)
    for view, part in (("keys", "Default Key"), ("plan", "Hobby"), ("account", "Password")):
        page.goto(f"/app?view={view}")
        expect(page.get_by_role("heading", name=part, exact=False).first).to_be_visible()
        for width, scheme in WIDTHS.items():
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            assert axe_findings(page) == [], (view, width)
            assert not scrolls_sideways(page), (view, width)


@on_memory
def test_keys_and_plan_have_the_tree_that_readers_hear(page: Page, site: Site) -> None:
    """The accessibility tree has these roles, names and order."""
    logged_in(page, site)
    page.get_by_role("link", name="Keys").click()
    expect(page.locator("body")).to_match_aria_snapshot("""
      - link "Skip to the content"
      - banner:
        - button "Log out"
        - navigation "Views":
          - link "Overview"
          - link "Memos"
          - link "Keys"
          - link "Plan"
          - link "Account"
      - main:
        - heading "API keys" [level=1]
        - button "New key"
        - paragraph:
          - text: 1 of 2 active keys on the Hobby plan.
          - link "The API in twenty lines (a new tab)"
        - list:
          - listitem:
            - heading "Default Key" [level=2]
            - code: /at_live_/
            - paragraph: /Not used yet Made .*/
            - button "Change Default Key"
            - button "Rotate Default Key"
            - button "Revoke Default Key"
    """)
    expect(page.get_by_role("link", name="Keys")).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Plan", exact=True).click()
    expect(page.get_by_role("main")).to_match_aria_snapshot("""
      - main:
        - heading "Plan" [level=1]
        - paragraph: Plans cannot be bought here
        - status: /This service takes no payments/
        - list:
          - listitem:
            - heading "Hobby Your plan" [level=2]
          - listitem:
            - heading "Pro" [level=2]
          - listitem:
            - heading "Enterprise" [level=2]
            - button "Ask for an offer"
    """)


def test_session_that_ended_leads_back_to_the_same_view(page: Page, site: Site) -> None:
    """A status, not an alert, reports it, at the next request and on arrival. Logging in leads back to the view."""
    logged_in(page, site)
    for arrives in (False, True):
        end_sessions(page, site)
        if arrives:
            page.goto("/app?view=keys")
        else:
            page.get_by_role("link", name="Keys").click()
        expect(page.get_by_text("Your session has ended. Log in to go on where you were.")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_text("")
        assert EMAIL not in page.content()
        page.get_by_label("E-mail address").fill(EMAIL)
        page.get_by_label("Password", exact=True).fill("correct horse battery")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="API keys")).to_be_visible()


@on_memory
def test_back_after_logout_shows_nothing(page: Page, site: Site) -> None:
    """The back button shows nothing in the page, from the browser's cache of pages, or in another tab."""
    logged_in(page, site)
    other = page.context.new_page()
    other.goto(f"{site.url}/app?view=account")
    expect(other.get_by_text("Not confirmed")).to_be_visible()
    page.get_by_role("link", name="Account").click()
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("heading", name="Default Key")).to_be_visible()
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    expect(other.get_by_text("You are logged out.")).to_be_visible()
    assert EMAIL not in other.content()
    for _ in range(2):
        page.go_back()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert EMAIL not in page.content()
        assert "Default Key" not in page.content()


@on_memory
def test_page_from_the_browsers_cache_asks_anew(page: Page, site: Site) -> None:
    """Browsers that cache whole pages may show one from before a logout: its content disappears immediately.

    Chromium caches no page with no-store, so the test dispatches the event.
    """
    logged_in(page, site)
    end_sessions(page, site)
    comes_back = "window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
    at_once = "new Promise(done => setTimeout(() => done(document.body.innerText)))"
    assert EMAIL not in page.evaluate(f"{comes_back}; {at_once}")
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    assert EMAIL not in page.content()


@on_memory
def test_session_is_known_by_its_cookie_alone(page: Page, site: Site) -> None:
    """Whatever the browser stores, the server marks the page of a request with a session."""
    logged_in(page, site)
    page.evaluate("localStorage.clear()")
    page.goto("/app?view=account")
    expect(page.get_by_text(EMAIL).first).to_be_visible()


def test_outage_is_said_and_can_be_tried_again(page: Page, site: Site) -> None:
    """An outage shows on arrival instead of the page, later instead of the view, and ends no session."""
    logged_in(page, site)
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("heading", name="Default Key")).to_be_visible()
    page.get_by_role("link", name="Account").click()
    site.is_down = True
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("alert")).to_contain_text("The service is having trouble right now.")
    page.reload()
    expect(page.get_by_role("heading", name="The console cannot be shown now")).to_be_visible()
    site.is_down = False
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Default Key")).to_be_visible()


@on_memory
def test_lost_connection_is_said_and_nothing_is_lost(page: Page, site: Site) -> None:
    """Without a connection a form keeps its input, and a view offers to try again."""
    logged_in(page, site)
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill("Laptop")
    page.context.set_offline(True)
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(
        "The service cannot be reached. Check your connection, and try again."
    )
    page.context.set_offline(False)
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("heading", name="Laptop")).to_be_visible()
    page.get_by_role("button", name="I have copied the key").click()
    page.context.set_offline(True)
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="The service cannot be reached.")).to_be_visible()
    page.get_by_role("link", name="Plan", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Pro", exact=True)).to_be_visible()


@on_memory
def test_late_refusal_says_nothing_of_the_next_session(page: Page, site: Site) -> None:
    """An answer to a request of the previous session that arrives after the next login ends no session."""
    logged_in(page, site)
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/keys", hold_first)
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("heading", name="API keys")).to_be_visible()
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out", exact=True)).to_be_visible()
    refusal = {"error": {"code": "INVALID_API_KEY", "message": "Invalid session or API key"}}
    with page.expect_response(lambda answer: answer.status == 401):
        held[0].fulfill(status=401, json=refusal)
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_text("Not confirmed")).to_be_visible()


@on_memory
def test_hostile_address_only_shows(page: Page, site: Site) -> None:
    """An e-mail address with characters of markup is a text in every view."""
    logged_in(page, site, HOSTILE_EMAIL)
    for view in VIEWS:
        page.goto(f"/app?view={view}&range=<script>&key=%22%3E&voice=`")
        expect(page.get_by_text(HOSTILE_EMAIL).first).to_be_visible()
        expect(page).to_have_title(re.compile(r" · Agent Talk$"))


@on_memory
def test_addresses_lead_back_and_forward(page: Page, site: Site) -> None:
    """Each view has an address; the browser's own buttons work, and the heading takes the focus."""
    logged_in(page, site)
    for name in ("Memos", "Plan", "Account"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        expect(page).to_have_title(f"{name} · Agent Talk")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plan")
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_have_text("Account")
    page.keyboard.press("Tab")
    page.goto("/usage")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_console_works_below_a_stage(browser: Browser) -> None:
    """Every address of the page is relative, so it works at API Gateway's own address, `/prod/app`."""
    with serving(stage="/prod") as site, watched_page(browser, site) as page:
        site.sign_up()
        page.goto(f"{site.url}/usage")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert page.url == f"{site.url}/app"
        page.get_by_label("E-mail address").fill(EMAIL)
        page.get_by_label("Password", exact=True).fill("correct horse battery")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Keys").click()
        expect(page.get_by_role("heading", name="Default Key")).to_be_visible()
        assert page.url == f"{site.url}/app?view=keys"
        page.reload()
        expect(page.get_by_role("heading", name="Default Key")).to_be_visible()


@on_memory
def test_policy_refuses_what_texts_could_become(browser: Browser, site: Site) -> None:
    """The browser refuses markup, code and script addresses from a text, and a policy that would allow them."""
    page = browser.new_page(base_url=site.url)
    page.goto("/app")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    refused = """[
      () => { document.body.innerHTML = "<b>text</b>"; },
      () => { document.createElement("script").text = "1"; },
      () => { document.createElement("script").src = "https://example.org/a.js"; },
      () => { trustedTypes.createPolicy("own", {createHTML: text => text}); },
    ].map(attempt => { try { attempt(); return "done"; } catch (error) { return error.name; } })"""
    assert page.evaluate(refused) == ["TypeError"] * 4
    page.context.close()
