"""The cost of reserving on DynamoDB, and its results when a network loses or repeats requests."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from botocore.exceptions import ClientError

from shared.stores.port import Bound
from tests.fakes.dynamo_world import FAULTS, Container, DynamoWorld, Fault, nth
from tests.support import FakeClock

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.anyio

DAY: Final = "u:calls:2026-11-23"
MONTH: Final = "u:calls:2026-11"
TODAY: Final = datetime(2026, 11, 24, tzinfo=UTC)
DECEMBER: Final = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
async def container(world: DynamoWorld) -> AsyncIterator[Container]:
    container = world.container(clock=FakeClock())
    yield container
    await container.dynamo.aclose()


def places(by: int = 1, most: int | None = None) -> Sequence[Bound]:
    return [
        Bound(counter=DAY, by=by, most=most, ends_at=TODAY),
        Bound(counter=MONTH, by=by, most=most, ends_at=DECEMBER),
    ]


async def test_reserve_is_one_update_of_one_item(container: Container) -> None:
    """Day and month are judged and counted by one request, admitted or refused, and the item ends with the month."""
    for refused in ((), (DAY, MONTH)):
        container.wire.calls.clear()
        assert (await container.store.reserve(places(most=1))).refused == refused
        ((operation, params),) = container.wire.calls
        assert (operation, params["Key"]["sk"]) == ("update_item", {"S": MONTH})
        assert params["ExpressionAttributeValues"][":ends"] == {"N": str(int(DECEMBER.timestamp()))}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("by", [1, -1])
async def test_reserve_counts_once_over_a_fault(container: Container, fault: Fault, by: int) -> None:
    """A reserve or a giving back whose answer was lost is sent again, and its token makes it count once."""
    await container.store.reserve(places(by=5))
    container.wire.calls.clear()
    container.wire.faults = nth(1, fault)
    reserved = await container.store.reserve(places(by=by, most=6 if by > 0 else None))
    assert (reserved.refused, reserved.values) == ((), {DAY: 5 + by, MONTH: 5 + by})
    assert await container.store.counters("u:") == {MONTH: 5 + by, DAY: 5 + by}


async def test_giving_back_counts_once_when_delivered_twice(container: Container, world: DynamoWorld) -> None:
    """A network that repeats the request of a giving back takes no second place."""
    await container.store.reserve(places(by=5))

    def deliver_again() -> None:
        operation, params = container.wire.calls[-1]
        if operation == "update_item":
            with suppress(ClientError):
                world.client.update_item(**params)

    container.wire.after = deliver_again
    await container.store.reserve(places(by=-1))
    assert await container.store.counters("u:") == {MONTH: 4, DAY: 4}


async def test_refused_reserve_names_what_absent_counters_hold(container: Container) -> None:
    """Absent counters are 0: a month's first reservation is refused if the bound is 0, and makes no counter."""
    reserved = await container.store.reserve(places(most=0))
    assert (reserved.refused, reserved.values) == ((DAY, MONTH), {DAY: 0, MONTH: 0})
    assert await container.store.counters("u:") == {}


async def test_giving_back_never_goes_below_zero(container: Container) -> None:
    """If fewer places are counted than are given back, nothing changes."""
    await container.store.reserve(places(by=1))
    assert (await container.store.reserve(places(by=-2))).refused == (DAY, MONTH)
    assert await container.store.counters("u:") == {MONTH: 1, DAY: 1}


async def test_counters_add_a_days_item_of_an_earlier_version(container: Container, world: DynamoWorld) -> None:
    """An earlier version kept a day's counter in its own item: its counts of today still count."""
    await container.store.reserve(places(by=2))
    item = {"pk": {"S": "counter#u"}, "sk": {"S": DAY}, "n": {"N": "40"}}
    world.client.put_item(TableName=world.table, Item=item)
    assert await container.store.counters(MONTH) == {MONTH: 2, DAY: 42}


async def test_a_scan_tells_when_the_counters_of_an_item_end(container: Container) -> None:
    """A day ends at its midnight, and a month with its last day, although they share an item."""
    await container.store.reserve(places())
    counters = {counter.name: counter.ends_at for counter in (await container.store.scan_counters()).rows}
    assert counters == {DAY: TODAY, MONTH: DECEMBER}
