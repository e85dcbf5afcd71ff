"""Shared parts of tests: a settable clock, seeded schedules, stores that count or fail, cheap passwords, rows."""

import asyncio
import time
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, TypeVar

import pytest
from argon2 import PasswordHasher
from hypothesis import settings

from shared.accounts.accounts import SignedUp
from shared.accounts.passwords import Passwords
from shared.api_keys.minting import digest
from shared.core.clock import Clock
from shared.core.ids import Ids
from shared.core.request import ends_at, time_left_s
from shared.core.settings import AttemptLimits, Settings
from shared.plans import Tier
from shared.services import Services
from shared.stores.memory.store import MemoryStore, Pause
from shared.stores.port import (
    AlreadyExists,
    Bound,
    Change,
    Counter,
    Document,
    Key,
    Page,
    Reserved,
    Row,
    Store,
    StoreUnavailable,
    Table,
    Updated,
)
from shared.tables import key_id
from shared.tables.issued_keys import IssuedKey
from shared.tables.users import Role, User

T = TypeVar("T")

NOON: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""A Monday."""

SECRET: Final = "a secret of tests, which is long enough"
BY_SES: Final = {"MAIL": "ses", "MAIL_FROM": "talk@example.org"}
"""The variables of a deployment that sends mail by SES."""

EMAIL: Final = "ada@example.org"
PASSWORD: Final = "correct horse"
ADDRESS: Final = "1.2.3.4"
IDS: Final = Ids()

repeatable: Final = settings(derandomize=True, database=None, deadline=None, max_examples=50)
"""Settings of hypothesis for equal examples in every run, on a machine of any speed."""


class FakeClock:
    """A clock that stands still until `advance`; with a `tick` each call advances it."""

    def __init__(self, at: datetime = NOON, *, tick: timedelta = timedelta()) -> None:
        self.at = at
        self._tick = tick

    def __call__(self) -> datetime:
        now, self.at = self.at, self.at + self._tick
        return now

    def advance(self, by: timedelta) -> None:
        self.at += by


def one_quickly(first: object, *others: object) -> list[object]:
    """Return values for `parametrize`: the quick suite runs the first, the thorough suite all the others."""
    return [first, *(pytest.param(*_all_of(other), marks=pytest.mark.thorough) for other in others)]


def _all_of(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 a schedule must be repeatable, not secret


def seeded_pause(seed: int) -> Pause:
    """Return a pause of 0 to 3 turns of the event loop; equal seeds give equal numbers."""
    random = seeded(seed)

    async def pause() -> None:
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)

    return pause


def racing_store(seed: int, clock: Clock | None = None) -> MemoryStore:
    return MemoryStore(pause=seeded_pause(seed), clock=clock or FakeClock())


def cheap_passwords() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


async def outcomes(calls: Iterable[Awaitable[T]]) -> tuple[list[T], list[Exception]]:
    """Run the calls concurrently. Return their results, and their exceptions."""
    returned: list[T] = []
    raised: list[Exception] = []
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, Exception):
            raised.append(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            returned.append(result)
    return returned, raised


class Intercepted:
    """A store whose every call passes through `_carry_out`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def reserves_at_once(self) -> bool:
        return self._store.reserves_at_once

    @property
    def keeps_ended_counters(self) -> bool:
        return self._store.keeps_ended_counters

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 subclasses use it
        return await call()

    async def get(self, table: Table, key: Key) -> Document | None:
        return await self._carry_out("get", lambda: self._store.get(table, key))

    async def add(self, table: Table, key: Key, document: Document) -> None:
        await self._carry_out("add", lambda: self._store.add(table, key, document))

    async def take_back(self, table: Table, key: Key) -> None:
        await self._carry_out("take_back", lambda: self._store.take_back(table, key))

    async def extend(self, table: Table, key: Key, field: str, value: Any) -> None:
        await self._carry_out("extend", lambda: self._store.extend(table, key, field, value))

    async def put(self, table: Table, key: Key, document: Document) -> None:
        await self._carry_out("put", lambda: self._store.put(table, key, document))

    async def claim(self, table: Table, key: Key, document: Document) -> None:
        await self._carry_out("claim", lambda: self._store.claim(table, key, document))

    async def update(self, table: Table, key: Key, change: Change) -> Updated:
        return await self._carry_out("update", lambda: self._store.update(table, key, change))

    async def delete(self, table: Table, key: Key) -> None:
        await self._carry_out("delete", lambda: self._store.delete(table, key))

    async def page(
        self,
        table: Table,
        partition: str,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = False,
        between: tuple[str, str] | None = None,
    ) -> Page[Row]:
        return await self._carry_out(
            "page",
            lambda: self._store.page(
                table, partition, after=after, limit=limit, newest_first=newest_first, between=between
            ),
        )

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:
        return await self._carry_out("increment", lambda: self._store.increment(counter, by, ends_at=ends_at))

    async def reserve(self, bounds: Sequence[Bound]) -> Reserved:
        return await self._carry_out("reserve", lambda: self._store.reserve(bounds))

    async def counters(self, prefix: str) -> Mapping[str, int]:
        return await self._carry_out("counters", lambda: self._store.counters(prefix))

    async def erase(self, table: Table, partition: str) -> bool:
        return await self._carry_out("erase", lambda: self._store.erase(table, partition))

    async def drop(self, counters: Sequence[str]) -> None:
        await self._carry_out("drop", lambda: self._store.drop(counters))

    async def scan(self, table: Table, *, after: str | None = None, limit: int = 1000) -> Page[Row]:
        return await self._carry_out("scan", lambda: self._store.scan(table, after=after, limit=limit))

    async def scan_counters(self, *, after: str | None = None, limit: int = 1000) -> Page[Counter]:
        return await self._carry_out("scan_counters", lambda: self._store.scan_counters(after=after, limit=limit))

    async def verify(self, tables: Sequence[Table]) -> None:
        await self._carry_out("verify", lambda: self._store.verify(tables))


class CountingStore(Intercepted):
    """Counts the calls of each verb, and the rows of pages."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls: Counts[str] = Counts()
        self.rows = 0

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        self.calls[verb] += 1
        answer = await call()
        self.rows += len(answer.rows) if isinstance(answer, Page) else 0
        return answer


class FailingStore(Intercepted):
    """Raises StoreUnavailable for call number `at`, counted from 0.

    With `lost` that call takes effect, and only its answer is lost. With `for_good` all later calls fail too, as after
    a crash of the caller.
    """

    def __init__(self, store: Store, *, at: int, lost: bool = False, for_good: bool = False) -> None:
        super().__init__(store)
        self._at = at
        self._lost = lost
        self._for_good = for_good
        self._seen = 0

    @property
    def failed(self) -> bool:
        return self._seen > self._at

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        number, self._seen = self._seen, self._seen + 1
        if number == self._at and self._lost:
            await call()
        if number == self._at or (number > self._at and self._for_good):
            raise StoreUnavailable(f"call {number} ({verb}) was not answered")
        return await call()


class HurriedStore(Intercepted):
    """Raises StoreUnavailable for each call that begins after the request's deadline, as the stores do."""

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if time_left_s() <= 0:
            raise StoreUnavailable(f"no time is left for {verb}")
        return await call()


@contextmanager
def request_that_has(seconds: float) -> Iterator[float]:
    """Run the block as a request with `seconds` left; 0: its deadline has passed. Yields the deadline."""
    ends = time.monotonic() + seconds
    token = ends_at.set(ends)
    try:
        yield ends
    finally:
        ends_at.reset(token)


def refuse(document: Document | None) -> Document | None:
    """Raise Refused: a change that refuses."""
    raise Refused(document)


class Refused(Exception):
    """A change refused the row."""


def services_on(store: Store, clock: FakeClock | None = None) -> Services:
    settings = Settings(session_secret=SECRET, attempts=AttemptLimits(signups_per_address=1000), failed_login_ms=0)
    return Services.on(store, settings, passwords=cheap_passwords(), clock=clock or FakeClock())


async def signed_up(services: Services, email: str = EMAIL) -> SignedUp:
    return await services.accounts.sign_up(email, PASSWORD, address=ADDRESS)


def a_user(email: str = EMAIL, *, minutes: int = 0) -> User:
    at = NOON + timedelta(minutes=minutes)
    return User(
        id=IDS.mint(at),
        email=email,
        password_hash="a hash",
        tier=Tier.HOBBY,
        role=Role.USER,
        email_verified=False,
        session_version=1,
        created_at=at,
        updated_at=at,
    )


def a_key(
    user_id: str, *, name: str = "Key", expires_in: timedelta | None = None, prefix: str = "at_live_"
) -> IssuedKey:
    key_hash = digest(f"{user_id}{IDS.mint(NOON)}")
    return IssuedKey(
        id=key_id(key_hash),
        user_id=user_id,
        prefix=prefix,
        key_hash=key_hash,
        last_six="abcdef",
        name=name,
        created_at=NOON,
        expires_at=None if expires_in is None else NOON + expires_in,
    )


F, C, R = Key("p", "fact"), Key("p", "row"), Key("p", "register")
"""Keys of a fact, of a changing row and of a register."""


def counted(row: Document | None) -> Document:
    return {"n": 0 if row is None else row["n"] + 1}


def refusing(_: Document | None) -> Document | None:
    raise AlreadyExists


async def refused(call: Awaitable[object]) -> None:
    with pytest.raises(AlreadyExists):
        await call
