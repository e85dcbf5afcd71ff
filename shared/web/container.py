"""The container of a function without HTTP: its services, its event loop, and its log lines."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from shared.core.request import request_id
from shared.core.settings import WebSettings, chosen_store, in_lambda
from shared.observability.logs import configure_logging
from shared.services import Services
from shared.web import cold_start
from shared.web.startup import BuildServices, Startup

T = TypeVar("T")


class Container:
    def __init__(self, environ: Mapping[str, str], build: BuildServices) -> None:
        self.environ = environ
        self._startup = Startup(environ, build)
        self._loop: asyncio.AbstractEventLoop | None = None
        if in_lambda(environ):
            cold_start.prepare(environ, store=chosen_store(environ))
        cold_start.finish()

    @property
    def web(self) -> WebSettings:
        return WebSettings.from_env(self.environ)

    async def services(self) -> Services:
        """Return the verified services. Raises ServiceUnavailable if they cannot be built."""
        return await self._startup.services()

    def run(self, work: Callable[[], Coroutine[Any, Any, T]], context: Any) -> T:
        """Run the work of one event on the container's loop. Its log lines contain Lambda's id of the request."""
        configure_logging(self.web.log_level)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        token = request_id.set(context.aws_request_id)
        try:
            return self._loop.run_until_complete(work())
        finally:
            request_id.reset(token)

    def close(self) -> None:
        """Close the services and the event loop. Lambda never calls it; tests do."""
        if self._loop is not None:
            self._loop.run_until_complete(self._startup.close())
            self._loop.close()
            self._loop = None
