"""The acknowledged writes of one person, and a check that exactly these exist."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from shared.stores.port import Key, Store
from shared.tables import API_KEYS
from tests.live.people import PASSWORD, Front, Person, Reply, memos_of, sign_up

BLOCKED_S: Final = 60.0
"""The most seconds until an interrupted write can be repeated."""


@dataclass(kw_only=True)
class Ledger:
    """One person's writes: each was acknowledged, or is one of the `unanswered`, which may have taken effect or not."""

    person: Person
    signed_up: bool = False
    tried: int = 0
    """The number of requested memos."""
    memos: dict[str, str] = field(default_factory=dict)
    """The memos' texts by id. Each memo has another text."""
    unanswered_memos: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    unanswered_deletions: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    """The keys' secrets by id."""
    unanswered_keys: int = 0
    revoked: set[str] = field(default_factory=set)
    unanswered_revocations: set[str] = field(default_factory=set)

    @property
    def kept(self) -> list[str]:
        """Return the memos that must exist."""
        return [memo for memo in self.memos if memo not in self.deleted | self.unanswered_deletions]

    @property
    def good_keys(self) -> list[str]:
        return [key for key in self.keys if key not in self.revoked | self.unanswered_revocations]

    @property
    def writes(self) -> int:
        """Return the number of acknowledged writes."""
        return self.signed_up + len(self.memos) + len(self.deleted) + len(self.keys) + len(self.revoked)

    @property
    def unanswered(self) -> int:
        """Return the number of writes that may have taken effect or not."""
        parts = (self.unanswered_memos, self.unanswered_deletions, self.unanswered_revocations)
        return (not self.signed_up) + sum(map(len, parts)) + self.unanswered_keys

    def joined(self, reply: Reply) -> None:
        """Record an acknowledged sign-up."""
        self.signed_up = True
        self.keys[self.person.key_id] = reply.body["apiKey"]["key"]

    def check_memos(self, seen: dict[str, str]) -> None:
        """Check that all memos that must exist do, that no deleted one does, and that none exists twice."""
        assert not self.deleted & seen.keys(), "a deleted memo is back"
        missing = [memo for memo in self.kept if seen.get(memo) != self.memos[memo]]
        assert not missing, f"acknowledged memos are gone: {missing}"
        others = [text for memo, text in seen.items() if memo not in self.memos]
        assert self.unanswered_memos.issuperset(others), f"nobody made these memos: {others}"
        assert len(set(seen.values())) == len(seen), "a memo was made twice"


async def settle(front: Front, ledger: Ledger, store: Store) -> float:
    """Check, and repeat unanswered writes until they are answered. Returns the longest of these times in seconds."""
    took_s = await _join(front, ledger)
    ledger.check_memos(await memos_of(front, ledger.person))
    session = ledger.person.session
    for memo in sorted(ledger.unanswered_deletions):
        took_s = max(took_s, await _repeated(front, "DELETE", f"/api/v1/memo/{memo}", session, 200, 404))
    ledger.deleted |= ledger.unanswered_deletions
    ledger.unanswered_deletions.clear()
    for key in sorted(ledger.unanswered_revocations):
        took_s = max(took_s, await _repeated(front, "DELETE", f"/api/keys/{key}", session, 200))
    ledger.revoked |= ledger.unanswered_revocations
    ledger.unanswered_revocations.clear()
    seen = await memos_of(front, ledger.person)
    ledger.check_memos(seen)
    ledger.memos |= seen
    ledger.unanswered_memos.clear()
    await check(front, ledger, store)
    if ledger.unanswered_keys:
        took_s = max(took_s, await _make_room_and_key(front, ledger))
    return took_s


async def check(front: Front, ledger: Ledger, store: Store) -> None:
    """Check that all acknowledged writes exist, complete."""
    person = ledger.person
    account = {"email": person.email, "password": PASSWORD}
    # A busy machine may lack the time to hash a password: the answer is 503, and the login is repeated.
    login = await until(lambda: front.send("POST", "/api/v1/auth/login", json=account), 200)
    assert login.body["user"]["id"] == person.id, login
    ledger.check_memos(await memos_of(front, person))
    keys = await front.send("GET", "/api/keys", token=person.session)
    assert keys.status == 200, keys
    listed = {key["id"]: key["isActive"] for key in keys.body["keys"]}
    assert not ledger.keys.keys() - listed.keys(), "acknowledged keys are gone"
    assert len(listed) <= len(ledger.keys) + ledger.unanswered_keys, "nobody made these keys"
    assert sum(listed.values()) <= 2, "more active keys than the plan admits"
    for key, active in listed.items():
        document = await store.get(API_KEYS, Key(key))
        assert document is not None, "a key is listed that does not work"
        assert active == (document.get("revoked_at") is None), "a key's list and its check differ"
    for key, secret in ledger.keys.items():
        assert listed[key] == (key not in ledger.revoked), (key, listed)
        used = await front.send("GET", "/api/v1/memos?limit=1", token=secret)
        assert used.status == (403 if key in ledger.revoked else 200), used
    limits = await front.send("GET", "/api/v1/usage/limits", token=person.session)
    assert len(ledger.memos) <= limits.body["daily"]["used"] <= ledger.tried, (limits.body, ledger)


async def until(call: Callable[[], Awaitable[Reply]], *statuses: int) -> Reply:
    """Repeat the call until it is answered by one of these statuses; only 503 may come before."""
    ends_at = time.monotonic() + BLOCKED_S
    while True:
        reply = await call()
        if reply.status in statuses:
            return reply
        assert reply.status == 503, reply
        assert time.monotonic() < ends_at, f"blocked for {BLOCKED_S:.0f} s: {reply}"
        await asyncio.sleep(0.2)


async def _repeated(front: Front, method: str, path: str, token: str, *statuses: int) -> float:
    began = time.monotonic()
    await until(lambda: front.send(method, path, token=token), *statuses)
    return time.monotonic() - began


async def _join(front: Front, ledger: Ledger) -> float:
    """Repeat an interrupted sign-up: either it succeeds, or the account exists, complete, with one key."""
    if ledger.signed_up:
        return 0.0
    person, began = ledger.person, time.monotonic()
    reply = await until(lambda: sign_up(front, person), 201, 409)
    if reply.status == 201:
        ledger.joined(reply)
        return time.monotonic() - began
    account = {"email": person.email, "password": PASSWORD}
    login = await until(lambda: front.send("POST", "/api/v1/auth/login", json=account), 200)
    person.id, person.session = login.body["user"]["id"], login.body["token"]
    ledger.signed_up, ledger.unanswered_keys = True, 1
    keys = await front.send("GET", "/api/keys", token=person.session)
    assert [key["isActive"] for key in keys.body["keys"]] == [True], keys
    return time.monotonic() - began


async def _make_room_and_key(front: Front, ledger: Ledger) -> float:
    """Revoke the keys whose secret no client received, and check that there is room for one that works.

    The next creation may finish an interrupted one, and then finds no room; the next list shows that key.
    """
    person, began = ledger.person, time.monotonic()
    while True:
        keys = await front.send("GET", "/api/keys", token=person.session)
        for key in keys.body["keys"]:
            if key["isActive"] and key["id"] not in ledger.good_keys[:1]:
                await _repeated(front, "DELETE", f"/api/keys/{key['id']}", person.session, 200)
                ledger.revoked.add(key["id"])
        made = await front.send("POST", "/api/keys", token=person.session, json={})
        if made.status == 201:
            break
        assert made.status in {400, 503}, made
        assert time.monotonic() < began + BLOCKED_S, f"no key could be made: {made}"
    ledger.keys[made.body["key"]["id"]] = made.body["key"]["key"]
    used = await front.send("GET", "/api/v1/memos?limit=1", token=made.body["key"]["key"])
    assert used.status == 200, used
    return time.monotonic() - began
