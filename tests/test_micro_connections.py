"""Connections to HYPR Micro: reused while the server certainly keeps them, replaced after a freeze or a failure."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from shared.micro_connections import MicroConnections
from shared.micro_errors import NoAnswer, Unreachable
from shared.micro_wire import Answer
from tests.fakes.raw_server import RawServer, Script, Then, answer, raw_server
from tests.fakes.standin_network import ManualClock

pytestmark = pytest.mark.anyio

AMPLE_S = 30.0


async def ask(wire: MicroConnections, target: str = "/", *, within_s: float = AMPLE_S) -> Answer:
    headers = [(b"authorization", b"Bearer some-key")]
    return await wire.send("POST", target, headers=headers, content=b"{}", within_s=within_s)


@dataclass(frozen=True, kw_only=True)
class Connected:
    server: RawServer
    wire: MicroConnections
    clock: ManualClock

    async def ask(self, target: str = "/", *, within_s: float = AMPLE_S) -> Answer:
        return await ask(self.wire, target, within_s=within_s)


@asynccontextmanager
async def connected(*answers: Script, at_once: int = 8) -> AsyncIterator[Connected]:
    clock = ManualClock()
    async with raw_server(*answers) as server:
        wire = MicroConnections(server.url, at_once=at_once, monotonic=clock.monotonic, wall=clock.wall)
        async with wire:
            yield Connected(server=server, wire=wire, clock=clock)


async def test_request_is_sent_as_servers_and_proxies_expect() -> None:
    """A request has its host, its length and its own headers, and requests an uncompressed body."""
    async with connected() as at:
        await at.ask("/a%2Fb")
        await at.wire.send("GET", "/", headers=[], content=None, within_s=AMPLE_S)
        host = at.server.url.removeprefix("http://").encode()
        plain = b"host: %s\r\naccept-encoding: identity\r\n" % host
        assert at.server.requests == [
            b"POST /a%2Fb HTTP/1.1\r\n" + plain + b"content-length: 2\r\nauthorization: Bearer some-key\r\n\r\n{}",
            b"GET / HTTP/1.1\r\n" + plain + b"\r\n",
        ]


async def test_host_of_other_letters_is_sent_in_ascii() -> None:
    """A header is ASCII: the host is in its IDNA form, here that of the server's address, and the port is kept."""
    async with connected() as at, MicroConnections(at.server.url.replace("127", "\uff11\uff12\uff17")) as wire:
        await ask(wire)
        assert b"host: %s\r\n" % at.server.url.removeprefix("http://").encode() in at.server.requests[0]


async def test_answer_has_status_headers_and_content() -> None:
    """An answer has its status, its headers under lower-case names, and its complete body."""
    sent = b"HTTP/1.1 404 Not Found\r\nRetry-After: 3\r\nDATE:  today \r\nContent-Length: 5\r\n\r\nfalse"
    async with connected([sent]) as at:
        got = await at.ask()
        assert (got.status, got.content) == (404, b"false")
        assert (got.header(b"retry-after"), got.header(b"date"), got.header(b"age")) == ("3", "today", None)


async def test_connection_is_shared_by_requests_in_a_row() -> None:
    """Successive requests use one connection while it is idle for less than 2 s."""
    async with connected() as at:
        for _ in range(3):
            await at.ask()
            at.clock.advance(1.9)
        assert at.server.accepted == 1


async def test_connection_is_replaced_when_idle_too_long() -> None:
    """A connection that was idle for 2 s is not used again."""
    async with connected() as at:
        await at.ask()
        at.clock.advance(2)
        await at.ask()
        assert at.server.accepted == 2


async def test_connection_is_replaced_after_a_freeze() -> None:
    """After a freeze that stopped the monotonic clock, no connection from before is used."""
    async with connected() as at:
        await asyncio.gather(at.ask(), at.ask())
        assert at.server.accepted == 2
        at.clock.freeze(1.5)
        await asyncio.gather(at.ask(), at.ask())
        assert at.server.accepted == 4


async def test_connection_is_replaced_after_short_freezes() -> None:
    """Short freezes add up for a connection that stays idle; the one that is used in between is kept."""
    async with connected() as at:
        await asyncio.gather(at.ask(), at.ask())
        for _ in range(2):
            at.clock.freeze(0.6)
            await at.ask()
        assert at.server.accepted == 2
        await asyncio.gather(at.ask(), at.ask())
        assert at.server.accepted == 3


async def test_connection_is_replaced_once_when_clock_set_back() -> None:
    """A wall clock that is set back costs one reconnection."""
    async with connected() as at:
        await at.ask()
        at.clock.freeze(-3600)
        for _ in range(3):
            await at.ask()
        assert at.server.accepted == 2


@pytest.mark.parametrize("broken", [[Then.RESET], [Then.CLOSE], [answer()[:-1], Then.CLOSE], [b"SMTP\r\n\r\n"]])
async def test_connections_are_replaced_after_a_failure(broken: Script) -> None:
    """After a failure no idle connection is used again either: it is likely dead as well."""
    async with connected([answer()], [answer()], broken) as at:
        await asyncio.gather(at.ask(), at.ask())
        with pytest.raises(NoAnswer):
            await at.ask()
        await at.ask()
        assert at.server.accepted == 3


async def test_connections_in_use_finish_after_a_failure() -> None:
    """Another request's failure leaves a request alone, but its connection is not used again."""
    hold = asyncio.Event()
    async with connected([hold, answer(b"slow")], [Then.RESET]) as at:
        slow = asyncio.create_task(at.ask())
        await at.server.until(requests=1)
        with pytest.raises(NoAnswer):
            await at.ask()
        hold.set()
        assert (await slow).content == b"slow"
        await at.ask()
        assert at.server.accepted == 3


async def test_connection_is_closed_when_its_request_is_given_up() -> None:
    """A cancelled request's answer reaches no other request: its connection is closed."""
    hold = asyncio.Event()
    async with connected([hold, answer(b"old")], [answer(b"new")]) as at:
        given_up = asyncio.create_task(at.ask())
        await at.server.until(requests=1)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        hold.set()
        assert (await at.ask()).content == b"new"
        assert at.server.accepted == 2


async def test_slots_are_freed_also_by_failures() -> None:
    """Requests wait for a free slot, and a failed or cancelled one frees its own."""
    hold = asyncio.Event()
    async with connected([Then.CLOSE], [hold], [hold, answer()], at_once=1) as at:
        with pytest.raises(NoAnswer):
            await at.ask()
        given_up = asyncio.create_task(at.ask())
        await at.server.until(requests=2)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        first = asyncio.create_task(at.ask())
        await at.server.until(requests=3)
        second = asyncio.create_task(at.ask())
        hold.set()
        assert ((await first).status, (await second).status) == (200, 200)
        assert len(at.server.requests) == 4


async def test_request_without_a_slot_is_certainly_not_sent() -> None:
    """A request that finds no slot in time was not sent, and the connections are kept: they work."""
    hold = asyncio.Event()
    async with connected([hold, answer()], at_once=1) as at:
        slow = asyncio.create_task(at.ask())
        await at.server.until(requests=1)
        with pytest.raises(Unreachable, match="in use"):
            await at.ask(within_s=0)
        hold.set()
        await slow
        await at.ask()
        assert (at.server.accepted, len(at.server.requests)) == (1, 2)


async def test_at_most_so_many_connections_are_opened() -> None:
    """Two of 20 concurrent requests are sent at a time, over two connections."""
    async with connected(at_once=2) as at:
        await asyncio.gather(*(at.ask() for _ in range(20)))
        assert (at.server.accepted, len(at.server.requests)) == (2, 20)


async def test_request_is_certainly_not_sent_without_connection() -> None:
    """A refused connection, an invalid name and an invalid port raise Unreachable: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://a..b", f"http://{'x' * 64}.example", "http://h:99999", "http://"):
        async with MicroConnections(url) as wire:
            with pytest.raises(Unreachable):
                await ask(wire)


async def test_request_is_certainly_not_sent_without_handshake() -> None:
    """If a server accepts and never answers, the handshake times out, as a request that was not sent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with MicroConnections(f"https://127.0.0.1:{silent.getsockname()[1]}") as wire:
            with pytest.raises(Unreachable, match="in time"):
                await ask(wire, within_s=0.05)


async def test_connection_that_the_server_closed_is_not_used() -> None:
    """This holds even if the event loop has not read the end yet: a request on it would have an unknown outcome."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)  # noqa: FBT003 its name
        async with MicroConnections(f"http://127.0.0.1:{listening.getsockname()[1]}") as wire:
            for _ in range(2):
                asked = asyncio.create_task(ask(wire))
                server, _ = await loop.sock_accept(listening)
                await loop.sock_recv(server, 1000)
                server.sendall(answer())
                assert (await asked).status == 200
                server.close()


@pytest.mark.parametrize("late", [answer(b"late"), b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", b"x"])
async def test_connection_on_which_the_server_speaks_is_not_used(late: bytes) -> None:
    """Bytes that the server sends before a request are never taken for its answer."""
    said = asyncio.Event()
    async with connected([answer(b"first"), said, late], [answer(b"second")]) as at:
        assert (await at.ask()).content == b"first"
        said.set()
        await at.server.until(ended=1)
        assert (await at.ask()).content == b"second"
        assert at.server.accepted == 2


async def test_close_ends_idle_connections() -> None:
    """Closing waits until the idle connections are closed."""
    async with raw_server() as server:
        wire = MicroConnections(server.url)
        await asyncio.gather(ask(wire), ask(wire))
        await wire.aclose()
        await server.until(ended=2)
        await ask(wire)
        await wire.aclose()
        assert server.accepted == 3
