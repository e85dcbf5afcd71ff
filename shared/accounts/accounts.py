"""Accounts: sign-up, login, logout, passwords."""

from dataclasses import dataclass
from datetime import datetime

from shared.accounts.passwords import Passwords
from shared.accounts.sessions import Claims, Session, Sessions
from shared.activity import UsageRecorder
from shared.api_keys.api_keys import DEFAULT_NAME, NewKey, new_key
from shared.core.clock import Clock
from shared.core.concurrency import gather_settled
from shared.core.errors import Conflict, InvalidCredential, SessionExpired, Unauthenticated, WrongPassword
from shared.core.ids import Ids
from shared.limits.attempts import Attempts
from shared.plans import Tier
from shared.stores.best_effort import best_effort
from shared.tables import ApiKeys, Users
from shared.tables.usage_logs import Action
from shared.tables.users import Role, User


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
        sessions: Sessions,
        attempts: Attempts,
        recorder: UsageRecorder,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._users = users
        self._keys = keys
        self._passwords = passwords
        self._sessions = sessions
        self._attempts = attempts
        self._recorder = recorder
        self._clock = clock
        self._ids = ids

    async def sign_up(self, email: str, password: str, *, address: str) -> SignedUp:
        """Open an account, with a first API key and a session. Raises Conflict, TooManyAttempts.

        The rows come first, where nobody can reach them; the claim of the address is the commit. An interrupted sign-up
        leaves the address free.
        """
        attempt = self._attempts.sign_up(address)
        async with attempt.unless_it_breaks():
            _, claimed = await gather_settled(attempt.begin(), self._users.id_by_email(email))
            if claimed is not None and await self._users.get(claimed) is not None:
                raise Conflict("An account with this email already exists")
            user, key = await self._new_user(email, password)
            await self._write(user, key, void=claimed)
        await gather_settled(
            self._count(),
            self._recorder.try_record(Action.USER_SIGNUP, user_id=user.id, at=user.created_at),
            self._recorder.try_record(Action.KEY_CREATED, user_id=user.id, at=key.key.created_at, key=key.key),
        )
        return SignedUp(user=user, session=self._sessions.begin(user), api_key=key)

    async def log_in(self, email: str, password: str, *, address: str) -> tuple[User, Session]:
        """Raises WrongPassword, for an unknown account too and after the same work, and TooManyAttempts."""
        attempt = self._attempts.log_in(address, email)
        async with attempt.unless_it_breaks():
            _, user_id = await gather_settled(attempt.begin(), self._users.id_by_email(email))
            nobody = self._ids.mint(self._clock())
            _, found = await gather_settled(attempt.check_address(), self._users.get(user_id or nobody))
            user = found if found is not None and found.email == email else None
            if not await self._passwords.verify(user.password_hash if user else None, password) or user is None:
                raise WrongPassword("Invalid email or password")
        await gather_settled(
            attempt.forgive(), self._recorder.try_record(Action.USER_LOGIN, user_id=user.id, at=self._clock())
        )
        return user, self._sessions.begin(user)

    async def authenticate(self, token: str) -> tuple[User, Claims]:
        """Whose session this is, in one read. Raises InvalidCredential, SessionExpired."""
        claims = self._sessions.read(token)
        user = await self._users.get(claims.user_id)
        if user is None:
            raise InvalidCredential("Invalid session or API key")
        if claims.version != user.session_version or claims.session_id in user.ended_sessions:
            raise SessionExpired("Session has ended")
        return user, claims

    async def log_out(self, token: str | None) -> None:
        """End a session. What is no session (any more) needs no end."""
        if token is None:
            return
        try:
            user, claims = await self.authenticate(token)
        except Unauthenticated:
            return
        await self._users.end_session(
            user, claims.session_id, ends_at=int(claims.expires_at.timestamp()), now=int(self._clock().timestamp())
        )

    async def change_password(self, user: User, *, current: str, new: str) -> Session:
        """End every session, and begin a new one. Raises WrongPassword."""
        if not await self._passwords.verify(user.password_hash, current):
            raise WrongPassword("Current password is incorrect")
        password_hash = await self._passwords.hash(new)

        def change(row: User) -> User:
            if row.password_hash != user.password_hash:  # changed since: what was checked is not current
                raise WrongPassword("Current password is incorrect")
            return row.model_copy(
                update={
                    "password_hash": password_hash,
                    "session_version": row.session_version + 1,
                    "updated_at": self._clock(),
                }
            )

        return self._sessions.begin(await self._users.change(user.id, change))

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

    async def _count(self) -> None:
        with best_effort("a new user could not be counted"):
            await self._users.counted()

    async def _discard(self, user: User, key: NewKey) -> None:
        """Remove what lost the race for its address. Nobody can reach it, so it may also stay."""
        with best_effort("rows of a refused sign-up could not be removed", user_id=user.id):
            await gather_settled(self._users.discard(user), self._keys.discard_ring(key.key))
