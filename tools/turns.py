"""Let a process work on so many requests at once, and the others wait their turn.

A Lambda container has one event at a time, and a new one is started for the next; one process has no such bound. All
requests would share the store's connections then, so that under more load than it can carry all of them would run out
of time together, half done, and none would be answered.
"""

import asyncio
from typing import Final

from shared.web.middleware import MAX_BODY_BYTES, App, Message, Receive, Scope, Send

AT_ONCE: Final = 32
"""Requests in work: four for each connection to the store. More would add nothing but waiting within a request's 12 s,
which begin with its turn."""


class Turns:
    """Requests take turns in the order in which their bodies were there. A turn ends when the answer begins.

    So neither a slow upload nor a slow download takes a turn.
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
    """Return the messages of a body, or those up to the size that is refused, or to the client's end."""
    came: list[Message] = []
    size = 0
    while True:
        message = await receive()
        came.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body", False) or size > MAX_BODY_BYTES:
            return came
