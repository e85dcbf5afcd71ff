"""An ASGI server that says where it answers only once it does."""

import sys
from collections.abc import Awaitable, Callable
from socket import socket

import uvicorn

from shared.web.middleware import App


class Impossible(Exception):
    """The server cannot start; the text says why."""


class AnnouncedServer(uvicorn.Server):
    """Prints `welcome` once the port accepts connections. `check` runs before, and may raise Impossible."""

    def __init__(
        self, app: App, *, host: str, port: int, welcome: str, check: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            lifespan="off",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        super().__init__(config)
        self._welcome = welcome
        self._check = check

    async def startup(self, sockets: list[socket] | None = None) -> None:
        if self._check is not None:
            try:
                await self._check()
            except Impossible as exc:
                print(exc, file=sys.stderr)
                self.should_exit = True
                sys.exit(1)
        await super().startup(sockets)
        if self.started:
            print(self._welcome, flush=True)
