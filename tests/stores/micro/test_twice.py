"""A network that delivers requests twice, and gateways whose clocks differ."""

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.stores.port import AlreadyExists, Key
from tests.fakes.micro_store_world import CHANGING, FACTS, MicroStoreWorld, micro_store_world
from tests.fakes.standin_network import StandInTransport

pytestmark = pytest.mark.anyio

ROW = Key("p", "row")


@pytest.fixture
async def world() -> AsyncIterator[MicroStoreWorld]:
    async with micro_store_world() as world:
        yield world


def deliver_twice(network: StandInTransport) -> None:
    """Deliver every request that creates a document twice; the client gets the second answer."""
    once = network.handle_async_request

    async def twice(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/docs"):
            await (await once(request)).aread()
        return await once(request)

    network.handle_async_request = twice  # type: ignore[method-assign]  # the transport is this test's own


async def test_add_succeeds_when_the_network_delivers_it_twice(world: MicroStoreWorld) -> None:
    """The second answer is that the key is taken, by the same write. The add succeeded."""
    container = await world.container()
    deliver_twice(container.network)
    await container.store.add(FACTS, ROW, {"a": 1})
    await container.store.extend(FACTS, ROW, "title", "t")
    assert await container.store.get(FACTS, ROW) == {"a": 1, "title": "t"}
    with pytest.raises(AlreadyExists):
        await container.store.add(FACTS, ROW, {"a": 1})


async def test_update_changes_once_when_delivered_twice(world: MicroStoreWorld) -> None:
    """A draft that arrives twice is one draft: its change counts once."""
    container = await world.container()
    deliver_twice(container.network)
    for _ in range(3):
        await container.store.update(CHANGING, ROW, lambda row: {"n": (row or {"n": 0})["n"] + 1})
    assert await container.store.get(CHANGING, ROW) == {"n": 3}


async def test_extension_stands_over_one_by_a_clock_ahead(world: MicroStoreWorld) -> None:
    """A gateway 90 s ahead renames, and two seconds later one with the right time: the later name counts for both."""
    ahead, right = await world.container(), await world.container()
    ahead.clock.advance(90)
    await ahead.store.add(FACTS, ROW, {"name": "none"})
    await ahead.store.extend(FACTS, ROW, "name", "first")
    right.clock.advance(2)
    await right.store.extend(FACTS, ROW, "name", "second")
    for container in (ahead, right):
        assert await container.store.get(FACTS, ROW) == {"name": "second"}
