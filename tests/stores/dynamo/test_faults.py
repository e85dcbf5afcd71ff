"""Every fault at every call of every verb, one at a time: the answer is right, or StoreUnavailable."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from shared.stores.dynamo.store import DynamoStore
from shared.stores.port import AlreadyExists, Document, Key, StoreUnavailable, Table
from tests.fakes.dynamo_world import (
    CHANGING,
    FACTS,
    FAULTS,
    REGISTERS,
    SPREAD,
    TABLES,
    Container,
    DynamoWorld,
    Fault,
    always,
    never,
    nth,
)
from tests.support import NOON, FakeClock

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

ROW: Final = Key("p", "row")
OTHER: Final = Key("p", "other")

SWEPT: Final = {
    name: FAULTS[name]
    for name in ("throttled", "in conflict", "failed after", "timed out before", "timed out after", "closed after")
}
"""One fault of each kind for each of its outcomes; the table of errors covers the equivalent ones."""


@pytest.fixture
async def reader(world: DynamoWorld) -> AsyncIterator[DynamoStore]:
    """Yield the store of another container."""
    container = world.container()
    yield container.store
    await container.dynamo.aclose()


def marked(row: Document | None) -> Document:
    return {"done": [*(row or {"done": []})["done"], "x"]}


async def fact(store: DynamoStore) -> None:
    await store.add(FACTS, ROW, {"a": 1})
    await store.extend(FACTS, ROW, "b", 2)


async def row(store: DynamoStore) -> None:
    await store.claim(CHANGING, ROW, {"done": []})


async def register(store: DynamoStore) -> None:
    await store.put(REGISTERS, ROW, {"n": 1})


async def spread(store: DynamoStore) -> None:
    await store.add(SPREAD, ROW, {"a": 1})


async def counter(store: DynamoStore) -> None:
    await store.increment("c")


async def nothing(_: DynamoStore) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb to try. `done` is the row after it, and `undone` the row before it."""

    call: Callable[[DynamoStore], Awaitable[object]]
    calls: int
    table: Table = FACTS
    before: Callable[[DynamoStore], Awaitable[None]] = nothing
    undone: Document | None = None
    done: Document | None = None


WHOLE: Final = {"a": 1, "b": 2}

VERBS: Final[Mapping[str, Verb]] = {
    "get": Verb(call=lambda s: s.get(FACTS, ROW), calls=1, before=fact, undone=WHOLE, done=WHOLE),
    "add": Verb(call=lambda s: s.add(FACTS, ROW, {"a": 1}), calls=1, done={"a": 1}),
    "extend": Verb(
        call=lambda s: s.extend(FACTS, ROW, "c", 3), calls=1, before=fact, undone=WHOLE, done=WHOLE | {"c": 3}
    ),
    "delete a fact": Verb(call=lambda s: s.delete(FACTS, ROW), calls=1, before=fact, undone=WHOLE),
    "put": Verb(
        call=lambda s: s.put(REGISTERS, ROW, {"n": 2}),
        calls=1,
        table=REGISTERS,
        before=register,
        undone={"n": 1},
        done={"n": 2},
    ),
    "claim": Verb(
        call=lambda s: s.claim(CHANGING, ROW, {"done": ["x"]}), calls=1, table=CHANGING, done={"done": ["x"]}
    ),
    "update": Verb(
        call=lambda s: s.update(CHANGING, ROW, marked),
        calls=2,
        table=CHANGING,
        before=row,
        undone={"done": []},
        done={"done": ["x"]},
    ),
    "update what is absent": Verb(
        call=lambda s: s.update(CHANGING, ROW, marked), calls=2, table=CHANGING, done={"done": ["x"]}
    ),
    "delete a row": Verb(
        call=lambda s: s.delete(CHANGING, ROW), calls=2, table=CHANGING, before=row, undone={"done": []}
    ),
    "page": Verb(call=lambda s: s.page(FACTS, "p"), calls=1, before=fact, undone=WHOLE, done=WHOLE),
    "page of a spread table": Verb(
        call=lambda s: s.page(SPREAD, "p"), calls=4, table=SPREAD, before=spread, undone={"a": 1}, done={"a": 1}
    ),
    "scan": Verb(call=lambda s: s.scan(FACTS), calls=1, before=fact, undone=WHOLE, done=WHOLE),
    "counters": Verb(call=lambda s: s.counters("c"), calls=1, before=counter),
    "verify": Verb(call=lambda s: s.verify(TABLES), calls=2),
}

EVERY_CALL: Final = [(name, number) for name, verb in VERBS.items() for number in range(1, verb.calls + 1)]


async def prepared(container: Container, verb: Verb) -> None:
    for table in (FACTS, CHANGING):
        await container.store.add(table, OTHER, {"other": 1})
    await verb.before(container.store)
    container.wire.calls.clear()


@pytest.mark.parametrize("fault", SWEPT.values(), ids=SWEPT)
@pytest.mark.parametrize(("name", "number"), EVERY_CALL)
async def test_verb_survives_a_fault_at_any_call(
    container: Container, reader: DynamoStore, name: str, number: int, fault: Fault
) -> None:
    """A verb succeeds, and is done once, after any one fault at any of its calls.

    The result equals that without a fault: the effect is there once, and no other.
    """
    verb = VERBS[name]
    await prepared(container, verb)
    container.wire.faults = nth(number, fault)
    await verb.call(container.store)
    assert len(container.wire.calls) >= verb.calls + 1
    assert await reader.get(verb.table, ROW) == verb.done
    for table in (FACTS, CHANGING):
        assert await reader.get(table, OTHER) == {"other": 1}


@pytest.mark.parametrize("fault_name", ["throttled", "timed out before", "timed out after"])
@pytest.mark.parametrize("name", VERBS)
async def test_verb_raises_in_time_when_all_calls_fail(
    container: Container, reader: DynamoStore, name: str, fault_name: str
) -> None:
    """If all calls fail, the verb raises StoreUnavailable in time, and a later repeat finishes it."""
    verb, fault = VERBS[name], FAULTS[fault_name]
    await prepared(container, verb)
    container.wire.faults = always(fault)
    began = container.time.now_s
    with pytest.raises(StoreUnavailable):
        await verb.call(container.store)
    assert container.time.now_s - began < 5
    container.wire.faults = never
    there = await reader.get(verb.table, ROW)
    assert there in [verb.undone, verb.done] if fault.carried_out else there == verb.undone
    try:
        await verb.call(container.store)
    except AlreadyExists:
        assert (await reader.get(verb.table, ROW), name in ("add", "claim")) == (verb.done, True)
    repeated = [marked(verb.done)] if name.startswith("update") and fault.carried_out else []
    assert await reader.get(verb.table, ROW) in [verb.done, *repeated]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("name", "number"), EVERY_CALL)
async def test_verb_leaves_the_row_whole_when_cancelled(
    container: Container, reader: DynamoStore, name: str, number: int, *, after: bool
) -> None:
    """A verb cancelled at any call leaves the row as before or after, and a repeat finishes it.

    This is a container that is stopped during a call; the call itself may still take effect.
    """
    verb = VERBS[name]
    await prepared(container, verb)
    reached, go_on = threading.Event(), threading.Event()

    def stop() -> None:
        if len(container.wire.calls) == number:
            reached.set()
            go_on.wait(10)

    if after:
        container.wire.after = stop
    else:
        container.wire.before = stop
    task = asyncio.ensure_future(verb.call(container.store))
    await asyncio.to_thread(reached.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await reader.get(verb.table, ROW) in [verb.undone, verb.done]
    try:
        await verb.call(container.store)
    except AlreadyExists:
        assert name in ("add", "claim")
    repeated = [marked(verb.done)] if name.startswith("update") else []
    assert await reader.get(verb.table, ROW) in [verb.done, *repeated]


@pytest.mark.parametrize("name", FAULTS)
async def test_increment_counts_once_over_a_fault(container: Container, reader: DynamoStore, name: str) -> None:
    """An increment whose answer was lost, or that DynamoDB failed at, is sent again, and counts once."""
    container.wire.faults = nth(1, FAULTS[name])
    assert await container.store.increment("c") == 1
    assert await reader.counters("c") == {"c": 1}
    assert len(container.wire.calls) == 2


@pytest.mark.parametrize("name", FAULTS)
async def test_decrement_is_not_resent_when_unanswered(container: Container, reader: DynamoStore, name: str) -> None:
    """After a lost answer a decremented counter is exact or too high, and never too low."""
    fault = FAULTS[name]
    await container.store.increment("c", 5)
    container.wire.calls.clear()
    container.wire.faults = nth(1, fault)
    with suppress(StoreUnavailable):
        assert await container.store.increment("c", -1) == 4
        assert len(container.wire.calls) == 2
    assert (await reader.counters("c"))["c"] in ({4} if fault.carried_out else {4, 5})


async def test_increment_counts_once_when_delivered_twice(container: Container, world: DynamoWorld) -> None:
    """A network that repeats the request of an increment does not count it twice."""
    for by in (5, -1):
        await container.store.increment("c", by)
        _, params = container.wire.calls[-1]
        with pytest.raises(world.client.exceptions.ConditionalCheckFailedException):
            world.client.update_item(**params)
    assert await container.store.counters("c") == {"c": 4}


# outcomes that a lost answer does not hide


async def test_claim_is_its_owners_when_the_answer_was_lost(world: DynamoWorld) -> None:
    """A claim whose answer was lost succeeds for its caller, and is refused for any other."""
    one, other = world.container(), world.container()
    one.wire.faults = nth(1, FAULTS["timed out after"])
    await one.store.claim(CHANGING, ROW, {"by": 1})
    with pytest.raises(AlreadyExists):
        await other.store.claim(CHANGING, ROW, {"by": 2})
    await one.dynamo.aclose()
    await other.dynamo.aclose()


async def test_claim_is_its_owners_when_others_changed_the_row(world: DynamoWorld) -> None:
    """A claim whose answer was lost succeeds for its caller, also after another writer changed the row."""
    one, other = world.container(), world.container()

    async def change_often() -> None:
        for _ in range(12):
            await other.store.update(CHANGING, ROW, marked)

    one.wire.faults = nth(1, FAULTS["timed out after"])
    one.wire.after = in_between(one, 1, change_often)
    await one.store.claim(CHANGING, ROW, {"done": []})
    assert await one.store.get(CHANGING, ROW) == {"done": ["x"] * 12}
    await one.dynamo.aclose()
    await other.dynamo.aclose()


@pytest.mark.parametrize("changes", [1, 8])
async def test_update_is_made_once_when_the_answer_was_lost(world: DynamoWorld, changes: int) -> None:
    """An update whose answer was lost is made once, also if another writer changed the row after it."""
    one, other = world.container(), world.container()
    await row(one.store)
    one.wire.calls.clear()

    async def change() -> None:
        for _ in range(changes - 1):
            await other.store.update(CHANGING, ROW, marked)

    one.wire.faults = nth(2, FAULTS["timed out after"])
    one.wire.after = in_between(one, 2, change)
    assert (await one.store.update(CHANGING, ROW, marked)).after == {"done": ["x"]}
    assert await other.store.get(CHANGING, ROW) == {"done": ["x"] * changes}
    await one.dynamo.aclose()
    await other.dynamo.aclose()


@pytest.mark.parametrize("extended", [False, True])
async def test_update_gives_up_when_its_token_may_be_gone(world: DynamoWorld, *, extended: bool) -> None:
    """An update whose token the row may have dropped raises StoreUnavailable instead of being made twice."""
    one, other = world.container(), world.container()
    await row(one.store)
    one.wire.calls.clear()

    async def change_often() -> None:
        for number in range(9):
            if extended:
                await other.store.extend(CHANGING, ROW, "more", number)
            else:
                await other.store.update(CHANGING, ROW, marked)

    one.wire.faults = nth(2, FAULTS["timed out after"])
    one.wire.after = in_between(one, 2, change_often)
    with pytest.raises(StoreUnavailable, match="may have been made"):
        await one.store.update(CHANGING, ROW, marked)
    expected = {"done": ["x"], "more": 8} if extended else {"done": ["x"] * 10}
    assert await other.store.get(CHANGING, ROW) == expected
    await one.dynamo.aclose()
    await other.dynamo.aclose()


async def test_extend_undoes_no_later_one_when_it_arrives_late(world: DynamoWorld) -> None:
    """An extension that arrives late again does not undo a later one."""
    one, other = world.container(), world.container()
    await fact(one.store)
    one.wire.calls.clear()
    one.wire.faults = nth(1, FAULTS["timed out before"])
    await one.store.extend(FACTS, ROW, "title", "one")
    late = one.wire.calls[0]
    for number in range(7):
        await other.store.extend(FACTS, ROW, "title", f"two {number}")
    with pytest.raises(world.client.exceptions.ConditionalCheckFailedException):
        world.client.update_item(**late[1])
    assert await other.store.get(FACTS, ROW) == WHOLE | {"title": "two 6"}
    await one.dynamo.aclose()
    await other.dynamo.aclose()


@pytest.mark.parametrize("acknowledged", [1, 12])
async def test_extend_carried_out_late_undoes_no_later(world: DynamoWorld, acknowledged: int) -> None:
    """An extension that was given up, and is executed after a later one was acknowledged, has no effect."""
    clock = FakeClock()
    one, other = world.container(clock=clock), world.container(clock=clock)
    await fact(one.store)
    one.wire.calls.clear()
    one.wire.faults = always(FAULTS["timed out before"])
    with pytest.raises(StoreUnavailable):
        await one.store.extend(FACTS, ROW, "title", "early")
    clock.advance(timedelta(seconds=1))
    for number in range(acknowledged):
        await other.store.extend(FACTS, ROW, "title", f"later {number}")
    with pytest.raises(world.client.exceptions.ConditionalCheckFailedException):
        world.client.update_item(**one.wire.calls[0][1])
    assert await other.store.get(FACTS, ROW) == WHOLE | {"title": f"later {acknowledged - 1}"}
    await one.dynamo.aclose()
    await other.dynamo.aclose()


async def test_extend_counts_when_the_other_clock_is_ahead(world: DynamoWorld) -> None:
    """The later extension wins, also if its container's clock is behind the earlier one's."""
    ahead = world.container(clock=FakeClock(NOON + timedelta(seconds=90)))
    right = world.container(clock=FakeClock(NOON))
    await fact(right.store)
    await ahead.store.extend(FACTS, ROW, "title", "first")
    await right.store.extend(FACTS, ROW, "title", "second")
    assert await ahead.store.get(FACTS, ROW) == WHOLE | {"title": "second"}
    await ahead.dynamo.aclose()
    await right.dynamo.aclose()


async def test_extend_undoes_no_update_when_the_answer_was_lost(world: DynamoWorld) -> None:
    """An extension whose answer was lost does not undo an update that read it."""
    one, other = world.container(), world.container()
    await other.store.claim(CHANGING, ROW, {"n": 0})

    def add_ten(row: Document | None) -> Document:
        assert row is not None
        return {"n": row["n"] + 10}

    one.wire.faults = nth(1, FAULTS["timed out after"])
    one.wire.after = in_between(one, 1, lambda: other.store.update(CHANGING, ROW, add_ten))
    await one.store.extend(CHANGING, ROW, "n", 1)
    assert await other.store.get(CHANGING, ROW) == {"n": 11}
    await one.dynamo.aclose()
    await other.dynamo.aclose()


async def test_extend_does_not_bring_a_deleted_row_back(world: DynamoWorld) -> None:
    """An extension that is sent again after its row was deleted does not create the row."""
    one, other = world.container(), world.container()
    await fact(other.store)
    one.wire.faults = nth(1, FAULTS["timed out after"])
    one.wire.after = in_between(one, 1, lambda: other.store.delete(FACTS, ROW))
    await one.store.extend(FACTS, ROW, "title", "one")
    assert await other.store.get(FACTS, ROW) is None
    await one.dynamo.aclose()
    await other.dynamo.aclose()


async def test_update_is_not_repeated_when_the_row_was_deleted(world: DynamoWorld) -> None:
    """An update whose row was deleted after it is not made again."""
    one, other = world.container(), world.container()
    await row(one.store)
    one.wire.calls.clear()
    one.wire.faults = nth(2, FAULTS["timed out after"])
    one.wire.after = in_between(one, 2, lambda: other.store.delete(CHANGING, ROW))
    with pytest.raises(StoreUnavailable, match="may have been made"):
        await one.store.update(CHANGING, ROW, marked)
    assert await other.store.get(CHANGING, ROW) is None
    await one.dynamo.aclose()
    await other.dynamo.aclose()


async def test_delete_spares_a_later_row_when_it_arrives_late(world: DynamoWorld) -> None:
    one, other = world.container(), world.container()
    await row(one.store)
    await one.store.delete(CHANGING, ROW)
    late = one.wire.calls[-1]
    assert late[0] == "delete_item"
    await other.store.claim(CHANGING, ROW, {"done": ["new"]})
    with pytest.raises(world.client.exceptions.ConditionalCheckFailedException):
        world.client.delete_item(**late[1])
    assert await other.store.get(CHANGING, ROW) == {"done": ["new"]}
    await one.dynamo.aclose()
    await other.dynamo.aclose()


def in_between(container: Container, number: int, act: Callable[[], Awaitable[object]]) -> Callable[[], None]:
    """Return a hook that runs `act` after a call took effect, before its sender gets the answer."""

    def after() -> None:
        if len(container.wire.calls) == number:
            asyncio.run(_awaited(act()))

    return after


async def _awaited(work: Awaitable[object]) -> None:
    await work
