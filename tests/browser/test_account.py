"""The account in the console: its address, password, sessions, export, and end."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.sites import EMAIL, PASSWORD, Site, log_in, needs_chromium

pytestmark = needs_chromium

NEW = "another battery staple"


@pytest.fixture
def token(page: Page, site: Site) -> str:
    """Return another session of the page's owner."""
    token: str = site.sign_up()["token"]
    log_in(page)
    page.get_by_role("link", name="Account").click()
    return token


def test_address_is_confirmed_by_a_link_sent_again(page: Page, site: Site, token: str) -> None:
    """Opening the link changes nothing; the button confirms the address, and the account shows it."""
    expect(page.get_by_text("Not confirmed")).to_be_visible()
    page.get_by_role("button", name="Send the link again").click()
    expect(page.get_by_role("status").filter(has_text=f"A link is on its way to {EMAIL}.")).to_be_visible()
    assert len(site.mails.to(EMAIL, "verify")) == 2
    page.goto(site.link("verify"))
    expect(page.get_by_role("heading", name="Confirm your e-mail address")).to_be_visible()
    assert page.url == f"{site.url}/app", "the token is in no history"
    with site.api(token) as api:
        assert api.get("/api/v1/auth/me").json()["user"]["emailVerified"] is False
        page.get_by_role("button", name="Confirm the address").click()
        expect(page.get_by_role("heading", name="Your e-mail address is confirmed.")).to_be_focused()
        assert api.get("/api/v1/auth/me").json()["user"]["emailVerified"] is True
    page.get_by_role("button", name="Go to the console").click()
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_text("Confirmed", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Send the link again")).to_have_count(0)
    page.goto(site.link("verify"))
    page.get_by_role("button", name="Confirm the address").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("This link does not work any more")


def test_password_change_ends_other_sessions_only(page: Page, site: Site, token: str) -> None:
    """An error appears at its field; this session stays, and the new password logs in."""
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_label("Current password", exact=True)).to_be_focused()
    expect(page.get_by_label("New password", exact=True)).to_have_accessible_description(
        "At least 8 characters. Choose a password."
    )
    page.get_by_label("Current password", exact=True).fill("not the password")
    page.get_by_label("New password", exact=True).fill("short")
    page.keyboard.press("Enter")
    expect(page.get_by_label("New password", exact=True)).to_have_accessible_description(
        "At least 8 characters. A password has at least 8 characters."
    )
    page.get_by_label("New password", exact=True).fill(NEW)
    page.keyboard.press("Enter")
    current = page.get_by_label("Current password", exact=True)
    expect(current).to_have_accessible_description("This is not your current password.")
    expect(current).to_be_focused()
    current.fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="every other session has ended")).to_be_visible()
    expect(current).to_have_value("")
    with site.api(token) as api:
        assert api.get("/api/v1/auth/me").status_code == 401
    page.reload()
    expect(page.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    page.get_by_role("button", name="Log out on this device").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    log_in(page, password=NEW)
    expect(page.get_by_role("button", name="Log out", exact=True)).to_be_visible()


def test_export_is_a_file_of_all_parts(page: Page, token: str, tmp_path: Path) -> None:
    """The file has a line of JSON for the account, its key and its log, and no session token."""
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download my data").click()
    downloading.value.save_as(tmp_path / "export")
    lines = (tmp_path / "export").read_text().splitlines()
    assert EMAIL in lines[0]
    assert len([json.loads(line) for line in lines]) >= 3
    assert token not in "".join(lines)
    assert downloading.value.suggested_filename.startswith("agent-talk-account-20")


def test_account_is_closed_with_its_password(page: Page, site: Site, token: str) -> None:
    """Closing requires the right password. Afterwards both sessions have ended, and the page shows no data."""
    page.get_by_role("button", name="Close the account").click()
    dialog = page.get_by_role("dialog", name="Close your account for good?")
    dialog.get_by_label("Your password", exact=True).fill("not the password")
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("Your password", exact=True)).to_have_accessible_description(
        "This is not your current password."
    )
    dialog.get_by_label("Your password", exact=True).fill(PASSWORD)
    dialog.get_by_role("button", name="Close my account").click()
    expect(page.get_by_text("Your account is closed.")).to_be_visible()
    with site.api(token) as api:
        assert api.get("/api/v1/auth/me").status_code == 401
    page.go_back()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert EMAIL not in page.content()
