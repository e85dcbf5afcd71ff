"""Limits on counters: memos a day and a month, and attempts in a window.

A request is counted before it is known to be admitted; whoever finds the counter above the limit gives it back. So no
more than the limit get through, whatever runs at once, and a refusal costs no more than an admission.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.core.clock import DAY, iso, next_day, next_month, whole_seconds
from shared.core.concurrency import gather_settled
from shared.core.errors import DailyLimitExceeded, MonthlyLimitExceeded
from shared.limits.reservation import Reservation
from shared.plans import PLANS, TEST_MEMOS_PER_DAY
from shared.stores.port import Store
from shared.tables.api_keys import IssuedKey
from shared.tables.users import Role, User


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """`used` of `limit` memos in a window. A limit of None: none."""

    limit: int | None
    used: int
    resets_at: datetime

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)

    def headers(self, at: datetime) -> dict[str, str]:
        """Return a day's allowance as answers tell it at this time: by the older names, and by the IETF's draft.

        The draft has no word for a limit that there is not, so `RateLimit` is left out then:
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

    def enforce(self, at: datetime) -> None:
        """Raises MonthlyLimitExceeded or DailyLimitExceeded when the last memo counted is beyond its limit.

        The month first: who is told to come back tomorrow shall not be refused tomorrow.
        """
        for allowance, error in ((self.month, MonthlyLimitExceeded), (self.day, DailyLimitExceeded)):
            if allowance.limit is not None and allowance.used > allowance.limit:
                raise error(
                    limit=allowance.limit,
                    used=min(allowance.limit, allowance.used - 1),
                    resets_at=iso(allowance.resets_at),
                    headers=self.day.headers(at) | {"Retry-After": str(whole_seconds(allowance.resets_at - at))},
                )


class Quotas:
    def __init__(self, store: Store) -> None:
        self._store = store

    def reservation(self) -> Reservation:
        return Reservation(self._store)

    async def count(self, reservation: Reservation, key: IssuedKey, at: datetime) -> Callable[[User], Quota]:
        """Count one memo. What it is measured by follows from the owner, who is read meanwhile."""
        if key.is_test:
            day = await reservation.take(f"{key.user_id}:testcalls:{at:%Y-%m-%d}", ends_at=next_day(at))
            return lambda _: _quota(TEST_MEMOS_PER_DAY, None, day, 0, at)
        day, month = await gather_settled(
            reservation.take(f"{key.user_id}:calls:{at:%Y-%m-%d}", ends_at=next_day(at)),
            reservation.take(f"{key.user_id}:calls:{at:%Y-%m}", ends_at=next_month(at)),
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
