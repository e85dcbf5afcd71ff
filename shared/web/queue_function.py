"""A Lambda function that handles messages of SQS: `handler(event, context)` returns those to hand over again."""

import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from shared.core.concurrency import gather_settled
from shared.core.errors import ServiceUnavailable
from shared.services import Services, build_services
from shared.web.container import Container
from shared.web.startup import BuildServices

ENDS_BEFORE_S: Final = 25.0
"""Seconds before the function's end at which work must end: the time to write its outcome."""

Record = Mapping[str, Any]
"""A message as Lambda hands it over: `messageId`, `body`, `attributes.ApproximateReceiveCount`."""

HandleRecord = Callable[[Services, Record, Callable[[], float]], Awaitable[None]]
"""Handles a message, within the seconds that the last argument returns. If it raises, SQS hands it over again."""

Begin = Callable[[Services], Awaitable[None]]
"""The work of a container before its first message, once."""

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
        self._container = Container(environ, build)
        self._monotonic = monotonic
        self._has_begun = False

    def with_environment(self, environ: Mapping[str, str], build: BuildServices = build_services) -> "QueueFunction":
        """Return the same function as another container."""
        return QueueFunction(self._handle, begin=self._begin, environ=environ, build=build, monotonic=self._monotonic)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Return `{"batchItemFailures": [{"itemIdentifier": "059f…"}, …]}`. Raises ValueError for another event."""
        if not isinstance(event, dict) or not isinstance(event.get("Records"), list):
            raise ValueError("This function handles messages of SQS alone")  # noqa: TRY004 an event is data
        ends_at = self._monotonic() + context.get_remaining_time_in_millis() / 1000 - ENDS_BEFORE_S
        failed = self._container.run(lambda: self._handle_all(event["Records"], ends_at), context)
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def close(self) -> None:
        """Close the services and the event loop. Lambda never calls it; tests do."""
        self._container.close()

    async def _handle_all(self, records: list[Record], ends_at: float) -> list[str]:
        """Handle messages at the same time. Return the ids of those to hand over again."""
        try:
            services = await self._container.services()
        except ServiceUnavailable:  # its cause is logged
            return [record["messageId"] for record in records]
        if not self._has_begun:
            self._has_begun = True
            await self._begin(services)
        done = await gather_settled(*(self._is_done(services, record, ends_at) for record in records))
        return [record["messageId"] for record, is_done in zip(records, done, strict=True) if not is_done]

    async def _is_done(self, services: Services, record: Record, ends_at: float) -> bool:
        try:
            await self._handle(services, record, lambda: ends_at - self._monotonic())
        except Exception:  # noqa: BLE001 the other messages are handled after any failure of one
            _log.exception("a message was not handled: it comes again", extra={"message_id": record["messageId"]})
            return False
        return True
