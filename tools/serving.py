"""An ASGI server that announces its address only once it accepts connections."""

import errno
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY, create_server, socket

import uvicorn

from shared.web.middleware import App


class Impossible(Exception):
    """The server cannot start; the text has the reason."""


class AnnouncedServer(uvicorn.Server):
    """Prints `welcome` once the port accepts connections. `check` runs first, and may raise Impossible."""

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

    def run(self, sockets: list[socket] | None = None) -> None:
        """Serve until an interrupt, which is the normal way to stop it, and no error."""
        with suppress(KeyboardInterrupt):
            super().run(sockets)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        try:
            if self._check is not None:
                await self._check()
            listening = sockets or [listening_on(self.config.host, self.config.port)]
        except Impossible as exc:
            print(exc, file=sys.stderr)
            self.should_exit = True
            sys.exit(1)
        await super().startup(listening)
        if self.started:
            print(self._welcome, flush=True)


def listening_on(host: str, port: int) -> socket:
    """Return a socket that listens on the port. Raises Impossible with a sentence, where uvicorn would print an errno.

    Accepted connections send without delay: asyncio sets TCP_NODELAY on its own sockets alone, and without it an
    answer's body waits for the client to acknowledge its head, 40 ms on a reused connection.
    """
    try:
        listening = create_server((host, port), family=AF_INET6 if ":" in host else AF_INET)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise Impossible(
                f"port {port} is taken by another program: stop that one, or choose another port, as by PORT=9000"
            ) from exc
        raise Impossible(f"cannot listen on port {port} of {host}: {exc.strerror}") from exc
    listening.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    return listening
