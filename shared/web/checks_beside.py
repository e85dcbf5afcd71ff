"""Checks of credentials that run while a route reads its answer, on a route that answers nothing before they end.

    routes = APIRouter(route_class=RouteWithChecks)

A dependency that gives what a last check found good begins the next one by `check_beside`. What that raises is
answered, whatever else was wrong with the request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

_CHECKS: Final = "agent_talk.checks"
"""A request's checks, in its ASGI scope. Dependencies that are generators would do, for a tenth of a page's time."""

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
    """Begin a check. Raises KeyError on a route of another class: it would answer unchecked."""
    checks: list[Awaitable[object]] = request.scope[_CHECKS]
    task = asyncio.ensure_future(check())
    checks.append(task)
    return task


async def _succeeded(check: Awaitable[object]) -> None:
    """Raise what the check raises, without the error that it replaces: that one repeats the body."""
    try:
        await check
    except Exception as exc:
        exc.__suppress_context__ = True  # `from None` would drop its cause too, which the log needs
        raise
