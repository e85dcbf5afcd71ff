"""The queue as tasks of this process, for `make run`. A memo that is queued when it ends stays in the list of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from shared.jobs.queue import Work

AT_ONCE: Final = 2
"""Memos that are said at the same time. More would make each slower, and texts that are said at once too."""

AGAIN_S: Final = 2.0, 60.0
"""Seconds before the second handing over, and at most before a later one: each wait is twice the one before."""

_log = logging.getLogger("agent_talk.jobs")


class ProcessQueue:
    """Hands memos over one after the other, each until the work is done."""

    def __init__(
        self, work: Work, *, at_once: int = AT_ONCE, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._work = work
        self._turns = asyncio.Semaphore(at_once)
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, memo_id: str) -> None:
        task = asyncio.create_task(self._hand_over(memo_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drained(self) -> None:
        """Wait until nothing is queued."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hand_over(self, memo_id: str) -> None:
        times, wait_s = 1, AGAIN_S[0]
        while not await self._done(memo_id, times):
            await self._sleep(wait_s)
            times, wait_s = times + 1, min(AGAIN_S[1], 2 * wait_s)

    async def _done(self, memo_id: str, times: int) -> bool:
        async with self._turns:
            try:
                await self._work(memo_id, times)
            except Exception:  # noqa: BLE001 the port's promise: whatever is raised, it is handed over again
                _log.exception("a long memo was not finished: it is tried again", extra={"memo_id": memo_id})
                return False
        return True
