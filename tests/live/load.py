"""A mixed load: people sign up, make and delete memos, make and revoke keys, log in and read, one request at a time.

Every answer is checked immediately: it is the right one, or 503 because the store is unavailable.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from random import Random
from typing import Final

from tests.live.ledger import Ledger
from tests.live.people import MEMO, PASSWORD, Front, Person, Reply, memos_on, sign_up, somebody

ACTORS: Final = 8
STEPS: Final = 15
OLD: Final = 0.6
"""The share of turns that go to people who have acted before."""
AFTER_OUTAGE_S: Final = 1.0
MOST_MEMOS: Final = 60
"""The most memos of a person: below the day's limit, so that the load never meets it."""


class Load:
    """The load. `killed` are the gateways that need not answer; `idle` contains people who may act again."""

    def __init__(self, front: Front, random: Random, *, spent: Person, killed: Collection[str] = ()) -> None:
        self.idle: list[Ledger] = []
        self.acted: list[Ledger] = []
        self._front = front
        self._random = random
        self._spent = spent
        self._killed = killed
        self._steps: tuple[Callable[[Ledger], Awaitable[None]], ...] = (
            *(self._make_memo, self._make_memo, self._make_memo),
            *(self._delete_memo, self._delete_memo, self._make_key, self._revoke_key, self._revoke_key),
            *(self._log_in, self._read_memos, self._read_deleted, self._use_revoked),
        )

    async def run(self, stop: asyncio.Event) -> list[Ledger]:
        """Send requests until `stop` is set. Returns the ledgers of all people who acted."""
        self.acted = []
        await asyncio.gather(*(self._act(stop) for _ in range(ACTORS)), self._ask_for_more(stop))
        return self.acted

    async def _act(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            old = self._random.random() < OLD and self.idle
            ledger = self.idle.pop(self._random.randrange(len(self.idle))) if old else Ledger(person=somebody())
            self.acted.append(ledger)
            if not ledger.signed_up:
                reply = await sign_up(self._front, ledger.person)
                if not self._answered(reply, 201):
                    await asyncio.sleep(AFTER_OUTAGE_S)
                    continue
                ledger.joined(reply)
            for _ in range(STEPS):
                if stop.is_set():
                    return
                await self._random.choice(self._steps)(ledger)

    async def _ask_for_more(self, stop: asyncio.Event) -> None:
        """Check repeatedly that a person without places left is refused, whatever is killed."""
        while not stop.is_set():
            reply = await self._front.send("POST", "/api/v1/memo", token=self._spent.key, json=MEMO)
            self._answered(reply, 429)
            await asyncio.sleep(0.02)

    async def _make_memo(self, ledger: Ledger) -> None:
        if not ledger.good_keys or ledger.tried >= MOST_MEMOS:
            return
        ledger.tried += 1
        text = f"Memo {ledger.tried} of {ledger.person.email}"
        secret = ledger.keys[self._random.choice(ledger.good_keys)]
        reply = await self._front.send("POST", "/api/v1/memo", token=secret, json=MEMO | {"text": text})
        if self._answered(reply, 201):
            ledger.memos[reply.body["id"]] = text
        else:
            ledger.unanswered_memos.add(text)

    async def _delete_memo(self, ledger: Ledger) -> None:
        if ledger.kept:
            memo = self._random.choice(ledger.kept)
            reply = await self._send(ledger, "DELETE", f"/api/v1/memo/{memo}")
            (ledger.deleted if self._answered(reply, 200) else ledger.unanswered_deletions).add(memo)

    async def _make_key(self, ledger: Ledger) -> None:
        reply = await self._send(ledger, "POST", "/api/keys")
        doubtful = ledger.unanswered_keys or ledger.unanswered_revocations
        full = (400,) if doubtful or len(ledger.good_keys) == 2 else ()
        made = (201,) if doubtful or len(ledger.good_keys) < 2 else ()
        if not self._answered(reply, *made, *full):
            ledger.unanswered_keys += 1
        elif reply.status == 201:
            ledger.keys[reply.body["key"]["id"]] = reply.body["key"]["key"]

    async def _revoke_key(self, ledger: Ledger) -> None:
        if len(ledger.good_keys) > 1:
            key = self._random.choice(ledger.good_keys)
            reply = await self._send(ledger, "DELETE", f"/api/keys/{key}")
            (ledger.revoked if self._answered(reply, 200) else ledger.unanswered_revocations).add(key)

    async def _log_in(self, ledger: Ledger) -> None:
        account = {"email": ledger.person.email, "password": PASSWORD}
        self._answered(await self._front.send("POST", "/api/v1/auth/login", json=account), 200)

    async def _read_memos(self, ledger: Ledger) -> None:
        reply = await self._send(ledger, "GET", "/api/v1/memos?limit=100")
        if self._answered(reply, 200):
            ledger.check_memos(memos_on(reply))

    async def _read_deleted(self, ledger: Ledger) -> None:
        if ledger.deleted:
            memo = self._random.choice(sorted(ledger.deleted))
            self._answered(await self._send(ledger, "GET", f"/api/v1/memo/{memo}"), 404)

    async def _use_revoked(self, ledger: Ledger) -> None:
        if revoked := sorted(ledger.revoked & ledger.keys.keys()):
            secret = ledger.keys[self._random.choice(revoked)]
            self._answered(await self._front.send("POST", "/api/v1/memo", token=secret, json=MEMO), 403)

    async def _send(self, ledger: Ledger, method: str, path: str) -> Reply:
        return await self._front.send(method, path, token=ledger.person.session, json={} if method == "POST" else None)

    def _answered(self, reply: Reply, *statuses: int) -> bool:
        """Return whether the answer has one of these statuses; otherwise it must be an outage."""
        if reply.status == 503:
            assert reply.body["error"]["code"] == "SERVICE_UNAVAILABLE", reply
            return False
        if reply.status == 0:
            assert reply.at in self._killed, reply
            return False
        assert reply.status in statuses, reply
        return True
