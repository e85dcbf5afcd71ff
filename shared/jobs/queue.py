"""The queue of long memos, as a port: ids of memos that are to be said, each handed over at least once."""

from collections.abc import Awaitable, Callable
from typing import Protocol

Work = Callable[[str, int], Awaitable[None]]
"""Takes a memo's id, and how often it was handed over, this time included. If it raises, it is handed over again."""


class QueueFailed(Exception):
    """The queue did not take a memo, or did not say that it did."""


class MemoQueue(Protocol):
    async def send(self, memo_id: str) -> None:
        """Queue a memo. Raises QueueFailed."""

    async def close(self) -> None:
        """Hand over nothing any more. What is queued stays in the list of long memos."""
