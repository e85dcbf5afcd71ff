"""The middleware at ASGI, without a gateway's single events: bodies in parts, answers that break off."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from shared.observability.metrics import Served
from shared.web.middleware import AdmissionMiddleware, App, Message, Receive, RequestMiddleware, Scope, Send

pytestmark = pytest.mark.anyio

MEBIBYTE = 2**20


def request(method: str = "POST") -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.1", 1),
    }


def parts(*bodies: bytes, last: bool = True) -> Iterator[Message]:
    """Yield a body's messages; without `last` the client disconnects after them."""
    for number, body in enumerate(bodies, 1):
        yield {"type": "http.request", "body": body, "more_body": not last or number < len(bodies)}
    while True:
        yield {"type": "http.disconnect"}


async def exchanged(app: App, messages: Iterable[Message], method: str = "POST") -> list[Message]:
    """Return an app's answer to a request's messages."""
    given = iter(messages)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(given)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(request(method), receive, send)
    return sent


async def ready() -> None:
    """Return immediately: the container has started."""


class Echo:
    """Answers with the request's body, and counts requests."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 an app
        self.requests += 1
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})


async def test_body_in_three_messages_is_one() -> None:
    """The app gets the complete body in one message."""
    _, answer = await exchanged(AdmissionMiddleware(Echo(), ready=ready), parts(b'{"a"', b": ", b"1}"))
    assert answer["body"] == b'{"a": 1}'


@pytest.mark.parametrize(("last", "status"), [(1, 200), (2, 413)])
async def test_body_is_413_when_its_third_message_is_too_much(last: int, status: int) -> None:
    """A mebibyte in parts is admitted; a byte more is refused, and the app is not called."""
    echo = Echo()
    messages = parts(b"x" * (MEBIBYTE // 2), b"x" * (MEBIBYTE // 2 - 1), b"x" * last)
    start, *_ = await exchanged(AdmissionMiddleware(echo, ready=ready), messages)
    assert start["status"] == status
    assert echo.requests == (status == 200)


async def test_body_that_breaks_off_does_nothing() -> None:
    """If the client disconnects before the end, the app is not called and nothing is answered."""
    echo = Echo()
    assert await exchanged(AdmissionMiddleware(echo, ready=ready), parts(b"{}", last=False)) == []
    assert echo.requests == 0


async def test_body_given_up_by_cancellation_does_nothing() -> None:
    """The cancellation passes on, and the app is not called."""
    echo = Echo()

    async def receive() -> Message:
        raise asyncio.CancelledError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(asyncio.CancelledError):
        await AdmissionMiddleware(echo, ready=ready)(request(), receive, send)
    assert echo.requests == 0


async def test_answer_that_fails_after_it_began_is_no_second_one(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent after the failure: a second start would break the protocol. It counts as 500 and is logged."""
    observed: list[Served] = []

    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 an app
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise OSError("the file ended")

    app = RequestMiddleware(breaks_off, production=False, observe=observed.append)
    sent: list[Any] = await exchanged(app, parts(b""), "GET")
    assert [(message["type"], message.get("status"), message.get("body")) for message in sent] == [
        ("http.response.start", 200, None),
        ("http.response.body", None, b"half"),
    ]
    (served,) = observed
    assert (served.status, served.spent.error) == (500, "INTERNAL_ERROR")
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.getMessage() == "the request failed"
