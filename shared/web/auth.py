"""Who is calling: sessions and API keys, as annotated dependencies.

A credential is an `Authorization` header, `Bearer <token>` or the bare token, or else the cookie `auth_token`.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from shared.accounts.sessions import Claims
from shared.core.errors import InvalidCredential, MissingCredential
from shared.services import Services
from shared.tables.api_keys import IssuedKey
from shared.tables.users import User

COOKIE: Final = "auth_token"


class _Credential(SecurityBase):
    """Reads the caller's credential, and names the scheme in the OpenAPI document."""

    def __init__(self, scheme_name: str, description: str) -> None:
        self.scheme_name = scheme_name
        self.model = HTTPBearer(description=description)

    async def __call__(self, request: Request) -> str | None:
        return given_credential(request)


_SESSION: Final = _Credential("session", "The token of a sign-up or login, or the cookie `auth_token`.")
_API_KEY: Final = _Credential("apiKey", "An API key, `at_live_…` or `at_test_…`.")


def given_credential(request: Request) -> str | None:
    """The token as it was sent; None: no credential at all."""
    header = request.headers.get("authorization", "").strip()
    scheme, _, rest = header.partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else header
    return token or request.cookies.get(COOKIE) or None


async def services(request: Request) -> Services:
    """A coroutine only so that FastAPI calls it here, and not in a thread."""
    found: Services = request.app.state.services
    return found


RequestServices = Annotated[Services, Depends(services)]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An owner, by one of the owner's API keys or by a session. Exactly one of `key` and `user` is there."""

    user_id: str
    key: IssuedKey | None = None
    user: User | None = None


@dataclass(frozen=True, kw_only=True)
class SessionOfCaller:
    user: User
    claims: Claims


async def _session(token: Annotated[str | None, Depends(_SESSION)], services: RequestServices) -> SessionOfCaller:
    if token is None:
        raise MissingCredential("A session is required: log in, and send its token")
    if _is_key(token):
        raise InvalidCredential("This endpoint takes a session, not an API key")
    user, claims = await services.accounts.authenticate(token)
    return SessionOfCaller(user=user, claims=claims)


async def _user(session: Annotated[SessionOfCaller, Depends(_session)]) -> User:
    return session.user


async def _key(token: Annotated[str | None, Depends(_API_KEY)], services: RequestServices) -> IssuedKey:
    if token is None:
        raise MissingCredential("An API key is required")
    return await services.api_keys.authenticate(token)


async def _caller(
    token: Annotated[str | None, Depends(_API_KEY)],
    _: Annotated[str | None, Depends(_SESSION)],
    services: RequestServices,
) -> Caller:
    if token is None:
        raise MissingCredential("An API key or a session is required")
    if _is_key(token):
        key = await services.api_keys.authenticate(token)
        return Caller(user_id=key.user_id, key=key)
    user, _claims = await services.accounts.authenticate(token)
    return Caller(user_id=user.id, user=user)


async def _address(request: Request) -> str:
    return request.client.host if request.client and request.client.host else "unknown"


def _is_key(token: str) -> bool:
    return token.startswith("at_")


CallingSession = Annotated[SessionOfCaller, Depends(_session)]
"""A good session, with its user; API keys are refused."""

SessionUser = Annotated[User, Depends(_user)]
"""The user of a session; API keys are refused."""

CallingKey = Annotated[IssuedKey, Depends(_key)]
"""A good API key; sessions are refused."""

AnyCaller = Annotated[Caller, Depends(_caller)]
"""A good API key or a session."""

ClientAddress = Annotated[str, Depends(_address)]
"""The source address that API Gateway saw."""
