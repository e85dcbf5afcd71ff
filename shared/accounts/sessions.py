"""Minting, hashing and checking of API keys, passwords and sessions. Nothing here is stored as it is given out."""

import asyncio
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

import jwt

from shared.core.clock import Clock
from shared.core.errors import InvalidCredential, SessionExpired
from shared.tables.model import User

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LIVE_PREFIX: Final = "at_live_"
TEST_PREFIX: Final = "at_test_"
SESSION_LIFE: Final = timedelta(days=7)

T = TypeVar("T")

_API_KEY = re.compile(r"at_(live|test)_[A-Za-z0-9_-]{43}")


def mint_api_key(*, test: bool) -> str:
    """A prefix and 32 random bytes in base64url."""
    return (TEST_PREFIX if test else LIVE_PREFIX) + secrets.token_urlsafe(32)


def is_api_key(text: str) -> bool:
    """Whether this has the form of an API key; says nothing of whether it is one."""
    return _API_KEY.fullmatch(text) is not None


def digest(secret: str) -> str:
    """SHA-256 in hexadecimal: enough for secrets of 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same_digest(one: str, other: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def pseudonym(secret: str, text: str) -> str:
    """A stand-in for personal data in names of counters: constant, and meaningless without the secret."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()[:32]


class Passwords:
    """Argon2id. The hasher's own defaults are RFC 9106's for constrained memory; tests bring a cheaper one.

    Its import is slow, and for the one function that handles passwords.
    """

    def __init__(self, hasher: "PasswordHasher | None" = None) -> None:
        self._given = hasher
        self._dummy: str | None = None

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher  # noqa: PLC0415

        return self._given or PasswordHasher()

    async def hash(self, password: str) -> str:
        return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether it fits. None, for an unknown account, takes as long and fits nothing."""
        if self._dummy is None:
            self._dummy = await self.hash(secrets.token_urlsafe(16))
        return await asyncio.to_thread(self._fits, password_hash, password)

    def _fits(self, password_hash: str | None, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

        try:
            self._hasher.verify(password_hash or self._dummy or "", password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None


@dataclass(frozen=True, kw_only=True)
class Session:
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a session's token says. It holds only while the user's row agrees."""

    user_id: str
    session_id: str
    version: int
    expires_at: datetime


class Sessions:
    """Signed tokens (JWT, HS256). They carry no rights of their own: every check reads the user's row."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def begin(self, user: User) -> Session:
        now = self._clock()
        ends = (now + SESSION_LIFE).replace(microsecond=0)
        claims = {
            "sub": user.id,
            "sid": secrets.token_urlsafe(9),
            "ver": user.session_version,
            "iat": int(now.timestamp()),
            "exp": int(ends.timestamp()),
        }
        return Session(token=jwt.encode(claims, self._secret, algorithm="HS256"), expires_at=ends)

    def read(self, token: str) -> Claims:
        """Raises InvalidCredential for what was not signed here, SessionExpired for what is past its end."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                options={"require": ["sub", "sid", "ver", "exp"], "verify_exp": False, "verify_iat": False},
            )
            read = Claims(
                user_id=_typed(claims["sub"], str),
                session_id=_typed(claims["sid"], str),
                version=_typed(claims["ver"], int),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as exc:
            raise InvalidCredential("Invalid session or API key") from exc
        if read.expires_at <= self._clock():
            raise SessionExpired("Session has expired")
        return read


def _typed(value: object, kind: type[T]) -> T:
    """Raises TypeError unless it is of this very type."""
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}")
    return value
