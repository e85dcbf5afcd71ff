"""Calls of one AWS client from the event loop, over connections that survive a container's freeze.

boto3 blocks, so each call runs on one of a few threads. Its own retries must be off: the caller's funnel knows what may
be sent again, and until when. The client is opened by the first call, so that no two containers that are copies of one
share a connection.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, Protocol, TypeVar

from botocore.exceptions import ClientError

IDLE_S: Final = 5.0
"""Seconds, by the wall clock, after which an idle connection is not used again: a frozen container's may be dead."""


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)
T = TypeVar("T")


class WorkTimedOut(Exception):
    """The call did not end in time. With `begun` it may have been sent, and goes on in its thread."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("a call did not end in time" if begun else "no thread was free in time")
        self.begun = begun


class AwsCalls(Generic[C]):
    """Runs work on a client, at most `at_once` calls at a time, each with a connection of its own.

    The client's connections are closed when none was used for IDLE_S, or one brought no answer; the next calls open new
    ones. A connection that is in use stays open until its call ends.
    """

    def __init__(
        self, open_client: Callable[[], C], *, name: str, at_once: int, wall: Callable[[], float] = time.time
    ) -> None:
        self._open_client = open_client
        self._wall = wall
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._client: C | None = None
        self._good_until = 0.0

    async def run(self, work: Callable[[C], T], *, left_s: float) -> T:
        """What `work` returns. Raises WorkTimedOut after `left_s`, and whatever `work` raises.

        Work that no thread has begun by then never begins: it could cost money that buys nothing.
        """
        begun = False

        def call() -> T:
            nonlocal begun
            begun = True
            return self._call(work)

        try:
            async with asyncio.timeout(left_s) as timeout:
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except TimeoutError as exc:
            if not timeout.expired():
                raise
            raise WorkTimedOut(begun=begun) from exc

    def close(self) -> None:
        """Close the client. Calls that have begun still end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _call(self, work: Callable[[C], T]) -> T:
        with self._lock:
            now = self._wall()
            if self._client is None:
                self._client = self._open_client()
            elif now > self._good_until:
                self._client.close()
            self._good_until = now + IDLE_S
            client = self._client
        try:
            return work(client)
        except ClientError:  # an answer too
            raise
        except Exception:
            with self._lock:
                self._good_until = 0.0
            raise
