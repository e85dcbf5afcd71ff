"""The wire client after failed answers: when it repeats, waits and gives up."""

import httpx
import pytest

from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.micro_errors import (
    ForeignServer,
    MicroError,
    NoAnswer,
    NoTimeLeft,
    Outcome,
    Overloaded,
    ServerFailed,
    Unreachable,
    WrongKey,
)
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.micro_world import READS, Call, every_read, every_write, world
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import (
    BUSY,
    CLOSED,
    CUT,
    EVERY_FAULT,
    HANGS,
    LIMITED,
    LOST,
    REFUSED,
    UNAVAILABLE,
    Fault,
    StandInTransport,
    always,
    answer,
    none,
    nth,
    slow,
)
from tests.fakes.standin_steps import Gate

pytestmark = pytest.mark.anyio


@every_read
async def test_call_raises_wrong_key(read: Call) -> None:
    """Only health needs no key."""
    async with world(api_key="wrong") as w:
        if read is READS["health"]:
            assert await w.client.health() == "1.0.0"
        else:
            with pytest.raises(WrongKey):
                await read(w.client)


@every_read
@pytest.mark.parametrize("body", ["<html>", "[]", "null", "{}", '{"ok": true}', '{"value": "x", "found": 1}'])
async def test_call_raises_foreign_server_on_an_unexpected_shape(read: Call, body: str) -> None:
    async with world() as w:
        w.strike(always(answer(200, body)))
        with pytest.raises(ForeignServer) as caught:
            await read(w.client)
        assert (caught.value.status, caught.value.said) == (200, f"{len(body)} bytes of text/plain; charset=utf-8")
        assert caught.value.__cause__ is not None


@every_read
@pytest.mark.parametrize("fault", [REFUSED, CLOSED, LOST, CUT], ids=["refused", "closed", "lost", "cut"])
async def test_read_is_sent_once_more_when_unanswered(read: Call, fault: Fault) -> None:
    async with world() as w:
        w.strike(nth(1, fault))
        with w.recorder.measure() as cost:
            await read(w.client)
        assert cost.requests == 2


@every_read
async def test_read_is_not_sent_a_third_time(read: Call) -> None:
    async with world() as w:
        w.strike(always(CLOSED))
        with w.recorder.measure() as cost, pytest.raises(NoAnswer) as caught:
            await read(w.client)
        assert cost.requests == 2
        assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError)


@every_write
@pytest.mark.parametrize("fault", [CLOSED, LOST, CUT, HANGS], ids=["closed", "lost", "cut", "hangs"])
async def test_write_is_not_resent_when_unanswered(write: Call, fault: Fault) -> None:
    """A write that was sent and not answered is never sent again."""
    async with world() as w:
        w.strike(nth(1, fault))
        with w.recorder.measure() as cost, pytest.raises(NoAnswer):
            await write(w.client)
        assert cost.requests == 1


@every_write
async def test_write_is_sent_once_more_when_unconnected(write: Call) -> None:
    """A second attempt without a connection raises Unreachable."""
    async with world() as w:
        w.strike(nth(1, REFUSED))
        with w.recorder.measure() as cost:
            await write(w.client)
        assert cost.requests == 2
        w.strike(always(REFUSED))
        with pytest.raises(Unreachable):
            await write(w.client)


@every_write
@pytest.mark.parametrize("fault", [BUSY, LIMITED], ids=["503", "429"])
async def test_call_waits_as_long_as_the_server_asks(write: Call, fault: Fault) -> None:
    """A request waits as long as the server requests, and is sent again."""
    async with world() as w:
        w.strike(nth(1, fault))
        await write(w.client)
        assert w.clock.slept == [1.0]


async def test_call_does_not_wait_beyond_its_deadline() -> None:
    """A wait that does not fit into the deadline is not begun."""
    async with world(timeout_s=8.0) as w:
        w.strike(always(answer(429, retry_after="8")))
        with pytest.raises(Overloaded) as caught:
            await w.client.increment("c")
        assert (caught.value.retry_after_s, w.clock.slept) == (8.0, [])


async def test_call_is_sent_four_times_when_always_asked_to_wait() -> None:
    """A server that always requests a wait gets four requests."""
    async with world() as w:
        w.strike(always(answer(503, retry_after="0")))
        with w.recorder.measure() as cost, pytest.raises(Overloaded):
            await w.client.get("users", "old")
        assert cost.requests == 4
        assert w.clock.slept == [0.1, 0.1, 0.1]


async def test_call_is_not_resent_after_503_without_retry_after() -> None:
    async with world() as w:
        w.strike(nth(1, UNAVAILABLE))
        with pytest.raises(ServerFailed):
            await w.client.get("users", "old")


@every_read
async def test_call_ends_within_its_budget(read: Call) -> None:
    """A read that hangs takes all of the budget and one request."""
    async with world(timeout_s=8.0) as w:
        w.strike(always(HANGS))
        began = w.clock.monotonic()
        with w.recorder.measure() as cost, pytest.raises(NoAnswer):
            await read(w.client)
        assert (w.clock.monotonic() - began, cost.requests) == (8.0, 1)


async def test_calls_share_a_deadline() -> None:
    """Calls with one deadline share its time. A call after it sends nothing."""
    async with world(timeout_s=8.0) as w:
        w.strike(always(slow(2.0)))
        deadline = w.client.deadline(5.0)
        began = w.clock.monotonic()
        for _ in range(2):
            await w.client.get("users", "old", deadline=deadline)
        with pytest.raises(NoAnswer):
            await w.client.get("users", "old", deadline=deadline)
        with w.recorder.measure() as cost, pytest.raises(NoTimeLeft):
            await w.client.increment("c", deadline=deadline)
        assert (w.clock.monotonic() - began, cost.requests) == (5.0, 0)


async def test_call_ends_by_the_event_loops_clock_too() -> None:
    """A call to a server that never answers ends by the event loop's clock too."""
    gate = Gate()
    wire = HttpxWire(StandInTransport(StandIn(schedule=gate)))
    client = MicroClient(wire, Direct(url="http://micro", api_key=KEY), timeout_s=0.01)
    with pytest.raises(NoAnswer) as caught:
        await client.increment("c")
    assert isinstance(caught.value.__cause__, TimeoutError)
    await gate.open()


@pytest.mark.parametrize("fault", EVERY_FAULT.values(), ids=EVERY_FAULT)
async def test_call_returns_or_raises_the_right_micro_error(fault: Fault) -> None:
    """Under each fault a call returns the result, or raises a MicroError whose outcome is true."""
    async with world() as w:
        w.strike(nth(1, fault))
        try:
            await w.client.increment("c")
            expected = {2}
        except MicroError as error:
            expected = {1} if error.outcome is Outcome.NOT_PROCESSED else {1, 2}
        w.strike(none)
        await Gate().settle()
        assert await w.client.get_counter("c") in expected
