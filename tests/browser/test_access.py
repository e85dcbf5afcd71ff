"""Access in a headless Chromium: sign up, log in, a new password, and the links of mails."""

import subprocess

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.sites import (
    EMAIL,
    PASSWORD,
    Site,
    axe_findings,
    log_in,
    needs_chromium,
    scrolls_sideways,
    stay,
)

pytestmark = needs_chromium

NEW = "another battery staple"


def test_sign_up_shows_the_key_once_and_a_curl_that_runs(page: Page, site: Site) -> None:
    """A new visitor's page sends no request; the first key is shown once, and the command next to it makes a memo."""
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    page.goto("/app")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert asked == [f"{site.url}/app"]
    page.get_by_role("button", name="Create an account").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.get_by_label("E-mail address").fill("ada")
    page.get_by_label("Password", exact=True).fill("short")
    page.keyboard.press("Enter")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    expect(page.get_by_label("Password", exact=True)).to_have_accessible_description(
        "At least 8 characters. A password has at least 8 characters."
    )
    expect(page.get_by_label("E-mail address")).to_have_accessible_description(
        "This is not an e-mail address: it looks like name@example.org."
    )
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account is ready")
    command = page.get_by_role("group", name="command").inner_text()
    made = subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=True, text=True)  # noqa: S603 the page's own command
    assert '"status":"ready"' in made.stdout
    expect(page.get_by_role("link", name="The API in twenty lines")).to_have_attribute("href", f"{site.url}/llms.txt")
    key = page.get_by_role("group", name="Your first API key").inner_text()
    assert key.startswith("at_live_")
    expect(page.get_by_role("navigation")).to_have_count(0)
    stay(page)
    page.once("dialog", lambda question: question.dismiss())
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account is ready")
    page.get_by_role("button", name="I have copied the key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Memos")
    expect(page.get_by_text(key)).to_have_count(0)
    page.reload()
    expect(page.get_by_text(EMAIL)).to_be_visible()
    assert key not in page.content()


@pytest.mark.parametrize("site", ["memory"], indirect=True)
def test_log_in_says_what_is_wrong_and_log_out_hides_all(page: Page, site: Site) -> None:
    """A wrong password is refused at the form; after a logout the back button shows nothing of the account."""
    site.sign_up()
    log_in(page, password="not the password")
    expect(page.get_by_role("alert")).to_have_text("The e-mail address or the password is wrong.")
    log_in(page)
    expect(page.get_by_text(EMAIL)).to_be_visible()
    page.goto("/app?view=account")
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_accessible_description("You are logged out.")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert EMAIL not in page.content()


def test_forgotten_password_is_set_by_a_mailed_link(page: Page, site: Site) -> None:
    """Opening the link twice, as scanners do, changes nothing; the new password logs in, and the link works once."""
    token = site.sign_up()["token"]
    page.goto("/app")
    page.get_by_role("button", name="Forgot your password?").click()
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Look into your inbox")).to_be_focused()
    expect(page.get_by_role("status").first).to_contain_text(f"If there is an account with {EMAIL}")
    link = site.link("reset")
    for _ in range(2):
        page.goto("about:blank")
        page.goto(link)
        expect(page.get_by_role("heading", name="Choose a new password")).to_be_visible()
        assert page.url == f"{site.url}/app", "the token is in no history"
    with site.api(token) as api:
        assert api.get("/api/v1/auth/me").status_code == 200
    page.get_by_label("New password", exact=True).fill("short")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_label("New password", exact=True)).to_be_focused()
    page.get_by_label("New password", exact=True).fill(NEW)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_text("Password reset. Log in with the new one.")).to_be_visible()
    with site.api(token) as api:
        assert api.get("/api/v1/auth/me").status_code == 401
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(NEW)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out", exact=True)).to_be_visible()
    page.goto(link)
    page.get_by_label("New password", exact=True).fill(NEW)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("This link does not work any more")
    page.get_by_role("button", name="Ask for a new link").click()
    expect(page.get_by_role("button", name="Send the link")).to_be_visible()


@pytest.mark.parametrize("site", ["memory"], indirect=True)
def test_forms_help_password_managers_and_screen_readers(page: Page) -> None:
    """Fields have their purpose and labels in the accessibility tree; axe finds nothing, light or dark."""
    page.goto("/app")
    expect(page.get_by_label("E-mail address")).to_have_attribute("autocomplete", "username")
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("autocomplete", "current-password")
    expect(page.locator("body")).to_match_aria_snapshot("""
      - link "Skip to the content"
      - banner: Agent Talk
      - main:
        - heading "Log in" [level=1]
        - paragraph: Text in, speech out, for your agents and programs.
        - form "Log in":
          - text: E-mail address
          - textbox "E-mail address"
          - text: Password
          - textbox "Password"
          - button "Show password"
          - button "Log in"
        - paragraph:
          - button "Forgot your password?"
        - paragraph: New here?
        - button "Create an account"
    """)
    page.get_by_role("button", name="Show password").click()
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("type", "text")
    for way in ("Create an account", None):
        if way is not None:
            page.get_by_role("button", name=way).click()
            page.get_by_role("button", name=way).click()
            expect(page.get_by_label("Password", exact=True)).to_have_attribute("autocomplete", "new-password")
        page.set_viewport_size({"width": 320, "height": 640})
        assert not scrolls_sideways(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert axe_findings(page) == []


@pytest.mark.parametrize("site", ["memory"], indirect=True)
def test_too_many_attempts_say_when_to_try_again(page: Page, site: Site) -> None:
    """After ten wrong passwords the right one is refused, with the time until the next attempt."""
    site.clock.at = site.clock.at.replace(minute=0, second=0, microsecond=0)
    site.sign_up()
    wrong = {"email": EMAIL, "password": "not the password"}
    with site.api() as api:
        assert [api.post("/api/v1/auth/login", json=wrong).status_code for _ in range(10)] == [401] * 10
    log_in(page)
    expect(page.get_by_role("alert")).to_have_text("Too many attempts. Try again in 15\u00a0minutes.")


@pytest.mark.parametrize("site", ["memory"], indirect=True)
def test_button_says_that_it_works_and_sends_once(page: Page, site: Site) -> None:
    """Until the answer arrives, further presses send no request."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/v1/auth/signup", hold)
    page.goto("/app")
    page.get_by_role("button", name="Create an account").click()
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Creating your account…")
    expect(button).to_have_attribute("aria-disabled", "true")
    button.click(force=True)
    page.keyboard.press("Enter")
    (sent,) = held
    sent.continue_()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account is ready")
    assert len(site.mails.to(EMAIL, "verify")) == 1


@pytest.mark.parametrize("site", ["memory"], indirect=True)
def test_sign_up_with_a_taken_address_says_so_at_it(page: Page, site: Site) -> None:
    """The field's description has a remedy, and the log-in form keeps the address."""
    site.sign_up()
    page.goto("/app")
    page.get_by_role("button", name="Create an account").click()
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_label("E-mail address")).to_have_accessible_description(
        "There is an account with this address already. Log in, or ask for a new password."
    )
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("E-mail address")).to_have_value(EMAIL)


@pytest.mark.parametrize("site", ["memory"], indirect=True)
def test_new_link_in_the_same_tab_is_a_new_form(page: Page, site: Site) -> None:
    """A link that follows another one without a new page shows its own form, of the other kind too."""
    site.sign_up()
    with site.api() as api:
        api.post("/api/v1/auth/forgot-password", json={"email": EMAIL}).raise_for_status()
    page.goto("/app#verify=an.old.link")
    page.get_by_role("button", name="Confirm the address").click()
    expect(page.get_by_role("heading", name="This link does not work any more")).to_be_visible()
    page.goto(site.link("verify"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your e-mail address")
    page.goto(site.link("reset"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose a new password")


@pytest.mark.parametrize("site", ["memory"], indirect=True)
def test_login_of_another_tab_shows_no_key_of_the_first(page: Page, site: Site) -> None:
    """A tab whose browser has become another user's shows nothing of the first one, also not a key to be copied."""
    site.sign_up()
    site.sign_up("bob@example.org")
    with site.api() as api:
        api.post("/api/v1/auth/forgot-password", json={"email": "bob@example.org"}).raise_for_status()
    log_in(page)
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="New key").click()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("heading", name="Copy your new key now")).to_be_visible()
    other = page.context.new_page()
    other.goto(site.link("reset", "bob@example.org"))
    other.get_by_label("New password", exact=True).fill(NEW)
    other.get_by_role("button", name="Set the password").click()
    other.get_by_label("E-mail address").fill("bob@example.org")
    other.get_by_label("Password", exact=True).fill(NEW)
    other.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("bob@example.org")).to_be_visible()
    expect(page.get_by_role("heading", name="API keys")).to_be_visible()
    expect(page.get_by_role("heading", name="Copy your new key now")).to_have_count(0)
