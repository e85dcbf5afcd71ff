"""Users, and the claims on their addresses."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import Field

from shared.core.clock import DAY, Instant
from shared.core.concurrency import gather_settled
from shared.core.errors import Conflict, NotFound
from shared.core.ids import is_id
from shared.plans import Tier
from shared.stores.best_effort import best_effort
from shared.stores.port import Document, Key, Page, Store
from shared.tables.lists import Window, newest
from shared.tables.model import RowModel
from shared.tables.schema import EMAILS, USERS

ENDED = "ended_"
"""The prefix of the extensions of a user's row for ended sessions: `{"ended_<session id>": <end, epoch seconds>}`."""


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


class User(RowModel):
    """A raised `session_version` ends every session that began under a lower one. `ended_sessions` are the sessions
    that were logged out, with their ends in epoch seconds. Links in mails are not stored: their tokens sign the row."""

    id: str
    email: str
    password_hash: str = Field(repr=False)
    tier: Tier
    role: Role
    email_verified: bool
    session_version: int
    created_at: Instant
    updated_at: Instant
    kept_session: str | None = None
    """The session that last changed the password: it stays valid, though it began under a lower `session_version`."""

    moved_in: bool = False
    """The account comes from the predecessor, with keys that its owner made."""

    keys_distrusted_until: Instant | None = None
    """Keys made until then are to be revoked: a stranger may have made them before a reset proved the address."""

    plan_number: int = 0
    """The number of the synchronisation with Stripe that set the tier: `shared/billing/syncing.py`."""

    closing_at: Instant | None = None
    """When the owner closed the account: no credential opens it any more, and it is being erased."""

    ended_sessions: dict[str, int] = Field(default_factory=dict, exclude=True)

    @property
    def is_closing(self) -> bool:
        return self.closing_at is not None

    def has_session(self, session_id: str, version: int) -> bool:
        """Return whether a session that began under this `session_version` is still valid."""
        current = version == self.session_version or session_id == self.kept_session
        return current and session_id not in self.ended_sessions and not self.is_closing

    def closed(self, at: datetime) -> Self:
        """Return the user with the account closed, and all sessions ended. A closed account stays unchanged."""
        return self if self.is_closing else self.without_sessions().model_copy(update={"closing_at": at})

    def without_sessions(self, *, but: str | None = None) -> Self:
        """Return the user with all sessions ended, except the one of this id."""
        return self.model_copy(update={"session_version": self.session_version + 1, "kept_session": but})

    @classmethod
    def read(cls, document: Document) -> Self:
        ended = {field.removeprefix(ENDED): end for field, end in document.items() if field.startswith(ENDED)}
        return cls.model_validate({**document, "ended_sessions": ended})


ENDED_KEPT: Final = 20
"""Expired sessions that a user's row may contain before they are dropped. More make every check read more; fewer make
more logouts rewrite the row."""

ENDED_MOST: Final = 500
"""Ended sessions that a user's row may contain: 30 kB, which every check reads. It is one logout every 20 minutes for
the seven days that a session lasts."""


NEW_DAYS: Final = 30
"""Days for which an admin gets the number of sign-ups, today included."""

NEW: Final = "users:new:"
"""The prefix of the counters of sign-ups: the day follows."""


@dataclass(frozen=True, kw_only=True)
class UserCounts:
    """The number of users, in all and by plan, and of those who signed up on each of the last NEW_DAYS UTC days."""

    total: int
    by_tier: Mapping[Tier, int]
    new: Mapping[date, int]

    def new_since(self, first: date) -> int:
        return sum(count for day, count in self.new.items() if day >= first)


class Users:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, user_id: str) -> User | None:
        document = await self._store.get(USERS, _user_key(user_id)) if is_id(user_id) else None
        return None if document is None else User.read(document)

    async def load(self, user_id: str) -> User:
        """Return the user. Raises NotFound if there is none with this id."""
        user = await self.get(user_id)
        if user is None:
            raise _not_found()
        return user

    async def by_email(self, email: str) -> User | None:
        user_id = await self.id_by_email(email)
        user = None if user_id is None else await self.get(user_id)
        return user if user and user.email == email else None

    async def id_by_email(self, email: str) -> str | None:
        """Return the id that claims the address; None: it is free. The claim is void if that user is absent."""
        claim = await self._store.get(EMAILS, _email_key(email))
        return None if claim is None else claim["user_id"]

    async def page(self, window: Window, *, tier: Tier | None = None, role: Role | None = None) -> Page[User]:
        """Return users, newest first, without those of incomplete sign-ups.

        A page may be short though more users follow. Costs one read, and one for each user.
        """
        asked = {name: value for name, value in (("tier", tier), ("role", role)) if value is not None}
        keep = (lambda document: _of(document, asked) == asked) if asked else None
        page = await newest(self._store, USERS, "all", window, keep=keep)
        users = [User.read(row.document) for row in page.rows]
        claims = await gather_settled(*(self.id_by_email(user.email) for user in users))
        return Page(
            rows=[user for user, claimed in zip(users, claims, strict=True) if claimed == user.id], after=page.after
        )

    async def count(self) -> int:
        return _total(await self._store.counters("users"))

    async def counts(self, today: date) -> UserCounts:
        """Count all users, in one read, whatever their number."""
        counters = await self._store.counters("users")
        total = _total(counters)
        tiers = {tier: counters.get(tier_counter(tier), 0) for tier in Tier if tier is not Tier.HOBBY}
        days = (today - number * DAY for number in range(NEW_DAYS))
        new = {day: counters.get(_new_counter(day), 0) for day in days}
        return UserCounts(total=total, by_tier={Tier.HOBBY: total - sum(tiers.values())} | tiers, new=new)

    async def add(self, user: User) -> None:
        """Write a new user's row. No request can reach it until `claim_email`."""
        await self._store.add(USERS, _user_key(user.id), user.document())

    async def claim_email(self, user: User, *, void: str | None = None) -> None:
        """Claim the address for the user: the commit of a sign-up. `void` is a user id whose claim may be replaced.

        Raises Conflict if another user has the address.
        """

        def change(claim: Document | None) -> Document:
            if claim is not None and claim["user_id"] not in (void, user.id):
                raise Conflict("An account with this email already exists")
            return {"user_id": user.id}

        await self._store.update(EMAILS, _email_key(user.email), change)

    async def counted(self, user: User) -> None:
        """Count a new user, by the day of the sign-up. The sum over all days is the number of users."""
        await self._store.increment(_new_counter(user.created_at.date()))

    async def discard(self, user: User) -> None:
        """Remove a row whose address was never claimed."""
        await self._store.take_back(USERS, _user_key(user.id))

    async def change(self, user_id: str, change: Callable[[User], User]) -> User:
        """Change a user. Raises NotFound if there is none with this id; an exception of `change` propagates."""
        return (await self.change_from(user_id, change))[1]

    async def change_from(self, user_id: str, change: Callable[[User], User]) -> tuple[User, User]:
        """Change a user as `change` does. Returns the user before and after."""
        if not is_id(user_id):  # a store could not address it
            raise _not_found()

        def changed(document: Document | None) -> Document:
            if document is None:
                raise _not_found()
            before, after = User.read(document), change(User.read(document))
            kept = {field: value for field, value in document.items() if field.startswith(ENDED)}
            return after.document() | (kept if after.session_version == before.session_version else {})

        updated = await self._store.update(USERS, _user_key(user_id), changed)
        assert updated.before is not None, "the change refuses an absent row"
        assert updated.after is not None, "the change never deletes"
        before, after = User.read(updated.before), User.read(updated.after)
        await self._count_tiers(before.tier, after.tier)
        return before, after

    async def put_on(self, user_id: str, tier: Tier, *, number: int, stamps: bool) -> tuple[User | None, User | None]:
        """Put a user on a tier, unless the account is closed or the row's number is not lower.

        With `stamps` the number is written even if the tier is the same: it outdates writers with lower numbers.
        Returns the user before and after; None: there is no such user. One read if nothing is written.
        """

        def changed(document: Document | None) -> Document | None:
            if document is None or document.get("closing_at") is not None:
                return document
            if document.get("plan_number", 0) >= number or (document["tier"] == tier and not stamps):
                return document
            return {**document, "tier": tier.value, "plan_number": number}

        updated = await self._store.update(USERS, _user_key(user_id), changed)
        before, after = (None if row is None else User.read(row) for row in (updated.before, updated.after))
        if before is not None and after is not None:
            await self._count_tiers(before.tier, after.tier)
        return before, after

    async def end_session(self, user: User, session_id: str, *, ends_at: int, now: int) -> None:
        """End one session, which would have expired at `ends_at`. Times are epoch seconds.

        If the row has ENDED_MOST ended sessions that have not expired, all sessions of the user end.
        """
        over = [ENDED + ended for ended, end in user.ended_sessions.items() if end < now]
        if len(user.ended_sessions) - len(over) >= ENDED_MOST:
            await self.change(user.id, lambda row: _without_sessions(row, user.session_version))
            return
        await self._store.extend(USERS, _user_key(user.id), ENDED + session_id, ends_at)
        if len(over) >= ENDED_KEPT:  # every check reads the row: drop expired sessions
            await self._store.update(USERS, _user_key(user.id), lambda row: row and _without(row, over))

    async def delete(self, user: User) -> None:
        """Delete the claim on the address, then the row. Repeatable."""

        def claim_of_another(claim: Document | None) -> Document | None:
            return claim if claim and claim["user_id"] != user.id else None

        await self._store.update(EMAILS, _email_key(user.email), claim_of_another)
        deleted = await self._store.update(USERS, _user_key(user.id), lambda _: None)
        if deleted.before is not None:
            await self._store.increment(_new_counter(user.created_at.date()), -1)
            await self._count_tiers(User.read(deleted.before).tier, Tier.HOBBY)

    async def _count_tiers(self, before: Tier, after: Tier) -> None:
        """Count a change of plan. Hobby has no counter: its number is the remainder of all users."""
        for tier, by in ((before, -1), (after, 1)) if before is not after else ():
            if tier is not Tier.HOBBY:
                with best_effort("a change of plan could not be counted", tier=tier, by=by):
                    await self._store.increment(tier_counter(tier), by)


def _total(counters: Mapping[str, int]) -> int:
    """Return the number of users. The counter `users` has those from before sign-ups were counted by the day."""
    return sum(count for name, count in counters.items() if name == "users" or name.startswith(NEW))


def _new_counter(day: date) -> str:
    return f"{NEW}{day.isoformat()}"


def tier_counter(tier: Tier) -> str:
    return f"users:tier:{tier}"


def _of(document: Document, fields: Mapping[str, object]) -> Document:
    return {field: document[field] for field in fields}


def _not_found() -> NotFound:
    return NotFound("User not found")


def _user_key(user_id: str) -> Key:
    return Key("all", user_id)


def _email_key(email: str) -> Key:
    return Key(hashlib.sha256(f"email:{email}".encode()).hexdigest())


def _without(row: Document, fields: list[str]) -> Document:
    return {field: value for field, value in row.items() if field not in fields}


def _without_sessions(user: User, version: int) -> User:
    """Return the user with all sessions of this version, and of earlier ones, ended."""
    return user if user.session_version > version else user.without_sessions()
