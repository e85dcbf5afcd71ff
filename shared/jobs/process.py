"""The queue as tasks of this process, for `make run`. Memos queued when it ends stay in the list of long memos."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from shared.jobs.queue import Work

AT_ONCE: Final = 2
"""Long memos that are said at the same time. More would slow each other down, and memos of requests too."""

AGAIN_S: Final = 2.0, 60.0
"""Seconds of the first and of the longest wait before a memo is handed over again. Waits double."""

_log = logging.getLogger("agent_talk.jobs")


class ProcessQueue:
    """Hands memos over to `work`, `at_once` at a time, and again after each failure until it succeeds."""

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
        """Wait until the queue is empty."""
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
            except Exception:  # noqa: BLE001 the port promises another handing over after any exception
                _log.exception("a long memo was not finished: it is tried again", extra={"memo_id": memo_id})
                return False
        return True
