"""Stores on one HYPR Micro stand-in: each is a container, with its own connections and clock."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.stores.micro.ballots import Ballots
from shared.stores.micro.store import MicroStore
from shared.stores.port import Kind, Table
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import ManualClock, Recorder, StandInTransport
from tests.fakes.standin_steps import Schedule

FACTS: Final = Table(name="facts", kind=Kind.FACTS, database="memos")
CHANGING: Final = Table(name="rows", kind=Kind.CHANGING, database="users")
REGISTERS: Final = Table(name="registers", kind=Kind.REGISTERS, database="users")
TABLES: Final = (FACTS, CHANGING, REGISTERS)


@dataclass(frozen=True, kw_only=True)
class Container:
    """A store and the wire below it."""

    store: MicroStore
    client: MicroClient
    network: StandInTransport
    clock: ManualClock


class MicroStoreWorld:
    def __init__(self, stack: AsyncExitStack, schedule: Schedule | None) -> None:
        self.server = StandIn(schedule=schedule)
        self.recorder = Recorder()
        self._stack = stack
        self._opened = 0

    async def container(
        self, *, api_key: str = KEY, timeout_s: float = 8.0, ballots: type[Ballots] = Ballots
    ) -> Container:
        self._opened += 1
        clock = ManualClock()
        network = StandInTransport(self.server, recorder=self.recorder, clock=clock, sender=f"c{self._opened}")
        address = Direct(url="http://micro", api_key=api_key)
        client = MicroClient(
            HttpxWire(network), address, timeout_s=timeout_s, monotonic=clock.monotonic, sleep=clock.sleep
        )
        store = MicroStore(
            client,
            timeout_s=timeout_s,
            clock=lambda: datetime.fromtimestamp(clock.wall(), UTC),
            sleep=clock.sleep,
            node=f"{self._opened:016x}",
            ballots=ballots,
        )
        return Container(store=store, client=client, network=network, clock=clock)


@asynccontextmanager
async def micro_store_world(*, schedule: Schedule | None = None) -> AsyncIterator[MicroStoreWorld]:
    """Yield containers on an empty server. Nothing waits; time passes only on the containers' clocks."""
    async with AsyncExitStack() as stack:
        yield MicroStoreWorld(stack, schedule)
