"""Random use of the whole app against a small model of the contract: accounts, keys, memos, sessions, time, outages.

Hypothesis chooses the requests; an outage fails one store call of a random request. That request is answered right, or
503: then nothing is charged, and the model adopts the visible state afterwards, within the contract's freedom.
`--store micro` and `--store dynamodb` run it on the other stores; `make fuzz` runs it longer on each.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from shared.core.clock import iso
from shared.stores.port import StoreUnavailable
from tests.handlers.conftest import Fuzz
from tests.handlers.world import PASSWORD, Account, Answer, World

KEYS: Final = "/api/keys"
MEMO: Final = "/api/v1/memo"
MEMOS: Final = "/api/v1/memos"
ME: Final = "/api/v1/auth/me"
LIMIT: Final = 100
RING: Final = 2
"""Active keys that the smallest plan admits."""

WEEK: Final = timedelta(days=7)
PLENTY: Final = dict.fromkeys(
    (
        *("FAILED_LOGINS_PER_ACCOUNT", "FAILED_LOGINS_PER_ADDRESS", "SIGNUPS_PER_ADDRESS", "DEMOS_PER_ADDRESS"),
        "KEY_CHANGES_PER_OWNER",
    ),
    "1000",
)
"""Attempt limits that are never reached: other tests cover them."""

UNHURT: Final = 99
"""The number of a store call that no request reaches: there is no outage."""

strikes = st.sampled_from([UNHURT] * 6 + list(range(6)))
UNSAYABLE: Final = "\N{GRINNING FACE}"
texts = st.sampled_from(["Hello", "Hello \N{GRINNING FACE}", UNSAYABLE, "x" * 5000])
titles = st.sampled_from([None, "", "A title", "t" * 200])
picks = st.integers(0, 10**6)


@dataclass
class KeyModel:
    id: str
    secret: str | None
    test: bool
    expires_at: datetime | None = None
    revoked: bool = False
    uses: int = 0

    def is_active(self, now: datetime) -> bool:
        return not self.revoked and (self.expires_at is None or now < self.expires_at)


@dataclass
class OwnerModel:
    account: Account
    password: str
    sessions: dict[str, datetime]
    keys: list[KeyModel]
    memos: list[Any] = field(default_factory=list)
    used: int = 0
    calls: int = 0
    characters: int = 0


class AgentTalk(RuleBasedStateMachine):
    store = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.world = World(PLENTY, store=self.store)
        self.owners: list[OwnerModel] = []
        self.day = self.now.date()

    @property
    def now(self) -> datetime:
        return self.world.clock.at

    @initialize()
    def begin(self) -> None:
        self.sign_up()

    def teardown(self) -> None:
        self.world.close()

    # Accounts and sessions

    @precondition(lambda self: len(self.owners) < 3)
    @rule(strike=strikes)
    def sign_up(self, strike: int = UNHURT) -> None:
        body = {"email": f"user{len(self.owners)}@example.org", "password": PASSWORD}
        with self.outage(strike):
            answer = self.world.post("/api/v1/auth/signup", json=body)
        if answer.status == 503:  # the sign-up is complete, or the address is free again within a minute
            self.world.later(seconds=61)
            answer = self.world.post("/api/v1/auth/signup", json=body)
            if answer.status == 409:
                answer = self.world.post("/api/v1/auth/login", json=body)
                assert answer.status == 200, answer
                self.owners.append(self.known(answer.json, body["email"]))
                return
        assert answer.status == 201, answer
        self.owners.append(self.known(answer.json, body["email"]))
        assert self.world.post("/api/v1/auth/signup", json=body).status == 409

    @rule(pick=picks, right=st.booleans(), strike=strikes)
    def log_in(self, pick: int, strike: int, *, right: bool) -> None:
        owner = self.one(self.owners, pick)
        password = owner.password if right else "a wrong password"
        with self.outage(strike):
            answer = self.world.post("/api/v1/auth/login", json={"email": owner.account.email, "password": password})
        if answer.status == 503:
            return
        assert answer.status == (200 if right else 401), answer
        if right:
            owner.sessions[answer.json["token"]] = self.now + WEEK

    @rule(pick=picks, which=picks, strike=strikes)
    def log_out(self, pick: int, which: int, strike: int) -> None:
        owner = self.one(self.owners, pick)
        token = self.one(list(owner.sessions), which)
        with self.outage(strike):
            answer = self.world.post("/api/v1/auth/logout", token=token)
        if answer.status == 503:
            answer = self.world.post("/api/v1/auth/logout", token=token)
        assert answer.status == 200, answer
        owner.sessions[token] = datetime.min.replace(tzinfo=self.now.tzinfo)
        assert self.world.get(ME, token=token).status == 401

    @rule(pick=picks, which=picks)
    def ask_who(self, pick: int, which: int) -> None:
        owner = self.one(self.owners, pick)
        token = self.one(list(owner.sessions), which)
        answer = self.world.get(ME, token=token)
        if owner.sessions[token] > self.now:
            assert answer.status == 200, answer
            assert answer.json["user"]["id"] == owner.account.id
        else:
            assert answer.error["code"] in {"EXPIRED_TOKEN", "INVALID_API_KEY"}, answer

    @rule(pick=picks, new=st.sampled_from(["another password", "a third password"]), strike=strikes)
    def change_password(self, pick: int, new: str, strike: int) -> None:
        owner = self.one(self.owners, pick)
        token = self.session(owner)
        body = {"currentPassword": owner.password, "newPassword": new}
        with self.outage(strike):
            answer = self.world.post("/api/v1/auth/change-password", token=token, json=body)
        if answer.status == 503:
            self.adopt_password(owner, new)
            return
        assert answer.status == 200, answer
        never = datetime.min.replace(tzinfo=self.now.tzinfo)
        owner.sessions = dict.fromkeys(owner.sessions, never) | {token: owner.sessions[token]}
        owner.sessions[answer.json["token"]] = self.now + WEEK
        owner.password = new

    # Keys

    @rule(pick=picks, test=st.booleans(), hours=st.sampled_from([None, 5]), strike=strikes)
    def make_key(self, pick: int, strike: int, hours: int | None, *, test: bool) -> None:
        owner = self.one(self.owners, pick)
        expires_at = None if hours is None else self.now + timedelta(hours=hours)
        body = {"name": "Made", "test": test} | ({} if expires_at is None else {"expiresAt": iso(expires_at)})
        full = sum(key.is_active(self.now) for key in owner.keys) >= RING
        token = self.session(owner)
        with self.outage(strike):
            answer = self.world.post(KEYS, token=token, json=body)
        if answer.status == 503:
            self.adopt_keys(owner)
            return
        assert answer.status == (400 if full else 201), answer
        if not full:
            made = answer.json["key"]
            owner.keys.append(KeyModel(id=made["id"], secret=made["key"], test=test, expires_at=expires_at))

    @rule(pick=picks, which=picks, strike=strikes)
    def revoke_key(self, pick: int, which: int, strike: int) -> None:
        owner = self.one(self.owners, pick)
        key, token = self.one(owner.keys, which), self.session(owner)
        with self.outage(strike):
            answer = self.world.delete(f"{KEYS}/{key.id}", token=token)
        if answer.status == 503:
            answer = self.world.delete(f"{KEYS}/{key.id}", token=token)
        assert answer.status == 200, answer
        key.revoked = True
        if key.secret:
            assert self.world.get(MEMOS, token=key.secret).refusal[:2] == (403, "REVOKED_KEY")

    @rule(pick=picks)
    def list_keys(self, pick: int) -> None:
        owner = self.one(self.owners, pick)
        listed = self.world.get(KEYS, token=self.session(owner)).json["keys"]
        assert [(key["id"], key["isActive"]) for key in listed] == [
            (key.id, key.is_active(self.now)) for key in reversed(owner.keys)
        ]
        for shown, key in zip(listed, reversed(owner.keys), strict=True):
            assert shown["usageCount"] == key.uses

    # Memos

    @rule(pick=picks, which=picks, text=texts, title=titles, strike=strikes)
    def make_memo(self, pick: int, which: int, text: str, title: str | None, strike: int) -> None:
        owner = self.one(self.owners, pick)
        key = self.good_key(owner) if which % 4 else self.one([key for key in owner.keys if key.secret], which)
        with self.outage(strike):
            answer = self.world.post(MEMO, token=key.secret, json={"text": text, "voice": "sam", "title": title})
        self.turn_of_day()
        if key.revoked:
            assert answer.status in {403, 503}, answer
        elif not key.is_active(self.now):
            assert answer.status in {401, 503}, answer
        elif answer.status == 503:
            assert strike != UNHURT
        elif text == UNSAYABLE:
            assert answer.status == 400, answer
        elif answer.status == 429:
            assert not key.test
            assert owner.used == LIMIT
        else:
            assert answer.status == 201, answer
            assert key.test or owner.used < LIMIT
            owner.memos.append(answer.json)
            key.uses += 1
            if not key.test:
                owner.used += 1
                owner.calls += 1
                owner.characters += answer.json["characterCount"]
        self.ask_figures(pick)

    @rule(pick=picks, count=st.integers(1, 4))
    def make_memos(self, pick: int, count: int) -> None:
        for _ in range(count):
            self.make_memo(pick, 1, "Hello", None, UNHURT)

    @rule(pick=picks)
    def nearly_spend(self, pick: int) -> None:
        """Leave one memo of the day."""
        owner = self.one(self.owners, pick)
        self.turn_of_day()
        if owner.used < LIMIT - 1:
            self.world.spend(owner.account, LIMIT - 1 - owner.used)
            owner.used = LIMIT - 1

    @precondition(lambda self: any(owner.memos for owner in self.owners))
    @rule(which=picks, title=titles, strike=strikes)
    def retitle(self, which: int, title: str | None, strike: int) -> None:
        owner = self.one([owner for owner in self.owners if owner.memos], which)
        memo, token = self.one(owner.memos, which), self.session(owner)
        with self.outage(strike):
            answer = self.world.patch(f"{MEMO}/{memo['id']}", token=token, json={"title": title})
        if answer.status == 503:
            answer = self.world.get(f"{MEMO}/{memo['id']}", token=token)
            assert answer.json["title"] in {memo["title"], title or None}
        else:
            assert answer.json["title"] == (title or None)
        memo["title"] = answer.json["title"]
        assert answer.json == memo

    @precondition(lambda self: any(owner.memos for owner in self.owners))
    @rule(which=picks, strike=strikes)
    def delete_memo(self, which: int, strike: int) -> None:
        owner = self.one([owner for owner in self.owners if owner.memos], which)
        memo, token = self.one(owner.memos, which), self.session(owner)
        with self.outage(strike):
            answer = self.world.delete(f"{MEMO}/{memo['id']}", token=token)
        if answer.status == 503:
            answer = self.world.delete(f"{MEMO}/{memo['id']}", token=token)
            assert answer.status in {200, 404}, answer
        else:
            assert answer.status == 200, answer
        owner.memos.remove(memo)
        assert self.world.get(f"{MEMO}/{memo['id']}", token=token).status == 404

    @rule(pick=picks, limit=st.integers(1, 4))
    def list_memos(self, pick: int, limit: int) -> None:
        owner = self.one(self.owners, pick)
        token, cursor = self.session(owner), None
        listed: list[Any] = []
        while True:
            query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
            page = self.world.get(MEMOS, token=token, query=query).json
            assert page["hasMore"] == (page["nextCursor"] is not None)
            listed += page["memos"]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        assert listed == list(reversed(owner.memos))
        for other in self.owners:
            if other is not owner and owner.memos:
                answer = self.world.get(f"{MEMO}/{owner.memos[0]['id']}", token=self.session(other))
                assert answer.status == 404

    # Figures, and time

    @rule(pick=picks)
    def ask_figures(self, pick: int) -> None:
        owner = self.one(self.owners, pick)
        token = self.session(owner)
        self.turn_of_day()
        used = self.world.get("/api/v1/usage/limits", token=token).json["daily"]["used"]
        assert used == owner.used
        summary = self.world.get("/api/v1/analytics/summary", token=token).json["data"]
        assert (summary["totalCalls"], summary["totalCharacters"]) == (owner.calls, owner.characters)

    @rule(hours=st.sampled_from([1, 6, 25, 24 * 8, 24 * 32]))
    def wait(self, hours: int) -> None:
        self.world.later(hours=hours)
        self.turn_of_day()

    # Shared by the rules

    @contextmanager
    def outage(self, strike: int) -> Iterator[None]:
        """Fail the store call of this number, counted from 0 within the block."""
        seen = 0

        async def pause() -> None:
            nonlocal seen
            seen += 1
            if seen == strike + 1:
                raise StoreUnavailable("an outage of one call")
            await asyncio.sleep(0)

        self.world.disturb(pause)
        yield
        self.world.disturb(lambda: asyncio.sleep(0))

    def one(self, of: list[Any], pick: int) -> Any:
        return of[pick % len(of)]

    def session(self, owner: OwnerModel) -> str:
        """Return a session that is valid for at least an hour; log in if there is none."""
        for token, ends_at in owner.sessions.items():
            if ends_at > self.now + timedelta(hours=1):
                return token
        token = str(self.logged_in(owner, owner.password).json["token"])
        owner.sessions[token] = self.now + WEEK
        return token

    def good_key(self, owner: OwnerModel) -> KeyModel:
        """Return an active live key; if there is none, make one, in place of keys whose secret is lost."""
        good = [key for key in owner.keys if key.secret and not key.test and key.is_active(self.now)]
        if not good:
            for key in owner.keys:
                if key.is_active(self.now):
                    self.world.delete(f"{KEYS}/{key.id}", token=self.session(owner))
                    key.revoked = True
            made = self.world.post(KEYS, token=self.session(owner), json={"name": "Good"}).json["key"]
            good = [KeyModel(id=made["id"], secret=made["key"], test=False)]
            owner.keys += good
        return good[0]

    def logged_in(self, owner: OwnerModel, password: str) -> Answer:
        return self.world.post("/api/v1/auth/login", json={"email": owner.account.email, "password": password})

    def turn_of_day(self) -> None:
        if self.now.date() != self.day:
            self.day = self.now.date()
            for owner in self.owners:
                owner.used = 0

    def known(self, answer: Any, email: str) -> OwnerModel:
        """Return the model of an owner, from the answer of a sign-up or login, and from the key list alone."""
        given = answer.get("apiKey", {})
        account = Account(
            id=answer["user"]["id"], email=email, session=answer["token"], key=given.get("key", ""), key_id=""
        )
        owner = OwnerModel(account=account, password=PASSWORD, sessions={answer["token"]: self.now + WEEK}, keys=[])
        if given:
            owner.keys.append(KeyModel(id=given["id"], secret=given["key"], test=False))
        else:
            self.adopt_keys(owner)
            test = self.world.post(KEYS, token=answer["token"], json={"name": "Known"}).json["key"]
            owner.keys.append(KeyModel(id=test["id"], secret=test["key"], test=False))
        return owner

    def adopt_keys(self, owner: OwnerModel) -> None:
        """Adopt the keys of unanswered requests: at most one, whose secret is lost."""
        listed = self.world.get(KEYS, token=self.session(owner)).json["keys"]
        known = {key.id for key in owner.keys}
        lost = [key for key in listed if key["id"] not in known]
        assert len(lost) <= 1, lost
        for key in lost:
            end = key["expiresAt"]
            expires_at = None if end is None else datetime.fromisoformat(end)
            owner.keys.append(KeyModel(id=key["id"], secret=None, test=False, expires_at=expires_at))

    def adopt_password(self, owner: OwnerModel, new: str) -> None:
        """Adopt the valid password: exactly one of the old and the new; older sessions may have ended."""
        answers = {password: self.logged_in(owner, password).status for password in {owner.password, new}}
        good = [password for password, status in answers.items() if status == 200]
        assert len(good) == 1, answers
        owner.password = good[0]
        owner.sessions = {
            token: ends_at for token, ends_at in owner.sessions.items() if self.world.get(ME, token=token).status == 200
        }
        self.session(owner)


def test_random_use_agrees_with_the_model(store_choice: str, fuzz: Fuzz) -> None:
    """For any requests in any order, with one failure of the store anywhere, the answers are the contract's."""
    machine = type("Machine", (AgentTalk,), {"store": store_choice})
    run_state_machine_as_test(machine, settings=fuzz(12, stateful_step_count=30))
