"""Every operation over HTTP on the HYPR Micro stand-in: with faults and crashes at each of its requests, and raced.

An answer may be missing, never wrong: it is right, or it is 503 in time. Acknowledged changes stay, no incomplete state
is visible, and unacknowledged changes can be repeated.

With EVERY_COMBINATION set, every fault is tried at every request; otherwise each at some, and some of each sort at
every one.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import httpx
import pytest

from shared.core.request import REQUEST_S
from shared.core.settings import Settings
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.services import Services
from shared.stores.micro.store import MicroStore
from shared.stores.port import Key
from shared.tables import API_KEYS, USERS
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import (
    CLOSED,
    EVERY_FAULT,
    HANGS,
    LOST,
    REFUSED,
    UNAVAILABLE,
    Fault,
    Faults,
    ManualClock,
    Recorder,
    StandInTransport,
    none,
    nth,
)
from tests.fakes.standin_steps import Gate, Schedule, Seen, Step
from tests.support import cheap_passwords, seeded
from tools.local import local_gateway

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

PASSWORD: Final = "correct horse"
NEW_PASSWORD: Final = "battery staple"
NEW_ADDRESS: Final = "new@example.org"
SAY: Final = {"text": "Hello", "voice": "sam"}
LIMITS: Final = {"memosPerDay": 10, "charactersPerDay": 1000, "charactersPerMonth": 5000}
HOBBY_KEYS: Final = 2
HOBBY_MEMOS: Final = 100

ENVIRON: Final = {"SIGNUPS_PER_ADDRESS": "1000000", "LOG_LEVEL": "CRITICAL"}

OVERCOME: Final = ("refused", "slow", "503 with Retry-After", "429")
"""Faults that only cost time: the answer is right, and nothing is charged twice."""

UNDONE: Final = ("closed before", "hangs", "500", "503", "HTML")
DONE: Final = ("closed after", "hangs after", "cut short", "502 after")
"""Faults that leave the client without an answer."""

EVERY: Final = "EVERY_COMBINATION" in os.environ
FEW: Final = 4
"""The most requests of an operation that gets every fault at each of them."""

OUTAGES: Final[Mapping[str, Fault]] = {
    "refused": REFUSED,
    "closed before": CLOSED,
    "closed after": LOST,
    "hangs": HANGS,
    "503": UNAVAILABLE,
}


def struck(number: int, requests: int) -> Mapping[str, Fault]:
    """Return the faults to try at an operation's `number`th request."""
    if EVERY or requests <= FEW:
        return EVERY_FAULT
    kinds = {"late", OVERCOME[number % 4], UNDONE[number % 5], UNDONE[(number + 2) % 5]}
    kinds |= {DONE[number % 4], DONE[(number + 1) % 4]}
    return {kind: EVERY_FAULT[kind] for kind in sorted(kinds)}


def lost(number: int, requests: int) -> Mapping[str, Fault]:
    """Return the outages to try from an operation's `number`th request on."""
    if EVERY or requests <= FEW:
        return OUTAGES
    return {kind: OUTAGES[kind] for kind in (list(OUTAGES)[number % 5], list(OUTAGES)[(number + 2) % 5])}


_ends_at: ContextVar[float] = ContextVar("_ends_at")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """An HTTP request."""

    method: str
    path: str
    token: str | None = None
    json: Any = None
    idempotency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Container:
    """All functions on their own store, whose requests have the sender `name`."""

    name: str
    http: httpx.AsyncClient
    network: StandInTransport
    store: MicroStore
    clock: ManualClock

    async def send(self, ask: Ask) -> httpx.Response:
        """Send a request. Returns the answer, and checks that it arrived in time."""
        began = self.clock.monotonic()
        headers = {} if ask.token is None else {"Authorization": f"Bearer {ask.token}"}
        headers |= {} if ask.idempotency_key is None else {"Idempotency-Key": ask.idempotency_key}
        self.http.cookies.clear()
        context = _ends_at.set(began + REQUEST_S)
        try:
            answer = await self.http.request(ask.method, ask.path, json=ask.json, headers=headers)
        finally:
            _ends_at.reset(context)
        took_s = self.clock.monotonic() - began
        assert round(took_s, 6) <= REQUEST_S, f"answered after {took_s} s"
        return answer

    async def load(self, ask: Ask) -> Any:
        answer = await self.send(ask)
        assert answer.is_success, f"{ask.method} {ask.path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def status(self, ask: Ask) -> int:
        return (await self.send(ask)).status_code


class World:
    """A server, and containers that share its clock. At each return to a saved state a minute passes."""

    def __init__(self, stack: AsyncExitStack, schedule: Schedule | None) -> None:
        self.clock = ManualClock()
        self.server = StandIn(schedule=schedule, wall=self.clock.wall)
        self.recorder = Recorder()
        self._stack = stack
        self._opened = 0

    async def container(self, *, sleep: Callable[[float], Awaitable[None]] | None = None) -> Container:
        self._opened += 1
        clock, sleep = self.clock, sleep or self.clock.sleep
        name = f"c{self._opened}"
        network = StandInTransport(self.server, recorder=self.recorder, clock=clock, sender=name)
        wire = HttpxWire(network)
        client = MicroClient(wire, Direct(url="http://micro", api_key=KEY), monotonic=clock.monotonic, sleep=sleep)
        store = MicroStore(
            client,
            time_left_s=lambda: _ends_at.get(clock.monotonic() + REQUEST_S) - clock.monotonic(),
            clock=self._now,
            sleep=sleep,
            node=f"{self._opened:016x}",
        )

        def build(settings: Settings) -> Services:
            return Services.on(store, settings, passwords=cheap_passwords(), clock=self._now, sleep=_at_once)

        gateway = local_gateway(ENVIRON, build)
        http = await self._stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://localhost")
        )
        for function in gateway.functions.values():
            await function.services()  # the cold start verifies the tables, which other tests cover
        return Container(name=name, http=http, network=network, store=store, clock=clock)

    def save(self) -> Callable[[], None]:
        """Save the server's state. Returns a function that restores it, a minute later."""
        saved = {name: rows.copy() for name, rows in self.server._rows.items()}

        def restore() -> None:
            self.server._rows = {name: rows.copy() for name, rows in saved.items()}
            self.clock.advance(60)

        return restore

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self.clock.wall() * 1000) / 1000, UTC)


@asynccontextmanager
async def new_world(schedule: Schedule | None = None) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack, schedule)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """An account with a key, another session, and two memos, and with `test_key` if requested."""

    id: str
    email: str
    session: str
    other_session: str
    key_id: str
    key: str
    test_key: str
    memos: Sequence[Any]


def log_in(email: str, password: str = PASSWORD) -> Ask:
    return Ask(method="POST", path="/api/v1/auth/login", json={"email": email, "password": password})


def sign_up(email: str) -> Ask:
    return Ask(method="POST", path="/api/v1/auth/signup", json={"email": email, "password": PASSWORD})


def make_memo(key: str) -> Ask:
    return Ask(method="POST", path="/api/v1/memo", token=key, json=SAY)


def make_keyed_memo(key: str) -> Ask:
    return Ask(method="POST", path="/api/v1/memo", token=key, json=SAY, idempotency_key="one")


def create_key(session: str, **fields: Any) -> Ask:
    return Ask(method="POST", path="/api/keys", token=session, json=fields)


def get(path: str, token: str | None = None) -> Ask:
    return Ask(method="GET", path=path, token=token)


def me(session: str) -> Ask:
    return get("/api/v1/auth/me", session)


def change_key(owner: Owner, **fields: Any) -> Ask:
    return Ask(method="PATCH", path=f"/api/keys/{owner.key_id}", token=owner.session, json=fields)


def rotate_key(owner: Owner) -> Ask:
    return Ask(method="POST", path=f"/api/keys/{owner.key_id}/rotate", token=owner.session)


async def new_owner(container: Container, *, test_key: bool = True, limited: bool = False) -> Owner:
    account = await container.load(sign_up("me@example.org"))
    session, key = account["token"], account["apiKey"]
    owner = Owner(
        id=account["user"]["id"],
        email="me@example.org",
        session=session,
        other_session=(await container.load(log_in("me@example.org")))["token"],
        key_id=key["id"],
        key=key["key"],
        test_key=(await container.load(create_key(session, test=True)))["key"]["key"] if test_key else "",
        memos=[await container.load(make_memo(key["key"])) for _ in range(2)],
    )
    if limited:
        await container.load(change_key(owner, limits=LIMITS))
        await container.load(get("/api/v1/memos", owner.key))  # the container remembers the key with its limits
    return owner


@dataclass(kw_only=True)
class Trial:
    """The answers of an operation so far. None: the client crashed before it had an answer."""

    owner: Owner
    reader: Container
    done: int
    answers: list[httpx.Response | None] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[Any]:
        return [answer.json() for answer in self.answers if answer is not None and answer.status_code == self.done]

    @property
    def unanswered(self) -> int:
        return sum(answer is None or answer.status_code == 503 for answer in self.answers)

    def was_answered(self, status: int) -> bool:
        return any(answer is not None and answer.status_code == status for answer in self.answers)

    async def keys(self, session: str | None = None) -> list[Any]:
        """Return the list of keys, and check that each active one has its check document."""
        keys: list[Any] = (await self.reader.load(get("/api/keys", session or self.owner.session)))["keys"]
        for key in keys:
            assert await self.reader.store.get(API_KEYS, Key(key["id"])) is not None, "a listed key cannot be checked"
        return keys

    async def memos(self) -> dict[str, Any]:
        memos = (await self.reader.load(get("/api/v1/memos?limit=100", self.owner.session)))["memos"]
        assert len(memos) == len({memo["id"] for memo in memos})
        return {memo["id"]: memo for memo in memos}

    async def works(self, key: str) -> int:
        return await self.reader.status(get("/api/v1/memos?limit=1", key))


async def nothing_changed(_: Trial) -> None:
    pass


async def an_account_is_whole_or_its_address_is_free(trial: Trial) -> None:
    answer = await trial.reader.send(log_in(NEW_ADDRESS))
    assert answer.status_code in (200, 401)
    made = trial.acknowledged
    assert len(made) <= 1
    assert answer.status_code == 200 or not (made or trial.was_answered(409))
    if answer.status_code == 401:
        return
    account = answer.json()
    (key,) = await trial.keys(account["token"])
    assert key["isActive"]
    for each in made:
        assert each["user"] == account["user"]
        assert each["apiKey"]["id"] == key["id"]
        assert await trial.works(each["apiKey"]["key"]) == 200
        assert (await trial.reader.load(me(each["token"])))["user"] == account["user"]


async def sessions_that_were_begun_work(trial: Trial) -> None:
    for each in trial.acknowledged:
        assert (await trial.reader.load(me(each["token"])))["user"]["id"] == trial.owner.id
    assert await trial.reader.status(me(trial.owner.session)) == 200


async def a_session_that_was_ended_is_over(trial: Trial) -> None:
    status = await trial.reader.status(me(trial.owner.session))
    assert status in ([401] if trial.acknowledged else [200, 401])
    assert await trial.reader.status(me(trial.owner.other_session)) == 200


async def one_password_is_good_and_other_sessions_end_with_the_old_one(trial: Trial) -> None:
    owner = trial.owner
    old, new = [await trial.reader.status(log_in(owner.email, password)) for password in (PASSWORD, NEW_PASSWORD)]
    assert (old, new) in ([(401, 200)] if trial.acknowledged else [(401, 200), (200, 401)])
    assert await trial.reader.status(me(owner.session)) == 200, "the session that asks stays good"
    assert await trial.reader.status(me(owner.other_session)) == old
    assert new == 200 or not trial.was_answered(401), "the password was refused, and is the old one"
    for each in trial.acknowledged:
        assert await trial.reader.status(me(each["token"])) == 200


async def keys_are_whole_and_no_more_than_the_tier_admits(trial: Trial) -> None:
    keys = await trial.keys()
    listed = {key["id"] for key in keys}
    made = [each["key"] for each in trial.acknowledged]
    assert all(key["isActive"] for key in keys)
    assert listed >= {trial.owner.key_id, *(key["id"] for key in made)}
    assert len(listed) == len(keys) <= HOBBY_KEYS
    assert len(keys) <= 1 + len(made) + trial.unanswered
    assert len(keys) == HOBBY_KEYS or not trial.was_answered(400)
    for secret in (trial.owner.key, *(key["key"] for key in made)):
        assert await trial.works(secret) == 200


async def a_key_has_one_name(trial: Trial) -> None:
    keys = await trial.keys()
    (name,) = (key["name"] for key in keys if key["id"] == trial.owner.key_id)
    assert name in (["Renamed"] if trial.acknowledged else ["Default Key", "Renamed"])
    if trial.acknowledged:
        check = await trial.reader.store.get(API_KEYS, Key(trial.owner.key_id))
        assert check is not None
        assert check["name"] == name
    assert await trial.works(trial.owner.key) == 200
    assert len(keys) == 2


async def a_key_has_its_limits(trial: Trial) -> None:
    (limits,) = (key["limits"] for key in await trial.keys() if key["id"] == trial.owner.key_id)
    check = await trial.reader.store.get(API_KEYS, Key(trial.owner.key_id))
    assert check is not None
    if trial.acknowledged:
        assert limits == LIMITS
        assert [check[field] for field in ("memos_per_day", "characters_per_day", "characters_per_month")] == [
            *LIMITS.values()
        ]
    for name, most in LIMITS.items():
        assert limits[name] in (most, None)
    assert await trial.works(trial.owner.key) == 200


async def a_key_is_replaced_by_one(trial: Trial) -> None:
    """Check that no second key is live, that an acknowledged rotation ended the old one, and that a full ring can
    rotate."""
    owner, keys = trial.owner, {key["id"]: key for key in await trial.keys()}
    made, old = [each["key"] for each in trial.acknowledged], keys.pop(owner.key_id)
    replacing = [key for key in keys.values() if key["prefix"] == "at_live_"]
    assert [key["id"] for key in replacing if key["isActive"]] == ([old["rotatedTo"]] if old["rotatedTo"] else [])
    if old["rotatedTo"] is not None:
        assert not old["isActive"]
        assert await trial.works(owner.key) == 401
    assert (old["rotatedTo"] is not None) or not (made or trial.was_answered(409))
    assert len(made) <= 1
    for key in made:
        assert (key["id"], await trial.works(key["key"])) == (old["rotatedTo"], 200)
    if not old["isActive"]:
        assert await trial.works(owner.key) == 401
    assert await trial.works(owner.test_key) == 200


async def a_revoked_key_is_of_no_use(trial: Trial) -> None:
    """Check that the list shows a revocation exactly if it is in force, also an unanswered one."""
    keys = await trial.keys()
    (active,) = (key["isActive"] for key in keys if key["id"] == trial.owner.key_id)
    status = await trial.works(trial.owner.key)
    assert (active, status) in ([(False, 403)] if trial.acknowledged else [(True, 200), (False, 403)])
    assert await trial.works(trial.owner.test_key) == 200
    assert len(keys) == 2


async def memos_are_whole_and_counted(trial: Trial) -> None:
    owner, memos = trial.owner, await trial.memos()
    told = [*owner.memos, *trial.acknowledged]
    assert [memos.get(memo["id"]) for memo in told] == told
    assert len(memos) <= len(told) + trial.unanswered
    assert {memo["text"] for memo in memos.values()} == {SAY["text"]}


async def live_memos_are_whole_and_counted(trial: Trial) -> None:
    await memos_are_whole_and_counted(trial)
    limits = await trial.reader.load(get("/api/v1/usage/limits", trial.owner.session))
    made = len(trial.owner.memos) + len(trial.acknowledged)
    uses = sum(key["usageCount"] for key in await trial.keys())
    for counted in (limits["daily"]["used"], limits["monthly"]["used"], uses):
        assert made <= counted <= made + trial.unanswered


async def one_memo_is_made_whatever_is_repeated(trial: Trial) -> None:
    """Check that each answer is the same memo, which exists once, with its log, and is charged.

    If the last answer was that the first request still runs, a minute passes: then one repeat makes the memo.
    """
    if trial.answers and trial.answers[-1] is not None and trial.answers[-1].status_code == 409:
        trial.reader.clock.advance(61)
        trial.answers.append(await trial.reader.send(make_keyed_memo(trial.owner.key)))
        assert trial.acknowledged, trial.answers[-1]
    owner, memos, told = trial.owner, await trial.memos(), trial.acknowledged
    made = [memo for memo in memos.values() if memo not in owner.memos]
    assert len(made) <= 1
    assert made[: len(told)] == told[:1] == told[-1:]
    limits = await trial.reader.load(get("/api/v1/usage/limits", owner.session))
    uses = sum(key["usageCount"] for key in await trial.keys())
    least = len(owner.memos) + len(made)
    for counted in (limits["daily"]["used"], limits["monthly"]["used"], uses):
        assert least <= counted <= least + trial.unanswered
    if told:
        logs = (await trial.reader.load(get("/api/v1/usage?action=memo_created&limit=100", owner.session)))["logs"]
        assert sum(log["metadata"]["memoId"] == told[0]["id"] for log in logs) == 1


async def limited_memos_are_whole_and_counted(trial: Trial) -> None:
    await live_memos_are_whole_and_counted(trial)
    (used,) = (key["used"] for key in await trial.keys() if key["id"] == trial.owner.key_id)
    made, length = len(trial.acknowledged), len(SAY["text"])
    assert made <= used["memosToday"] <= made + trial.unanswered
    for characters in (used["charactersToday"], used["charactersThisMonth"]):
        assert made * length <= characters <= (made + trial.unanswered) * length


async def simulated_memos_are_whole_and_counted(trial: Trial) -> None:
    await memos_are_whole_and_counted(trial)
    limits = await trial.reader.load(get("/api/v1/usage/limits", trial.owner.session))
    assert limits["daily"]["used"] == len(trial.owner.memos), "a test key spends no limit"
    (counted,) = (await trial.reader.store.counters(f"{trial.owner.id}:testcalls:")).values() or (0,)
    assert len(trial.acknowledged) <= counted <= len(trial.acknowledged) + trial.unanswered


async def a_memo_has_one_title(trial: Trial) -> None:
    owner, memos = trial.owner, await trial.memos()
    memo = await trial.reader.load(get(f"/api/v1/memo/{owner.memos[0]['id']}", owner.session))
    assert memo["title"] in (["Titled"] if trial.acknowledged else [None, "Titled"])
    assert memos == {memo["id"]: memo, owner.memos[1]["id"]: owner.memos[1]}
    assert memo | {"title": None} == owner.memos[0]


async def a_deleted_memo_is_gone(trial: Trial) -> None:
    owner, memos = trial.owner, await trial.memos()
    first, second = owner.memos
    answer = await trial.reader.send(get(f"/api/v1/memo/{first['id']}", owner.session))
    gone = bool(trial.acknowledged) or trial.was_answered(404)
    assert answer.status_code in ([404] if gone else [200, 404])
    expected = [second] if answer.status_code == 404 else [first, second]
    assert list(memos.values()) in (expected, expected[::-1])
    limits = await trial.reader.load(get("/api/v1/usage/limits", owner.session))
    assert limits["daily"]["used"] == 2


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation. `again` are a repeat's possible statuses besides `done`, if the first one was not acknowledged.

    `holds` is an invariant over the answers so far. An operation that `reads` always has the same answer.
    """

    ask: Callable[[Owner], Ask]
    done: int = 200
    reads: bool = False
    again: Sequence[int] = ()
    holds: Callable[[Trial], Awaitable[None]] = nothing_changed
    test_key: bool = True
    limited: bool = False


def reading(path: str, *, by_key: bool = False) -> Operation:
    return Operation(ask=lambda owner: get(path, owner.key if by_key else owner.session), reads=True)


SIGN_UP: Final = Operation(
    ask=lambda _: sign_up(NEW_ADDRESS), done=201, again=[409], holds=an_account_is_whole_or_its_address_is_free
)
CHANGE_PASSWORD: Final = Operation(
    ask=lambda owner: Ask(
        method="POST",
        path="/api/v1/auth/change-password",
        token=owner.session,
        json={"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD},
    ),
    again=[401],
    holds=one_password_is_good_and_other_sessions_end_with_the_old_one,
)
CREATE_KEY: Final = Operation(
    ask=lambda owner: create_key(owner.session),
    done=201,
    again=[400],
    holds=keys_are_whole_and_no_more_than_the_tier_admits,
    test_key=False,
)
REVOKE_KEY: Final = Operation(
    ask=lambda owner: Ask(method="DELETE", path=f"/api/keys/{owner.key_id}", token=owner.session),
    holds=a_revoked_key_is_of_no_use,
)
ROTATE_KEY: Final = Operation(ask=rotate_key, done=201, again=[409], holds=a_key_is_replaced_by_one)
LIMIT_KEY: Final = Operation(ask=lambda owner: change_key(owner, limits=LIMITS), holds=a_key_has_its_limits)
MAKE_LIMITED_MEMO: Final = Operation(
    ask=lambda owner: make_memo(owner.key), done=201, holds=limited_memos_are_whole_and_counted, limited=True
)
MAKE_MEMO: Final = Operation(ask=lambda owner: make_memo(owner.key), done=201, holds=live_memos_are_whole_and_counted)
MAKE_KEYED_MEMO: Final = Operation(
    ask=lambda owner: make_keyed_memo(owner.key), done=201, again=[409], holds=one_memo_is_made_whatever_is_repeated
)
DELETE_MEMO: Final = Operation(
    ask=lambda owner: Ask(method="DELETE", path=f"/api/v1/memo/{owner.memos[0]['id']}", token=owner.key),
    again=[404],
    holds=a_deleted_memo_is_gone,
)

CRASHING: Final[Mapping[str, Operation]] = {
    "sign-up": SIGN_UP,
    "change password": CHANGE_PASSWORD,
    "create key": CREATE_KEY,
    "revoke key": REVOKE_KEY,
    "rotate key": ROTATE_KEY,
    "limit key": LIMIT_KEY,
    "make limited memo": MAKE_LIMITED_MEMO,
    "make memo": MAKE_MEMO,
    "make keyed memo": MAKE_KEYED_MEMO,
    "delete memo": DELETE_MEMO,
}

OPERATIONS: Final[Mapping[str, Operation]] = {
    **CRASHING,
    "log in": Operation(ask=lambda owner: log_in(owner.email), holds=sessions_that_were_begun_work),
    "log out": Operation(
        ask=lambda owner: Ask(method="POST", path="/api/v1/auth/logout", token=owner.session),
        holds=a_session_that_was_ended_is_over,
    ),
    "rename key": Operation(ask=lambda owner: change_key(owner, name="Renamed"), holds=a_key_has_one_name),
    "make simulated memo": Operation(
        ask=lambda owner: make_memo(owner.test_key), done=201, holds=simulated_memos_are_whole_and_counted
    ),
    "retitle memo": Operation(
        ask=lambda owner: Ask(
            method="PATCH", path=f"/api/v1/memo/{owner.memos[0]['id']}", token=owner.key, json={"title": "Titled"}
        ),
        holds=a_memo_has_one_title,
    ),
    "me": reading("/api/v1/auth/me"),
    "list keys": reading("/api/keys"),
    "verify key": Operation(
        ask=lambda owner: Ask(method="POST", path="/api/keys/verify", token=owner.session, json={"key": owner.key}),
        reads=True,
    ),
    "list memos": reading("/api/v1/memos", by_key=True),
    "get memo": Operation(ask=lambda owner: get(f"/api/v1/memo/{owner.memos[0]['id']}", owner.key), reads=True),
    "usage": reading("/api/v1/usage", by_key=True),
    "limits": reading("/api/v1/usage/limits", by_key=True),
    "account": reading("/api/v1/dashboard/account"),
    "subscription": reading("/api/v1/billing/subscription"),
    "health": reading("/health"),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An operation on a world that is restored before each trial. `requests` is its number of requests if no fault is
    injected."""

    operation: Operation
    world: World
    actor: Container
    reader: Container
    owner: Owner
    restore: Callable[[], None]
    requests: int
    right: Any

    def trial(self) -> Trial:
        self.restore()
        return Trial(owner=self.owner, reader=self.reader, done=self.operation.done)

    @property
    def ask(self) -> Ask:
        return self.operation.ask(self.owner)

    def check(self, answer: httpx.Response, *, others: Iterable[int]) -> None:
        """Check that the answer is right, or that its status is one of `others`."""
        assert answer.status_code in (self.operation.done, *others), answer.text
        if self.operation.reads and answer.status_code == self.operation.done:
            assert _timeless(answer.json()) == self.right
        if answer.status_code == 503:
            _check_outage(self.ask, answer)

    async def repeat(self, trial: Trial, container: Container) -> None:
        """Repeat an unacknowledged operation once, and check that it is then done."""
        answer = await container.send(self.ask)
        self.check(answer, others=self.operation.again)
        trial.answers.append(answer)
        await self.operation.holds(trial)


@asynccontextmanager
async def scene(operation: Operation, schedule: Schedule | None = None) -> AsyncIterator[Scene]:
    async with new_world(schedule) as world:
        actor, reader = await world.container(), await world.container()
        owner = await new_owner(actor, test_key=operation.test_key, limited=operation.limited)
        restore = world.save()
        restore()
        with world.recorder.measure() as cost:
            answer = await actor.send(operation.ask(owner))
        assert answer.status_code == operation.done, answer.text
        yield Scene(
            operation=operation,
            world=world,
            actor=actor,
            reader=reader,
            owner=owner,
            restore=restore,
            requests=cost.requests,
            right=_timeless(answer.json()),
        )


def _timeless(answer: Any) -> Any:
    return {name: value for name, value in answer.items() if name != "timestamp"}


def _check_outage(ask: Ask, answer: httpx.Response) -> None:
    """Check that a 503 is as documented: the envelope, or the health function's own answer."""
    body = answer.json()
    if ask.path == "/health":
        assert (body["status"], body["database"]["status"]) == ("error", "error")
        return
    assert body.keys() == {"error"}
    assert body["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) > 0


def lasting(number: int, fault: Fault) -> Faults:
    """Return faults that fail the `number`th request (from 1) and all later ones."""
    count = 0

    def strike(_: Seen) -> Fault | None:
        nonlocal count
        count += 1
        return fault if count >= number else None

    return strike


async def survives(scene: Scene, faults: Faults, *, overcome: bool = False, trial: Trial | None = None) -> None:
    trial = trial or scene.trial()
    scene.actor.network.faults = faults
    try:
        answer = await scene.actor.send(scene.ask)
    finally:
        scene.actor.network.faults = none
    await Gate().settle()
    scene.check(answer, others=[] if overcome else [503])
    trial.answers.append(answer)
    await scene.operation.holds(trial)
    if answer.status_code == 503:
        await scene.repeat(trial, scene.actor)


@dataclass(kw_only=True)
class Findings:
    """The failures of many trials."""

    trials: int = 0
    wrong: list[str] = field(default_factory=list)

    async def note(self, what: str, trial: Awaitable[None]) -> None:
        self.trials += 1
        try:
            await trial
        except AssertionError as exc:
            self.wrong.append(f"{what}: {exc}")

    def conclude(self) -> None:
        assert self.trials
        assert not self.wrong, f"{len(self.wrong)} of {self.trials}:\n" + "\n".join(self.wrong)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_operation_survives_a_fault_at_any_request(name: str) -> None:
    """A fault at any request of an operation is overcome, or answered 503 and a repeat succeeds."""
    findings = Findings()
    async with scene(OPERATIONS[name]) as played:
        for number in range(1, played.requests + 1):
            for kind, fault in struck(number, played.requests).items():
                trial = survives(played, nth(number, fault), overcome=kind in OVERCOME)
                await findings.note(f"{kind} at request {number}", trial)
    findings.conclude()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_operation_answers_503_in_time_in_an_outage(name: str) -> None:
    """An outage from any request on is answered 503 in time, and a repeat succeeds after it."""
    findings = Findings()
    async with scene(OPERATIONS[name]) as played:
        for number in range(1, played.requests + 1):
            for kind, fault in lost(number, played.requests).items():
                await findings.note(f"{kind} from request {number} on", survives(played, lasting(number, fault)))
    findings.conclude()


class Fate(StrEnum):
    """The fate of a dead client's last request."""

    LOST = "is not carried out"
    DONE = "is carried out"
    LATE = "is carried out when all has been repeated"


class Morgue:
    """A schedule that holds the requests of dead clients, until it is opened."""

    def __init__(self) -> None:
        self._dead: set[str] = set()
        self._opened = asyncio.Event()

    async def pause(self, step: Step) -> None:
        await asyncio.sleep(0)
        if step.seen.sender in self._dead:
            await self._opened.wait()

    def hold(self, sender: str) -> None:
        self._dead.add(sender)

    def open(self) -> None:
        self._dead.clear()
        self._opened.set()
        self._opened = asyncio.Event()


def dying(number: int, fate: Fate, die: Callable[[], object]) -> Faults:
    """Return faults by which a client dies with its `number`th request (from 1) in flight, and sends no more."""
    count = 0

    def strike(_: Seen) -> Fault | None:
        nonlocal count
        count += 1
        if count < number:
            return None
        if count > number:
            return REFUSED
        die()
        return CLOSED if fate is Fate.LOST else LOST

    return strike


async def outlives(scene: Scene, number: int, fate: Fate, morgue: Morgue) -> None:
    """Kill a client, and let another continue. By the next trial a minute has passed: its memory has expired."""
    trial, client = scene.trial(), scene.actor
    call = asyncio.create_task(client.send(scene.ask))

    def die() -> None:
        call.cancel()
        if fate is Fate.LATE:
            morgue.hold(client.name)

    client.network.faults = dying(number, fate, die)
    await asyncio.wait([call])
    client.network.faults = none
    assert call.cancelling(), "it was to die before it had an answer"
    await Gate().settle()
    trial.answers.append(None)
    await scene.operation.holds(trial)
    await scene.repeat(trial, scene.reader)
    morgue.open()
    await Gate().settle()
    await scene.operation.holds(trial)


@pytest.mark.parametrize("name", CRASHING)
async def test_operation_can_be_repeated_after_a_crash(name: str) -> None:
    """After a crash at any request of an operation, another container can repeat it."""
    findings, morgue = Findings(), Morgue()
    async with scene(CRASHING[name], morgue) as played:
        for number in range(1, played.requests + 1):
            for fate in Fate:
                trial = outlives(played, number, fate, morgue)
                await findings.note(f"request {number} of the dead client {fate}", trial)
    findings.conclude()


class Shuffled:
    """A schedule on which every step waits for a random number of turns; equal seeds give equal numbers."""

    def __init__(self, seed: int) -> None:
        self._random = seeded(seed)

    async def pause(self, _: Step) -> None:
        for _turn in range(self._random.randrange(6)):
            await asyncio.sleep(0)


async def turn(_: float) -> None:
    """Let other tasks run without advancing the clock, so that the waits of a race do not add up."""
    for _turn in range(20):
        await asyncio.sleep(0)


@dataclass(frozen=True, kw_only=True)
class Race:
    """Two containers on one server, which get the requests in turn."""

    containers: Sequence[Container]
    owner: Owner

    async def run(self, asks: Iterable[Ask]) -> list[httpx.Response]:
        sent = (self.containers[number % 2].send(ask) for number, ask in enumerate(asks))
        return await asyncio.gather(*sent)

    async def load(self, path: str) -> Any:
        return await self.containers[0].load(get(path, self.owner.session))


@asynccontextmanager
async def race(seed: int, *, test_key: bool = True) -> AsyncIterator[Race]:
    async with new_world(Shuffled(seed)) as world:
        containers = [await world.container(sleep=turn) for _ in range(2)]
        owner = await new_owner(containers[0], test_key=test_key)
        world.clock.advance(2)
        yield Race(containers=containers, owner=owner)


def statuses(answers: Iterable[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


seeds = pytest.mark.parametrize("seed", [1, 2, 3])


@seeds
async def test_memos_on_two_containers_stay_within_the_limit(seed: int) -> None:
    async with race(seed) as raced:
        store, left = raced.containers[0].store, 8
        day = (await raced.load("/api/v1/usage/limits"))["daily"]["resetAt"]
        (today,) = (name for name in await store.counters(f"{raced.owner.id}:calls:") if name.count("-") == 2)
        await store.increment(today, HOBBY_MEMOS - left - len(raced.owner.memos))
        answers = await raced.run(make_memo(raced.owner.key) for _ in range(24))
        assert statuses(answers) == {201: left, 429: 24 - left}
        limits = await raced.load("/api/v1/usage/limits")
        assert (limits["daily"]["used"], limits["daily"]["resetAt"]) == (HOBBY_MEMOS, day)
        assert len((await raced.load("/api/v1/memos?limit=100"))["memos"]) == left + len(raced.owner.memos)


@seeds
async def test_sign_ups_on_two_containers_share_no_address(seed: int) -> None:
    """One of several concurrent sign-ups for one address on two containers succeeds."""
    async with race(seed) as raced:
        answers = await raced.run(sign_up(NEW_ADDRESS) for _ in range(10))
        assert statuses(answers) == {201: 1, 409: 9}
        (made,) = (answer.json() for answer in answers if answer.status_code == 201)
        account = await raced.containers[1].load(log_in(NEW_ADDRESS))
        assert account["user"] == made["user"]
        keys = (await raced.containers[1].load(get("/api/keys", account["token"])))["keys"]
        assert [key["id"] for key in keys] == [made["apiKey"]["id"]]
        users = {row.key.sort for row in (await raced.containers[1].store.scan(USERS)).rows}
        assert users == {raced.owner.id, made["user"]["id"]}


@seeds
async def test_keys_on_two_containers_stay_within_the_limit(seed: int) -> None:
    """With one place left, one of several concurrent keys on two containers is made."""
    async with race(seed, test_key=False) as raced:
        answers = await raced.run(create_key(raced.owner.session) for _ in range(10))
        assert statuses(answers) == {201: 1, 400: 9}
        (made,) = (answer.json()["key"] for answer in answers if answer.status_code == 201)
        keys = (await raced.load("/api/keys"))["keys"]
        assert [key["id"] for key in keys] == [made["id"], raced.owner.key_id]
        assert await raced.containers[1].status(get("/api/v1/memos", made["key"])) == 200


@seeds
async def test_rotations_on_two_containers_have_one_winner(seed: int) -> None:
    """One of twenty concurrent rotations of one key makes a new key; the others are 409 and leave no key."""
    async with race(seed) as raced:
        answers = await raced.run(rotate_key(raced.owner) for _ in range(20))
        assert statuses(answers) == {201: 1, 409: 19}
        (made,) = (answer.json()["key"] for answer in answers if answer.status_code == 201)
        assert all(made["id"] in answer.text for answer in answers)
        live = [key for key in (await raced.load("/api/keys"))["keys"] if key["prefix"] == "at_live_"]
        assert [(key["id"], key["isActive"]) for key in live] == [(made["id"], True), (raced.owner.key_id, False)]
        assert live[1]["rotatedTo"] == made["id"]
        uses = [await raced.containers[1].status(get("/api/v1/memos", key)) for key in (made["key"], raced.owner.key)]
        assert uses == [200, 401]
        stored = {row.key.partition for row in (await raced.containers[0].store.scan(API_KEYS)).rows}
        assert len(stored) == 3, "a rotation that lost left its key"


@seeds
async def test_a_keys_limit_on_two_containers_is_exact(seed: int) -> None:
    """Ten of forty concurrent memos of a key with ten a day are made; the owner is charged for these ten."""
    async with race(seed) as raced:
        await raced.containers[0].load(change_key(raced.owner, limits={"memosPerDay": 10}))
        answers = await raced.run(make_memo(raced.owner.key) for _ in range(40))
        assert statuses(answers) == {201: 10, 429: 30}
        limits = await raced.load("/api/v1/usage/limits")
        assert limits["daily"]["used"] == 10 + len(raced.owner.memos)
        (key,) = (key for key in (await raced.load("/api/keys"))["keys"] if key["id"] == raced.owner.key_id)
        assert (key["used"]["memosToday"], key["usageCount"]) == (10, 10 + len(raced.owner.memos))


@seeds
async def test_revocation_holds_on_another_container(seed: int) -> None:
    async with race(seed) as raced:
        owner, (one, other) = raced.owner, raced.containers
        random, acknowledged, late = seeded(seed), False, Counter[int]()

        async def use(container: Container) -> int:
            for _ in range(random.randrange(400)):
                await asyncio.sleep(0)
            begun_late = acknowledged
            status = await container.status(make_memo(owner.key))
            late.update([status] if begun_late else [])
            return status

        async def revoke() -> int:
            nonlocal acknowledged
            for _ in range(50):  # some uses come first
                await asyncio.sleep(0)
            status = await one.status(Ask(method="DELETE", path=f"/api/keys/{owner.key_id}", token=owner.session))
            acknowledged = True
            return status

        revoked, *used = await asyncio.gather(revoke(), *(use(container) for container in (one, other) * 15))
        late.update([await one.status(make_memo(owner.key)), await other.status(make_memo(owner.key))])
        counted = Counter(used)
        assert revoked == 200
        assert counted.keys() == {201, 403}
        assert late.keys() == {403}
        assert late[403] > 2
        (key,) = (key for key in (await raced.load("/api/keys"))["keys"] if key["id"] == owner.key_id)
        assert (key["isActive"], key["usageCount"]) == (False, counted[201] + len(owner.memos))


@seeds
async def test_password_changes_on_two_containers_have_one_winner(seed: int) -> None:
    """One of several concurrent password changes on two containers succeeds."""
    async with race(seed) as raced:
        owner, path = raced.owner, "/api/v1/auth/change-password"
        answers = await raced.run(
            Ask(
                method="POST",
                path=path,
                token=owner.session,
                json={"currentPassword": PASSWORD, "newPassword": f"new password {number}"},
            )
            for number in range(6)
        )
        assert statuses(answers) == {200: 1, 401: 5}
        (winner,) = (number for number, answer in enumerate(answers) if answer.status_code == 200)
        passwords = [PASSWORD, *(f"new password {number}" for number in range(6))]
        good = [text for text in passwords if await raced.containers[1].status(log_in(owner.email, text)) == 200]
        assert good == [f"new password {winner}"]
        assert await raced.containers[1].status(me(answers[winner].json()["token"])) == 200
        assert await raced.containers[1].status(me(owner.session)) == 200, "the session that asks stays good"
        assert await raced.containers[1].status(me(owner.other_session)) == 401


async def _at_once(_: float) -> None:
    """Return immediately, so that refused credentials are answered without a wait."""
