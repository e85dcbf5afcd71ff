"""The requests that a HYPR Micro stand-in receives, and the schedules that order their steps."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import unquote

ROUTES: Final = (
    "GET /health",
    "GET /api/auth",
    "GET /api/dbs",
    "POST /api/dbs/:db",
    "DELETE /api/dbs/:db",
    "POST /api/dbs/:db/docs",
    "GET /api/dbs/:db/docs",
    "GET /api/dbs/:db/docs/:key",
    "PUT /api/dbs/:db/docs/:key",
    "DELETE /api/dbs/:db/docs/:key",
    "POST /api/dbs/:db/query",
    "POST /api/cache/set",
    "GET /api/cache/health",
    "GET /api/cache/:key",
    "DELETE /api/cache/:key",
    "GET /api/cache/:key/exists",
    "GET /api/cache/:key/ttl",
    "POST /api/cache/:key/increment",
    "POST /api/cache/:key/decrement",
)

QUIET_TURNS: Final = 20
"""Turns of the event loop without a new step, after which every task counts as blocked."""


class Moment(StrEnum):
    ARRIVES = "arrives"
    """On arrival reads and increments are executed in one step; writes only check."""
    ACTS = "acts"
    """A write that passed its check takes effect, whatever has happened since."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The identity of a request in tests. `route` is one of ROUTES, or the method and `*`."""

    method: str
    route: str
    database: str | None = None
    key: str | None = None
    sender: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that a schedule permits. `number` counts the requests of the server."""

    number: int
    seen: Seen
    moment: Moment


class Schedule(Protocol):
    async def pause(self, step: Step) -> None:
        """Wait until the step may be taken."""


class AtOnce:
    """A schedule that permits every step immediately, after one turn of the event loop."""

    async def pause(self, step: Step) -> None:  # noqa: ARG002 -- all steps are treated alike
        await asyncio.sleep(0)


class Gate:
    """A schedule that holds every step until the test releases it.

        gate = Gate()
        write = asyncio.create_task(client.create("users", "u1", {}))
        held = await gate.settle()      # the steps that wait, in the order of their arrival
        await gate.let(held[0])         # take one, and settle again
        write.cancel()                  # the sender dies; what it has sent stays held

    `open()` releases all steps, held and future ones.
    """

    def __init__(self) -> None:
        self._held: dict[Step, asyncio.Future[None]] = {}
        self._arrived = 0
        self._opened = False

    async def pause(self, step: Step) -> None:
        self._arrived += 1
        if not self._opened:
            self._held[step] = asyncio.get_running_loop().create_future()
            await self._held[step]

    async def settle(self) -> list[Step]:
        quiet = 0
        while quiet < QUIET_TURNS:
            before = self._arrived
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._arrived == before else 0
        return list(self._held)

    async def let(self, step: Step) -> list[Step]:
        self._held.pop(step).set_result(None)
        return await self.settle()

    async def open(self) -> None:
        self._opened = True
        while self._held:
            self._held.pop(next(iter(self._held))).set_result(None)
        await self.settle()


def identify(method: str, raw_path: str, *, sender: str = "") -> Seen:
    """Return the identity of a request. `raw_path` is the sent path, still encoded."""
    parts = raw_path.split("/")
    for route in ROUTES:
        verb, _, template = route.partition(" ")
        names = template.split("/")
        fits = len(names) == len(parts) and all(
            part if name.startswith(":") else part == name for name, part in zip(names[1:], parts[1:], strict=True)
        )
        if verb == method and fits:
            found = {name: _decoded(part) for name, part in zip(names, parts, strict=True)}
            return Seen(method=method, route=route, database=found.get(":db"), key=found.get(":key"), sender=sender)
    return Seen(method=method, route=f"{method} *", sender=sender)


def _decoded(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        return part
