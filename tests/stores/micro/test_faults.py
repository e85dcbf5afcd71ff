"""Every fault at every request of every verb, one at a time: the answer is right, or StoreUnavailable."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from shared.stores.micro.store import MicroStore
from shared.stores.port import AlreadyExists, Document, Key, StoreUnavailable, Table
from tests.fakes.micro_store_world import CHANGING, FACTS, REGISTERS, TABLES, Container, micro_store_world
from tests.fakes.standin_network import EVERY_FAULT, LATE, LOST, Fault, none, nth
from tests.fakes.standin_steps import Gate

pytestmark = pytest.mark.anyio

ROW: Final = Key("p", "row")
OTHER: Final = Key("p", "other")


def marked(row: Document | None) -> Document:
    return {"done": [*(row or {"done": []})["done"], "x"]}


async def fact(store: MicroStore) -> None:
    await store.add(FACTS, ROW, {"a": 1})
    await store.extend(FACTS, ROW, "b", 2)


async def row(store: MicroStore) -> None:
    await store.claim(CHANGING, ROW, {"done": []})


async def register(store: MicroStore) -> None:
    await store.put(REGISTERS, ROW, {"n": 1})


async def nothing(_: MicroStore) -> None:
    pass


async def counter(store: MicroStore) -> None:
    await store.increment("c")


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb to try. `done` are the possible rows after an acknowledgement; without one, those or `undone`.

    `again` are the possible rows after an unacknowledged attempt and a repeat.
    """

    call: Callable[[MicroStore], Awaitable[object]]
    table: Table
    before: Callable[[MicroStore], Awaitable[None]] = nothing
    undone: Document | None = None
    done: Document | None = None
    again: Sequence[Document | None] = ()


VERBS: Final[Mapping[str, Verb]] = {
    "get a fact": Verb(
        call=lambda s: s.get(FACTS, ROW), table=FACTS, before=fact, undone={"a": 1, "b": 2}, done={"a": 1, "b": 2}
    ),
    "get a row": Verb(
        call=lambda s: s.get(CHANGING, ROW), table=CHANGING, before=row, undone={"done": []}, done={"done": []}
    ),
    "add": Verb(call=lambda s: s.add(FACTS, ROW, {"a": 1}), table=FACTS, done={"a": 1}),
    "add a row": Verb(call=lambda s: s.add(CHANGING, ROW, {"a": 1}), table=CHANGING, done={"a": 1}),
    "extend": Verb(
        call=lambda s: s.extend(FACTS, ROW, "c", 3),
        table=FACTS,
        before=fact,
        undone={"a": 1, "b": 2},
        done={"a": 1, "b": 2, "c": 3},
    ),
    "delete a fact": Verb(call=lambda s: s.delete(FACTS, ROW), table=FACTS, before=fact, undone={"a": 1, "b": 2}),
    "delete what is not there": Verb(call=lambda s: s.delete(FACTS, ROW), table=FACTS),
    "put first": Verb(call=lambda s: s.put(REGISTERS, ROW, {"n": 2}), table=REGISTERS, done={"n": 2}),
    "put": Verb(
        call=lambda s: s.put(REGISTERS, ROW, {"n": 2}), table=REGISTERS, before=register, undone={"n": 1}, done={"n": 2}
    ),
    "delete a register": Verb(
        call=lambda s: s.delete(REGISTERS, ROW), table=REGISTERS, before=register, undone={"n": 1}
    ),
    "claim": Verb(call=lambda s: s.claim(CHANGING, ROW, {"done": ["x"]}), table=CHANGING, done={"done": ["x"]}),
    "update": Verb(
        call=lambda s: s.update(CHANGING, ROW, marked),
        table=CHANGING,
        before=row,
        undone={"done": []},
        done={"done": ["x"]},
        again=[{"done": ["x", "x"]}],
    ),
    "delete a row": Verb(call=lambda s: s.delete(CHANGING, ROW), table=CHANGING, before=row, undone={"done": []}),
    "page": Verb(
        call=lambda s: s.page(FACTS, "p"), table=FACTS, before=fact, undone={"a": 1, "b": 2}, done={"a": 1, "b": 2}
    ),
    "scan": Verb(
        call=lambda s: s.scan(FACTS), table=FACTS, before=fact, undone={"a": 1, "b": 2}, done={"a": 1, "b": 2}
    ),
    "counters": Verb(call=lambda s: s.counters("c"), table=FACTS, before=counter),
    "verify": Verb(call=lambda s: s.verify(TABLES), table=FACTS),
}


async def prepared(container: Container, verb: Verb) -> None:
    for table in (FACTS, CHANGING):
        await container.store.add(table, OTHER, {"other": 1})
    await verb.before(container.store)
    container.clock.advance(2)


async def requests_of(verb: Verb) -> tuple[int, object]:
    async with micro_store_world() as world:
        container = await world.container()
        await prepared(container, verb)
        with world.recorder.measure() as cost:
            answer = await verb.call(container.store)
        return cost.requests, answer


async def survives(verb: Verb, fault: Fault, number: int, expected: object) -> None:
    async with micro_store_world() as world:
        container = await world.container()
        await prepared(container, verb)
        container.network.faults = nth(number, fault)
        acknowledged = True
        try:
            assert await verb.call(container.store) == expected
        except StoreUnavailable:
            acknowledged = False
        container.network.faults = none
        if fault is LATE:
            await Gate().settle()
        possible = [verb.done] if acknowledged else [verb.done, verb.undone]
        reader = (await world.container()).store
        assert await reader.get(verb.table, ROW) in possible
        container.clock.advance(2)
        if not acknowledged:
            try:
                await verb.call(container.store)
            except AlreadyExists:
                assert await reader.get(verb.table, ROW) == verb.done
            assert await reader.get(verb.table, ROW) in [verb.done, *verb.again]
        for table in (FACTS, CHANGING):
            assert await reader.get(table, OTHER) == {"other": 1}


@pytest.mark.parametrize("fault", EVERY_FAULT.values(), ids=EVERY_FAULT)
@pytest.mark.parametrize("name", VERBS)
@pytest.mark.thorough
async def test_verb_survives_a_fault_at_any_request(name: str, fault: Fault) -> None:
    """With a fault at any request a verb is right, or raises StoreUnavailable and can be repeated."""
    verb = VERBS[name]
    requests, expected = await requests_of(verb)
    for number in range(1, requests + 1):
        await survives(verb, fault, number, expected)


@pytest.mark.parametrize("name", VERBS)
async def test_verb_succeeds_when_one_answer_is_lost(name: str) -> None:
    """The effect is found, or repeated safely: one lost answer is no outage.

    The exception is the first answer of a first `put`, which would be that there is nothing to replace.
    """
    verb = VERBS[name]
    requests, expected = await requests_of(verb)
    for number in range(2 if name == "put first" else 1, requests + 1):
        async with micro_store_world() as world:
            container = await world.container()
            await prepared(container, verb)
            container.network.faults = nth(number, LOST)
            assert await verb.call(container.store) == expected, number
            reader = (await world.container()).store
            assert await reader.get(verb.table, ROW) == verb.done


@pytest.mark.parametrize("fault", EVERY_FAULT.values(), ids=EVERY_FAULT)
async def test_increment_is_exact_or_one_too_high(fault: Fault) -> None:
    """An answered increment is exact. One without an answer counts once or not at all."""
    async with micro_store_world() as world:
        container = await world.container()
        container.network.faults = nth(1, fault)
        try:
            possible = {await container.store.increment("c")}
            assert possible == {1}
        except StoreUnavailable:
            possible = {0, 1}
        container.network.faults = none
        await Gate().settle()
        assert (await container.store.counters("c")).get("c", 0) in possible
