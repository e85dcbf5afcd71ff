"""A server that sends a test's bytes over real sockets, also bytes that no HTTP library would send."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

_LENGTH: Final = re.compile(rb"content-length: ([0-9]+)", re.IGNORECASE)


class Then(Enum):
    CLOSE = "end the connection"
    RESET = "break the connection off"


Step = bytes | Then | asyncio.Event
"""A step of a script: bytes to send, an end, or an event to wait for."""

Script = Sequence[Step]


def answer(body: bytes = b"{}", *, head: bytes = b"") -> bytes:
    """Return a complete answer; `head` is further header lines, each with its line end."""
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


@dataclass(kw_only=True)
class RawServer:
    """The server. `answers` are the scripts of the next requests, of any connection; later ones get `otherwise`."""

    url: str = ""
    answers: list[Script] = field(default_factory=list)
    otherwise: Script = (answer(),)
    accepted: int = 0
    requests: list[bytes] = field(default_factory=list)
    """Complete requests, head and body."""

    ended: int = 0
    """The number of connections that the client or the script ended."""

    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, *, requests: int = 0, ended: int = 0) -> None:
        """Wait until at least this many requests arrived and connections ended."""
        while len(self.requests) < requests or self.ended < ended:
            self._changed.clear()
            await self._changed.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                self.requests.append(head + await reader.readexactly(int(length[1]) if length else 0))
                self._changed.set()
                for step in self.answers.pop(0) if self.answers else self.otherwise:
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                        await asyncio.sleep(0)
                    elif isinstance(step, asyncio.Event):
                        await step.wait()
                    else:
                        if step is Then.RESET:
                            writer.transport.abort()
                        return
        except (OSError, asyncio.IncompleteReadError):
            """The client ended the connection."""
        finally:
            writer.close()
            with suppress(OSError):  # the client closed first
                await writer.wait_closed()
            self.ended += 1
            self._changed.set()


@asynccontextmanager
async def raw_server(*answers: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Run a server on this machine, under the name `localhost` if it uses TLS."""
    served = RawServer(answers=[*answers])
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    served.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(served.serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, sock=listening, ssl=tls)
    try:
        yield served
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
