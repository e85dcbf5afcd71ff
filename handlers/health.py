"""Health checks. The function also answers every path without a function of its own."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from fastapi import APIRouter, Request, Response

from handlers.models.base import Answer
from handlers.models.openapi import errors
from shared import VERSION
from shared.core.clock import Instant
from shared.core.errors import ServiceUnavailable
from shared.core.settings import StoreChoice
from shared.stores.port import Key, StoreError
from shared.tables import TABLES
from shared.tables.schema import KEY_USES
from shared.web.function import Function

routes = APIRouter(tags=["health"])

FRESH_FOR: Final = timedelta(seconds=5)
"""The oldest answer of the store that a check repeats. A shorter time would let anonymous callers cost more requests, a
longer one would hide outages."""

PROBED: Final = Key("health", "probe")
"""The row that a check reads. It never exists."""

Condition = Literal["ok", "error"]


class Database(Answer):
    status: Condition
    mode: StoreChoice


class Health(Answer):
    status: Condition
    service: str
    version: str
    timestamp: Instant
    tts_mode: Literal["simulation", "local", "polly", "elevenlabs", "openai"]
    database: Database


class Alive(Answer):
    status: Literal["alive"]
    timestamp: Instant
    uptime: float


class Prepared(Answer):
    status: Literal["ready"]
    timestamp: Instant


class NotPrepared(Answer):
    status: Literal["not_ready"]
    reason: str


class DatabaseCheck(Answer):
    """`latency` is that of one read, in milliseconds; null: it failed."""

    status: Condition
    latency: float | None
    tables: list[str]


class AudioCheck(Answer):
    status: Condition
    mode: str


class Checks(Answer):
    database: DatabaseCheck
    audio: AudioCheck


class DetailedHealth(Health):
    checks: Checks


@routes.get(
    "/health", responses=errors(ServiceUnavailable) | {503: {"model": Health, "description": "The store is not usable"}}
)
async def get_health(request: Request, response: Response) -> Health:
    """Return whether the store can be used: 200, or 503 if not. The check is at most five seconds old."""
    latency = await _latency_ms(request)
    if latency is None:
        response.status_code = ServiceUnavailable.status
    return Health(**_health(request, latency))


@routes.get("/health/live", responses=errors())
async def get_liveness(request: Request) -> Alive:
    """Return `alive`, without a check of the store.

    `uptime` is the number of seconds since this container's first request.
    """
    uptime = round(time.monotonic() - _function(request).began_at, 3)
    return Alive(status="alive", timestamp=_function(request).clock(), uptime=uptime)


@routes.get(
    "/health/ready",
    response_model=Prepared,
    responses=errors() | {503: {"model": NotPrepared, "description": "Not ready"}},
)
async def get_readiness(request: Request) -> Response | Prepared:
    """Return whether requests can be served. 503: the store is not verified, or does not answer."""
    if await _latency_ms(request) is not None:
        return Prepared(status="ready", timestamp=_function(request).clock())
    answer = NotPrepared(status="not_ready", reason="The data store is unreachable or not verified")
    return Response(answer.model_dump_json(), status_code=ServiceUnavailable.status, media_type="application/json")


@routes.get(
    "/health/detailed",
    responses=errors() | {503: {"model": DetailedHealth, "description": "The store is not usable"}},
)
async def get_details(request: Request, response: Response) -> DetailedHealth:
    """Return the health, with checks of the store and of the audio place.

    The status is 503 if the store cannot be used.
    """
    latency = await _latency_ms(request)
    if latency is None:
        response.status_code = ServiceUnavailable.status
    health = _health(request, latency)
    return DetailedHealth(
        **health,
        checks=Checks(
            database=DatabaseCheck(status=health["status"], latency=latency, tables=[table.name for table in TABLES]),
            audio=await _audio_check(request),
        ),
    )


class StoreProbe:
    """Reads the store at most once in FRESH_FOR, for any number of requests."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._lock = asyncio.Lock()
        self._asked_at: datetime | None = None
        self._latency_ms: float | None = None

    async def latency_ms(self) -> float | None:
        """Return the milliseconds of one read of the store, at most FRESH_FOR ago. None: it failed."""
        async with self._lock:
            if self._asked_at is None or self._function.clock() - self._asked_at >= FRESH_FOR:
                self._latency_ms = await self._ask()
                self._asked_at = self._function.clock()
        return self._latency_ms

    async def _ask(self) -> float | None:
        """Read a row that never exists. The container's start has verified the tables, which would cost more."""
        try:
            services = await self._function.services()
            began = time.perf_counter()
            await services.store.get(KEY_USES, PROBED)
        except (ServiceUnavailable, StoreError):
            return None
        return round((time.perf_counter() - began) * 1000, 3)


async def _audio_check(request: Request) -> AudioCheck:
    """Return whether the audio place answers. Its mode is `unknown` if the services cannot be built."""
    try:
        services = await _function(request).services()
    except ServiceUnavailable:
        return AudioCheck(status="error", mode="unknown")
    place = services.settings.audio.place
    return AudioCheck(status="ok" if await services.audio.answers() else "error", mode=place or "simulation")


async def _latency_ms(request: Request) -> float | None:
    probe: StoreProbe | None = getattr(request.app.state, "probe", None)
    if probe is None:
        request.app.state.probe = probe = StoreProbe(_function(request))
    return await probe.latency_ms()


def _health(request: Request, latency: float | None) -> dict[str, Any]:
    status: Condition = "error" if latency is None else "ok"
    return {
        "status": status,
        "service": "Agent Talk API",
        "version": VERSION,
        "timestamp": _function(request).clock(),
        "tts_mode": _function(request).speech_choice.replace("simulated", "simulation"),
        "database": Database(status=status, mode=_function(request).store_choice),
    }


def _function(request: Request) -> Function:
    function: Function = request.app.state.function
    return function


handler = Function(routes, title="health", answers_outages=True)
