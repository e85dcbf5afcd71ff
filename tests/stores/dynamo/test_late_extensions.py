"""An extension that DynamoDB executes late does not replace one that was acknowledged since."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.stores.port import Key, StoreUnavailable
from tests.fakes.dynamo_world import FACTS, FAULTS, Container, DynamoWorld, always, never
from tests.support import NOON, FakeClock

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.anyio

ROW = Key("p", "row")


@pytest.fixture
async def containers(world: DynamoWorld) -> AsyncIterator[tuple[Container, Container]]:
    """Yield two containers. The clock of the first is 90 seconds ahead of the second's."""
    ahead = world.container(clock=FakeClock(NOON + timedelta(seconds=90)))
    right = world.container(clock=FakeClock(NOON))
    await ahead.store.add(FACTS, ROW, {"title": "none"})
    yield ahead, right
    for container in (ahead, right):
        await container.dynamo.aclose()


async def test_an_extension_carried_out_late_changes_nothing(
    world: DynamoWorld, containers: tuple[Container, Container]
) -> None:
    """If a title's request reaches DynamoDB after a later title was acknowledged, the later title stays."""
    _, right = containers
    right.wire.faults = always(FAULTS["timed out before"])
    with pytest.raises(StoreUnavailable):
        await right.store.extend(FACTS, ROW, "title", "late")
    late: dict[str, Any] = right.wire.calls[-1][1]
    right.wire.faults = never
    await right.store.extend(FACTS, ROW, "title", "acknowledged")
    with pytest.raises(world.client.exceptions.ConditionalCheckFailedException):
        world.client.update_item(**late)
    assert await right.store.get(FACTS, ROW) == {"title": "acknowledged"}


async def test_an_extension_stands_over_one_by_a_clock_ahead(containers: tuple[Container, Container]) -> None:
    """An extension that began after the other was acknowledged is the later one, whatever the clocks."""
    ahead, right = containers
    await ahead.store.extend(FACTS, ROW, "title", "first")
    await right.store.extend(FACTS, ROW, "title", "second")
    assert await right.store.get(FACTS, ROW) == {"title": "second"}
    await ahead.store.extend(FACTS, ROW, "title", "third")
    assert await right.store.get(FACTS, ROW) == {"title": "third"}


async def test_an_extension_of_an_absent_row_changes_nothing(containers: tuple[Container, Container]) -> None:
    """The extension makes no row."""
    ahead, _ = containers
    await ahead.store.extend(FACTS, Key("p", "absent"), "title", "nobody's")
    assert await ahead.store.get(FACTS, Key("p", "absent")) is None
