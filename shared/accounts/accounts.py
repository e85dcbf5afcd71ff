"""Accounts: sign-up, login, logout, passwords."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.accounts.closing import Closing
from shared.accounts.passwords import Passwords, is_bcrypt
from shared.accounts.recovery import Recovery, Sleep
from shared.accounts.sessions import Claims, Session, Sessions
from shared.activity import UsageRecorder
from shared.api_keys.api_keys import DEFAULT_NAME, NewKey, new_key
from shared.core.clock import Clock
from shared.core.concurrency import gather_settled
from shared.core.errors import (
    Conflict,
    InvalidCredential,
    NotFound,
    ServiceUnavailable,
    SessionExpired,
    Unauthenticated,
    WrongPassword,
)
from shared.core.ids import Ids
from shared.limits.attempts import Attempt, Attempts
from shared.observability import request_stats
from shared.plans import Tier
from shared.stores.best_effort import best_effort
from shared.tables import ApiKeys, Users
from shared.tables.usage_logs import Action
from shared.tables.users import Role, User

_NOT_CURRENT: Final = "Current password is incorrect"

_log = logging.getLogger("agent_talk.security")


@dataclass(frozen=True, kw_only=True)
class SignedUp:
    user: User
    session: Session
    api_key: NewKey


class Accounts:
    def __init__(
        self,
        *,
        users: Users,
        keys: ApiKeys,
        passwords: Passwords,
        recovery: Recovery,
        closing: Closing,
        sessions: Sessions,
        attempts: Attempts,
        recorder: UsageRecorder,
        clock: Clock,
        ids: Ids,
        refuse_after_s: float,
        sleep: Sleep,
    ) -> None:
        """A refused login takes `refuse_after_s` seconds, so its time shows nothing of the account."""
        self._users = users
        self._keys = keys
        self._passwords = passwords
        self._recovery = recovery
        self._closing = closing
        self._sessions = sessions
        self._attempts = attempts
        self._recorder = recorder
        self._clock = clock
        self._ids = ids
        self._refuse_after_s = refuse_after_s
        self._sleep = sleep

    async def sign_up(self, email: str, password: str, *, address: str) -> SignedUp:
        """Open an account, with a first API key and a session.

        The rows are written first, where nothing reaches them; the claim of the address commits them. An interrupted
        sign-up leaves the address free. Raises Conflict if the address has an account, TooManyAttempts.
        """
        attempt = self._attempts.sign_up(address)
        attempt.refuse_if_known()
        async with attempt.unless_it_breaks():
            _, claimed = await gather_settled(attempt.begin(), self._users.id_by_email(email))
            if claimed is not None and await self._users.get(claimed) is not None:
                raise Conflict("An account with this email already exists")
            user, key = await self._new_user(email, password)
            await self._write(user, key, void=claimed)
        await gather_settled(
            self._count(user),
            self._recorder.try_record(Action.USER_SIGNUP, user_id=user.id, at=user.created_at),
            self._recorder.try_record(Action.KEY_CREATED, user_id=user.id, at=key.key.created_at, key=key.key),
            self._recovery.send_verification(user),
        )
        request_stats.current().user_id = user.id
        return SignedUp(user=user, session=self._sessions.begin(user), api_key=key)

    async def log_in(self, email: str, password: str, *, address: str) -> tuple[User, Session]:
        """Begin a session.

        Raises TooManyAttempts if too many logins failed, WrongPassword if the account is unknown or the password is
        wrong: at the same moment for both, and for accounts that moved in, whose hashes cost more.
        """
        time_s = asyncio.get_running_loop().time
        ends = time_s() + self._refuse_after_s
        try:
            user, attempt = await self._check_password(
                email, password, address=address, refusal="Invalid email or password"
            )
        except WrongPassword:
            await self._sleep(ends - time_s())
            raise
        await gather_settled(
            attempt.forgive(),
            self._recorder.try_record(Action.USER_LOGIN, user_id=user.id, at=self._clock()),
            self._recovery.revoke_distrusted(user),
            self._replace_old_hash(user, password),
        )
        request_stats.current().user_id = user.id
        return user, self._sessions.begin(user)

    async def authenticate(self, token: str) -> tuple[User, Claims]:
        """Return the user and the claims of a session's token, in one read.

        Raises InvalidCredential if the token was not signed here or its user is erased, SessionExpired if the session
        has ended.
        """
        claims = self._sessions.read(token)
        user = await self._users.get(claims.user_id)
        if user is None:
            raise InvalidCredential("Invalid session or API key")
        if not user.has_session(claims.session_id, claims.version):
            raise SessionExpired("Session has ended")
        return user, claims

    async def log_out(self, token: str) -> None:
        """End a session. A token of no valid session has no effect."""
        try:
            user, claims = await self.authenticate(token)
        except Unauthenticated:
            return
        request_stats.current().user_id = user.id
        _log.info("session ended", extra={"user_id": user.id})
        await self._users.end_session(
            user, claims.session_id, ends_at=int(claims.expires_at.timestamp()), now=int(self._clock().timestamp())
        )

    async def change_password(self, user: User, claims: Claims, *, current: str, new: str, address: str) -> Session:
        """Change the password and begin a new session.

        All others end, except the one of `claims`. Raises WrongPassword, TooManyAttempts, and SessionExpired if the
        session has ended meanwhile.
        """
        _, attempt = await self._check_password(user.email, current, address=address, user=user, refusal=_NOT_CURRENT)
        password_hash, _ = await gather_settled(self._passwords.hash(new), attempt.forgive())
        at = self._clock()

        def change(row: User) -> User:
            if row.is_closing:
                raise SessionExpired("Session has ended")
            if row.password_hash != user.password_hash:  # it changed after the check
                raise WrongPassword(_NOT_CURRENT)
            if claims.session_id in row.ended_sessions:  # `but=` would make a session valid that was logged out
                raise SessionExpired("Session has ended")
            changed = row.without_sessions(but=claims.session_id)
            return changed.model_copy(update={"password_hash": password_hash, "updated_at": at})

        changed = await self._users.change(user.id, change)
        _log.info("password changed; all other sessions ended", extra={"user_id": user.id})
        await gather_settled(
            self._recorder.try_record(Action.PASSWORD_CHANGED, user_id=user.id, at=at),
            self._recovery.tell_of_change(changed),
        )
        return self._sessions.begin(changed)

    async def close(self, user: User, *, password: str, address: str) -> None:
        """Close the account for good. Raises WrongPassword, TooManyAttempts, ServiceUnavailable."""
        _, attempt = await self._check_password(user.email, password, address=address, user=user, refusal=_NOT_CURRENT)
        await attempt.forgive()
        await self._closing.close(user)

    async def _check_password(
        self, email: str, password: str, *, address: str, refusal: str, user: User | None = None
    ) -> tuple[User, Attempt]:
        """Check an account's password. Return the user, and the attempt to forgive.

        All checks pass here, so each one takes an attempt. Without `user` the account is looked up by its e-mail
        address; an unknown address costs the same work. Raises WrongPassword(refusal), TooManyAttempts.
        """
        attempt = self._attempts.password(address, email)
        attempt.refuse_if_known()  # before requests are sent at the same time
        async with attempt.unless_it_breaks():
            if user is None:
                _, user_id = await gather_settled(attempt.begin(), self._users.id_by_email(email))
                row = await self._users.get(user_id or self._ids.mint(self._clock()))
                user = row if row is not None and row.email == email and not row.is_closing else None
            else:
                await attempt.begin()
            if not await self._passwords.verify(user.password_hash if user else None, password) or user is None:
                raise WrongPassword(refusal)
        return user, attempt

    async def _replace_old_hash(self, user: User, password: str) -> None:
        """Replace the predecessor's hash by Argon2id's, unless the password was changed.

        A failure is logged; the next login tries again.
        """
        if not is_bcrypt(user.password_hash):
            return
        kept = best_effort("a hash of the predecessor stays until the next login", user_id=user.id)
        with kept, suppress(ServiceUnavailable, NotFound):  # the queue is full; the account was erased
            password_hash = await self._passwords.hash(password)
            await self._users.change(user.id, lambda row: _rehashed(row, user.password_hash, password_hash))

    async def _new_user(self, email: str, password: str) -> tuple[User, NewKey]:
        password_hash = await self._passwords.hash(password)
        at: datetime = self._clock()
        user = User(
            id=self._ids.mint(at),
            email=email,
            password_hash=password_hash,
            tier=Tier.HOBBY,
            role=Role.USER,
            email_verified=False,
            session_version=1,
            created_at=at,
            updated_at=at,
        )
        return user, new_key(user.id, name=DEFAULT_NAME, at=at)

    async def _write(self, user: User, key: NewKey, *, void: str | None) -> None:
        await gather_settled(self._users.add(user), self._keys.begin_ring(key.key))
        try:
            await self._users.claim_email(user, void=void)
        except Conflict:
            await self._discard(user, key)
            raise

    async def _count(self, user: User) -> None:
        with best_effort("a new user could not be counted"):
            await self._users.counted(user)

    async def _discard(self, user: User, key: NewKey) -> None:
        """Remove the rows of a sign-up that lost its address to another. A failure is logged: nothing reaches them."""
        with best_effort("rows of a refused sign-up could not be removed", user_id=user.id):
            await gather_settled(self._users.discard(user), self._keys.discard_ring(key.key))


def _rehashed(row: User, before: str, after: str) -> User:
    return row.model_copy(update={"password_hash": after}) if row.password_hash == before else row
