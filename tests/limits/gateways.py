"""Several services on one store, as gateways of one API, each with its own memory, clock and connections."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import httpx

from shared.core import request
from shared.core.clock import Clock
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.services import Services
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.store import DynamoStore
from shared.stores.memory.store import Pause
from shared.stores.micro.store import MicroStore
from shared.stores.port import Document, Key, Store, StoreUnavailable, Table
from tests.fakes import dynamo_world
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import ManualClock, StandInTransport
from tests.support import FakeClock, Intercepted, T, racing_store, seeded_pause, services_on

STORES: Final = ("memory", "micro")
ALL_STORES: Final = (*STORES, "dynamodb")


class _PausedTransport(StandInTransport):
    """A network that reorders requests and answers, by a seed."""

    def __init__(self, server: StandIn, pause: Pause, clock: ManualClock) -> None:
        super().__init__(server, clock=clock)
        self._pause = pause

    async def handle_async_request(self, sent: httpx.Request) -> httpx.Response:
        await self._pause()
        answer = await super().handle_async_request(sent)
        await self._pause()
        return answer


@asynccontextmanager
async def stores(kind: str, count: int, *, seed: int) -> AsyncIterator[list[Store]]:
    """Yield stores on the same rows. On `micro` each has its own connection, clock and name.

    On `dynamodb`, which is moto or the engine that `DYNAMODB_URL` names, the seed has no effect.
    """
    if kind == "memory":
        yield [racing_store(seed)] * count
        return
    if kind == "dynamodb":
        with dynamo_world.engine() as boto, dynamo_world.table_on(boto, expires=False) as table:
            dynamo = Dynamo(lambda: boto, table=table)
            yield [DynamoStore(dynamo, timeout_s=60, clock=FakeClock()) for _ in range(count)]
            await dynamo.aclose()
        return
    server, pause = StandIn(), seeded_pause(seed)
    made: list[Store] = []
    for number in range(count):
        clock = ManualClock()
        wire = HttpxWire(_PausedTransport(server, pause, clock))
        address = Direct(url="http://micro", api_key=KEY)
        client = MicroClient(wire, address, monotonic=clock.monotonic, sleep=clock.sleep)
        made.append(MicroStore(client, clock=_wall(clock), sleep=clock.sleep, node=f"{number:016x}"))
    yield made


def _wall(clock: ManualClock) -> Clock:
    return lambda: datetime.fromtimestamp(clock.wall(), UTC)


def gateways(made: list[Store]) -> list[Services]:
    return [services_on(store) for store in made]


class TimedStore(Intercepted):
    """A store that answers until the request's deadline, which passes when a write to `hangs_on` is sent.

    After it the store answers only calls with their own deadline: a later `ends_at` than the request's.
    """

    def __init__(self, store: Store, *, hangs_on: Table, carried_out: bool = False) -> None:
        super().__init__(store)
        self._hangs_on = hangs_on
        self._carried_out = carried_out
        self._is_up = False
        self._ends_at: float | None = None

    async def add(self, table: Table, key: Key, document: Document) -> None:
        if table is self._hangs_on:
            if self._carried_out:
                await self._store.add(table, key, document)
            self._is_up = True
            self._ends_at = self._ends_at or request.ends_at.get()
            raise StoreUnavailable("the write was not answered until the time was up")
        await super().add(table, key, document)

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if self._is_up and request.ends_at.get() == self._ends_at:
            raise StoreUnavailable(f"no time is left for {verb}")
        return await call()
