"""A conditional write whose answer was lost: the row, as the repeat finds it, proves whether it took effect."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.items import new_item, read_item
from shared.stores.dynamo.store import DynamoStore
from shared.stores.port import Document, Key, StoreUnavailable
from tests.fakes.dynamo_world import CHANGING, FakeTime, answered, unanswered
from tests.support import NOON, FakeClock

pytestmark = pytest.mark.anyio

ROW: Final = Key("p", "row")
OTHERS: Final = new_item(CHANGING, ROW, '{"by":"another"}', "another's token")


@dataclass
class _Table:
    """One row. `lost` replaces the first write: its effect, and other writers' before the repeat, without an answer."""

    item: Any = field(default_factory=lambda: new_item(CHANGING, ROW, '{"n":1}', "first"))
    lost: Callable[["_Table", Any], None] | None = None
    calls: list[str] = field(default_factory=list)

    def get_item(self, **_: object) -> Any:
        self.calls.append("get")
        return {} if self.item is None else {"Item": self.item}

    def put_item(self, *, Item: Any, **more: Any) -> Any:  # noqa: N803 boto3's name
        return self._write("put", Item, more)

    def delete_item(self, **more: Any) -> Any:
        return self._write("delete", None, more)

    def _write(self, name: str, written: Any, more: Any) -> Any:
        self.calls.append(name)
        if self.lost is not None:
            lost, self.lost = self.lost, None
            lost(self, written)
            raise unanswered()
        seen = more.get("ExpressionAttributeValues", {}).get(":seen")
        if (None if self.item is None else self.item["v"]) != seen:
            there = {} if self.item is None else {"Item": self.item}
            failed = answered("ConditionalCheckFailedException", **there)()
            raise failed
        self.item = written
        return {}

    def close(self) -> None:
        return None


@pytest.fixture
def table() -> _Table:
    return _Table()


@pytest.fixture
async def store(table: _Table) -> AsyncIterator[DynamoStore]:
    time = FakeTime()
    dynamo = Dynamo(lambda: table, table="t", monotonic=time.monotonic, sleep=time.sleep)  # type: ignore[arg-type,return-value]
    yield DynamoStore(dynamo, timeout_s=5, clock=FakeClock(NOON))
    await dynamo.aclose()


def carried_out(table: _Table, written: Any) -> None:
    table.item = written


def not_carried_out(_: _Table, __: Any) -> None:
    """Do nothing: the request was lost, not its answer."""


def removed_by_another(table: _Table, _: Any) -> None:
    table.item = None


def overwritten_by_another(table: _Table, _: Any) -> None:
    table.item = OTHERS


def changed_by_another(table: _Table, _: Any) -> None:
    table.item = read_item(table.item).succeeded('{"n":10}', "another's token")


def raised(row: Document | None) -> Document:
    return {"n": (row or {"n": 0})["n"] + 1}


def dropped(_: Document | None) -> None:
    return None


@pytest.mark.parametrize("lost", [carried_out, not_carried_out])
async def test_update_is_done_once_when_its_answer_is_lost(
    store: DynamoStore, table: _Table, lost: Callable[[_Table, Any], None]
) -> None:
    """The write is sent again, and takes effect once: a row with its token proves that it did."""
    table.lost = lost
    await store.update(CHANGING, ROW, raised)
    assert (await store.get(CHANGING, ROW), table.calls[:3]) == ({"n": 2}, ["get", "put", "put"])


@pytest.mark.parametrize("lost", [carried_out, not_carried_out, removed_by_another])
async def test_deletion_is_done_when_its_answer_is_lost(
    store: DynamoStore, table: _Table, lost: Callable[[_Table, Any], None]
) -> None:
    """If the row is absent afterwards, this request or another one deleted it: that is no outage."""
    table.lost = lost
    await store.update(CHANGING, ROW, dropped)
    assert await store.get(CHANGING, ROW) is None


@pytest.mark.parametrize("change", [raised, dropped])
async def test_write_that_may_be_overwritten_is_no_success(
    store: DynamoStore, table: _Table, change: Callable[[Document | None], Document | None]
) -> None:
    """Another writer's row may have replaced or prevented the lost write: a second change could count twice."""
    table.lost = overwritten_by_another
    with pytest.raises(StoreUnavailable):
        await store.update(CHANGING, ROW, change)
    assert await store.get(CHANGING, ROW) == {"by": "another"}


async def test_update_begins_anew_on_a_row_that_would_remember_it(store: DynamoStore, table: _Table) -> None:
    """Another writer's change keeps earlier tokens. A lost write whose token is missing had no effect."""
    table.lost = changed_by_another
    await store.update(CHANGING, ROW, raised)
    assert await store.get(CHANGING, ROW) == {"n": 11}


async def test_update_of_a_row_removed_meanwhile_is_no_success(store: DynamoStore, table: _Table) -> None:
    """The lost write may have been made before the removal: made again, it would bring the row back."""
    table.lost = removed_by_another
    with pytest.raises(StoreUnavailable):
        await store.update(CHANGING, ROW, raised)
    assert await store.get(CHANGING, ROW) is None


async def test_update_that_was_answered_begins_anew_after_another(store: DynamoStore, table: _Table) -> None:
    """A refusal without an earlier lost request is certain: the change is made again on the other writer's row."""
    first = True

    def change(row: Document | None) -> Document:
        nonlocal first
        if first:
            table.item, first = OTHERS, False
        return {**(row or {}), "seen": True}

    await store.update(CHANGING, ROW, change)
    assert await store.get(CHANGING, ROW) == {"by": "another", "seen": True}
