"""API keys in the console: made, changed, rotated and revoked, and a secret that is shown once."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.sites import Site, axe_findings, log_in, needs_chromium, stay

pytestmark = needs_chromium

on_memory = pytest.mark.parametrize("site", ["memory"], indirect=True)

HOSTILE = '"><img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'


@pytest.fixture
def token(page: Page, site: Site) -> str:
    """Return a session of the page's owner."""
    token: str = site.sign_up()["token"]
    log_in(page)
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("heading", name="API keys")).to_be_focused()
    return token


def keys_of(site: Site, token: str) -> list[dict[str, Any]]:
    with site.api(token) as api:
        keys: list[dict[str, Any]] = api.get("/api/keys").json()["keys"]
    return keys


def test_key_is_made_with_scopes_limits_and_end(page: Page, site: Site, token: str) -> None:
    """The API has the values chosen in the dialog, and the secret disappears once it is copied."""
    page.get_by_role("button", name="New key").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="New API key")
    expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type(HOSTILE)
    dialog.get_by_label("Read usage").uncheck()
    dialog.get_by_text("Limits and last day").click()
    dialog.get_by_label("Memos a day", exact=True).fill("50")
    dialog.get_by_label("Last day").fill("2099-12-31")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Copy your new key now")).to_be_focused()
    secret = page.get_by_role("group", name="key").inner_text()
    made = keys_of(site, token)[0]
    assert (made["name"], made["scopes"]) == (HOSTILE, ["memo:write", "memo:read"])
    assert made["limits"] == {"memosPerDay": 50, "charactersPerDay": None, "charactersPerMonth": None}
    assert made["expiresAt"].startswith("2100-01-01T00:00")
    with site.api(secret) as api:
        assert api.post("/api/v1/memo", json={"text": "Hello", "voice": "adam"}).status_code == 201
    stay(page)
    page.get_by_role("link", name="Plan", exact=True).click()
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("group", name="key")).to_have_text(secret)
    page.get_by_role("button", name="I have copied the key").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert secret not in page.content()
    page.reload()
    row = page.get_by_role("listitem").filter(has_text="at_live_***").first
    expect(row).to_contain_text(HOSTILE)
    expect(row).to_contain_text("1 of 50\u00a0memos today")
    expect(row).to_contain_text("Only: make, retitle and delete memos; read memos")
    expect(row).to_contain_text("last used ")
    assert page.title() == "API keys · Agent Talk", "a hostile name only shows"


@on_memory
def test_all_that_is_wrong_with_a_key_is_said(page: Page, token: str) -> None:
    """Each problem is described at its field or group, also in a folded part; the first one takes the focus."""
    assert token
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New API key")
    dialog.get_by_text("Limits and last day").click()
    wrong = {"Memos a day": "0", "Characters a day": "many"}
    for label, value in wrong.items():
        dialog.get_by_label(label, exact=True).fill(value)
    dialog.get_by_text("Limits and last day").click()
    for scope in dialog.get_by_role("checkbox").all():
        scope.uncheck()
    dialog.get_by_role("button", name="Make the key").click()
    expect(dialog.get_by_role("checkbox").first).to_be_focused()
    permissions = dialog.get_by_role("group", name="It may")
    expect(permissions).to_have_accessible_description("A key needs at least one permission.")
    permissions.get_by_label("Read memos").check()
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("Memos a day", exact=True)).to_be_focused()
    for label in wrong:
        expect(dialog.get_by_label(label, exact=True)).to_have_accessible_description(
            "A limit is a whole number from 1, or empty."
        )
    assert axe_findings(page) == []


def test_key_is_changed_rotated_and_revoked(page: Page, site: Site, token: str) -> None:
    """Each action asks for a confirmation, Escape changes nothing, and the API has the same state as the page."""
    page.get_by_role("button", name="Change Default Key").click()
    page.get_by_label("Name", exact=True).fill("Laptop")
    page.get_by_label("Characters a month").fill("1000")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Laptop")).to_be_visible()
    assert keys_of(site, token)[0]["limits"]["charactersPerMonth"] == 1000
    page.get_by_role("button", name="Rotate Laptop").click()
    page.get_by_label("The old key").select_option("works for 1 hour more")
    page.get_by_role("button", name="Make the new key").click()
    expect(page.get_by_text("It replaces at_live_***")).to_be_visible()
    expect(page.get_by_text("Replaced, works until")).to_be_visible()
    new, old = keys_of(site, token)
    assert (old["rotatedTo"], old["isActive"], new["limits"]) == (new["id"], True, old["limits"])
    expect(page.get_by_text("Your plan has 2\u00a0active keys, and all are in use.")).to_be_visible()
    page.get_by_role("button", name="New key").click()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("alert").filter(has_text="Maximum number of API keys (2) reached.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Revoke Laptop").first.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Revoke Laptop").first).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_role("status").filter(has_text="Laptop is revoked.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert [key["isActive"] for key in keys_of(site, token)] == [False, True]
    page.get_by_text("1\u00a0key that has ended").click()
    expect(page.get_by_text("Revoked", exact=True)).to_be_visible()


@on_memory
def test_change_of_a_key_is_what_was_changed(page: Page, site: Site, token: str) -> None:
    """A new name leaves limits that another tab set, is no log of limits, and is possible beside the largest limit."""
    path = f"/api/keys/{keys_of(site, token)[0]['id']}"
    with site.api(token) as api:
        for name, limit in (("Laptop", 5), ("Desk", 2**53)):
            page.get_by_role("button", name=re.compile("^Change")).click()
            api.patch(path, json={"limits": {"memosPerDay": limit}}).raise_for_status()
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_role("button", name="Save").click()
            expect(page.get_by_role("heading", name=name)).to_be_visible()
            assert keys_of(site, token)[0]["limits"]["memosPerDay"] == limit
        page.get_by_role("button", name="Change Desk").click()
        page.get_by_label("Name", exact=True).fill("Shelf")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Shelf")).to_be_visible()
        page.get_by_role("button", name="Change Shelf").click()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        logs = api.get("/api/v1/usage", params={"action": "key_limited"}).json()["logs"]
    assert len(logs) == 2


@on_memory
def test_key_past_its_end_is_not_said_to_have_ended(page: Page, site: Site, token: str) -> None:
    """A key past its end may have been revoked before. The API does not reveal which, so the text fits both."""
    with site.api(token) as api:
        key = api.post("/api/keys", json={"name": "Short", "expiresAt": "2099-01-01"}).raise_for_status().json()["key"]
        api.post(f"/api/keys/{key['id']}/revoke").raise_for_status()
    for now, state in (("2098-01-01", "Revoked"), ("2100-01-01", "Off, its end was Jan 2, 2099")):
        page.clock.set_fixed_time(now)
        page.reload()
        page.get_by_text("1\u00a0key that has ended").click()
        expect(page.get_by_role("heading", name="Short")).to_have_text(f"Short {state}")
