"""Sessions in a headless Chromium: other sites, several cookies, and the page after a logout."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import uvicorn
from playwright.sync_api import Browser, Page

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.web.middleware import Receive, Scope, Send
from tests.browser.sites import PASSWORD, PATIENCE_MS, needs_chromium
from tests.support import FakeClock, cheap_passwords
from tools.local import local_gateway

pytestmark = needs_chromium

VICTIM = "victim@example.org"
ATTACKER = "attacker@example.org"


@dataclass(frozen=True, kw_only=True)
class Sites:
    """The API at `api.localhost`, and any page at a sibling host, both on this machine."""

    port: int
    page: dict[str, str]

    @property
    def api(self) -> str:
        return f"http://api.localhost:{self.port}"

    @property
    def evil(self) -> str:
        return f"http://evil.localhost:{self.port}/page"


@pytest.fixture
def sites() -> Iterator[Sites]:
    """Serve the local gateway on every host name, and the attacker's page at /page."""
    clock = FakeClock(datetime.now(UTC))
    store, passwords, page = MemoryStore(clock=clock), cheap_passwords(), {"html": ""}

    def build(settings: Settings) -> Services:
        return Services.on(store, settings, passwords=passwords, clock=clock)

    gateway = local_gateway({}, build)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/page":
            await gateway(scope, receive, send)
            return
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page["html"].encode()})

    server = uvicorn.Server(uvicorn.Config(serve, port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    (listening,) = server.servers
    yield Sites(port=listening.sockets[0].getsockname()[1], page=page)
    server.should_exit = True
    thread.join()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    page.context.close()


def ask(page: Page, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    """Send a request from the open page to its own host, with its cookies. Returns status and body."""
    asks = "async ([method, path, body]) => { const r = await fetch(path, {method, body}); %s }"
    answer: list[object] = page.evaluate(asks % "return [r.status, await r.text()]", [method, path, body])
    return int(str(answer[0])), str(answer[1])


def credentials(email: str) -> str:
    return f'{{"email": "{email}", "password": "{PASSWORD}"}}'


def signed_in(page: Page, sites: Sites) -> None:
    """Sign the victim up on the API's own origin; the attacker has an account too."""
    page.goto(f"{sites.api}/app")
    assert ask(page, "POST", "/api/v1/auth/signup", credentials(ATTACKER))[0] == 201
    assert ask(page, "POST", "/api/v1/auth/signup", credentials(VICTIM))[0] == 201


def who(page: Page, sites: Sites) -> str:
    page.goto(f"{sites.api}/app")
    status, text = ask(page, "GET", "/api/v1/auth/me")
    return text if status == 200 else str(status)


@pytest.mark.parametrize("path", ["login", "logout"])
def test_form_of_another_site_changes_no_session(page: Page, sites: Sites, path: str) -> None:
    """A plain form with enctype=text/plain, which no preflight guards, signs the victim neither in nor out."""
    signed_in(page, sites)
    name = credentials(ATTACKER).removesuffix("}").replace('"', "&quot;") + ", &quot;x&quot;: &quot;"
    sites.page["html"] = (
        f'<form method="post" enctype="text/plain" action="{sites.api}/api/v1/auth/{path}">'
        f'<input name="{name}" value="&quot;}}"></form><script>document.forms[0].submit()</script>'
    )
    with page.expect_response(f"**/api/v1/auth/{path}") as answered:
        page.goto(sites.evil, wait_until="commit")
    page.wait_for_url(f"**/api/v1/auth/{path}")
    assert answered.value.status == 200, "the form was sent and understood"
    assert VICTIM in who(page, sites)


def test_sibling_site_makes_no_key(page: Page, sites: Sites) -> None:
    """A page of a sibling host, whose requests have the cookie despite SameSite=Lax, acts for no user."""
    signed_in(page, sites)
    sites.page["html"] = "<title>evil</title>"
    page.goto(sites.evil)
    with page.expect_response("**/api/keys") as answered:
        page.evaluate(
            "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'}).catch(() => 0)",
            f"{sites.api}/api/keys",
        )
    assert answered.value.status == 401
    page.goto(f"{sites.api}/app")
    assert ask(page, "GET", "/api/keys")[1].count('"maskedKey"') == 1


def test_planted_cookie_takes_over_no_session(page: Page, sites: Sites) -> None:
    """Two valid sessions, one planted for a longer path, are refused. A stale planted one does not lock the user
    out."""
    signed_in(page, sites)
    page.context.add_cookies([{"name": "auth_token", "value": "stale", "url": f"{sites.api}/api/"}])
    assert VICTIM in who(page, sites)
    own = {cookie["path"]: cookie["value"] for cookie in page.context.cookies(f"{sites.api}/api/")}["/"]
    page.context.clear_cookies()
    page.goto(f"{sites.api}/app")
    ask(page, "POST", "/api/v1/auth/login", credentials(ATTACKER))
    (planted,) = [cookie["value"] for cookie in page.context.cookies(sites.api)]
    page.context.clear_cookies()
    for value, path in ((planted, "/api/"), (own, "/")):
        page.context.add_cookies([{"name": "auth_token", "value": value, "url": f"{sites.api}{path}"}])
    assert who(page, sites) == "401"


def test_back_after_logout_shows_no_account(page: Page, sites: Sites) -> None:
    """Answers are not cached, so the back button sends the request again, which is refused."""
    signed_in(page, sites)
    page.goto(f"{sites.api}/api/v1/auth/me")
    assert VICTIM in page.content()
    page.goto(f"{sites.api}/app")
    assert ask(page, "POST", "/api/v1/auth/logout")[0] == 200
    page.go_back()
    assert VICTIM not in page.content()
    assert "MISSING_API_KEY" in page.content()
