"""Checks of credentials that run while a route reads its answer. The route sends no answer before they end.

    routes = APIRouter(route_class=RouteWithChecks)

A dependency returns a credential that was valid at its last check, and begins the next check by `check_beside`. If that
fails, its error is the answer, also if the request has other errors.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

_CHECKS: Final = "agent_talk.checks"
"""The key of a request's checks in its ASGI scope. Generators as dependencies would take a tenth of a page's time."""

T = TypeVar("T")


class RouteWithChecks(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def checked(request: Request) -> Response:
            checks = request.scope[_CHECKS] = list[Awaitable[object]]()
            try:
                return await answer(request)
            finally:
                for check in checks:
                    await _succeeded(check)

        return checked


def check_beside(request: Request, check: Callable[[], Coroutine[Any, Any, T]]) -> Awaitable[T]:
    """Begin a check. Raises KeyError on a route of another class, which would answer unchecked."""
    checks: list[Awaitable[object]] = request.scope[_CHECKS]
    task = asyncio.ensure_future(check())
    checks.append(task)
    return task


async def _succeeded(check: Awaitable[object]) -> None:
    """Raise the check's exception, without the route's as its context. That one contains the body."""
    try:
        await check
    except Exception as exc:
        exc.__suppress_context__ = True  # `from None` would drop its cause too, which the log needs
        raise
