"""All rows and counters of one store are copied to another, repeatedly, until both are equal."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.core.clock import Clock, next_day, next_month
from shared.plans import Tier
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Document, Key, Kind, Store, StoreError, StoreUnavailable, Table
from shared.tables import MEMOS, TABLES, USERS
from shared.tables.schema import KEY_USES
from shared.tables.users import Role
from tests.handlers.stores import STORES
from tests.handlers.world import NOON, Account, World
from tests.support import CountingStore, FailingStore, Intercepted
from tools.maintain.content import Content, canonical, counters_content, table_content
from tools.maintain.copying import SourceEmpty, StoreCopy

ADA, BOB = Key("ada", "m1"), Key("bob", "m1")

PATHS = (
    "/api/v1/auth/me",
    "/api/keys",
    "/api/v1/memos?limit=100",
    "/api/v1/usage?limit=100",
    "/api/v1/usage/limits",
    "/api/v1/analytics/summary",
    "/api/v1/analytics/charts?days=60",
    "/api/v1/dashboard/stats",
    "/api/v1/billing/subscription",
)


def lived_in(world: World) -> Account:
    """Write rows of all kinds into a store. Returns the account."""
    world.clock.at = NOON - timedelta(days=4)  # in February
    ada = world.sign_up("ada@example.org")
    world.put_on(ada, Tier.PRO, Role.ADMIN)
    kept, gone = world.memo(ada.key, "Kept"), world.memo(ada.key, "Gone")
    world.patch(f"/api/v1/memo/{kept['id']}", token=ada.key, json={"title": "A title"})
    world.delete(f"/api/v1/memo/{gone['id']}", token=ada.key)
    key_id, _ = world.new_key(ada, name="Another")
    world.patch(f"/api/keys/{key_id}", token=ada.session, json={"name": "Renamed"})
    world.later(days=5)
    world.get("/api/v1/analytics/summary", token=ada.key)  # this request sums the days
    world.delete(f"/api/keys/{key_id}", token=ada.session)
    logged_in = world.post("/api/v1/auth/login", json={"email": ada.email, "password": "correct horse battery"})
    world.post("/api/v1/auth/logout", token=logged_in.json["token"])
    return ada


def answers(world: World, account: Account) -> list[Any]:
    found = []
    for path in PATHS:
        where, _, query = path.partition("?")
        asked = dict(each.split("=") for each in query.split("&")) if query else {}
        answer = world.get(where, token=account.session, query=asked)
        assert answer.status == 200, answer
        found.append(answer.json)
    return found


async def copied(source: Store, target: Store, clock: Clock = lambda: NOON, *, delete: bool = True) -> list[str]:
    """Copy. Returns the names of tables that still differ."""
    copying = StoreCopy(source, target, clock=clock)
    passes = [*(copying.copy(table) for table in TABLES), copying.copy_counters()]
    if delete:
        passes += [*(copying.prune(table) for table in TABLES), copying.prune_counters()]
    for each in passes:
        async for _ in each:
            pass
    return await different(source, target, clock)


async def different(source: Store, target: Store, clock: Clock = lambda: NOON) -> list[str]:
    pairs = {table.name: (table_content(source, table), table_content(target, table)) for table in TABLES}
    pairs |= {"counters": (counters_content(source, clock), counters_content(target, clock))}
    return [name for name, (there, here) in pairs.items() if await whole(there) != await whole(here)]


async def whole(contents: AsyncIterator[Content]) -> Content:
    return [content async for content in contents][-1]


@pytest.fixture(params=[("memory", "micro"), ("micro", "dynamodb"), ("dynamodb", "memory")])
def worlds(request: pytest.FixtureRequest) -> Iterator[tuple[World, World]]:
    one, other = request.param
    source, target = World(store=one), World(store=other)
    yield source, target
    source.close()
    target.close()


@pytest.mark.thorough
def test_a_copy_answers_as_the_source_does(worlds: tuple[World, World]) -> None:
    source, target = worlds
    ada = lived_in(source)
    target.clock.at = source.clock.at
    assert source.run(copied(source.store, target.store, source.clock)) == []
    target.clock.at = source.clock.at
    assert answers(target, ada) == answers(source, ada)
    assert target.memo(ada.key)["text"] == "Hello there"


@pytest.mark.thorough
def test_a_second_copy_catches_up_with_all_that_has_changed(worlds: tuple[World, World]) -> None:
    source, target = worlds
    ada = lived_in(source)
    target.clock.at = source.clock.at
    source.run(copied(source.store, target.store, source.clock))
    memo = source.get("/api/v1/memos", token=ada.key).json["memos"][0]
    source.delete(f"/api/v1/memo/{memo['id']}", token=ada.key)
    kept = source.memo(ada.key)
    source.patch(f"/api/v1/memo/{kept['id']}", token=ada.key, json={"title": "Later"})
    source.run(copied(source.store, target.store, source.clock))
    source.patch(f"/api/v1/memo/{kept['id']}", token=ada.key, json={"title": "Later still"})
    source.sign_up()
    source.later(days=1)
    source.get("/api/v1/analytics/summary", token=ada.key)
    target.clock.at = source.clock.at
    assert source.run(copied(source.store, target.store, source.clock)) == []
    target.clock.at = source.clock.at
    assert answers(target, ada) == answers(source, ada)


def test_what_differs_is_named() -> None:
    source, target = World(), World()
    lived_in(source)
    source.run(copied(source.store, target.store, source.clock))
    source.run(target.store.increment("users"))
    memo = source.run(target.store.scan(MEMOS)).rows[0]
    source.run(target.store.extend(MEMOS, memo.key, "title", "Another"))
    assert source.run(different(source.store, target.store, source.clock)) == ["memos", "counters"]
    for world in (source, target):
        world.close()


@pytest.fixture(params=STORES)
def target(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(store=request.param)
    yield world
    world.close()


def test_store_copy_prunes_the_target_only_when_asked(target: World) -> None:
    """Rows and counters that only the target has stay, unless they are to be deleted."""
    source = MemoryStore()

    async def copy_twice() -> None:
        for store in (source, target.store):
            await store.add(MEMOS, ADA, {"text": "Hello"})
            await store.increment("users")
        await target.store.add(MEMOS, BOB, {"text": "Stale"})
        await target.store.increment("subscriptions", 5)
        assert await copied(source, target.store, delete=False) == ["memos", "counters"]
        assert await target.store.get(MEMOS, BOB) is not None
        assert await copied(source, target.store, delete=True) == []
        assert await target.store.get(MEMOS, BOB) is None

    target.run(copy_twice())


@pytest.mark.anyio
async def test_nothing_is_deleted_for_a_source_that_has_none_of_it() -> None:
    source, target = MemoryStore(), MemoryStore()
    await target.add(MEMOS, ADA, {})
    await target.increment("users")
    copying = StoreCopy(source, target, clock=lambda: NOON)
    with pytest.raises(SourceEmpty, match="memos"):
        await anext(copying.prune(MEMOS))
    with pytest.raises(SourceEmpty, match="counters"):
        await anext(copying.prune_counters())
    assert await target.get(MEMOS, ADA) is not None
    assert await target.counters("users") == {"users": 1}


@pytest.mark.parametrize("there", [{"n": 1, "b": 2}, {"n": True}, {"n": 1.0}, {}])
@pytest.mark.parametrize("table", [MEMOS, USERS, KEY_USES], ids=lambda table: table.kind)
@pytest.mark.thorough
def test_a_row_that_differs_in_anything_becomes_the_same(target: World, table: Table, there: Document) -> None:
    source = MemoryStore()

    async def copy() -> None:
        for store, document in ((source, {"n": 1}), (target.store, there)):
            if table.kind is Kind.REGISTERS:
                await store.put(table, ADA, document)
            else:
                await store.add(table, ADA, document)
        assert await copied(source, target.store) == []
        assert canonical(await target.store.get(table, ADA)) == '{"n":1}'

    target.run(copy())


def test_a_counter_that_has_ended_counts_nothing(target: World) -> None:
    source = MemoryStore()

    async def copy() -> None:
        for store in (source, target.store):
            await store.increment("signup.1.a", 3, ends_at=NOON)
        assert await copied(source, target.store) == []

    target.clock.at = NOON - timedelta(minutes=1)
    target.run(copy())


WINDOWS = {
    f"ada:calls:{NOON:%Y-%m}": next_month(NOON),
    f"ada:uses:k:{NOON:%Y-%m-%d}:memos": next_day(NOON),
    "ada:uses:k": None,
    f"login.{NOON:%Y%m%dT%H%M}.a:b": NOON + timedelta(minutes=15),
}


def test_a_counter_from_hypr_micro_ends_in_the_target() -> None:
    """HYPR Micro does not keep the ends of counters. The copy has them all the same: the target deletes its own."""
    source, target = World(store="micro"), MemoryStore(clock=lambda: NOON)

    async def copy() -> None:
        for counter, ends_at in WINDOWS.items():
            await source.store.increment(counter, ends_at=ends_at)
        assert await copied(source.store, target) == []
        counters = (await target.scan_counters()).rows
        assert {counter.name: counter.ends_at for counter in counters} == WINDOWS

    source.run(copy())
    source.close()


@pytest.mark.anyio
async def test_what_is_the_same_already_is_only_read() -> None:
    world = World()
    await asyncio.to_thread(lived_in, world)
    await asyncio.to_thread(world.close)
    target = CountingStore(MemoryStore())
    await copied(world.store, target)
    target.calls.clear()
    assert await copied(world.store, target) == []
    assert set(target.calls) == {"get", "counters", "scan", "scan_counters"}


class Choosy(Intercepted):
    """Refuses Bob's memos."""

    async def add(self, table: Table, key: Key, document: Document) -> None:
        if key == BOB:
            raise StoreError("it is too long")
        await super().add(table, key, document)


@pytest.mark.anyio
async def test_a_row_that_the_target_does_not_take_is_named() -> None:
    source = MemoryStore()
    await source.add(MEMOS, ADA, {})
    await source.add(MEMOS, BOB, {})
    with pytest.raises(StoreError, match="memos bob m1: it is too long"):
        await copied(source, Choosy(MemoryStore()))


@pytest.mark.anyio
async def test_a_copy_that_is_interrupted_anywhere_can_be_done_again() -> None:
    """The store fails at every third call, in turn before and after the call has its effect."""
    world = World()
    await asyncio.to_thread(lived_in, world)
    await asyncio.to_thread(world.close)
    source, at = world.store, 0
    while True:
        target = MemoryStore()
        failing = FailingStore(target, at=at, lost=bool(at % 2), for_good=True)
        try:
            await copied(source, failing)
        except StoreUnavailable:
            at += 3
        else:
            break
        assert await copied(source, target) == []
    assert at > 40
