"""Awaiting several things at once without leaving any of them behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Final, TypeVar, overload
from weakref import WeakValueDictionary

AT_ONCE: Final = 8
"""Requests under way together: as many as a container has connections."""

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@overload
async def gather_settled(a: Awaitable[A], b: Awaitable[B], /) -> tuple[A, B]: ...
@overload
async def gather_settled(a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /) -> tuple[A, B, C]: ...
@overload
async def gather_settled(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], /
) -> tuple[A, B, C, D]: ...
@overload
async def gather_settled(*awaitables: Awaitable[A]) -> tuple[A, ...]: ...
async def gather_settled(*awaitables: Awaitable[Any]) -> tuple[Any, ...]:
    """The results in order, once all have settled; raises the first error only then.

    A write in flight is never cancelled because its neighbour failed: its outcome would be unknown for no reason, and
    what still runs after the answer is frozen with the Lambda container.
    """
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return tuple(results)


async def in_batches(calls: Iterable[Awaitable[object]]) -> None:
    """Await all, some at a time; the others begin only when those have succeeded."""
    waiting = iter(calls)
    while some := list(islice(waiting, AT_ONCE)):
        await gather_settled(*some)


class KeyedLocks:
    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, row: Hashable, *, wait_s: float, late: Callable[[str], Exception]) -> AsyncIterator[None]:
        """Raises what `late` makes of a reason when the turn does not come in time."""
        lock = self._locks.setdefault(row, asyncio.Lock())
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                await lock.acquire()
        except TimeoutError as exc:
            raise late("the changes before this one took all the time") from exc
        try:
            yield
        finally:
            lock.release()
