"""Connections of httpx to providers, which survive a container's freeze.

`connection_rules` defines how long a connection is kept, and why. httpcore drops a connection that has been idle for
too long by the monotonic clock. The whole pool is dropped if the wall clock ran ahead of that clock, and after any
failure: its other connections are likely dead as well, and a retry must get a new one.

A semaphore limits the requests in the pool, which searches all its waiting requests whenever one begins or ends: with
some hundred waiting that took longer than the server's answer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx

from shared.connection_rules import CONNECT_S, FREEZE_S, KEEPALIVE_S, tls_context

OpenPool = Callable[[], httpx.AsyncBaseTransport]


def http_client(url: str, *, connections: int = 8) -> httpx.AsyncClient:
    """Open a client for a provider. It serves one container and event loop; its owner closes it.

    It is for the server at this URL: for an http: URL it reads no certificates, and trusts none. At most `connections`
    requests are in flight. The first request opens the first connection. No redirect is followed, and no proxy that the
    environment names is used.
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
        """Send a request once a slot is free. Raises PoolTimeout if none is free in time."""
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
        if old is not None:
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
