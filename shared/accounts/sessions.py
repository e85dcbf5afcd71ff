"""Minting, hashing and checking of API keys, passwords and sessions. Nothing here is stored as it is given out."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import jwt

from shared.core.clock import Clock
from shared.core.errors import InvalidCredential, SessionExpired
from shared.tables.users import User

if TYPE_CHECKING:
    pass

SESSION_LIFE: Final = timedelta(days=7)

T = TypeVar("T")


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
