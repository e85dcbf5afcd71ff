"""A network between the gateways and their server that can delay bytes and break connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final
from urllib.parse import urlsplit

from tests.live.processes import HOST

CHUNK: Final = 65_536


class Network:
    """Passes bytes on, each chunk after a random delay; for some chunks it closes the connection instead.

    `delay_s` is the longest delay of a chunk in seconds, `breaks` the share of chunks that are lost with their
    connection: chunks of requests, which then have no effect, and of answers, whose requests had one.
    """

    def __init__(self, random: Random) -> None:
        self.url = ""
        self.delay_s = 0.0
        self.breaks = 0.0
        self._random = random
        self._passing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def to(self, server_url: str) -> AsyncIterator["Network"]:
        """Serve at `url` until the block ends."""
        server = urlsplit(server_url)

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                away, out = await asyncio.open_connection(server.hostname, server.port)
            except OSError:
                writer.close()  # the server is down
                return
            for source, drain in ((reader, out), (away, writer)):
                task = asyncio.create_task(self._pass(source, drain, (writer, out)))
                self._passing.add(task)
                task.add_done_callback(self._passing.discard)

        listening = await asyncio.start_server(accept, HOST, 0)
        self.url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            listening.close()
            for task in self._passing:
                task.cancel()
            await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(
        self, source: asyncio.StreamReader, drain: asyncio.StreamWriter, both: tuple[asyncio.StreamWriter, ...]
    ) -> None:
        try:
            while chunk := await source.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self._random.uniform(0, self.delay_s))
                if self._random.random() < self.breaks:
                    break
                drain.write(chunk)
                await drain.drain()
        except OSError:
            return  # one side has closed, and the other is closed below
        finally:
            for writer in both:
                writer.close()
