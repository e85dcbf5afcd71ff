"""The console's world: the local gateway on a port, with caught mails and a fake Stripe, and pages without errors."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.port import Store, StoreUnavailable
from shared.web.middleware import App, Receive, Scope, Send
from tests.fakes.mails import CaughtMails
from tests.fakes.stripe_network import StripeTransport
from tests.fakes.stripe_server import FakeStripe
from tests.fakes.stripe_world import stripe_at
from tests.handlers.stores import STORES
from tests.support import FakeClock, cheap_passwords
from tools.local import local_gateway

CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium: Final = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium, or name one in the variable CHROMIUM"
)
FLAGS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS: Final = 15_000  # for a busy machine
EMAIL: Final = "ada@example.org"
PASSWORD: Final = "correct horse battery"
TLS: Final = httpx.create_ssl_context()
"""An unused TLS context: without it each client would read all certificates, which takes 50 ms."""

AXE: Final = Path(__file__).parent / "vendor" / "axe.min.js"


@dataclass(kw_only=True)
class Site:
    """A running gateway to all functions. `is_down` makes the store unreachable; the clock stands still."""

    url: str
    clock: FakeClock
    mails: CaughtMails = field(default_factory=CaughtMails)
    stripe: FakeStripe
    is_down: bool = False

    def sign_up(self, email: str = EMAIL, password: str = PASSWORD) -> dict[str, Any]:
        """Open an account without the browser. Returns the answer."""
        with self.api() as api:
            answer = api.post("/api/v1/auth/signup", json={"email": email, "password": password})
        signed_up: dict[str, Any] = answer.raise_for_status().json()
        return signed_up

    def api(self, token: str = "") -> httpx.Client:
        """Return a client of the API, with a session's token or a key; "": with neither."""
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {token}"} if token else {}, verify=TLS
        )

    def deliver_stripe(self) -> None:
        """Deliver every event that Stripe has had so far: each takes effect once."""
        for event in self.stripe.objects.events:
            body, signature = self.stripe.signed(event)
            with self.api() as api:
                headers = {"stripe-signature": signature}
                api.post("/api/webhooks/stripe", content=body, headers=headers).raise_for_status()

    def link(self, kind: str, to: str = EMAIL) -> str:
        """Return the link in the newest mail of this kind, "verify" or "reset"."""
        mail = self.mails.to(to, kind)[-1]
        return next(word for word in mail.text.split() if f"#{kind}=" in word)


async def at_once(_: float) -> None:
    """Return immediately, so that forgot-password answers without its wait."""


def below(stage: str, app: App) -> App:
    """Return the app below a stage, as in API Gateway's own addresses: `/prod/app`. "": at the root."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        await app({**scope, "path": path.removeprefix(stage)}, receive, send)

    return serve


@contextmanager
def serving(
    store_name: str = "memory", environ: Mapping[str, str] | None = None, *, stage: str = "", **services: Any
) -> Iterator[Site]:
    """Serve all functions on one store: "memory", or "micro" for HYPR Micro's stand-in; `services` as Services.on's."""
    clock = FakeClock(datetime.now(UTC))
    listening = socket.create_server(("127.0.0.1", 0))

    def now() -> float:
        return clock.at.timestamp()

    stripe = FakeStripe(now=now)
    site = Site(url=f"http://localhost:{listening.getsockname()[1]}{stage}", clock=clock, stripe=stripe)
    passwords = cheap_passwords()

    async def pause() -> None:
        if site.is_down:
            raise StoreUnavailable("the store is down")

    def build_on(store: Store) -> Any:
        def build(settings: Settings) -> Services:
            return Services.on(
                store,
                settings,
                passwords=passwords,
                clock=clock,
                mailer=site.mails,
                stripe=stripe_at(StripeTransport(stripe), settings.billing),
                sleep=at_once,
                **services,
            )

        return build

    with STORES[store_name](pause, clock) as store:
        gateway = local_gateway({"PUBLIC_URL": site.url, **(environ or {})}, build_on(store))
        server = uvicorn.Server(uvicorn.Config(below(stage, gateway), log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            thread.join(0.01)
        try:
            yield site
        finally:  # the thread of a failed test would keep the tests' process alive
            server.should_exit = True
            thread.join()
            listening.close()


@contextmanager
def watched_page(browser: Browser, site: Site, *, leads_to: tuple[str, ...] = (), **context: Any) -> Iterator[Page]:
    """Yield a page in its own context. Check at the end that it contacted no other host and logged no error.

    Chromium itself logs each refused request, which this check ignores: the tests check refusals.
    """
    opened = browser.new_context(base_url=site.url, **({"viewport": {"width": 1280, "height": 900}} | context))
    page = opened.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    elsewhere: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on(
        "request",
        lambda sent: (
            None if sent.url.startswith((site.url, "blob:", "data:", *leads_to)) else elsewhere.append(sent.url)
        ),
    )
    yield page
    page.context.close()
    assert [text for text in complaints if "Failed to load resource" not in text] == []
    assert elsewhere == []


def log_in(page: Page, email: str = EMAIL, password: str = PASSWORD) -> None:
    """Log in by the console's form."""
    page.goto("/app")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()


def stay(page: Page) -> None:
    """Reload a page that warns before leaving, and stay. Without a warning the wait for it fails."""
    page.once("dialog", lambda question: question.dismiss())
    with page.expect_event("dialog") as asked:
        page.evaluate("setTimeout(() => location.reload())")
    assert asked.value.type == "beforeunload"


def axe_findings(page: Page) -> list[str]:
    """Return axe-core's findings, as `color-contrast: .hint`. The debugger runs it, so the page's policy stays."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(
        "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
        ".flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.target.join(' ')} ${node.failureSummary}`))"
    )
    return found


def scrolls_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
