"""A wire client on a stand-in with a document and a counter, and all of the client's calls."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from shared.micro import MicroClient
from shared.micro_address import Direct
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import (
    Faults,
    ManualClock,
    Recorder,
    StandInTransport,
)

Call = Callable[[MicroClient], Awaitable[object]]

WRITES: Mapping[str, Call] = {
    "create": lambda client: client.create("users", "new", {}),
    "replace": lambda client: client.replace("users", "old", {"n": 2}),
    "delete": lambda client: client.delete("users", "old"),
    "increment": lambda client: client.increment("c"),
    "delete_counter": lambda client: client.delete_counter("c"),
    "create_database": lambda client: client.create_database("more"),
}
READS: Mapping[str, Call] = {
    "get": lambda client: client.get("users", "old"),
    "query": lambda client: client.query("users"),
    "get_counter": lambda client: client.get_counter("c"),
    "counters": lambda client: client.counters(),
    "databases": lambda client: client.databases(),
    "health": lambda client: client.health(),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
every_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


@dataclass(frozen=True, kw_only=True)
class MicroClientWorld:
    client: MicroClient
    server: StandIn
    network: StandInTransport
    recorder: Recorder
    clock: ManualClock

    def strike(self, faults: Faults) -> None:
        self.network.faults = faults


@asynccontextmanager
async def world(*, api_key: str = KEY, timeout_s: float = 8.0) -> AsyncIterator[MicroClientWorld]:
    """Yield a client on a stand-in with one document, `users/old`, and one counter, `c` at 1."""
    clock, recorder = ManualClock(), Recorder()
    server = StandIn(wall=clock.wall)
    network = StandInTransport(server, recorder=recorder, clock=clock)

    def client(key: str) -> MicroClient:
        address = Direct(url="http://micro", api_key=key)
        wire = HttpxWire(network)
        return MicroClient(wire, address, timeout_s=timeout_s, monotonic=clock.monotonic, sleep=clock.sleep)

    await client(KEY).create("users", "old", {"n": 1})
    await client(KEY).increment("c")
    yield MicroClientWorld(client=client(api_key), server=server, network=network, recorder=recorder, clock=clock)
