"""Awaiting several things at once without leaving any of them behind."""

import asyncio
from collections.abc import Awaitable, Iterable
from itertools import islice
from typing import Any, Final

AT_ONCE: Final = 8
"""Requests under way together: as many as a container has connections."""


async def together(*awaitables: Awaitable[Any]) -> list[Any]:
    """The results in order, once all have settled; raises the first error only then.

    A write in flight is never cancelled because its neighbour failed: its outcome would be unknown for no reason, and
    what still runs after the answer is frozen with the Lambda container.
    """
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def at_once(calls: Iterable[Awaitable[Any]]) -> None:
    """Await all, some at a time; the others begin only when those have succeeded."""
    waiting = iter(calls)
    while some := list(islice(waiting, AT_ONCE)):
        await together(*some)
