"""Awaiting several things at once without leaving any of them behind."""

import asyncio
from collections.abc import Awaitable
from typing import Any


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
