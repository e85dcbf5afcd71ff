"""A process works on a bounded number of requests at a time; further ones wait for their turn."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.web.middleware import MAX_BODY_BYTES, Message, Receive, Scope, Send
from tools.turns import Turns

pytestmark = pytest.mark.anyio

WHOLE = ({"type": "http.request", "body": b"{}", "more_body": False},)


class Working:
    """An application that answers when released, and records its requests."""

    def __init__(self) -> None:
        self.at_work: list[str] = []
        self.bodies: list[bytes] = []
        self.may = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.at_work.append(scope["path"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        await self.may.wait()
        if scope["path"] == "/fails":
            raise OSError("the handler failed")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.may_end.wait()
        await send({"type": "http.response.body", "body": b""})


def asked(turns: Turns, path: str, messages: Sequence[Message] = WHOLE) -> asyncio.Task[list[str]]:
    """Send a request in a task, which returns the types of the answer's messages. Then the client sends no more."""
    coming = list(messages)
    answered: list[str] = []

    async def receive() -> Message:
        if not coming:
            await asyncio.Event().wait()
        return coming.pop(0)

    async def send(message: Message) -> None:
        answered.append(message["type"])

    async def ask() -> list[str]:
        await turns({"type": "http", "path": path}, receive, send)
        return answered

    return asyncio.create_task(ask())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_turns_are_taken_in_order() -> None:
    """Two requests are worked on; the third begins when one of them is answered, and the fourth after it."""
    app = Working()
    turns = Turns(app, at_once=2)
    tasks = [asked(turns, path) for path in ("/1", "/2", "/3", "/4")]
    await settle()
    assert app.at_work == ["/1", "/2"]
    app.may.set()
    for task in tasks:
        assert await task == ["http.response.start", "http.response.body"]
    assert app.at_work == ["/1", "/2", "/3", "/4"]


async def test_turn_ends_when_the_answer_begins() -> None:
    """A client that reads its answer slowly keeps no other from its turn."""
    app = Working()
    app.may.set()
    app.may_end.clear()
    turns = Turns(app, at_once=1)
    tasks = [asked(turns, path) for path in ("/1", "/2")]
    await settle()
    assert app.at_work == ["/1", "/2"]
    app.may_end.set()
    await asyncio.gather(*tasks)


async def test_turn_begins_when_the_body_is_there() -> None:
    """A client that sends its body slowly delays no other's turn; its body arrives complete."""
    app = Working()
    app.may.set()
    turns = Turns(app, at_once=1)
    slow = asked(turns, "/slow", [{"type": "http.request", "body": b"{", "more_body": True}])
    parts: list[Message] = [
        {"type": "http.request", "body": b"[", "more_body": True},
        {"type": "http.request", "body": b"]"},
    ]
    await asked(turns, "/quick", parts)
    assert (app.at_work, app.bodies) == (["/quick"], [b"[]"])
    slow.cancel()


async def test_body_that_is_too_large_is_not_waited_for() -> None:
    """A body above the limit gets its turn before its end, so that it is refused."""
    app = Working()
    turns = Turns(app, at_once=1)
    large = asked(turns, "/large", [{"type": "http.request", "body": b"x" * (MAX_BODY_BYTES + 1), "more_body": True}])
    await settle()
    assert app.at_work == ["/large"]
    large.cancel()


async def test_turn_ends_with_failures_and_cancellations() -> None:
    """A failed handler and a client that disconnects free their turns; a cancelled waiter leaves the queue."""
    app = Working()
    turns = Turns(app, at_once=1)
    cancelled, waiting, fails = (asked(turns, path) for path in ("/cancelled", "/waiting", "/fails"))
    await settle()
    waiting.cancel()
    cancelled.cancel()
    await settle()
    assert app.at_work == ["/cancelled", "/fails"]
    last = asked(turns, "/last")
    app.may.set()
    with pytest.raises(OSError, match="failed"):
        await fails
    assert await last == ["http.response.start", "http.response.body"]


async def test_other_protocols_take_no_turn() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope["type"])

    async def nothing() -> Message:
        return {}

    async def no_answer(_: Message) -> None:
        raise AssertionError

    await Turns(app, at_once=0)({"type": "lifespan"}, nothing, no_answer)
    assert seen == ["lifespan"]
