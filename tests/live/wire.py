"""Two clients of the real server for tests alone: one with added latency, one fast for bulk."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from shared.micro import Json, MicroClient
from shared.micro_address import Direct
from shared.micro_connections import MicroConnections
from shared.micro_errors import refusal
from shared.micro_wire import Answer, Headers
from tests.fakes.standin_network import Recorder
from tests.fakes.standin_steps import identify
from tests.live.processes import MICRO_KEY

STREAMS: Final = 16

T = TypeVar("T")


class MeasuredWire(MicroConnections):
    """The service's own connections, with a network of this latency, one way and back, in front of them."""

    def __init__(self, url: str, recorder: Recorder, *, latency_s: float = 0.0) -> None:
        super().__init__(url)
        self._recorder = recorder
        self._latency_s = latency_s

    async def send(
        self, method: str, target: str, *, headers: Headers, content: bytes | None, within_s: float
    ) -> Answer:
        with self._recorder.request(identify(method, target.partition("?")[0]).route):
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            return await super().send(method, target, headers=headers, content=content, within_s=within_s)


@asynccontextmanager
async def measured_client(url: str, recorder: Recorder, *, latency_s: float = 0.0) -> AsyncIterator[MicroClient]:
    async with MeasuredWire(url, recorder, latency_s=latency_s) as wire:
        yield MicroClient(wire, Direct(url=url, api_key=MICRO_KEY))


class BulkClient(MicroClient):
    """Sends plain HTTP over open sockets, for filling and scans.

    Without the service's rules for connections, retries and deadlines. `close` it when done.
    """

    def __init__(self, server: Direct) -> None:
        super().__init__(MicroConnections(server.url), server, timeout_s=600)
        self._at = urlsplit(server.root)
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in server.headers.items())
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._turns = asyncio.Semaphore(STREAMS)
        self._redact = server.redact

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()

    async def _request(
        self,
        method: str,
        path: str,
        read: Callable[[Any], T],
        *,
        body: Json | None = None,
        anonymous: bool = False,  # noqa: ARG002 filling always sends the key
        repeatable: bool = False,  # noqa: ARG002 no request is repeated
        deadline: float | None = None,  # noqa: ARG002 filling has no deadline
    ) -> T:
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._at.netloc}\r\n{self._headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        async with self._turns:
            stream = self._idle.pop() if self._idle else await self._open()
            reader, writer = stream
            writer.write(head.encode() + content)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            length = next(int(line.removeprefix("content-length:")) for line in lines if line.startswith("content-le"))
            answered = await reader.readexactly(length)
            self._idle.append(stream)
        status = int(lines[0].split()[1])
        if status not in (200, 201):
            raise refusal(Answer(status=status, headers=[], content=answered), redact=self._redact)
        return read(json.loads(answered))

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._at.hostname, self._at.port, limit=2**24)


@asynccontextmanager
async def bulk_client(url: str) -> AsyncIterator[BulkClient]:
    client = BulkClient(Direct(url=url, api_key=MICRO_KEY))
    try:
        yield client
    finally:
        await client.close()
