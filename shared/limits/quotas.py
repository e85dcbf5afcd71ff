"""Limits on counters: memos a day and a month, and attempts in a window.

A request is counted before it is known to be admitted; whoever finds the counter above the limit gives it back. So no
more than the limit get through, whatever runs at once, and a refusal costs no more than an admission.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, NoReturn

from shared.accounts.sessions import pseudonym
from shared.core.clock import HOUR, Clock, floor, iso, next_day, next_month
from shared.core.concurrency import together
from shared.core.errors import AgentTalkError, DailyLimitExceeded, MonthlyLimitExceeded, TooManyAttempts
from shared.core.settings import AttemptLimits
from shared.plans import PLANS, TEST_MEMOS_PER_DAY
from shared.stores.best_effort import best_effort
from shared.stores.port import Store
from shared.tables.model import IssuedKey, Role, User

LOGIN_WINDOW: Final = timedelta(minutes=15)


class Charge:
    """Counters raised for one request, which are given back if it comes to nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._taken: list[tuple[str, datetime | None]] = []

    async def take(self, counter: str, *, ends_at: datetime | None = None) -> int:
        """Returns the counter's value, this request included."""
        value = await self._store.increment(counter, ends_at=ends_at)
        self._taken.append((counter, ends_at))
        return value

    async def give_back(self) -> None:
        """Never raises: what cannot be given back stays counted, and is logged."""
        taken, self._taken = self._taken, []
        await together(*(self._give_back(counter, ends_at) for counter, ends_at in taken))

    async def _give_back(self, counter: str, ends_at: datetime | None) -> None:
        with best_effort("a count could not be given back", counter=counter):
            await self._store.increment(counter, -1, ends_at=ends_at)


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """`used` of `limit` memos in a window. A limit of None: none."""

    limit: int | None
    used: int
    resets_at: datetime

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": _or_unlimited(self.limit),
            "X-RateLimit-Remaining": _or_unlimited(self.remaining),
            "X-RateLimit-Reset": str(int(self.resets_at.timestamp())),
        }


@dataclass(frozen=True, kw_only=True)
class Quota:
    """An owner's memos in the current UTC day and calendar month."""

    day: Allowance
    month: Allowance

    def check(self, at: datetime) -> None:
        """Raises MonthlyLimitExceeded or DailyLimitExceeded when the last memo counted is beyond its limit.

        The month first: who is told to come back tomorrow shall not be refused tomorrow.
        """
        for allowance, error in ((self.month, MonthlyLimitExceeded), (self.day, DailyLimitExceeded)):
            if allowance.limit is not None and allowance.used > allowance.limit:
                raise error(
                    limit=allowance.limit,
                    used=allowance.used - 1,
                    resets_at=iso(allowance.resets_at),
                    headers=self.day.headers() | {"Retry-After": str(_seconds(allowance.resets_at - at))},
                )


class Quotas:
    def __init__(self, store: Store) -> None:
        self._store = store

    def charge(self) -> Charge:
        return Charge(self._store)

    async def count(self, charge: Charge, key: IssuedKey, at: datetime) -> Callable[[User], Quota]:
        """Count one memo. What it is measured by follows from the owner, who is read meanwhile."""
        if key.is_test:
            day = await charge.take(f"{key.user_id}:testcalls:{at:%Y-%m-%d}", ends_at=next_day(at))
            return lambda _: _quota(TEST_MEMOS_PER_DAY, None, day, 0, at)
        day, month = await together(
            charge.take(f"{key.user_id}:calls:{at:%Y-%m-%d}", ends_at=next_day(at)),
            charge.take(f"{key.user_id}:calls:{at:%Y-%m}", ends_at=next_month(at)),
        )
        return lambda user: _quota(*_limits(user), day, month, at)

    async def used(self, user: User, at: datetime) -> Quota:
        return (await self.used_by(user.id, at))(user)

    async def used_by(self, user_id: str, at: datetime) -> Callable[[User], Quota]:
        """The same for an owner who is read meanwhile."""
        counters = await self._store.counters(f"{user_id}:calls:{at:%Y-%m}")
        day, month = (counters.get(f"{user_id}:calls:{window}", 0) for window in (f"{at:%Y-%m-%d}", f"{at:%Y-%m}"))
        return lambda user: _quota(*_limits(user), day, month, at)

    async def left(self, user: User, key: IssuedKey, at: datetime) -> int | None:
        """How many memos this key can make now; None: any number."""
        if key.is_test:
            counter = f"{user.id}:testcalls:{at:%Y-%m-%d}"
            return max(0, TEST_MEMOS_PER_DAY - (await self._store.counters(counter)).get(counter, 0))
        quota = await self.used(user, at)
        return min((left for left in (quota.day.remaining, quota.month.remaining) if left is not None), default=None)

    async def refused(self, key: IssuedKey, at: datetime, refusal: DailyLimitExceeded) -> int:
        """Count a refusal. Returns how many there have been in its window, this one included."""
        monthly = isinstance(refusal, MonthlyLimitExceeded)
        window, ends_at = (f"{at:%Y-%m}", next_month(at)) if monthly else (f"{at:%Y-%m-%d}", next_day(at))
        kind = "test" if key.is_test else "live"
        return await self._store.increment(f"{key.user_id}:refused:{kind}:{window}", ends_at=ends_at)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt, counted from `begin` on, until it is forgiven."""

    charge: Charge
    counter: str
    limit: int
    window_ends_at: datetime
    clock: Clock

    async def begin(self) -> None:
        """Raises TooManyAttempts."""
        if await self.charge.take(self.counter, ends_at=self.window_ends_at) > self.limit:
            await self._refuse()

    @asynccontextmanager
    async def unless_it_breaks(self) -> AsyncIterator[None]:
        """Forgive an attempt that is cut short or fails unforeseen. One that is refused was like any other."""
        try:
            yield
        except AgentTalkError:
            raise
        except BaseException:
            await self.forgive()
            raise

    async def forgive(self) -> None:
        """It does not count after all. Never raises."""
        await self.charge.give_back()

    async def _refuse(self) -> NoReturn:
        await self.charge.give_back()
        raise TooManyAttempts(retry_after_s=_seconds(self.window_ends_at - self.clock()))


@dataclass(frozen=True, kw_only=True)
class LoginAttempt(Attempt):
    """`counter` is an account's at an address; `of_address` begins the names of all accounts' there."""

    store: Store
    of_address: str
    address_limit: int

    async def check_address(self) -> None:
        """Raises TooManyAttempts when all accounts together have failed too often from this address.

        The attempt is counted before the sum is read, so at most `address_limit` attempts see a sum within the limit.
        """
        if sum((await self.store.counters(self.of_address)).values()) > self.address_limit:
            await self._refuse()


class Attempts:
    """Attempts in fixed windows, by client address. Addresses and accounts are pseudonyms in the counters' names."""

    def __init__(self, store: Store, limits: AttemptLimits, *, secret: str, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._secret = secret
        self._clock = clock

    def sign_up(self, address: str) -> Attempt:
        return self._hourly("signup", address, self._limits.signups_per_address)

    def demo(self, address: str) -> Attempt:
        return self._hourly("demo", address, self._limits.demos_per_address)

    def log_in(self, address: str, account: str) -> LoginAttempt:
        """Failed logins count; others are forgiven."""
        window, ends_at = _window(self._clock(), LOGIN_WINDOW)
        of_address = f"login.{window}.{self._pseudonym(address)}:"
        return LoginAttempt(
            store=self._store,
            charge=Charge(self._store),
            counter=of_address + self._pseudonym(account),
            limit=self._limits.failed_logins_per_account,
            window_ends_at=ends_at,
            clock=self._clock,
            of_address=of_address,
            address_limit=self._limits.failed_logins_per_address,
        )

    def _hourly(self, what: str, address: str, limit: int) -> Attempt:
        window, ends_at = _window(self._clock(), HOUR)
        return Attempt(
            charge=Charge(self._store),
            counter=f"{what}.{window}.{self._pseudonym(address)}",
            limit=limit,
            window_ends_at=ends_at,
            clock=self._clock,
        )

    def _pseudonym(self, text: str) -> str:
        return pseudonym(self._secret, text)


def _limits(user: User) -> tuple[int | None, int | None]:
    """Memos a day and a month; admins have no limit."""
    if user.role is Role.ADMIN:
        return None, None
    limits = PLANS[user.tier].limits
    return limits.calls_per_day, limits.calls_per_month


def _quota(day_limit: int | None, month_limit: int | None, day: int, month: int, at: datetime) -> Quota:
    return Quota(
        day=Allowance(limit=day_limit, used=day, resets_at=next_day(at)),
        month=Allowance(limit=month_limit, used=month, resets_at=next_month(at)),
    )


def _or_unlimited(limit: int | None) -> str:
    return "unlimited" if limit is None else str(limit)


def _window(at: datetime, length: timedelta) -> tuple[str, datetime]:
    """The window's name, which sorts by time, and its end."""
    start = floor(at, length)
    return f"{start:%Y%m%dT%H%M}", start + length


def _seconds(span: timedelta) -> int:
    return max(1, ceil(span.total_seconds()))
