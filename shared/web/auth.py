"""Credentials of callers, sessions and API keys, as annotated dependencies.

A credential is an `Authorization` header, `Bearer <token>` or the bare token. Without one a cookie may have a session.
The type of a route's parameter names the scopes that an API key needs there. A session may do everything.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from shared.accounts.sessions import Claims
from shared.core.concurrency import gather_settled
from shared.core.errors import (
    Forbidden,
    InvalidCredential,
    MissingCredential,
    ScopeMissing,
    SeveralSessions,
    Unauthenticated,
)
from shared.observability import request_stats
from shared.services import Services
from shared.tables.issued_keys import IssuedKey, Scope
from shared.tables.users import Role, User
from shared.web.checks_beside import check_beside
from shared.web.cookies import session_cookies

_DOTS_OF_A_SESSION: Final = 2
"""A session's token has three parts. An API key has no dot."""

CLIENTS: Final = 256
"""Client addresses whose spelling a container remembers: parsing one takes longer than finding it."""


class _SessionScheme(SecurityBase):
    """The scheme of sessions in the OpenAPI document, for each route that depends on it.

    Its subclasses read the credential themselves, without further dependencies: FastAPI solves each dependency anew for
    each request, which takes longer than most of them do.
    """

    scheme_name = "session"
    model = HTTPBearer(description="The token of a sign-up or login, or the cookie `auth_token`.")


class _KeyScheme(SecurityBase):
    """The scheme of API keys, likewise. Its own call checks nothing: it documents that a route also accepts a key."""

    scheme_name = "apiKey"
    model = HTTPBearer(description="An API key, `at_live_…` or `at_test_…`.")

    async def __call__(self) -> None:
        return None


_OR_KEY: Final = _KeyScheme()


def given_token(request: Request) -> str | None:
    """Return the token of the Authorization header. None: no header, or another scheme than Bearer."""
    scheme, space, rest = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    return None if space else scheme or None


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


async def services(request: Request) -> Services:
    """Return the container's services. `async` so that FastAPI calls it in the event loop, not in a thread."""
    return _services(request)


RequestServices = Annotated[Services, Depends(services)]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An owner, identified by an API key or by a session: exactly one of `key` and `user` is not None."""

    user_id: str
    key: IssuedKey | None = None
    user: User | None = None


@dataclass(frozen=True, kw_only=True)
class PresentedKey:
    """A valid key; with `check`, one that was valid at its last check, while the next check runs."""

    key: IssuedKey
    check: Awaitable[IssuedKey] | None = None


@dataclass(frozen=True, kw_only=True)
class SessionOfCaller:
    user: User
    claims: Claims


class _Session(_SessionScheme):
    async def __call__(self, request: Request) -> SessionOfCaller:
        token, services = given_token(request), _services(request)
        if token is None:
            return await _session_by_cookie(request, services, "A session is required: log in, and send its token")
        if _is_key(token):
            raise InvalidCredential("This endpoint takes a session, not an API key")
        return await _authenticated(token, services)


async def _session_by_cookie(request: Request, services: Services, missing: str) -> SessionOfCaller:
    """Return the one valid session among the cookies.

    Raises MissingCredential(missing) if no cookie counts, SeveralSessions if more than one is valid, and
    InvalidCredential or SessionExpired if none is.
    """
    tokens = session_cookies(request).candidates
    if not tokens:
        raise MissingCredential(missing)
    if len(tokens) == 1:
        return await _authenticated(tokens[0], services)
    answers = await gather_settled(*(_good_or_none(token, services) for token in tokens))
    good = [session for session in answers if session is not None]
    if len(good) > 1:
        raise SeveralSessions("Several sessions were sent: clear this site's cookies, and log in")
    if not good:
        raise InvalidCredential("Invalid session or API key")
    return good[0]


async def _good_or_none(token: str, services: Services) -> SessionOfCaller | None:
    try:
        return await _authenticated(token, services)
    except Unauthenticated:
        return None


async def _authenticated(token: str, services: Services) -> SessionOfCaller:
    user, claims = await services.accounts.authenticate(token)
    request_stats.current().user_id = user.id
    return SessionOfCaller(user=user, claims=claims)


_SESSION: Final = _Session()


async def _user(session: Annotated[SessionOfCaller, Depends(_SESSION)]) -> User:
    return session.user


async def _admin(user: Annotated[User, Depends(_user)]) -> User:
    if user.role is not Role.ADMIN:
        raise Forbidden("This endpoint is for admins alone")
    return user


async def _key(token: str | None, services: Services, *scopes: Scope) -> IssuedKey:
    """Return the valid key of this token.

    Raises MissingCredential, InvalidCredential or KeyRevoked, and only then ScopeMissing if it lacks a scope.
    """
    if token is None:
        raise MissingCredential("An API key is required: send it as `Authorization: Bearer at_live_…`")
    if token.count(".") == _DOTS_OF_A_SESSION:
        raise InvalidCredential("This endpoint takes an API key, not a session")
    key = await services.api_keys.authenticate(token)
    request_stats.current().user_id = key.user_id
    for scope in scopes:
        if not key.may(scope):
            raise ScopeMissing(scope)
    return key


async def api_key(request: Request, services: Services) -> IssuedKey:
    """Return the valid API key of a request, with any scopes.

    For a route that answers errors itself: FastAPI answers those of a dependency. Raises MissingCredential,
    InvalidCredential, KeyRevoked.
    """
    return await _key(given_token(request), services)


async def _caller(token: str | None, request: Request, services: Services, *scopes: Scope) -> Caller:
    if token is not None and _is_key(token):
        key = await _key(token, services, *scopes)
        return Caller(user_id=key.user_id, key=key)
    if token is None:
        session = await _session_by_cookie(request, services, "An API key or a session is required")
    else:
        session = await _authenticated(token, services)
    return Caller(user_id=session.user.id, user=session.user)


class _Key(_KeyScheme):
    """The dependency on an API key with these scopes. Its check may run while the owner is read."""

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes

    async def __call__(self, request: Request) -> PresentedKey:  # type: ignore[override]
        token, services = given_token(request), _services(request)
        remembered = _remembered(token, services, *self._scopes)
        if remembered is None:
            return PresentedKey(key=await _key(token, services, *self._scopes))
        return PresentedKey(key=remembered, check=check_beside(request, partial(_key, token, services)))


def _key_with(*scopes: Scope) -> Any:
    """Return the dependency on an API key with these scopes, for a `RouteWithChecks`."""
    return Security(_Key(*scopes), scopes=scopes)


def _caller_with(*scopes: Scope, beside: bool = False) -> Any:
    """Return the dependency on a session, or on an API key with these scopes.

    `beside`: a key that was valid at its last check is checked while a `RouteWithChecks` reads its answer.
    """

    class Credential(_SessionScheme):
        async def __call__(self, request: Request, _: Annotated[None, Security(_OR_KEY, scopes=scopes)]) -> Caller:
            token, services = given_token(request), _services(request)
            remembered = _remembered(token, services, *scopes) if beside else None
            if remembered is None:
                return await _caller(token, request, services, *scopes)
            check_beside(request, partial(_key, token, services))
            return Caller(user_id=remembered.user_id, key=remembered)

    return Depends(Credential())


def _remembered(token: str | None, services: Services, *scopes: Scope) -> IssuedKey | None:
    """Return the key as of its last successful check, if it has these scopes. A key's scopes never change."""
    key = None if token is None else services.api_keys.remembered(token)
    return key if key is not None and all(map(key.may, scopes)) else None


async def _address(request: Request) -> str:
    return client_network(request.client.host) if request.client else "unknown"


@lru_cache(maxsize=CLIENTS)
def client_network(address: str) -> str:
    """Return a client's network in one spelling.

    It is the IPv4 address, or the /64 of an IPv6 address: `2001:DB8:0:1::5` → `2001:db8:0:1::/64`, and
    `::ffff:203.0.113.7` → `203.0.113.7`. Other texts stay unchanged.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))


def _is_key(token: str) -> bool:
    return token.startswith("at_")


CallingSession = Annotated[SessionOfCaller, Depends(_SESSION)]
"""A valid session, with its user; API keys are refused."""

SessionUser = Annotated[User, Depends(_user)]
"""The user of a session; API keys are refused."""

AdminUser = Annotated[User, Depends(_admin)]
"""The user of a session, who is an admin now; other users get 403."""

MemoMaker = Annotated[PresentedKey, _key_with(Scope.MEMO_WRITE)]
"""An API key, which may be checked while its owner is read: await `check` before any effect."""

AnyKey = Annotated[PresentedKey, _key_with()]
"""An API key with any scopes."""

MemoWriter = Annotated[Caller, _caller_with(Scope.MEMO_WRITE)]
MemoReader = Annotated[Caller, _caller_with(Scope.MEMO_READ)]
UsageReader = Annotated[Caller, _caller_with(Scope.USAGE_READ)]
UsageExporter = Annotated[Caller, _caller_with(Scope.USAGE_READ, Scope.MEMO_READ)]

MemoPageReader = Annotated[Caller, _caller_with(Scope.MEMO_READ, beside=True)]
UsagePageReader = Annotated[Caller, _caller_with(Scope.USAGE_READ, beside=True)]
"""Callers whose keys may be checked while a page is read."""

ClientAddress = Annotated[str, Depends(_address)]
"""The client's address from API Gateway, in the spelling of `client_network`. Attempts are counted by it."""
