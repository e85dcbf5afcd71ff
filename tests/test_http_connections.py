"""Connections are reused while the server certainly keeps them, and replaced after a freeze or a failure."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.http_connections import FreshConnections, http_client
from tests.fakes.standin_network import ManualClock

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]


class Pool(httpx.AsyncBaseTransport):
    """A pool of connections that records its end, and follows the script of its number."""

    def __init__(
        self, failure: Exception | None = None, *, hold: asyncio.Event | None = None, breaks: bool = False
    ) -> None:
        self.failure = failure
        self.breaks = breaks
        self.hold = hold
        self.sent = 0
        self.closings = 0

    @property
    def closed(self) -> bool:
        return self.closings > 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002 same for all requests
        self.sent += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.failure is not None:
            raise self.failure
        return httpx.Response(200, stream=_Broken() if self.breaks else httpx.ByteStream(b"{}"))

    async def aclose(self) -> None:
        self.closings += 1


class _Broken(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        raise httpx.ReadError("reset")


class Pools:
    """Opens the given pools, one after the other."""

    def __init__(self, *pools: Pool, at_once: int = 20) -> None:
        self.clock = ManualClock()
        self._left = list(pools)
        self.transport = FreshConnections(
            self._open, at_once=at_once, monotonic=self.clock.monotonic, wall=self.clock.wall
        )
        self.http = httpx.AsyncClient(transport=self.transport)

    def _open(self) -> Pool:
        return self._left.pop(0)


async def test_pool_is_shared_by_requests_in_a_row() -> None:
    pool = Pool()
    pools = Pools(pool)
    async with pools.http as http:
        for _ in range(3):
            await http.get("http://micro/")
            pools.clock.advance(60)
        assert (pool.sent, pool.closed) == (3, False)
    assert pool.closed


async def test_pool_is_replaced_after_a_freeze() -> None:
    """After a freeze that stopped the monotonic clock, requests use a new pool."""
    old, new = Pool(), Pool()
    pools = Pools(old, new)
    async with pools.http as http:
        await http.get("http://micro/")
        pools.clock.freeze(1.5)
        await asyncio.gather(http.get("http://micro/"), http.get("http://micro/"))
        assert (old.sent, old.closed, new.sent) == (1, True, 2)


async def test_pool_is_replaced_after_several_short_freezes() -> None:
    """Several short freezes together cause a new pool."""
    old, new = Pool(), Pool()
    pools = Pools(old, new)
    async with pools.http as http:
        for _ in range(3):
            await http.get("http://micro/")
            pools.clock.freeze(0.6)
        assert (old.sent, new.sent) == (2, 1)


async def test_pool_is_replaced_once_when_the_clock_is_set_back() -> None:
    """A wall clock that is set back costs one reconnection."""
    old, new = Pool(), Pool()
    pools = Pools(old, new)
    async with pools.http as http:
        await http.get("http://micro/")
        pools.clock.freeze(-3600)
        for _ in range(3):
            await http.get("http://micro/")
        assert (old.sent, new.sent) == (1, 3)


@pytest.mark.parametrize("failing", [{"failure": httpx.ReadError("reset")}, {"breaks": True}])
async def test_pool_is_replaced_after_a_failure(failing: dict[str, Any]) -> None:
    """After a failure the next request gets a new connection, also when it was the answer that broke off."""
    old, new = Pool(**failing), Pool()
    pools = Pools(old, new)
    async with pools.http as http:
        with pytest.raises(httpx.ReadError):
            await http.get("http://micro/")
        await http.get("http://micro/")
        assert (old.closed, new.sent) == (True, 1)


async def test_pool_is_kept_when_it_is_full() -> None:
    """A pool without a free connection is kept: its connections work."""
    pool = Pool(httpx.PoolTimeout("busy"))
    pools = Pools(pool)
    async with pools.http as http:
        for _ in range(2):
            with pytest.raises(httpx.PoolTimeout):
                await http.get("http://micro/")
        assert (pool.sent, pool.closed) == (2, False)


async def test_pool_finishes_its_requests_before_it_is_closed() -> None:
    hold = asyncio.Event()
    old, new = Pool(hold=hold), Pool()
    pools = Pools(old, new)
    async with pools.http as http:
        slow = asyncio.create_task(http.get("http://micro/"))
        await asyncio.sleep(0)
        pools.clock.freeze(5)
        await http.get("http://micro/")
        assert not old.closed
        hold.set()
        assert (await slow).status_code == 200
        assert old.closed


async def test_pools_are_closed_once() -> None:
    """The pool in use is closed, and one that was dropped with a request in flight: neither serves a later request."""
    hold = asyncio.Event()
    old, new, later = Pool(hold=hold), Pool(), Pool()
    pools = Pools(old, new, later)
    slow = asyncio.create_task(pools.http.get("http://micro/"))
    await asyncio.sleep(0)
    pools.clock.freeze(5)
    await pools.http.get("http://micro/")
    await pools.transport.aclose()
    await pools.http.get("http://micro/")
    hold.set()
    await slow
    await pools.http.aclose()
    assert [(pool.sent, pool.closings) for pool in (old, new, later)] == [(1, 1), (1, 1), (1, 1)]


async def test_slots_are_freed_also_by_failures() -> None:
    """Requests wait for a free slot, and a failed request frees its own."""
    hold = asyncio.Event()
    pools = Pools(Pool(httpx.ReadError("reset")), Pool(breaks=True), Pool(hold=hold), at_once=1)
    async with pools.http as http:
        for _ in range(2):
            with pytest.raises(httpx.ReadError):
                await http.get("http://micro/")
        first = asyncio.create_task(http.get("http://micro/"))
        await asyncio.sleep(0)
        with pytest.raises(httpx.PoolTimeout):
            await http.get("http://micro/", timeout=httpx.Timeout(5.0, pool=0))
        second = asyncio.create_task(http.get("http://micro/"))
        hold.set()
        assert ((await first).status_code, (await second).status_code) == (200, 200)


HTTP_BY_A_CLIENT = """
import asyncio, sys, httpx
from shared.http_connections import http_client
async def ask():
    async with http_client(sys.argv[1]) as http:
        await http.get(sys.argv[1])
try:
    asyncio.run(ask())
except httpx.ConnectError:
    print("refused")
"""
MICRO_BY_ITS_CLIENT = """
import asyncio, sys
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.micro_connections import MicroConnections
from shared.micro_errors import Unreachable
async def ask():
    async with MicroConnections(sys.argv[1]) as wire:
        await MicroClient(wire, Direct(url=sys.argv[1], api_key="a-key")).health()
try:
    asyncio.run(ask())
except Unreachable:
    print("refused")
"""
PARAMETERS_BY_HTTP = """
import sys
from typing import Any
from shared.core.parameters import with_secrets
from shared.core.settings import SettingsError
env = {"SESSION_SECRET_PARAMETER": "/a", "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a"}
try:
    with_secrets({**env, "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": sys.argv[1]}, sleep=lambda _: None)
except SettingsError:
    print("refused")
"""


@pytest.mark.parametrize("program", [HTTP_BY_A_CLIENT, MICRO_BY_ITS_CLIENT, PARAMETERS_BY_HTTP])
def test_secrets_are_sent_to_no_proxy_of_the_environment(program: str) -> None:
    """A proxy that the environment names gets no connection, since the requests carry keys and signatures."""
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as closed:
        proxy.setblocking(False)  # noqa: FBT003 its name
        named = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        asked = f"http://127.0.0.1:{closed.getsockname()[1]}"
        closed.close()
        done = subprocess.run(  # noqa: S603 our own program
            [sys.executable, "-c", program, asked],
            env={"HTTP_PROXY": named, "http_proxy": named, "ALL_PROXY": named, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.stdout, done.stderr) == ("refused\n", "")
        with pytest.raises(BlockingIOError):
            proxy.accept()


async def test_http_client_follows_no_redirect_and_waits_seconds() -> None:
    """The recommended client follows no redirect and has short timeouts."""
    async with http_client("https://micro") as http:
        assert not http.follow_redirects
        assert http.timeout == httpx.Timeout(5.0, connect=2.0)
