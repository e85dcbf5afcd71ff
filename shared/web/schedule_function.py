"""Housekeeping as a Lambda function: EventBridge calls `handler(event, context)` on a schedule; a call is one run."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.jobs.housekeeping import Run
from shared.observability import request_stats
from shared.observability.metrics import emit_run
from shared.services import build_services
from shared.web.container import Container
from shared.web.startup import BuildServices

SCHEDULED: Final = "Scheduled Event"
"""The `detail-type` of the events of a schedule."""

_log = logging.getLogger("agent_talk.housekeeping")


class ScheduleFunction:
    def __init__(
        self,
        *,
        environ: Mapping[str, str] = os.environ,
        build: BuildServices = build_services,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._container = Container(environ, build)
        self._monotonic = monotonic

    def with_environment(self, environ: Mapping[str, str], build: BuildServices = build_services) -> "ScheduleFunction":
        """Return the same function as another container."""
        return ScheduleFunction(environ=environ, build=build, monotonic=self._monotonic)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Make a run, and return the fields of its log line.

        Raises ValueError for another event, and ServiceUnavailable if the services cannot be built; Lambda counts both
        as errors of the function.
        """
        if not isinstance(event, dict) or event.get("detail-type") != SCHEDULED:
            raise ValueError("This function runs on a schedule alone")
        began = self._monotonic()
        with request_stats.collected() as spent:
            run = self._container.run(self._keep_house, context)
            line = _line(run, duration_ms=(self._monotonic() - began) * 1000, store_requests=len(spent.store_ms))
        _log.info("housekeeping", extra=line)
        if self._container.web.metrics:
            emit_run(
                function=self._container.environ.get("AWS_LAMBDA_FUNCTION_NAME") or "housekeeping",
                done=run.done,
                failed=run.failed,
                oldest_s=run.oldest_s,
                spent=spent,
                duration_ms=line["duration_ms"],
            )
        return line

    def close(self) -> None:
        """Close the services and the event loop. Lambda never calls it; tests do."""
        self._container.close()

    async def _keep_house(self) -> Run:
        services = await self._container.services()
        return await services.housekeeping.run()


def _line(run: Run, *, duration_ms: float, store_requests: int) -> dict[str, Any]:
    """Return the fields of a run's log line, without the ids that every line has."""
    jobs = {
        name: {
            "done": worked.done,
            "waiting": worked.waiting,
            "failed": worked.failed,
            "is_done": worked.is_done,
        }
        for name, worked in run.jobs.items()
    }
    return {
        "jobs": jobs,
        "oldest_s": run.oldest_s,
        "duration_ms": round(duration_ms, 1),
        "store_requests": store_requests,
    }
