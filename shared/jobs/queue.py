"""The queue of long memos, as a port: it hands over the ids of memos to say, each at least once."""

from collections.abc import Awaitable, Callable
from typing import Protocol

Work = Callable[[str, int], Awaitable[None]]
"""Takes a memo's id, and how often it was handed over, this time included. If it raises, the memo is handed over
again."""


class QueueFailed(Exception):
    """The queue did not accept a memo, or its answer was lost."""


class MemoQueue(Protocol):
    async def send(self, memo_id: str) -> None:
        """Queue a memo. Raises QueueFailed."""

    async def close(self) -> None:
        """Stop handing over. Queued memos stay in the list of long memos."""
