"""Changes of one row take turns within a process, so that its writers need not outrun one another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
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
