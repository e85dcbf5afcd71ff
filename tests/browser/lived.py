"""An account with a past: memos of months, by several keys and voices, with quiet weekends and a day at the limit."""

from datetime import timedelta
from random import Random
from typing import Any, Final

import httpx

from tests.browser.sites import EMAIL, PASSWORD, Site
from tests.support import seeded

LIMIT: Final = 100
"""Memos a day on the plan of all newcomers."""

TEXTS: Final = (
    "The build is green, and the release notes are ready to read.",
    "Your order has left the warehouse. It arrives on Thursday.",
    "Three tickets are waiting for an answer since this morning.",
    "Nightly backup finished without errors in eleven minutes.",
    "The meeting moved to three o'clock. The agenda stays as it was.",
)
TITLES: Final = ("Build report", "Order update", "Support queue", "Backup report", None)
VOICES: Final = ("rachel",) * 5 + ("adam",) * 3 + ("bella",) * 2 + ("sam", "emily", "ethan", "dorothy")


def lived_account(site: Site, *, days: int = 60, busy: int = 6, seed: int = 7) -> dict[str, Any]:
    """Sign up `days` ago, use the account until now, and return the answer of the sign-up.

    The clock stands where it stood. One day reached the limit, and was refused once.
    """
    chance, now = seeded(seed), site.clock.at
    site.clock.advance(-timedelta(days=days))
    signed_up = site.sign_up()
    keys = {"Release bot": signed_up["apiKey"]["key"], "Support agent": ""}
    with site.api(signed_up["token"]) as session:
        session.patch(f"/api/keys/{signed_up['apiKey']['id']}", json={"name": "Release bot"}).raise_for_status()
        made = session.post("/api/keys", json={"name": "Support agent"})
        keys["Support agent"] = made.raise_for_status().json()["key"]["key"]
    with httpx.Client(base_url=site.url) as client:
        for day in range(days):
            site.clock.at = now - timedelta(days=days - 1 - day) - timedelta(hours=min(6, now.hour))
            for _ in range(_memos_of(day, days, site.clock.at.weekday() > 4, busy, chance)):
                _make(client, chance, keys)
                site.clock.advance(timedelta(seconds=chance.randrange(1, 200)) if site.clock.at < now else timedelta())
            if day == days - 4:
                assert _say(client, keys["Release bot"], "rachel", TEXTS[0]).status_code == 429
    site.clock.at = now
    return signed_up


def log_in_by_api(site: Site) -> str:
    """Return a session's token."""
    answer = httpx.post(f"{site.url}/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
    return str(answer.raise_for_status().json()["token"])


def _memos_of(day: int, days: int, is_weekend: bool, busy: int, chance: Random) -> int:  # noqa: FBT001 a fact of the day
    if day == days - 4:
        return LIMIT
    most = busy + day * busy // days
    return chance.randrange(most // 6, most // 2 + 1) if is_weekend else chance.randrange(most // 2, most * 2)


def _make(client: httpx.Client, chance: Random, keys: dict[str, str]) -> None:
    number = chance.randrange(len(TEXTS))
    key = keys["Release bot" if chance.random() < 0.6 else "Support agent"]
    _say(client, key, chance.choice(VOICES), TEXTS[number], TITLES[number]).raise_for_status()


def _say(client: httpx.Client, key: str, voice: str, text: str, title: str | None = None) -> httpx.Response:
    return client.post(
        "/api/v1/memo",
        json={"text": text, "voice": voice, "title": title},
        headers={"authorization": f"Bearer {key}"},
    )
