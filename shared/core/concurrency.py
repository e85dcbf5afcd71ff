"""Structured concurrency: several awaitables at once, none abandoned; and locks by key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Final, TypeVar, overload
from weakref import WeakValueDictionary

AT_ONCE: Final = 8
"""Requests in flight together: as many as a container has connections. More would wait for a connection."""

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
    """Await all, then return their results in order, or raise the first error in that order.

    An error cancels no other call: the outcome of a write in flight would be unknown. No call still runs after the
    answer, when Lambda freezes the container.
    """
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return tuple(results)


async def in_batches(calls: Iterable[Awaitable[object]]) -> None:
    """Await all, `AT_ONCE` at a time. After an error no further batch begins."""
    waiting = iter(calls)
    while some := list(islice(waiting, AT_ONCE)):
        await gather_settled(*some)


class KeyedLocks:
    """Locks by key: a process changes a row in one task at a time, so that its own writers do not compete."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def acquire(self, row: Hashable, *, wait_s: float, late: Callable[[str], Exception]) -> AsyncIterator[None]:
        """Hold the row's lock. Raises the error that `late` returns if the lock is not free within `wait_s` seconds."""
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
