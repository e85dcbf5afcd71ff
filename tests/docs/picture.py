"""Draw docs/images/usage-page.png anew: the real page, in a headless Chromium, with a month of one owner's memos.

python -m tests.docs.picture    (needs Chromium; the variable CHROMIUM names one)
"""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import uvicorn
from playwright.sync_api import expect, sync_playwright

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from tests.support import FakeClock, cheap_passwords
from tools.local import local_gateway

PICTURE: Final = Path(__file__).resolve().parents[2] / "docs" / "images" / "usage-page.png"
CALLS: Final = (
    4,
    9,
    12,
    15,
    3,
    0,
    11,
    18,
    22,
    19,
    24,
    6,
    2,
    17,
    28,
    31,
    26,
    35,
    8,
    5,
    29,
    38,
    41,
    36,
    44,
    12,
    7,
    39,
    52,
    47,
)
"""Memos of each of the last thirty days, up to today."""

VOICES: Final = ("rachel", "rachel", "rachel", "adam", "adam", "bella")
TEXT: Final = "The build of the main branch is green again."
WIDTH: Final = 1120
HEIGHT: Final = 836
PATIENCE_MS: Final = 30_000


def main() -> None:
    clock = FakeClock(datetime.now(UTC) - timedelta(days=len(CALLS)))
    with served(clock) as origin, sync_playwright() as playwright:
        key = signed_up(origin, clock)
        executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, chromium_sandbox=False)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", base_url=origin)
        page.goto("/usage")
        page.get_by_label("API key", exact=True).fill(key)
        page.get_by_role("button", name="Use this key").click()
        expect(page.get_by_role("status")).to_have_text("The last 30 days are shown.", timeout=PATIENCE_MS)
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=PICTURE, animations="disabled")
        browser.close()


@contextmanager
def served(clock: FakeClock) -> Iterator[str]:
    """The origin of a local gateway on a store of its own."""
    store, passwords = MemoryStore(clock=clock), cheap_passwords()

    def build(settings: Settings) -> Services:
        return Services.on(store, settings, passwords=passwords, clock=clock)

    server = uvicorn.Server(
        uvicorn.Config(local_gateway({"LOG_LEVEL": "ERROR"}, build), port=0, log_config=None, lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    (listening,) = server.servers
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def signed_up(origin: str, clock: FakeClock) -> str:
    """The API key of an owner who made `CALLS`."""
    answer = httpx.post(
        f"{origin}/api/v1/auth/signup", json={"email": "ada@example.org", "password": "correct horse battery"}
    )
    key: str = answer.raise_for_status().json()["apiKey"]["key"]
    with httpx.Client(base_url=origin, headers={"authorization": f"Bearer {key}"}) as client:
        for calls in CALLS:
            clock.advance(timedelta(days=1))
            for number in range(calls):
                memo = {"text": TEXT, "voice": VOICES[number % len(VOICES)]}
                client.post("/api/v1/memo", json=memo).raise_for_status()
    return key


if __name__ == "__main__":
    main()
