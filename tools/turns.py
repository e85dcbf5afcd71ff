"""Bound the requests that a process works on at a time; further ones wait for their turn.

Lambda gives a container one event at a time, and starts another container for the next; one process has no such bound.
Without this one, all requests would share the store's connections, and under overload all of them would time out
together, half done, and none would be answered.
"""

import asyncio
from typing import Final

from shared.web.middleware import MAX_BODY_BYTES, App, Message, Receive, Scope, Send

AT_ONCE: Final = 32
"""Requests in progress: four for each connection to the store. More would only wait within a request's 12 s, which
begin with its turn."""


class Turns:
    """Gives requests turns in the order in which their bodies were complete. A turn ends when the answer begins.

    So neither a slow upload nor a slow download occupies a turn.
    """

    def __init__(self, app: App, *, at_once: int = AT_ONCE) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came = await _body(receive)
        await self._turns.acquire()
        has_turn = True

        def end_turn() -> None:
            nonlocal has_turn
            if has_turn:
                has_turn = False
                self._turns.release()

        async def receive_again() -> Message:
            return came.pop(0) if came else await receive()

        async def send_and_end(message: Message) -> None:
            end_turn()
            await send(message)

        try:
            await self._app(scope, receive_again, send_and_end)
        finally:
            end_turn()


async def _body(receive: Receive) -> list[Message]:
    """Return the messages of a body, at most until it exceeds MAX_BODY_BYTES or the client disconnects."""
    came: list[Message] = []
    size = 0
    while True:
        message = await receive()
        came.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body", False) or size > MAX_BODY_BYTES:
            return came
