"""Calls of an AWS client: one client, fresh connections after idle time and failures, and no call begun too late."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from shared.aws_connections import IDLE_S, AwsCalls, WorkTimedOut, breakable

pytestmark = pytest.mark.anyio


class Client:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Opened:
    """Calls of clients that are counted, on a settable wall clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.clients: list[Client] = []
        self.calls = AwsCalls(self._open, name="test", at_once=1, wall=lambda: self.now_s)

    def _open(self) -> Client:
        self.clients.append(Client())
        return self.clients[-1]

    @property
    def closed(self) -> int:
        return self.clients[0].closed


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    opened = Opened()
    yield opened
    opened.calls.close()


async def test_no_client_is_opened_before_the_first_call(opened: Opened) -> None:
    """Two containers that are copies of one would share its connections."""
    assert opened.clients == []
    assert await opened.calls.run(lambda _: 1, left_s=1) == 1
    assert await opened.calls.run(lambda _: 2, left_s=1) == 2
    assert len(opened.clients) == 1


async def test_idle_connections_are_not_used_again(opened: Opened) -> None:
    """A container may have been frozen meanwhile, and the server may have closed them."""
    await opened.calls.run(lambda _: None, left_s=1)
    opened.now_s += IDLE_S
    await opened.calls.run(lambda _: None, left_s=1)
    assert opened.closed == 0
    opened.now_s += IDLE_S + 0.1
    await opened.calls.run(lambda _: None, left_s=1)
    assert opened.closed == 1


async def test_close_closes_the_client(opened: Opened) -> None:
    """Its connections are closed. Calls that were never used have no client to close."""
    unused = Opened()
    unused.calls.close()
    assert unused.clients == []
    await opened.calls.run(lambda _: None, left_s=1)
    opened.calls.close()
    assert opened.closed == 1


async def test_close_lets_no_waiting_work_begin(opened: Opened) -> None:
    """Running work ends; work that waits for a thread is cancelled."""
    began, hold, did = threading.Event(), threading.Event(), list[str]()

    def work(_: Client) -> None:
        began.set()
        hold.wait(5)
        did.append("first")

    first = asyncio.create_task(opened.calls.run(work, left_s=5))
    await asyncio.to_thread(began.wait, 5)
    second = asyncio.create_task(opened.calls.run(lambda _: did.append("second"), left_s=5))
    await asyncio.sleep(0)
    opened.calls.close()
    hold.set()
    _, cancelled = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert did == ["first"]


async def test_connections_are_dropped_after_no_answer(opened: Opened) -> None:
    """A refusal is an answer and keeps the connections. After a timeout the next call gets new ones."""
    refused: Any = {"Error": {"Code": "AccessDenied"}}

    def raises(exc: Exception) -> None:
        raise exc

    for error, closed in ((ClientError(refused, "Get"), 0), (ReadTimeoutError(endpoint_url="http://x"), 1)):
        with pytest.raises(type(error)):
            await opened.calls.run(lambda _, error=error: raises(error), left_s=1)  # type: ignore[misc]
        await opened.calls.run(lambda _: None, left_s=1)
        assert opened.closed == closed


async def test_work_that_waited_too_long_never_begins(opened: Opened) -> None:
    """It would cost money for no result. The error of the call on the thread states that it had begun."""
    hold, did = threading.Event(), []
    first = asyncio.create_task(opened.calls.run(lambda _: hold.wait(), left_s=0.1))
    await asyncio.sleep(0)
    with pytest.raises(WorkTimedOut) as late:
        await opened.calls.run(lambda _: did.append("late"), left_s=0.05)
    with pytest.raises(WorkTimedOut) as begun:
        await first
    assert (late.value.begun, begun.value.begun) == (False, True)
    hold.set()
    await opened.calls.run(lambda _: did.append("next"), left_s=1)
    assert did == ["next"]


async def test_a_time_out_of_the_works_own_is_not_the_deadline(opened: Opened) -> None:
    def raises(_: Client) -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await opened.calls.run(raises, left_s=1)


class _Line:
    """A connection of urllib3's kind, to a peer in this process. After an answer that ends it, its `sock` is None."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.sent = 0
        self.peer: socket.socket | None = None

    def connect(self) -> None:
        self.sock, self.peer = socket.socketpair()

    def request(self, *, ends: bool = False) -> bytes:
        """Send a request, and read its answer to the end."""
        self.sent += 1
        sock = self.sock
        assert sock is not None
        if ends:
            self.sock = None
        return sock.recv(10)


class _Pool:
    ConnectionCls = _Line


@pytest.fixture
def line() -> Iterator[Any]:
    """Yield a connection that can be shut, of a client like the SDK's."""
    pools: dict[str, Any] = {"https": _Pool}
    session = SimpleNamespace(_pool_classes_by_scheme=pools)
    breakable(SimpleNamespace(_endpoint=SimpleNamespace(http_session=session)))
    line = pools["https"].ConnectionCls()
    yield line
    for end in (line.sock, line._last_sock, line.peer):
        if end is not None:
            end.close()


@pytest.mark.parametrize("ends", [False, True])
async def test_connection_is_shut_when_its_call_is_given_up(opened: Opened, line: Any, *, ends: bool) -> None:
    """The thread that waits for the answer is free immediately, also if the answer would end the connection."""

    def work(_: Client) -> None:
        line.connect()
        answers.append(line.request(ends=ends))

    answers: list[bytes] = []
    with pytest.raises(WorkTimedOut) as late:
        await opened.calls.run(work, left_s=0.05)
    assert late.value.begun
    await opened.calls.run(lambda _: answers.append(b"next"), left_s=5)
    assert answers == [b"", b"next"]
    with pytest.raises(ConnectionResetError):
        line.request()
    assert line.sent == 1


async def test_connection_that_was_shut_can_be_opened_again(opened: Opened, line: Any) -> None:
    """The pool keeps the object: a later call connects it anew, and is answered."""

    def work(_: Client) -> bytes:
        line.connect()
        line.peer.send(b"answer")
        answer: bytes = line.request()
        return answer

    line.connect()
    line.shut()
    line.sock.close()
    line.peer.close()
    assert await opened.calls.run(work, left_s=5) == b"answer"


async def test_later_call_keeps_its_connection_when_an_earlier_ends(opened: Opened, line: Any) -> None:
    """A connection that another call has by now is not shut by the end of one that used it before."""

    def work(_: Client) -> bytes:
        line.peer.send(b"answer")
        answer: bytes = line.request()
        return answer

    line.connect()
    for _ in range(3):
        assert await opened.calls.run(work, left_s=5) == b"answer"


@pytest.mark.parametrize("verb", ["connect", "request"])
async def test_nothing_is_sent_after_its_call_was_given_up(opened: Opened, line: Any, verb: str) -> None:
    """A request whose caller has left while a thread prepared it is not sent: it could cost money for no result."""
    hold = threading.Event()
    raised: list[str] = []
    line.connect()
    first = line.sock

    def work(_: Client) -> None:
        hold.wait(5)
        try:
            getattr(line, verb)()
        except Exception as exc:
            raised.append(type(exc).__name__)
            raise

    with pytest.raises(WorkTimedOut):
        await opened.calls.run(work, left_s=0.05)
    hold.set()
    await opened.calls.run(lambda _: None, left_s=5)
    assert (raised, line.sent, line.sock) == (["_GivenUp"], 0, first)


def test_client_of_an_unknown_build_is_used_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """An SDK that keeps its connections elsewhere still works; the log names the lost feature."""
    client = SimpleNamespace(_endpoint=SimpleNamespace(http_session=SimpleNamespace()))
    assert breakable(client) is client
    assert "slow answers hold their threads" in caplog.text
