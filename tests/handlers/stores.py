"""The stores that the functions are tested on: `pytest tests/handlers --store micro` or dynamodb; else memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Final, TypeVar

from shared.core.clock import Clock
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.store import DynamoStore
from shared.stores.memory.store import MemoryStore, Pause
from shared.stores.micro.store import MicroStore
from shared.stores.port import Document, Key, Store, StoreUnavailable, Table
from tests.fakes import dynamo_world
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import ManualClock, StandInTransport
from tests.support import Intercepted

T = TypeVar("T")

OpenStore = Callable[[Pause, Clock], AbstractContextManager[Store]]

PATIENCE_S: Final = 1000.0
"""Seconds that raced verbs may wait for their turn: they are on a clock that only their own waits advance."""


@contextmanager
def _memory(pause: Pause, clock: Clock) -> Iterator[Store]:
    yield MemoryStore(pause=pause, clock=clock)


@contextmanager
def _micro(pause: Pause, _: Clock) -> Iterator[Store]:
    clock = ManualClock()
    network = StandInTransport(StandIn(wall=clock.wall), clock=clock)
    client = MicroClient(
        HttpxWire(network),
        Direct(url="http://micro", api_key=KEY),
        timeout_s=PATIENCE_S,
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )
    store = MicroStore(
        client,
        timeout_s=PATIENCE_S,
        clock=lambda: datetime.fromtimestamp(clock.wall(), UTC),
        sleep=clock.sleep,
        node="0" * 16,
    )
    yield _Paused(store, pause)


@contextmanager
def _dynamodb(pause: Pause, clock: Clock) -> Iterator[Store]:
    """Yield a store on moto, or on the engine that `DYNAMODB_URL` names, without time to live: the tests' dates are
    past, so every item would have expired."""
    with dynamo_world.engine() as client, dynamo_world.table_on(client, expires=False) as table:
        dynamo = Dynamo(lambda: client, table=table)
        yield _Paused(_NeverExpiring(dynamo, timeout_s=60, clock=clock), pause)
        asyncio.run(dynamo.aclose())


class _NeverExpiring(DynamoStore):
    async def verify(self, tables: Sequence[Table]) -> None:
        """Check nothing: the table lacks the time to live that `verify` requires."""


class _Paused(Intercepted):
    """Waits before each verb. The memory store has its own pauses, also within its verbs."""

    def __init__(self, store: Store, pause: Pause) -> None:
        super().__init__(store)
        self._pause = pause

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 same for all verbs
        await self._pause()
        return await call()


class WatchedStore(Intercepted):
    """Counts the calls of `verify`. A get of the table `unreadable` fails."""

    verified = 0
    unreadable: Table | None = None

    async def get(self, table: Table, key: Key) -> Document | None:
        if table is self.unreadable:
            raise StoreUnavailable(f"{table.name} is down")
        return await super().get(table, key)

    async def verify(self, tables: Sequence[Table]) -> None:
        self.verified += 1
        await super().verify(tables)


STORES: Final[dict[str, OpenStore]] = {"memory": _memory, "micro": _micro, "dynamodb": _dynamodb}
