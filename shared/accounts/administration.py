"""An admin's view of all accounts, the changes an admin makes, and the figures of the service.

Every change is recorded for its owner with `"by": "admin"`, and a log line names the admin. Figures come from counters
of users and from housekeeping's sums of days, so they cost two reads at any size.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from shared.accounts.closing import Closing
from shared.activity import UsageRecorder
from shared.api_keys.revocation import revoke
from shared.core.clock import DAY, Clock
from shared.core.concurrency import gather_settled
from shared.core.errors import Forbidden, NotFound
from shared.plans import Tier
from shared.stores.port import Page, is_key_part
from shared.tables import Tables, Window
from shared.tables.issued_keys import ApiKey
from shared.tables.usage_logs import Action
from shared.tables.users import Role, User, UserCounts

AT_ONCE: Final = 4
"""Users whose keys are read at the same time, by two or three requests each."""

BY_ADMIN: Final = {"by": "admin"}

WEEK: Final = 7
MONTH: Final = 30

_log = logging.getLogger("agent_talk.admin")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A user with all keys, revoked ones included."""

    user: User
    keys: list[ApiKey]

    @property
    def uses(self) -> int:
        return sum(key.usage_count for key in self.keys)


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Calls by UTC day, today included, as of a time; `as_of` of None: housekeeping has made no figures yet."""

    as_of: datetime | None
    by_day: Mapping[date, int]
    today: date

    def last(self, days: int) -> int:
        first = self.today - (days - 1) * DAY
        return sum(calls for day, calls in self.by_day.items() if day >= first)


@dataclass(frozen=True, kw_only=True)
class ServiceFigures:
    users: UserCounts
    calls: Calls


class Administration:
    def __init__(self, *, tables: Tables, closing: Closing, recorder: UsageRecorder, clock: Clock) -> None:
        self._tables = tables
        self._closing = closing
        self._recorder = recorder
        self._clock = clock

    async def users(
        self, window: Window, *, tier: Tier | None = None, role: Role | None = None, email: str | None = None
    ) -> Page[Listed]:
        """Return users with their keys, newest first. A filtered page can be short although more pages follow."""
        if email is not None:
            user = await self._tables.users.by_email(email)
            page = Page(rows=[user] if user is not None and _is(user, tier, role) else [], after=None)
        else:
            page = await self._tables.users.page(window, tier=tier, role=role)
        users = [user for user in page.rows if not user.is_closing]
        listed: list[Listed] = []
        for number in range(0, len(users), AT_ONCE):
            listed += await gather_settled(*(self._listed(user) for user in users[number : number + AT_ONCE]))
        return Page(rows=listed, after=page.after)

    async def user(self, user_id: str) -> Listed:
        """Return a user with all keys. Raises NotFound, also if the account was closed."""
        return await self._listed(await self._load(user_id))

    async def change(self, admin: User, user_id: str, *, tier: Tier | None, role: Role | None) -> User:
        """Change a user's plan or role, or both; None leaves one as it is.

        Raises NotFound, and Forbidden if an admin gives up the admin's own role.
        """
        if user_id == admin.id and role is not None and role is not Role.ADMIN:
            raise Forbidden("You cannot take away your own admin role")
        at = self._clock()
        before, after = await self._tables.users.change_from(user_id, lambda row: _changed(row, tier, role, at))
        if before.tier is not after.tier:
            await self._tell(Action.PLAN_CHANGED, admin, after, at, before.tier, after.tier)
        if before.role is not after.role:
            await self._tell(Action.ADMIN_CHANGED, admin, after, at, before.role, after.role)
        return after

    async def close(self, admin: User, user_id: str) -> None:
        """Close an account, as its owner can. Raises NotFound, and Forbidden for the admin's own account."""
        if user_id == admin.id:
            raise Forbidden("You cannot delete your own account here")
        user = await self._load(user_id)
        _log.info("an admin closes an account", extra={"admin_id": admin.id, "user_id": user.id})
        await self._closing.close(user)

    async def revoke_key(self, admin: User, api_key_id: str) -> None:
        """Revoke any owner's key for good, in force at once. Repeatable. Raises NotFound."""
        key = await self._tables.api_keys.get_issued(api_key_id) if is_key_part(api_key_id) else None
        if key is None:
            raise NotFound("API key not found")
        at, keys = self._clock(), self._tables.api_keys
        _log.info(
            "an admin revokes a key", extra={"admin_id": admin.id, "user_id": key.user_id, "revoked_key_id": key.id}
        )
        await revoke(keys, self._recorder, key.user_id, key.id, at, metadata=dict(BY_ADMIN))

    async def figures(self) -> ServiceFigures:
        """Return the figures of the service, in two reads."""
        today = self._clock().date()
        users, days = await gather_settled(
            self._tables.users.counts(today), self._tables.housekeeping.days(today - (MONTH - 1) * DAY, today)
        )
        as_of = max((figures.as_of for _, figures in days if figures.as_of is not None), default=None)
        calls = Calls(as_of=as_of, by_day={day: figures.calls for day, figures in days}, today=today)
        return ServiceFigures(users=users, calls=calls)

    async def _load(self, user_id: str) -> User:
        user = await self._tables.users.load(user_id)
        if user.is_closing:
            raise _gone()
        return user

    async def _listed(self, user: User) -> Listed:
        return Listed(user=user, keys=await self._tables.api_keys.of(user.id, self._clock()))

    async def _tell(self, action: Action, admin: User, user: User, at: datetime, before: str, after: str) -> None:
        """Record a change for its owner, and log who made it."""
        change = {"from": before, "to": after}
        _log.info("an admin changed an account", extra={"admin_id": admin.id, "user_id": user.id} | change)
        await self._recorder.try_record(action, user_id=user.id, at=at, metadata=change | BY_ADMIN)


def _changed(row: User, tier: Tier | None, role: Role | None, at: datetime) -> User:
    if row.is_closing:
        raise _gone()
    fields = {"tier": tier or row.tier, "role": role or row.role}
    if fields == {"tier": row.tier, "role": row.role}:
        return row
    return row.model_copy(update=fields | {"updated_at": at})


def _is(user: User, tier: Tier | None, role: Role | None) -> bool:
    return tier in (None, user.tier) and role in (None, user.role)


def _gone() -> NotFound:
    return NotFound("User not found")
