"""Who is calling: sessions and API keys, as annotated dependencies.

A credential is an `Authorization` header, `Bearer <token>` or the bare token, or else the cookie `auth_token`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from shared.core.concurrency import gather_settled
from shared.core.errors import InvalidCredential, MissingCredential
from shared.services import Services
from shared.tables.api_keys import IssuedKey
from shared.tables.users import User

COOKIE: Final = "auth_token"

T = TypeVar("T")


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
class PresentedKey:
    """A key that is good, or was at its last check and is being checked again: then `check` is under way."""

    key: IssuedKey
    check: Awaitable[IssuedKey] | None = None


@dataclass(frozen=True, kw_only=True)
class PresentedCaller:
    """An owner whose credential may still be under check."""

    user_id: str
    check: Awaitable[IssuedKey] | None = None

    async def answered(self, answer: Awaitable[T]) -> T:
        """Await an answer beside the check. Raises what the check raises, before what the answer does."""
        if self.check is None:
            return await answer
        _, result = await gather_settled(self.check, answer)
        return result


async def _user(token: Annotated[str | None, Depends(_SESSION)], services: RequestServices) -> User:
    if token is None:
        raise MissingCredential("A session is required: log in, and send its token")
    if _is_key(token):
        raise InvalidCredential("This endpoint takes a session, not an API key")
    user, _ = await services.accounts.authenticate(token)
    return user


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


async def _presented_key(
    token: Annotated[str | None, Depends(_API_KEY)], services: RequestServices
) -> AsyncIterator[PresentedKey]:
    remembered = None if token is None else services.api_keys.remembered(token)
    if remembered is None:
        yield PresentedKey(key=await _key(token, services))
        return
    check = asyncio.ensure_future(_key(token, services))
    try:
        yield PresentedKey(key=remembered, check=check)
    finally:
        await check  # whatever else was wrong with the request: what the check raises comes first


async def _presented_caller(
    token: Annotated[str | None, Depends(_API_KEY)],
    session: Annotated[str | None, Depends(_SESSION)],
    services: RequestServices,
) -> AsyncIterator[PresentedCaller]:
    remembered = None if token is None else services.api_keys.remembered(token)
    if remembered is None:
        yield PresentedCaller(user_id=(await _caller(token, session, services)).user_id)
        return
    check = asyncio.ensure_future(_key(token, services))
    try:
        yield PresentedCaller(user_id=remembered.user_id, check=check)
    finally:
        await check


async def _address(request: Request) -> str:
    return request.client.host if request.client and request.client.host else "unknown"


def _is_key(token: str) -> bool:
    return token.startswith("at_")


SessionUser = Annotated[User, Depends(_user)]
"""The user of a session; API keys are refused."""

CallingKey = Annotated[IssuedKey, Depends(_key)]
"""A good API key; sessions are refused."""

CheckedBeside = Annotated[PresentedKey, Depends(_presented_key)]
"""An API key, which may be checked while its owner is read: await `check` before anything is answered."""

CallerCheckedBeside = Annotated[PresentedCaller, Depends(_presented_caller)]
"""An API key or a session, which may be checked while a page is read: await `answered`."""

AnyCaller = Annotated[Caller, Depends(_caller)]
"""A good API key or a session."""

ClientAddress = Annotated[str, Depends(_address)]
"""The source address that API Gateway saw."""
