"""The way in, in a headless Chromium: sign up, log in, a new password, and the links of mails."""

import subprocess

import pytest
from playwright.sync_api import Page, expect

from tests.browser.sites import EMAIL, PASSWORD, Site, log_in, needs_chromium

pytestmark = needs_chromium

NEW = "another battery staple"


def test_sign_up_shows_the_key_once_and_a_curl_that_runs(page: Page, site: Site) -> None:
    """A newcomer's page asks for nothing; the first key is shown once, and the command beside it makes a memo."""
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    page.goto("/app")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert asked == [f"{site.url}/app"]
    page.get_by_role("button", name="Create an account").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.get_by_label("E-mail address").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    expect(page.get_by_label("E-mail address")).to_have_accessible_description(
        "This is not an e-mail address: it looks like name@example.org."
    )
    page.get_by_label("E-mail address").fill(EMAIL)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account is ready")
    command = page.get_by_role("group", name="command").inner_text()
    made = subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=True, text=True)  # noqa: S603 the page's own command
    assert '"status":"ready"' in made.stdout
    key = page.get_by_role("group", name="Your first API key").inner_text()
    assert key.startswith("at_live_")
    page.get_by_role("button", name="I have copied the key").click()
    expect(page.get_by_text(key)).to_have_count(0)
    page.reload()
    expect(page.get_by_text(EMAIL)).to_be_visible()
    assert key not in page.content()


@pytest.mark.parametrize("site", ["memory"], indirect=True)
def test_log_in_says_what_is_wrong_and_log_out_hides_all(page: Page, site: Site) -> None:
    """A wrong password is refused beside the form; after a logout, going back shows nothing of the account."""
    site.sign_up()
    log_in(page, password="not the password")
    expect(page.get_by_role("alert")).to_have_text("The e-mail address or the password is wrong.")
    log_in(page)
    expect(page.get_by_text(EMAIL)).to_be_visible()
    page.goto("/app?view=account")
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert EMAIL not in page.content()
