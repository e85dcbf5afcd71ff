"""The store on HYPR Micro keeps the port's contract, and each verb has its fixed cost."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

import pytest

from shared.core.concurrency import gather_settled
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.micro_connections import MicroConnections
from shared.micro_errors import MicroError
from shared.stores.micro.store import MicroStore
from shared.stores.port import Key, Row, Store, StoreNotReady, StoreUnavailable
from tests.contract.cases import TABLES as CONTRACT_TABLES
from tests.contract.store import StoreContract
from tests.fakes.micro_store_world import CHANGING, FACTS, REGISTERS, TABLES, micro_store_world
from tests.fakes.standin_network import (
    FAILED_AFTER,
    HANGS,
    HANGS_AFTER,
    LOST,
    REFUSED,
    Fault,
    always,
    answer,
    none,
    nth,
    slow,
)
from tests.support import C, F, R, counted, refused, refusing

pytestmark = pytest.mark.anyio

LIVE_URL = os.environ.get("MICRO_URL", "")
LIVE_KEY = os.environ.get("MICRO_KEY", "")


class TestMicroStore(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        async with micro_store_world() as world:
            # Waits for a turn within a process use the real clock, and take longer on a busy machine.
            store = (await world.container(timeout_s=60)).store
            await store.verify(CONTRACT_TABLES)
            yield store


if LIVE_URL:

    class TestMicroStoreOnALiveServer(StoreContract):
        @pytest.fixture
        async def client(self) -> AsyncIterator[MicroClient]:
            async with MicroConnections(LIVE_URL) as wire:
                yield MicroClient(wire, Direct(url=LIVE_URL, api_key=LIVE_KEY), timeout_s=30.0)

        @pytest.fixture
        async def store(self, client: MicroClient, prefix: str) -> AsyncIterator[Store]:
            store = MicroStore(client, timeout_s=30.0)
            await store.verify(CONTRACT_TABLES)
            yield store
            await clean(client, prefix)


async def clean(client: MicroClient, prefix: str) -> None:
    """Delete a test's rows in the contract's tables."""
    for table in CONTRACT_TABLES:
        begin = f"{table.name}!{prefix}"
        while documents := await client.query(table.database, start=begin, end=begin + "\x7f", limit=100):
            await gather_settled(*(client.delete(table.database, document.key) for document in documents))
    for begin in (f"n!{prefix}", *(f"b!{table.name}!{prefix}" for table in CONTRACT_TABLES)):
        while counters := await client.counters(start=begin, end=begin + "\x7f", limit=100):
            await gather_settled(*(client.delete_counter(counter.name) for counter in counters))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A verb in a situation, and its cost. With `recent`, the situation is less than a second old."""

    verb: Callable[[MicroStore], Awaitable[object]]
    requests: int
    depth: int
    before: Sequence[Callable[[MicroStore], Awaitable[object]]] = ()
    recent: bool = False


def added(store: MicroStore) -> Awaitable[object]:
    return store.add(FACTS, F, {"a": 1})


def claimed(store: MicroStore) -> Awaitable[object]:
    return store.claim(CHANGING, C, {"n": 0})


def read(store: MicroStore) -> Awaitable[object]:
    return store.get(CHANGING, C)


BUDGETS: Final[Mapping[str, Case]] = {
    "get a fact": Case(verb=lambda s: s.get(FACTS, F), before=[added], requests=1, depth=1),
    "get a row": Case(verb=read, before=[claimed], requests=1, depth=1),
    "get a register": Case(verb=lambda s: s.get(REGISTERS, R), requests=1, depth=1),
    "add a fact": Case(verb=added, requests=1, depth=1),
    "add a row": Case(verb=lambda s: s.add(CHANGING, C, {"n": 0}), requests=1, depth=1),
    "extend": Case(verb=lambda s: s.extend(FACTS, F, "revoked_at", "now"), before=[added], requests=2, depth=2),
    "extend what was just read": Case(
        verb=lambda s: s.extend(FACTS, F, "revoked_at", "now"),
        before=[added, lambda s: s.get(FACTS, F)],
        recent=True,
        requests=1,
        depth=1,
    ),
    "claim": Case(verb=claimed, requests=5, depth=5),
    "claim what was read to be absent": Case(verb=claimed, before=[read], recent=True, requests=4, depth=4),
    "claim what is taken": Case(verb=lambda s: refused(claimed(s)), before=[claimed], requests=1, depth=1),
    "update": Case(verb=lambda s: s.update(CHANGING, C, counted), before=[claimed], requests=5, depth=5),
    "update again": Case(
        verb=lambda s: s.update(CHANGING, C, counted),
        before=[claimed, lambda s: s.update(CHANGING, C, counted)],
        requests=6,
        depth=5,
    ),
    "update what was just read": Case(
        verb=lambda s: s.update(CHANGING, C, counted), before=[read, claimed], recent=True, requests=4, depth=4
    ),
    "refuse an update": Case(
        verb=lambda s: refused(s.update(CHANGING, C, refusing)), before=[claimed], requests=1, depth=1
    ),
    "change nothing": Case(
        verb=lambda s: s.update(CHANGING, C, lambda row: row), before=[claimed], requests=1, depth=1
    ),
    "delete a row": Case(verb=lambda s: s.delete(CHANGING, C), before=[claimed], requests=6, depth=6),
    "delete a fact": Case(verb=lambda s: s.delete(FACTS, F), before=[added], requests=2, depth=2),
    "delete a fact just read": Case(
        verb=lambda s: s.delete(FACTS, F), before=[added, lambda s: s.get(FACTS, F)], recent=True, requests=1, depth=1
    ),
    "take back": Case(
        verb=lambda s: s.take_back(CHANGING, C), before=[lambda s: s.add(CHANGING, C, {})], requests=1, depth=1
    ),
    "put": Case(
        verb=lambda s: s.put(REGISTERS, R, {"n": 2}),
        before=[lambda s: s.put(REGISTERS, R, {"n": 1})],
        requests=1,
        depth=1,
    ),
    "put first": Case(verb=lambda s: s.put(REGISTERS, R, {"n": 1}), requests=2, depth=2),
    "page": Case(verb=lambda s: s.page(FACTS, "p", newest_first=True), before=[added], requests=1, depth=1),
    "scan": Case(verb=lambda s: s.scan(FACTS), before=[added], requests=1, depth=1),
    "erase": Case(
        verb=lambda s: s.erase(FACTS, "p"),
        before=[added, lambda s: s.add(FACTS, Key("p", "other"), {})],
        requests=3,
        depth=2,
    ),
    "drop": Case(verb=lambda s: s.drop(["c:1", "c:2", "c:2"]), requests=2, depth=1),
    "drop nothing": Case(verb=lambda s: s.drop([]), requests=0, depth=0),
    "increment": Case(verb=lambda s: s.increment("c"), requests=1, depth=1),
    "counters": Case(verb=lambda s: s.counters("c"), requests=1, depth=1),
    "verify again": Case(verb=lambda s: s.verify(TABLES), requests=1, depth=1),
}


@pytest.mark.parametrize("name", BUDGETS)
async def test_verb_makes_the_requests_of_its_budget(name: str) -> None:
    """A verb makes exactly the requests of its budget, with the budgeted number in sequence."""
    case = BUDGETS[name]
    async with micro_store_world() as world:
        container = await world.container()
        await container.store.verify(TABLES)
        for step in case.before:
            await step(container.store)
        container.clock.advance(0 if case.recent else 2)
        with world.recorder.measure() as cost:
            await case.verb(container.store)
        assert (cost.requests, cost.depth) == (case.requests, case.depth)


async def test_page_costs_the_same_at_any_table_size() -> None:
    """A page of 20 rows is one request, in a table of 30 rows and of 600."""
    costs = []
    for size in (30, 600):
        async with micro_store_world() as world:
            store = (await world.container()).store
            for number in range(size):
                await store.add(FACTS, Key("p", f"r{number:04}"), {})
            with world.recorder.measure() as cost:
                page = await store.page(FACTS, "p", limit=20, newest_first=True)
            assert [row.key.sort for row in page.rows] == [f"r{size - 1 - n:04}" for n in range(20)]
            costs.append((cost.requests, cost.depth))
    assert costs == [(1, 1), (1, 1)]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_page_shows_rows_of_many_documents_once(*, newest_first: bool) -> None:
    async with micro_store_world() as world:
        container = await world.container()
        store = container.store
        names = [f"r{number:02}" for number in range(30)]
        for number, name in enumerate(names):
            await store.add(FACTS, Key("p", name), {"name": name})
            for count in range(number % 7):
                await store.extend(FACTS, Key("p", name), f"f{count}", count)
        for limit in (1, 3, 30):
            found, after = list[Row](), None
            while True:
                page = await store.page(FACTS, "p", after=after, limit=limit, newest_first=newest_first)
                found, after = [*found, *page.rows], page.after
                if after is None:
                    break
            assert [row.key.sort for row in found] == sorted(names, reverse=newest_first)
            assert all(len(row.document) == 1 + int(row.key.sort[1:]) % 7 for row in found)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.thorough
async def test_page_passes_over_tombstones_and_drafts(*, newest_first: bool) -> None:
    """Deleted rows take no place on a page, and a row's draft does not hide the row."""
    async with micro_store_world() as world:
        container = await world.container()
        for number in range(40):
            await container.store.claim(CHANGING, Key("p", f"r{number:02}"), {"n": number})
        for number in range(5, 38):
            await container.store.delete(CHANGING, Key("p", f"r{number:02}"))
        draft = {"final": False, "doc": "{}", "at": "0" * 32, "trail": [2]}
        await container.client.create("users", "rows!p!r38!v000000000002", draft)
        page = await container.store.page(CHANGING, "p", limit=7, newest_first=newest_first)
        assert sorted(row.document["n"] for row in page.rows) == [0, 1, 2, 3, 4, 38, 39]
        assert page.after is None


@pytest.mark.thorough
async def test_get_reads_a_row_of_over_a_thousand_documents() -> None:
    """A row of more documents than one read is read completely."""
    async with micro_store_world() as world:
        store = (await world.container()).store
        await store.add(CHANGING, C, {"n": 0})
        for number in range(1100):
            await store.extend(CHANGING, C, f"f{number}", number)
        expected = {"n": 0, **{f"f{number}": number for number in range(1100)}}
        assert await store.get(CHANGING, C) == expected
        assert [row.document for row in (await store.page(CHANGING, "p", limit=1)).rows] == [expected]
        assert (await store.update(CHANGING, C, lambda _: {"n": 1})).after == {"n": 1}
        assert await store.get(CHANGING, C) == {"n": 1}


async def test_extend_deletes_the_extension_that_it_replaces() -> None:
    """A field that is extended again after a read leaves no older extension."""
    async with micro_store_world() as world:
        container = await world.container()
        await added(container.store)
        for title in ("one", "two", "three"):
            await container.store.get(FACTS, F)
            await container.store.extend(FACTS, F, "title", title)
        assert await container.store.get(FACTS, F) == {"a": 1, "title": "three"}
        assert len(await container.client.query("memos")) == 2


async def test_extend_wins_over_what_it_read_when_its_clock_is_slow() -> None:
    """An extension counts over the one that its writer read, also if its writer's clock is an hour slow."""
    async with micro_store_world() as world:
        early, late = await world.container(), await world.container()
        late.clock.advance(3600)
        await added(late.store)
        await late.store.extend(FACTS, F, "title", "first")
        await early.store.get(FACTS, F)
        await early.store.extend(FACTS, F, "title", "second")
        assert await late.store.get(FACTS, F) == {"a": 1, "title": "second"}


async def test_extend_counts_whatever_the_clocks_say() -> None:
    """An extension counts, also if its writer's clock is an hour behind that of the row's writer."""
    async with micro_store_world() as world:
        early, late = await world.container(), await world.container()
        late.clock.advance(3600)
        await added(late.store)
        await early.store.extend(FACTS, F, "revoked_at", "now")
        assert await late.store.get(FACTS, F) == {"a": 1, "revoked_at": "now"}


async def test_delete_hides_a_fact_that_arrives_later() -> None:
    """A fact that arrives after its delete stays invisible and can be added again."""
    async with micro_store_world() as world:
        one, other = await world.container(), await world.container()
        late = {"final": True, "doc": "{}", "at": f"{0:016x}{1:016x}"}
        await one.store.delete(FACTS, F)
        await one.client.create("memos", "facts!p!fact!v000000000000", late)
        assert [await each.store.get(FACTS, F) for each in (one, other)] == [None, None]
        assert (await other.store.page(FACTS, "p")).rows == []
        await other.store.delete(FACTS, F)
        await other.store.delete(FACTS, F)
        await other.store.add(FACTS, F, {"a": 2})
        assert await one.store.get(FACTS, F) == {"a": 2}


async def test_get_finishes_a_draft_of_a_dead_writer() -> None:
    async with micro_store_world() as world:
        container = await world.container()
        assert await container.client.increment("b!rows!p!row") == 1
        draft = {"final": False, "doc": '{"n":7}', "at": "0" * 32, "trail": [1]}
        await container.client.create("users", "rows!p!row!v000000000001", draft)
        assert await container.store.get(CHANGING, C) == {"n": 7}
        assert (await container.store.page(CHANGING, "p")).rows == [Row(key=C, document={"n": 7})]


async def test_claim_is_not_refused_by_a_remembered_row() -> None:
    """A claim is not refused because of a row that this store remembers and another has deleted."""
    async with micro_store_world() as world:
        one, other = await world.container(), await world.container()
        await one.store.claim(CHANGING, C, {"n": 0})
        await one.store.get(CHANGING, C)
        await other.store.delete(CHANGING, C)
        await one.store.claim(CHANGING, C, {"n": 5})
        assert await other.store.get(CHANGING, C) == {"n": 5}


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("at", range(5))
async def test_erase_shows_no_older_row_after_a_crash(at: int, *, lost: bool) -> None:
    """A crash at any request of an erase leaves each row unchanged or absent, never without its extension; a repeat
    erases the rest."""
    async with micro_store_world() as world:
        one, other = await world.container(), await world.container()
        for _ in range(3):
            await one.store.update(CHANGING, C, counted)
        await one.store.extend(CHANGING, C, "revoked_at", "now")
        assert len(await one.client.keys("users", start="rows!", end='rows"')) == 3
        fault, requests = HANGS_AFTER if lost else REFUSED, count()
        one.network.faults = lambda _: fault if next(requests) >= at else None
        with suppress(StoreUnavailable):
            await one.store.erase(CHANGING, "p")
        assert await other.store.get(CHANGING, C) in (None, {"n": 2, "revoked_at": "now"})
        assert await other.store.erase(CHANGING, "p") is True
        assert await other.client.query("users") == []


async def test_erase_stops_at_half_of_its_time() -> None:
    """A partition too big for the verb's time is erased by several calls, which return that rows are left."""
    async with micro_store_world() as world:
        container = await world.container(timeout_s=8)
        for number in range(30):
            await container.store.add(FACTS, Key("p", f"{number:02}"), {})
        container.network.faults = always(slow(1.5))
        told = [await container.store.erase(FACTS, "p") for _ in range(4)]
        assert told[:1] == [False]
        assert told[-1:] == [True]


@pytest.mark.thorough
async def test_erase_of_over_a_thousand_documents_leaves_none() -> None:
    """A partition of more documents than one read returns is erased completely, split rows included."""
    async with micro_store_world() as world:
        container = await world.container()
        for number in range(600):
            await container.store.add(FACTS, Key("p", f"{number:03}"), {})
            await container.store.extend(FACTS, Key("p", f"{number:03}"), "more", 1)
        assert await container.store.erase(FACTS, "p") is True
        assert await container.client.query("memos") == []


@pytest.mark.parametrize("documents", [1, 5, 70])
@pytest.mark.thorough
async def test_trail_keeps_64_ballots(documents: int) -> None:
    async with micro_store_world() as world:
        container = await world.container()
        for _ in range(documents):
            await container.store.update(CHANGING, C, counted)
        *_, document = await container.client.query("users")
        assert document.value["trail"] == list(range(1, documents + 1))[-64:]


async def test_verify_creates_databases_also_when_raced() -> None:
    """Verify creates missing databases, also if containers start concurrently."""
    async with micro_store_world() as world:
        containers = [await world.container() for _ in range(5)]
        await gather_settled(*(container.store.verify(TABLES) for container in containers))
        assert await containers[0].client.databases() == ["memos", "users"]


@pytest.mark.parametrize("lost", [None, LOST, FAILED_AFTER])
async def test_verify_accepts_databases_made_since_it_looked(lost: Fault | None) -> None:
    """Another container creates them between the list and the creation, whose answer may be lost too."""
    async with micro_store_world() as world:
        faster, slower = await world.container(), await world.container()
        await faster.store.verify(TABLES)
        stale = nth(1, answer(200, '{"ok": true, "databases": []}'), route="GET /api/dbs")
        losing = nth(1, lost, route="POST /api/dbs/:db") if lost else none
        slower.network.faults = lambda seen: stale(seen) or losing(seen)
        await slower.store.verify(TABLES)
        assert await slower.client.databases() == ["memos", "users"]


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (answer(401, '{"ok": false, "error": "Invalid API key"}'), StoreNotReady, "refuses the API key"),
        (answer(200, "<html>"), StoreNotReady, "no HYPR Micro"),
        (answer(404, "<html>"), StoreNotReady, "no HYPR Micro"),
        (answer(500, '{"ok": false, "error": "MDB_DBS_FULL: limit"}'), StoreNotReady, "no room"),
        (REFUSED, StoreUnavailable, "cannot be reached"),
        (HANGS, StoreUnavailable, "did not answer"),
        (answer(500, '{"ok": false, "error": "disk trouble"}'), StoreUnavailable, "did not answer as it should"),
    ],
)
async def test_verify_says_what_is_wrong(fault: Fault, error: type[StoreUnavailable], said: str) -> None:
    """Verify raises the error and the text that fit the failure."""
    async with micro_store_world() as world:
        container = await world.container()
        container.network.faults = always(fault)
        with pytest.raises(error, match=said) as caught:
            await container.store.verify(TABLES)
        assert type(caught.value) is error
        assert isinstance(caught.value.__cause__, MicroError)


async def test_verify_says_when_no_database_fits() -> None:
    """Verify raises StoreNotReady with the reason if there is no room for a database."""
    async with micro_store_world() as world:
        container = await world.container()
        for number in range(7):
            await container.client.create_database(f"other{number}")
        with pytest.raises(StoreNotReady, match="no room for one more database"):
            await container.store.verify(TABLES)


async def test_verb_ends_within_its_time() -> None:
    """A verb on a slow server raises StoreUnavailable when its time has passed."""
    async with micro_store_world() as world:
        container = await world.container(timeout_s=5)
        container.network.faults = always(slow(2))
        began = container.clock.monotonic()
        with pytest.raises(StoreUnavailable):
            await container.store.update(CHANGING, C, counted)
        assert container.clock.monotonic() - began == 5
