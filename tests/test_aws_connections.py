"""Calls of an AWS client: one client, fresh connections after idle time and failures, and nothing begun too late."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from shared.aws_connections import IDLE_S, AwsCalls, WorkTimedOut

pytestmark = pytest.mark.anyio


class Client:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Opened:
    """Calls of clients that are counted, on a wall clock that obeys."""

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
    """A container may have been frozen meanwhile, and the other side gone."""
    await opened.calls.run(lambda _: None, left_s=1)
    opened.now_s += IDLE_S
    await opened.calls.run(lambda _: None, left_s=1)
    assert opened.closed == 0
    opened.now_s += IDLE_S + 0.1
    await opened.calls.run(lambda _: None, left_s=1)
    assert opened.closed == 1


async def test_connections_are_dropped_after_no_answer(opened: Opened) -> None:
    """A refusal is an answer, and leaves them; a time out leaves the next call new ones."""
    refused: Any = {"Error": {"Code": "AccessDenied"}}

    def raises(exc: Exception) -> None:
        raise exc

    for error, closed in ((ClientError(refused, "Get"), 0), (ReadTimeoutError(endpoint_url="http://x"), 1)):
        with pytest.raises(type(error)):
            await opened.calls.run(lambda _, error=error: raises(error), left_s=1)  # type: ignore[misc]
        await opened.calls.run(lambda _: None, left_s=1)
        assert opened.closed == closed


async def test_work_that_waited_too_long_never_begins(opened: Opened) -> None:
    """It would cost money that buys nothing. The call that holds the thread says that it had begun."""
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
