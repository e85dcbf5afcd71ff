"""Send requests to HYPR Micro over HTTP/1.1 connections that survive a container's freeze.

h11 parses and frames; asyncio's transports send and receive. A general client spends three quarters of its time on
features that these requests never use (decisions/0011).

`connection_rules` bounds the age of an idle connection. After any failure all idle connections are closed, and those
in use once their request has ended: they are likely dead as well, and a retry must get a new one.
"""

import asyncio
import select
import ssl
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

import h11

from shared.connection_rules import CONNECT_S, FREEZE_S, KEEPALIVE_S, tls_context
from shared.micro_errors import NoAnswer, Unreachable
from shared.micro_wire import Answer, Headers

MAX_HEAD_BYTES: Final = 64 * 1024
"""Bytes of an answer's head at most. HYPR Micro's have 300; more would only let a foreign server fill memory."""

PATIENCE: Final = 0.9
"""The part of its time within which a request must be sent. Below 1, so that a request that was not sent fails as
certainly not processed, before the whole time ends and its outcome is unknown."""

RESOLVED_APART_S: Final = 0.25
"""Seconds after which the next address of a name is tried in parallel with the first: RFC 8305's recommendation."""

T = TypeVar("T")

_BOTH_DONE: Final = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}


class MicroConnections:
    """The connections of one container and event loop to the server at `url`; `aclose` when done.

    At most `at_once` requests are in flight; a container, which serves one event at a time, needs four. The first
    request opens the first connection. No redirect is followed, and no proxy that the environment names is used:
    requests contain keys. Without `tls` the server's certificate is verified by those of `tls_context`, which raises
    OSError if they cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        at_once: int = 8,
        tls: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._at = urlsplit(url)
        self._tls = (tls or tls_context(url)) if self._at.scheme == "https" else None
        self._slots = asyncio.Semaphore(at_once)
        self._monotonic = monotonic
        self._wall = wall
        self._idle: list[_Connection] = []
        self._failures = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the idle connections, and those in use once their request has ended."""
        await asyncio.gather(*(connection.lost for connection in self._close_idle()))

    async def send(
        self, method: str, target: str, *, headers: Headers, content: bytes | None, within_s: float
    ) -> Answer:
        """Send as `Wire` promises. Getting a slot and a connection takes at most the part PATIENCE of `within_s`."""
        sent_until = self._monotonic() + PATIENCE * within_s
        if self._slots.locked():
            await _bounded(self._slots.acquire(), PATIENCE * within_s, "all connections are in use")
        else:
            await self._slots.acquire()
        connection = None
        failures = self._failures
        try:
            connection = self._kept() or await self._opened(sent_until - self._monotonic())
            request = h11.Request(
                method=method, target=target, headers=[(b"host", connection.host), *_lengths(content), *headers]
            )
            answer = await connection.exchange(request, content)
        except BaseException:
            self._close_idle()
            if connection is not None:
                connection.abort()
            raise
        finally:
            self._slots.release()
        if failures == self._failures and connection.is_reusable():
            connection.idle_since = (self._monotonic(), self._wall())
            self._idle.append(connection)
        else:
            connection.abort()
        return answer

    def _kept(self) -> "_Connection | None":
        """Return the connection used last that the server certainly keeps. None: there is none.

        Closes the connections that the server may have closed.
        """
        while self._idle:
            connection = self._idle.pop()
            monotonic_s, wall_s = connection.idle_since
            idle_s = self._monotonic() - monotonic_s
            frozen_s = self._wall() - wall_s - idle_s
            if idle_s < KEEPALIVE_S and abs(frozen_s) <= FREEZE_S and connection.is_quiet():
                return connection
            connection.abort()
        return None

    async def _opened(self, patience_s: float) -> "_Connection":
        """Open a connection. Raises Unreachable."""
        try:
            return await _bounded(self._open(), min(CONNECT_S, patience_s), "no connection in time")
        except (OSError, ValueError) as exc:  # ValueError: the URL's host or port is invalid
            raise Unreachable(f"no connection ({type(exc).__name__}: {exc})") from exc

    async def _open(self) -> "_Connection":
        name, port = self._at.hostname or "", self._at.port
        host = self._at.netloc.encode() if name.isascii() else name.encode("idna") + (b":%d" % port if port else b"")
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(host),
            name,
            port or (80 if self._tls is None else 443),
            ssl=self._tls,
            server_hostname=name if self._tls else None,
            happy_eyeballs_delay=RESOLVED_APART_S,
        )
        return connection

    def _close_idle(self) -> "list[_Connection]":
        """Close the idle connections, and return them. Those in use are closed after their request."""
        self._failures += 1
        closed, self._idle = self._idle, []
        for connection in closed:
            connection.abort()
        return closed


class _Connection(asyncio.Protocol):
    """One connection, for one request after the other."""

    idle_since = (0.0, 0.0)
    """When its last request ended, in seconds of the monotonic clock and of the wall clock."""

    def __init__(self, host: bytes) -> None:
        """`host` is the value of the header `Host`."""
        self.host = host
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._transport: asyncio.Transport
        self._answered: asyncio.Future[Answer] | None = None
        self._head: h11.Response | None = None
        self._parts: list[bytes] = []

    async def exchange(self, request: h11.Request, content: bytes | None) -> Answer:
        """Send a request, and return its answer. Raises NoAnswer."""
        http = self._http
        sent = [http.send(request), http.send(h11.Data(content)) if content else b"", http.send(h11.EndOfMessage())]
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(b"".join(part for part in sent if part))
        try:
            return await self._answered
        finally:
            self._answered, self._head, self._parts = None, None, []

    def abort(self) -> None:
        self._transport.abort()

    def is_quiet(self) -> bool:
        """Return whether the server has neither closed nor sent anything. The socket itself is polled."""
        if self._transport.is_closing():
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)

    def is_reusable(self) -> bool:
        """Return whether both sides keep the connection. If so, it is ready for the next request."""
        http = self._http
        if self._transport.is_closing() or http.trailing_data[0] or http.states != _BOTH_DONE:
            return False
        http.start_next_cycle()
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def eof_received(self) -> None:
        """End an answer that ends with its connection. The return value None closes our side too."""
        if self._answered is not None:
            self._receive(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the connection broke before the answer's end", exc)
        self.lost.set_result(None)

    def _receive(self, data: bytes) -> None:
        if self._answered is None or self._answered.done():
            self._transport.abort()  # else these bytes would count as a part of the next request's answer
            return
        try:
            self._http.receive_data(data)
            while self._take(self._http.next_event()):
                """Take events until the data ends."""
        except h11.RemoteProtocolError as exc:
            self._fail(f"no answer of HTTP/1.1: {exc}", exc)

    def _take(self, event: h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]) -> bool:
        """Return whether there may be more events; informational answers are skipped."""
        if isinstance(event, h11.Response):
            self._head = event
        elif isinstance(event, h11.Data):
            self._parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            assert self._answered is not None
            assert self._head is not None
            head = self._head
            self._answered.set_result(
                Answer(status=head.status_code, headers=list(head.headers), content=b"".join(self._parts))
            )
            return False
        return event is not h11.NEED_DATA

    def _fail(self, said: str, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            failure = NoAnswer(said)
            failure.__cause__ = exc
            self._answered.set_exception(failure)


def _lengths(content: bytes | None) -> Headers:
    """Return the headers of the body's length, and one against a compressed answer."""
    plain = (b"accept-encoding", b"identity")
    return [plain] if content is None else [plain, (b"content-length", b"%d" % len(content))]


async def _bounded(call: Awaitable[T], within_s: float, said: str) -> T:
    """Await a call. Raises Unreachable if it takes longer than `within_s` seconds."""
    try:
        async with asyncio.timeout(within_s):
            return await call
    except TimeoutError as exc:
        raise Unreachable(said) from exc
