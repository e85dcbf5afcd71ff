"""Calls of one AWS client from the event loop, over connections that survive a container's freeze.

boto3 blocks, so each call runs on one of a few threads. Its own retries must be off: the caller's funnel decides which
calls are sent again, and until when. The first call opens the client, so that containers that are copies of one
snapshot share no connection.

boto3's timeout is the time between two pieces of an answer, so an answer that trickles could hold its thread for any
time. Therefore the connection of a call that is given up is shut, if the client is `breakable`.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, Generic, Protocol, TypeVar

from botocore.exceptions import ClientError

IDLE_S: Final = 5.0
"""Seconds of the wall clock after which an idle connection is not used again: after a freeze it may be dead."""


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)
T = TypeVar("T")

_log = logging.getLogger("agent_talk.aws")


class WorkTimedOut(Exception):
    """The call did not end in time. With `begun` it may have been sent, and may still run in its thread."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("a call did not end in time" if begun else "no thread was free in time")
        self.begun = begun


class AwsCalls(Generic[C]):
    """Runs work on a client, at most `at_once` calls at a time, each with a connection of its own.

    The client's connections are closed if none was used for IDLE_S, or after a call without an answer; the next calls
    open new ones. A connection that is in use stays open until its call ends, or is given up.
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
        """Run `work` in a thread, and return its result. Raises WorkTimedOut after `left_s` seconds.

        An exception of `work` propagates.

        Work that no thread has begun by then never begins: it could cost money without a result. Work that has begun is
        given up, also if the caller is cancelled: its connection is shut, so that its thread is free again.
        """
        call = _Call(self._lock)
        try:
            async with asyncio.timeout(left_s) as timeout:
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, call, work)
        except TimeoutError as exc:
            if not timeout.expired():
                raise
            call.give_up()
            raise WorkTimedOut(begun=call.begun) from exc
        finally:
            call.give_up()

    def close(self) -> None:
        """Close the client. Calls that have begun run to their end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _call(self, call: "_Call", work: Callable[[C], T]) -> T:
        call.begin()
        _current_call.set(call)
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
        except ClientError:  # this is an answer too, so the connection is good
            raise
        except Exception:
            with self._lock:
                self._good_until = 0.0
            raise
        finally:
            call.end()


def breakable(client: T) -> T:
    """Return the SDK's client, changed so that AwsCalls can shut its connections.

    The SDK has no public API for that, so its table of connection classes is changed. If this version of the SDK has no
    such table, a warning is logged: then answers that trickle hold their threads.
    """
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    pools = getattr(session, "_pool_classes_by_scheme", None)
    if not isinstance(pools, dict):
        _log.warning("this version of botocore keeps its connections elsewhere: slow answers hold their threads")
        return client
    for scheme, pool in pools.items():
        connection = type("BreakableConnection", (_Breakable, pool.ConnectionCls), {})
        pools[scheme] = type("BreakablePool", (pool,), {"ConnectionCls": connection})
    return client


class _GivenUp(Exception):
    """The call was given up before its request was sent, so it is not sent."""


class _Call:
    """Work in a thread, and the connection that it uses. `lock` guards the connections of all calls of a client."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._is_given_up = False
        self._connection: _Breakable | None = None
        self.begun = False

    def begin(self) -> None:
        """Mark the call as begun. Raises _GivenUp if the caller has given it up."""
        with self._lock:
            if self._is_given_up:
                raise _GivenUp
            self.begun = True

    def use(self, connection: "_Breakable") -> None:
        """Take a connection for this call. Raises _GivenUp if the caller has given the call up."""
        with self._lock:
            if self._is_given_up:
                raise _GivenUp
            self._connection = connection
            connection.user = self

    def give_up(self) -> None:
        """Shut the connection if the work still runs. No request is sent after this."""
        with self._lock:
            self._is_given_up = True
            if self._connection is not None and self._connection.user is self:  # else a later call has it already
                self._connection.shut()

    def end(self) -> None:
        with self._lock:
            self._connection = None


_current_call: Final[ContextVar[_Call | None]] = ContextVar("current_call", default=None)
"""The call of this thread."""


class _Breakable:
    """Lets another thread shut a connection of urllib3 in the middle of an answer."""

    sock: Any
    user: _Call | None = None
    _is_shut = False
    _last_sock: Any = None
    """The last socket. The connection itself drops its own when an answer ends the connection."""

    def connect(self) -> None:
        self._use()
        super().connect()  # type: ignore[misc]
        self._is_shut = False
        self._last_sock = self.sock

    def request(self, *args: Any, **more: Any) -> Any:
        self._use()
        if self._is_shut:  # since the pool chose it; closing it here would lose a proxy's tunnel
            raise ConnectionResetError("the connection was shut")
        return super().request(*args, **more)  # type: ignore[misc]

    def shut(self) -> None:
        """End the read of another thread. Closing would not wake that thread, and could hit a reused descriptor."""
        self._is_shut = True
        sock = self.sock or self._last_sock
        if isinstance(sock, socket.socket):
            with suppress(OSError):  # the socket is not connected any more
                socket.socket.shutdown(
                    sock, socket.SHUT_RDWR
                )  # an SSL socket's own shutdown also drops its keys, which are in use

    def _use(self) -> None:
        call = _current_call.get()
        if call is not None:
            call.use(self)
