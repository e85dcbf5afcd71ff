"""An owner's limits: memos a day and a month, over all keys.

A place is reserved before a memo is made, and given back if the memo fails. A store that cannot reserve day and month
at once counts first the day, then the month: so the month never counts a memo that the day refuses. In parallel,
refusals by the one would take places of the other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from shared.core.clock import DAY, iso, next_day, next_month, whole_seconds
from shared.core.concurrency import gather_settled
from shared.core.errors import DailyLimitExceeded, KeyLimitExceeded, MonthlyLimitExceeded
from shared.core.remembered import Remembered
from shared.limits.key_limits import LOOKS, KeyLimits
from shared.limits.reservation import Reservation
from shared.plans import PLANS, TEST_MEMOS_PER_DAY
from shared.stores.port import Bound, Store
from shared.tables.issued_keys import IssuedKey
from shared.tables.users import Role, User

MONTHS_REMEMBERED: Final = 4096
"""Owners whose month's count a container remembers, some 200 bytes each. A forgotten one costs a read."""

REFUSED_REMEMBERED: Final = 4096
"""API keys that a container remembers to have refused today, some 200 bytes each. With a forgotten one, a refused
request that has an idempotency key writes one more row."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """`used` of `limit` memos in a window; `used` is at most `limit`. `limit` None: unlimited."""

    limit: int | None
    used: int
    resets_at: datetime

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else self.limit - self.used

    def headers(self, at: datetime) -> dict[str, str]:
        """Return a day's allowance as headers: the older ones, and those of the IETF's draft.

        The draft cannot express an unlimited day, so its two headers are left out then:
        `RateLimit-Policy: "day";q=100;w=86400`, `RateLimit: "day";r=99;t=43200` (seconds).
        """
        headers = {
            "X-RateLimit-Limit": _or_unlimited(self.limit),
            "X-RateLimit-Remaining": _or_unlimited(self.remaining),
            "X-RateLimit-Reset": str(int(self.resets_at.timestamp())),
        }
        if self.limit is not None:
            headers["RateLimit-Policy"] = f'"day";q={self.limit};w={whole_seconds(DAY)}'
            headers["RateLimit"] = f'"day";r={self.remaining};t={whole_seconds(self.resets_at - at)}'
        return headers


@dataclass(frozen=True, kw_only=True)
class Quota:
    """An owner's memos in the current UTC day and calendar month."""

    day: Allowance
    month: Allowance

    @property
    def is_spent(self) -> bool:
        return self.day.remaining == 0 or self.month.remaining == 0

    def refusal(self, at: datetime) -> DailyLimitExceeded:
        """Return the error that names the spent limit. The month comes first: it is spent tomorrow too."""
        is_month = self.month.remaining == 0
        allowance, error = (self.month, MonthlyLimitExceeded) if is_month else (self.day, DailyLimitExceeded)
        limit = allowance.limit or 0
        return error(
            limit=limit,
            used=allowance.used,
            resets_at=iso(allowance.resets_at),
            headers=self.day.headers(at) | {"Retry-After": str(whole_seconds(allowance.resets_at - at))},
        )


@dataclass(frozen=True, kw_only=True)
class Used:
    """Memos that an owner's live keys made, in the UTC day and in the calendar month of `at`."""

    day: int
    month: int
    at: datetime

    def of(self, user: User) -> Quota:
        """Return these numbers with their owner's limits. The owner may be read in parallel with them."""
        return _quota(*_limits(user), self.day, self.month, self.at)


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A reserved place. `month` is the month's counter if it is still to be counted, since it cannot refuse today."""

    quota: Quota
    user: User
    month: Bound | None = None


class Quotas:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._key_limits = KeyLimits(store)
        self._months = Remembered[str, tuple[date, int]](MONTHS_REMEMBERED)
        self._refused = Remembered[str, date](REFUSED_REMEMBERED)

    def reservation(self, *, taken: Sequence[Bound] = ()) -> Reservation:
        """Return a new reservation. With `taken` it can give back the places of an earlier one."""
        return Reservation(self._store, taken=taken)

    async def admit(
        self, reservation: Reservation, key: IssuedKey, owner: Awaitable[User], at: datetime, *, characters: int
    ) -> Admission:
        """Reserve one memo of `characters`, in parallel with reading the owner.

        The key's own limits come first, then the owner's day and month. Where the store counts one by one, a refused
        memo is tried again, LOOKS times in all, while a read shows room for it: other requests may have given places
        back. Raises KeyLimitExceeded, MonthlyLimitExceeded or DailyLimitExceeded; an exception of `owner` propagates.
        """
        owner = asyncio.ensure_future(owner)
        for look in range(1, LOOKS + 1):
            if key.limits:
                await gather_settled(self._key_limits.reserve(reservation, key, characters, at), owner)
            admitted = await self._admit(reservation, key, owner, at)
            if isinstance(admitted, Admission):
                return admitted
            if admitted.is_spent or look == LOOKS:
                raise admitted.refusal(at)
            await reservation.give_back()
        raise AssertionError("the last look returns or raises")

    async def refuse_again(self, key: IssuedKey, owner: Awaitable[User], at: datetime, *, characters: int) -> None:
        """Refuse a key that this container refused today, if its limits are still spent. Raises as `admit` does.

        Takes no place: it serves requests that would write a row before they are admitted. Other keys cost no request.
        """
        if self._refused.get(key.id) != at.date():
            return
        user = await owner
        quota, _ = await gather_settled(
            self._quota_of(key, user, at), self._key_limits.refuse_spent(key, characters, at)
        )
        if quota.is_spent:
            raise quota.refusal(at)

    async def count_month(self, reservation: Reservation, admission: Admission) -> None:
        """Count the month of an admission, in parallel with the memo's writes."""
        if admission.month is not None:
            month = await reservation.take(admission.month.counter, ends_at=admission.month.ends_at)
            self._months[admission.user.id] = (admission.quota.day.resets_at.date(), month)

    async def used(self, user: User, at: datetime) -> Quota:
        return (await self.used_by(user.id, at)).of(user)

    async def used_by(self, user_id: str, at: datetime) -> Used:
        """Return the memos that an owner used, without limits, in one read. The owner's row is not needed."""
        counters = await self._store.counters(_month_counter(user_id, at))
        day, month = (counters.get(name, 0) for name in (_day_counter(user_id, at), _month_counter(user_id, at)))
        return Used(day=day, month=month, at=at)

    async def now(self, key: IssuedKey, owner_of: Callable[[str], Awaitable[User]], at: datetime) -> Quota:
        """Return a key's quota. The owner is read in parallel; an exception of `owner_of` propagates."""
        owner = owner_of(key.user_id)
        if key.is_test:
            counted, _ = await gather_settled(self._store.counters(_test_counter(key.user_id, at)), owner)
            return _test_quota(counted.get(_test_counter(key.user_id, at), 0), at)
        used, user = await gather_settled(self.used_by(key.user_id, at), owner)
        return used.of(user)

    async def left(self, user: User, key: IssuedKey, at: datetime) -> int | None:
        """Return how many memos this key can make now; None: unlimited. 0 if one of the key's own limits is spent."""
        quota, spent = await gather_settled(self._quota_of(key, user, at), self._key_limits.is_spent(key, at))
        if spent:
            return 0
        return min((left for left in (quota.day.remaining, quota.month.remaining) if left is not None), default=None)

    async def refused(self, key: IssuedKey, at: datetime, refusal: DailyLimitExceeded) -> int:
        """Count a refusal, and return how many its window has, this one included."""
        self._refused[key.id] = at.date()
        monthly, kind = isinstance(refusal, MonthlyLimitExceeded), "test" if key.is_test else "live"
        if isinstance(refusal, KeyLimitExceeded):
            monthly, kind = refusal.is_monthly, key.id
        window, ends_at = (f"{at:%Y-%m}", next_month(at)) if monthly else (f"{at:%Y-%m-%d}", next_day(at))
        return await self._store.increment(f"{key.user_id}:refused:{kind}:{window}", ends_at=ends_at)

    async def _admit(
        self, reservation: Reservation, key: IssuedKey, owner: "asyncio.Future[User]", at: datetime
    ) -> Admission | Quota:
        """Try to reserve a place. If it is refused, return the quota after the refusal."""
        if key.is_test:
            day = Bound(counter=_test_counter(key.user_id, at), most=TEST_MEMOS_PER_DAY, ends_at=next_day(at))
            reserved, user = await gather_settled(reservation.reserve([day]), owner)
            quota = _test_quota(reserved.values[day.counter], at)
            return quota if reserved.refused else Admission(quota=quota, user=user)
        if self._store.reserves_at_once:
            return await self._admit_at_once(reservation, await owner, at)
        return await self._admit_in_order(reservation, key.user_id, owner, at)

    async def _admit_at_once(self, reservation: Reservation, user: User, at: datetime) -> Admission | Quota:
        limits = _limits(user)
        day = Bound(counter=_day_counter(user.id, at), most=limits[0], ends_at=next_day(at))
        month = Bound(counter=_month_counter(user.id, at), most=limits[1], ends_at=next_month(at))
        reserved = await reservation.reserve([day, month])
        quota = _quota(*limits, reserved.values[day.counter], reserved.values[month.counter], at)
        return quota if reserved.refused else Admission(quota=quota, user=user)

    async def _admit_in_order(
        self, reservation: Reservation, user_id: str, owner: "asyncio.Future[User]", at: datetime
    ) -> Admission | Quota:
        day = Bound(counter=_day_counter(user_id, at), most=_DayLimit(owner), ends_at=next_day(at))
        reserved, seen, user = await gather_settled(reservation.reserve([day]), self._month_seen(user_id, at), owner)
        limits = _limits(user)
        if reserved.refused:
            return (await self.used_by(user_id, at)).of(user)
        quota = _quota(*limits, reserved.values[day.counter], seen, at)
        month = Bound(counter=_month_counter(user_id, at), most=limits[1], ends_at=next_month(at))
        if _cannot_refuse_today(seen, *limits):
            return Admission(quota=quota, user=user, month=month)
        reserved = await reservation.reserve([month])
        self._months[user_id] = (next_day(at).date(), reserved.values[month.counter])
        if not reserved.refused:
            return Admission(quota=quota, user=user)
        await reservation.give_back()
        return (await self.used_by(user_id, at)).of(user)

    async def _quota_of(self, key: IssuedKey, user: User, at: datetime) -> Quota:
        if not key.is_test:
            return await self.used(user, at)
        counter = _test_counter(user.id, at)
        return _test_quota((await self._store.counters(counter)).get(counter, 0), at)

    async def _month_seen(self, user_id: str, at: datetime) -> int:
        """Return the month's count at some time of this day. Costs a read if the container does not remember it."""
        day_ends_on, month = self._months.get(user_id, (None, 0))
        if day_ends_on == next_day(at).date():
            return month
        used = await self.used_by(user_id, at)
        self._months[user_id] = (next_day(at).date(), used.month)
        return used.month


@dataclass(frozen=True)
class _DayLimit:
    """An awaitable of the limit of an owner's day. It can be awaited any number of times."""

    owner: "asyncio.Future[User]"

    def __await__(self) -> Generator[Any, None, int | None]:
        user = yield from self.owner.__await__()
        return _limits(user)[0]


def _cannot_refuse_today(month_seen: int, day_limit: int | None, month_limit: int | None) -> bool:
    """Return whether a month's count, read today, leaves room for two days' limits.

    Memos made after the read can use up one day's limit. The other covers places that are counted and then given back,
    and clocks that differ about the day.
    """
    if month_limit is None:
        return True
    return day_limit is not None and month_seen + 2 * day_limit <= month_limit


def _day_counter(user_id: str, at: datetime) -> str:
    return f"{user_id}:calls:{at:%Y-%m-%d}"


def _month_counter(user_id: str, at: datetime) -> str:
    return f"{user_id}:calls:{at:%Y-%m}"


def _test_counter(user_id: str, at: datetime) -> str:
    return f"{user_id}:testcalls:{at:%Y-%m-%d}"


def _test_quota(day: int, at: datetime) -> Quota:
    return _quota(TEST_MEMOS_PER_DAY, None, day, 0, at)


def _limits(user: User) -> tuple[int | None, int | None]:
    """Return the limits of a day and a month, in memos. None: unlimited, as for admins."""
    if user.role is Role.ADMIN:
        return None, None
    limits = PLANS[user.tier].limits
    return limits.calls_per_day, limits.calls_per_month


def _quota(day_limit: int | None, month_limit: int | None, day: int, month: int, at: datetime) -> Quota:
    return Quota(day=_allowance(day_limit, day, next_day(at)), month=_allowance(month_limit, month, next_month(at)))


def _allowance(limit: int | None, counted: int, resets_at: datetime) -> Allowance:
    """Return an allowance. `counted` exceeds the limit while a store refuses, and after a change to a smaller plan."""
    return Allowance(limit=limit, used=counted if limit is None else min(limit, counted), resets_at=resets_at)


def _or_unlimited(limit: int | None) -> str:
    return "unlimited" if limit is None else str(limit)
