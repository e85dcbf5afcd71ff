"""Sessions: signed tokens that a login issues, each with the user's id and the version of the user's sessions."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import jwt

from shared.core.clock import Clock
from shared.core.derived import Use, derived_key
from shared.core.errors import InvalidCredential, SessionExpired
from shared.tables.users import User

SESSION_LIFE: Final = timedelta(days=7)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Session:
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Claims:
    """The content of a session's token. The session is valid only if the user's row agrees."""

    user_id: str
    session_id: str
    version: int
    expires_at: datetime


class Sessions:
    """Signs and reads tokens (JWT, HS256). A token alone grants nothing: every check reads the user's row."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._key = derived_key(secret, Use.SESSIONS)
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
        return Session(token=jwt.encode(claims, self._key, algorithm="HS256"), expires_at=ends)

    def read(self, token: str) -> Claims:
        """Return a token's claims.

        Raises InvalidCredential if it was not signed here, SessionExpired if its end has passed.
        """
        try:
            claims = jwt.decode(
                token,
                self._key,
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
    """Return the value. Raises TypeError if it is of another type, or of a subtype."""
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}")
    return value
