"""Keep HTTP connections that survive a container's freeze.

Between two invocations Lambda may stop a container for any time. The server meanwhile closes its side (HYPR Micro after
5 s idle), and a request written to such a connection fails without saying whether it was processed. So a connection is
reused only while the server surely keeps it:

- httpcore drops a connection that has been idle for 2 s, by the monotonic clock;
- a freeze may stop that clock, so the wall clock runs ahead of it: by more than 1 s, and the whole pool is dropped.

Together they bound a reused connection's true idle time by 3 s, for every connection of the pool and not just the last
one used. After any failure the pool is dropped too: its other connections are likely dead as well, and a retry must get
a new one. A freeze during a request is not covered.

A semaphore limits the requests in the pool, which searches all its waiting requests whenever one comes or ends: with
some hundred waiting that took longer than the server's answer.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import httpx

KEEPALIVE_S: Final = 2.0
"""Seconds for which an idle connection is kept. With FREEZE_S it must stay below the server's 5 s."""

CONNECT_S: Final = 2.0
"""Seconds for opening a connection. A server that answers no SYN for so long is down; more would only delay the 503."""

FREEZE_S: Final = 1.0
"""Seconds by which the wall clock runs ahead of the monotonic one before a freeze is assumed. Slewing moves both
clocks; a step of the wall clock costs one needless reconnection."""

OpenPool = Callable[[], httpx.AsyncBaseTransport]


def tls_context(url: str) -> ssl.SSLContext:
    """Return the TLS context for a server. The certificates are read once: that is slower than the rest of opening."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if urlsplit(url).scheme == "http" else _certificates()


@cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def http_client(url: str, *, connections: int = 8) -> httpx.AsyncClient:
    """Open the client for `MicroClient`: one per container and event loop, closed by its owner.

    It serves the server at this URL: for one without TLS it reads no certificates, and trusts none. It sends at most
    `connections` requests at once; a container, which serves one event at a time, needs four. It opens no connection
    before the first request, follows no redirects, and uses no proxy that the environment names.
    """
    tls = tls_context(url)
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEPALIVE_S
    )
    transport = FreshConnections(lambda: httpx.AsyncHTTPTransport(verify=tls, limits=limits), at_once=connections)
    return httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(5.0, connect=CONNECT_S))


@dataclass(eq=False)
class _Pool:
    transport: httpx.AsyncBaseTransport
    lead_s: float
    """Seconds by which the wall clock was ahead of the monotonic one when the pool was opened."""
    in_flight: int = 0


class FreshConnections(httpx.AsyncBaseTransport):
    """Sends through a pool of connections, and through a new pool after a freeze or a failure.

    httpx has no public way to expire a pool's idle connections, and closing a client fails its requests in flight. So
    the transport below the client is replaced: a dropped pool is closed when its last request has ended.
    """

    def __init__(
        self,
        open_pool: OpenPool,
        *,
        at_once: int,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._open_pool = open_pool
        self._slots = asyncio.Semaphore(at_once)
        self._monotonic = monotonic
        self._wall = wall
        self._pool: _Pool | None = None
        self._draining: set[_Pool] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises PoolTimeout if no slot is free in time."""
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("pool")):
                await self._slots.acquire()
        except TimeoutError as exc:
            raise httpx.PoolTimeout("all connections are in use", request=request) from exc
        try:
            return await self._send(request)
        except BaseException:
            self._slots.release()
            raise

    async def _send(self, request: httpx.Request) -> httpx.Response:
        pool = await self._living_pool()
        pool.in_flight += 1
        try:
            answer = await pool.transport.handle_async_request(request)
        except BaseException as exc:
            if not isinstance(exc, httpx.PoolTimeout):
                self._drop(pool)
            await self._done(pool)
            raise
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        stream = _Stream(answer.stream, failed=lambda: self._drop(pool), closed=lambda: self._answered(pool))
        return httpx.Response(answer.status_code, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        pools = [*self._draining, *([self._pool] if self._pool else [])]
        self._pool = None
        self._draining.clear()
        for pool in pools:
            await pool.transport.aclose()

    async def _living_pool(self) -> _Pool:
        lead_s = self._wall() - self._monotonic()
        old = self._pool
        if old is not None and abs(lead_s - old.lead_s) > FREEZE_S:
            self._drop(old)
        # Set before the first await: requests sent together share the new pool.
        pool = self._pool = self._pool or _Pool(self._open_pool(), lead_s)
        if old is not None and old is not pool:
            await self._close_if_done(old)
        return pool

    def _drop(self, pool: _Pool) -> None:
        if self._pool is pool:
            self._pool = None
            self._draining.add(pool)

    async def _answered(self, pool: _Pool) -> None:
        self._slots.release()
        await self._done(pool)

    async def _done(self, pool: _Pool) -> None:
        pool.in_flight -= 1
        await self._close_if_done(pool)

    async def _close_if_done(self, pool: _Pool) -> None:
        if pool in self._draining and pool.in_flight == 0:
            self._draining.discard(pool)
            await pool.transport.aclose()


class _Stream(httpx.AsyncByteStream):
    """An answer's body that calls `failed` if reading it fails, and `closed` when it is closed."""

    def __init__(
        self, inner: httpx.AsyncByteStream, *, failed: Callable[[], None], closed: Callable[[], Awaitable[None]]
    ) -> None:
        self._inner = inner
        self._failed = failed
        self._closed = closed
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except BaseException:
            self._failed()
            raise

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            try:
                await self._inner.aclose()
            finally:
                await self._closed()
