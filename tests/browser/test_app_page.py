"""The page that mails lead to, in a headless Chromium: a caught mail's link leads through a reset to a login."""

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from shared.core.mail_settings import MailChoice, MailSettings, SmtpSecurity
from shared.core.settings import Settings
from shared.mail.smtp import SmtpMailer
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from tests.browser.test_sessions import ask
from tests.browser.test_usage_page import CHROMIUM, FLAGS, PASSWORD, PATIENCE_MS
from tests.fakes.mails import MailServer, mail_server
from tests.support import EMAIL, FakeClock, cheap_passwords
from tools.local import local_gateway

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium, or name one in the variable CHROMIUM"
)

NEW = "another battery staple"


@dataclass(frozen=True, kw_only=True)
class Site:
    url: str
    mails: MailServer

    def link(self, subject: str) -> str:
        """The link of the newest mail with this subject."""
        for envelope in reversed(self.mails.caught):
            assert isinstance(envelope.content, bytes)
            message = message_from_bytes(envelope.content, policy=policy.default)
            body = message.get_body(("plain",))
            if message["Subject"] == subject and body is not None:
                (link,) = re.findall(r"http\S+#\S+", body.get_content())
                return str(link)
        raise AssertionError(f"no mail: {subject}")


async def at_once(_: float) -> None:
    """Answer forgot-password without its wait."""


@pytest.fixture
def site() -> Iterator[Site]:
    clock = FakeClock(datetime.now(UTC))
    store, passwords = MemoryStore(clock=clock), cheap_passwords()
    with mail_server() as mails:
        choice = MailSettings(
            choice=MailChoice.SMTP,
            sender="talk@example.org",
            smtp_host="127.0.0.1",
            smtp_port=mails.port,
            smtp_security=SmtpSecurity.NONE,
        )
        mailer = SmtpMailer(choice, clock=clock)

        def build(settings: Settings) -> Services:
            return Services.on(store, settings, passwords=passwords, clock=clock, mailer=mailer, sleep=at_once)

        listening = socket.create_server(("127.0.0.1", 0))
        url = f"http://localhost:{listening.getsockname()[1]}"
        gateway = local_gateway({"PUBLIC_URL": url}, build)
        server = uvicorn.Server(uvicorn.Config(gateway, log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            thread.join(0.01)
        yield Site(url=url, mails=mails)
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{site.url}/app")
    assert ask(page, "POST", "/api/v1/auth/signup", credentials(PASSWORD))[0] == 201
    page.context.clear_cookies()
    yield page
    page.context.close()


def credentials(password: str) -> str:
    return f'{{"email": "{EMAIL}", "password": "{password}"}}'


def log_in(page: Page, password: str) -> int:
    return ask(page, "POST", "/api/v1/auth/login", credentials(password))[0]


def test_mailed_link_leads_through_a_reset_to_a_login(page: Page, site: Site) -> None:
    """The page asks for the mail, the link's page sets the password on a click, and the new one logs in."""
    page.locator("#email").fill(EMAIL)
    page.get_by_role("button", name="Send me a link").click()
    expect(page.get_by_role("status")).to_contain_text("on its way")
    link = site.link("Choose a new password")
    for _ in range(2):  # opening a link, as scanners do, changes nothing
        page.goto("about:blank")
        page.goto(link)
        expect(page.get_by_role("heading", name="Choose a new password")).to_be_visible()
        assert page.url == f"{site.url}/app", "the token is in no history"
    assert (log_in(page, PASSWORD), log_in(page, NEW)) == (200, 401)
    page.locator("#password").fill("short")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("alert")).to_contain_text("at least 8")
    page.locator("#password").fill(NEW)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("status")).to_contain_text("Password reset")
    assert (log_in(page, PASSWORD), log_in(page, NEW)) == (401, 200)
    page.goto("about:blank")
    page.goto(link)
    page.locator("#password").fill(NEW)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("alert")).to_contain_text("not good any more")


def test_mailed_link_confirms_on_a_click(page: Page, site: Site) -> None:
    """And not when it is opened."""
    page.goto("about:blank")
    page.goto(site.link("Confirm your e-mail address"))
    log_in(page, PASSWORD)
    assert '"emailVerified":false' in ask(page, "GET", "/api/v1/auth/me")[1]
    page.get_by_role("button", name="Confirm the address").click()
    expect(page.get_by_role("status")).to_contain_text("confirmed")
    assert '"emailVerified":true' in ask(page, "GET", "/api/v1/auth/me")[1]
