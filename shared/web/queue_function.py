"""A Lambda function that SQS hands messages to: `handler(event, context)` answers which of them to hand over again."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from shared.core.concurrency import gather_settled
from shared.core.errors import ServiceUnavailable
from shared.core.request import request_id
from shared.core.settings import WebSettings, chosen_store, in_lambda
from shared.observability.logs import configure_logging
from shared.services import Services, build_services
from shared.web import cold_start
from shared.web.startup import BuildServices, Startup

ENDS_BEFORE_S: Final = 25.0
"""Seconds before the function's end at which work has to end: time to write what came of it."""

Record = Mapping[str, Any]
"""A message as Lambda hands it over: `messageId`, `body`, `attributes.ApproximateReceiveCount`."""

HandleRecord = Callable[[Services, Record, Callable[[], float]], Awaitable[None]]
"""Handles a message, within the seconds that the last argument returns. If it raises, SQS hands it over again."""

Begin = Callable[[Services], Awaitable[None]]
"""What a container does once, before its first message."""

_log = logging.getLogger("agent_talk.function")


class QueueFunction:
    def __init__(
        self,
        handle: HandleRecord,
        *,
        begin: Begin,
        environ: Mapping[str, str] = os.environ,
        build: BuildServices = build_services,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handle = handle
        self._begin = begin
        self._environ = environ
        self._startup = Startup(environ, build)
        self._monotonic = monotonic
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_begun = False
        if in_lambda(environ):
            cold_start.prepare(environ, store=chosen_store(environ))
        cold_start.finish()

    def with_environment(self, environ: Mapping[str, str], build: BuildServices = build_services) -> "QueueFunction":
        """Return the same function as a container of its own."""
        return QueueFunction(self._handle, begin=self._begin, environ=environ, build=build, monotonic=self._monotonic)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Return `{"batchItemFailures": [{"itemIdentifier": "059f…"}, …]}`. Raises ValueError for another event."""
        if not isinstance(event, dict) or not isinstance(event.get("Records"), list):
            raise ValueError("This function handles messages of SQS alone")  # noqa: TRY004 an event is data
        configure_logging(WebSettings.from_env(self._environ).log_level)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        ends_at = self._monotonic() + context.get_remaining_time_in_millis() / 1000 - ENDS_BEFORE_S
        token = request_id.set(context.aws_request_id)
        try:
            failed = self._loop.run_until_complete(self._handle_all(event["Records"], ends_at))
        finally:
            request_id.reset(token)
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def close(self) -> None:
        """Close the services and the event loop. Lambda never calls it; tests do."""
        if self._loop is not None:
            self._loop.run_until_complete(self._startup.close())
            self._loop.close()
            self._loop = None

    async def _handle_all(self, records: list[Record], ends_at: float) -> list[str]:
        """Handle messages at the same time. Returns the ids of those that are to be handed over again."""
        try:
            services = await self._startup.services()
        except ServiceUnavailable:  # the log says why
            return [record["messageId"] for record in records]
        if not self._has_begun:
            self._has_begun = True
            await self._begin(services)
        done = await gather_settled(*(self._is_done(services, record, ends_at) for record in records))
        return [record["messageId"] for record, is_done in zip(records, done, strict=True) if not is_done]

    async def _is_done(self, services: Services, record: Record, ends_at: float) -> bool:
        try:
            await self._handle(services, record, lambda: ends_at - self._monotonic())
        except Exception:  # noqa: BLE001 whatever one message raises, the others are done
            _log.exception("a message was not handled: it comes again", extra={"message_id": record["messageId"]})
            return False
        return True
