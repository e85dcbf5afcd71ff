"""The session's cookie: how it is set, and which one of a request counts.

In production the cookie is set under two names. `__Host-auth_token` wins: a browser accepts it from this very host
alone, so no sibling host can plant one. `auth_token` is for clients that use only that name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from shared.accounts.sessions import SESSION_LIFE, Session
from shared.core.urls import normal_origin
from shared.web.middleware import App, Message, Receive, Scope, Send

COOKIE: Final = "auth_token"
HOST_COOKIE: Final = "__Host-auth_token"

MOST: Final = 4
"""The most cookies named `auth_token` in a request. Each signed token costs a read of the store; honest browsers send
two, of the host and of a parent domain."""

_IN_SCOPE: Final = "agent_talk.session_cookies"
_IS_FOREIGN: Final = "agent_talk.is_foreign"


@dataclass(frozen=True, kw_only=True)
class SessionCookies:
    """The tokens in a request's cookies, without repetitions."""

    of_host: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()

    @property
    def candidates(self) -> tuple[str, ...]:
        """The tokens of which exactly one may be a valid session."""
        return self.of_host[:1] or self.plain

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.of_host[:1], *self.plain)))


class CookieMiddleware:
    """Reads the session's tokens from the Cookie header, and removes the header: later parsers get no cookie.

    A request with a foreign `Origin` is served without its cookies, and its answer sets none, so that no other site
    signs a visitor in, out, or acts in the visitor's name.
    """

    def __init__(self, app: App, *, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        given = [value.decode("latin-1") for name, value in headers if name == b"cookie"]
        scope["headers"] = [(name, value) for name, value in headers if name != b"cookie"]
        if not self._is_foreign(scope):
            scope[_IN_SCOPE] = read_cookies(given)
            await self._app(scope, receive, send)
            return

        scope[_IS_FOREIGN] = True

        async def send_without_cookies(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name, value) for name, value in message["headers"] if name != b"set-cookie"]
            await send(message)

        await self._app(scope, receive, send_without_cookies)

    def _is_foreign(self, scope: Scope) -> bool:
        """Return whether the request's origin is neither the API's own nor one of `origins`."""
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if not given:
            return False
        origin = normal_origin(given[0]) if len(given) == 1 else None
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        own = normal_origin(f"{scope['scheme']}://{hosts[0]}") if len(hosts) == 1 else None
        return origin is None or (origin != own and origin not in self._origins)


def read_cookies(headers: Sequence[str]) -> SessionCookies:
    """Read the session's tokens from Cookie headers. With more than MOST cookies `auth_token`, none of them counts.

    Tokens need no unquoting, so the standard library's parser is not used: before Python 3.11.10 its time grows with
    the square of a header's length.
    """
    found: dict[str, list[str]] = {COOKIE: [], HOST_COOKIE: []}
    for header in headers:
        for pair in header.split(";"):
            name, _, value = pair.partition("=")
            if value.strip() and name.strip() in found:
                found[name.strip()].append(value.strip().removeprefix('"').removesuffix('"'))
    plain = found[COOKIE] if len(found[COOKIE]) <= MOST else []
    return SessionCookies(of_host=tuple(dict.fromkeys(found[HOST_COOKIE])), plain=tuple(dict.fromkeys(plain)))


def session_cookies(request: Request) -> SessionCookies:
    """Return the session's tokens of a request, without any if its origin is foreign."""
    cookies: SessionCookies = request.scope.get(_IN_SCOPE, SessionCookies())
    return cookies


def is_foreign(request: Request) -> bool:
    """Return whether a request's origin is neither the API's own nor a configured one."""
    return bool(request.scope.get(_IS_FOREIGN))


def set_session(response: Response, session: Session, *, production: bool) -> None:
    for name in _names(production=production):
        response.set_cookie(
            name,
            session.token,
            max_age=int(SESSION_LIFE.total_seconds()),
            httponly=True,
            samesite="Lax",  # type: ignore[arg-type] # the contract writes it so
            secure=production,
        )


def clear_session(response: Response, *, production: bool) -> None:
    for name in _names(production=production):
        response.delete_cookie(name, httponly=True, samesite="lax", secure=production)


def _names(*, production: bool) -> tuple[str, ...]:
    """Return the cookie's names. `__Host-` needs `Secure`, which browsers refuse on http://."""
    return (COOKIE, HOST_COOKIE) if production else (COOKIE,)
