"""Whether the service is well. The function also answers every path that no other function has."""

import time
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from handlers.models.base import Answer
from handlers.models.openapi import errors
from shared import VERSION
from shared.core.clock import Instant, utc_now
from shared.core.errors import ServiceUnavailable
from shared.core.settings import StoreChoice
from shared.stores.port import StoreError
from shared.tables import TABLES
from shared.web.function import Function

routes = APIRouter(tags=["health"])

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
    """`latency`: milliseconds for one verification; null: it failed."""

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
    latency = await _latency_ms(request)
    if latency is None:
        response.status_code = ServiceUnavailable.status
    return Health(**_health(request, latency))


@routes.get("/health/live", responses=errors())
async def get_liveness(request: Request) -> Alive:
    """The process answers. `uptime`: seconds since its first event."""
    uptime = round(time.monotonic() - _function(request).began_at, 3)
    return Alive(status="alive", timestamp=utc_now(), uptime=uptime)


@routes.get(
    "/health/ready",
    response_model=Prepared,
    responses=errors() | {503: {"model": NotPrepared, "description": "Not ready"}},
)
async def get_readiness(request: Request) -> Response | Prepared:
    """Requests can be served: the store is verified."""
    if await _latency_ms(request) is not None:
        return Prepared(status="ready", timestamp=utc_now())
    answer = NotPrepared(status="not_ready", reason="The data store is unreachable or not verified")
    return Response(answer.model_dump_json(), status_code=ServiceUnavailable.status, media_type="application/json")


@routes.get(
    "/health/detailed",
    responses=errors() | {503: {"model": DetailedHealth, "description": "The store is not usable"}},
)
async def get_details(request: Request, response: Response) -> DetailedHealth:
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


async def _audio_check(request: Request) -> AudioCheck:
    """Whether the place of audio answers; without settings that can be used there is none."""
    try:
        services = await _function(request).services()
    except ServiceUnavailable:
        return AudioCheck(status="error", mode="unknown")
    place = services.settings.audio.place
    return AudioCheck(status="ok" if await services.audio.answers() else "error", mode=place or "simulation")


async def _latency_ms(request: Request) -> float | None:
    """How long the store takes to verify its tables; None: it cannot."""
    try:
        services = await _function(request).services()
        began = time.perf_counter()
        await services.store.verify(TABLES)
    except (ServiceUnavailable, StoreError):
        return None
    return round((time.perf_counter() - began) * 1000, 3)


def _health(request: Request, latency: float | None) -> dict[str, Any]:
    status: Condition = "error" if latency is None else "ok"
    return {
        "status": status,
        "service": "Agent Talk API",
        "version": VERSION,
        "timestamp": utc_now(),
        "tts_mode": _function(request).speech_choice.replace("simulated", "simulation"),
        "database": Database(status=status, mode=_function(request).store_choice),
    }


def _function(request: Request) -> Function:
    function: Function = request.app.state.function
    return function


handler = Function(routes, title="health", answers_outages=True)
