"""An account with a past: memos of months, by several keys and voices, with quiet weekends and a day at the limit."""

from datetime import timedelta
from random import Random
from typing import Any, Final

import httpx

from tests.browser.sites import Site
from tests.support import seeded

LIMIT: Final = 100
"""Memos a day on the plan of new accounts."""

FRIDAY: Final = 4
TEXTS: Final = (
    "The build is green, and the release notes are ready to read.",
    "Your order has left the warehouse. It arrives on Thursday.",
    "Three tickets are waiting for an answer since this morning.",
    "Nightly backup finished without errors in eleven minutes.",
    "The meeting moved to three o'clock. The agenda stays as it was.",
)
TITLES: Final = ("Build report", "Order update", "Support queue", "Backup report", None)
VOICES: Final = ("rachel",) * 5 + ("adam",) * 3 + ("bella",) * 2 + ("sam", "emily", "ethan", "dorothy")


def lived_account(site: Site, *, days: int, busy: int, full_day: bool = True, seed: int = 7) -> dict[str, Any]:
    """Sign up `days` ago, use the account until now, and return the answer of the sign-up.

    The clock ends at its initial time. `busy` is about the memos of a workday at first; they double over the time. With
    `full_day` one day reaches the limit, and gets one refusal.
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
            is_full = full_day and day == days - 4
            is_weekend = site.clock.at.weekday() > FRIDAY
            for _ in range(LIMIT if is_full else _memos_of(busy + day * busy // days, chance, is_weekend=is_weekend)):
                _make(client, chance, keys)
                site.clock.advance(timedelta(seconds=chance.randrange(1, 200)) if site.clock.at < now else timedelta())
            if is_full:
                assert _say(client, keys["Release bot"], "rachel", TEXTS[0]).status_code == 429
    site.clock.at = now
    return signed_up


def _memos_of(most: int, chance: Random, *, is_weekend: bool) -> int:
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
