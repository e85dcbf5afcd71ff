"""The store on DynamoDB keeps the port's contract, and each verb has its fixed cost."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, repeat
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from shared.core.concurrency import gather_settled
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.items import Stored, new_item, read_item, row_key, tokens_of
from shared.stores.dynamo.store import DynamoStore
from shared.stores.port import (
    PAGE_BYTES,
    Document,
    InvalidKey,
    Key,
    Store,
    StoreError,
    StoreNotReady,
    StoreUnavailable,
    Table,
    serialised,
)
from tests.contract.cases import TABLES as CONTRACT_TABLES
from tests.contract.cases import sorts, walk
from tests.contract.pages import PagesContract
from tests.contract.store import ContractFixtures, StoreContract
from tests.fakes.dynamo_world import (
    CHANGING,
    FACTS,
    LIVE_URL,
    REGISTERS,
    SPREAD,
    TABLES,
    Container,
    DynamoWorld,
    Fault,
    always,
    answered,
)
from tests.support import NOON, C, F, FakeClock, R, counted, refused, refusing, seeded

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio


@pytest.mark.thorough
class TestDynamoStore(StoreContract):
    """The contract. A call of moto takes 8 ms of the processor, and the contract makes thousands."""

    counters_of_several_reads = 1001 if LIVE_URL else 150  # more than 100 items; moto takes 30 ms for each

    @pytest.fixture
    async def store(self, client: "DynamoDBClient", table_name: str) -> AsyncIterator[Store]:
        dynamo = Dynamo(lambda: client, table=table_name)
        store = DynamoStore(dynamo, timeout_s=60)
        await store.verify(CONTRACT_TABLES)
        yield store
        await dynamo.aclose()


class Spread:
    """A store on which every table is spread over shards."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*given: Any, **how: Any) -> Any:
            spread = [replace(each, shards=3) if isinstance(each, Table) else each for each in given]
            return getattr(self._store, verb)(*spread, **how)

        return call


@pytest.mark.thorough
class TestDynamoStoreOnSpreadTables(PagesContract, ContractFixtures):
    """The contract of pages alone, since only pages read several shards."""

    @pytest.fixture
    async def store(self, client: "DynamoDBClient", table_name: str) -> AsyncIterator[Store]:
        dynamo = Dynamo(lambda: client, table=table_name)
        yield cast("Store", Spread(DynamoStore(dynamo, timeout_s=60)))
        await dynamo.aclose()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A verb in a situation, and its calls."""

    verb: Callable[[DynamoStore], Awaitable[object]]
    calls: Sequence[str]
    before: Sequence[Callable[[DynamoStore], Awaitable[object]]] = ()


def added(store: DynamoStore) -> Awaitable[object]:
    return store.add(FACTS, F, {"a": 1})


def claimed(store: DynamoStore) -> Awaitable[object]:
    return store.claim(CHANGING, C, {"n": 0})


BUDGETS: Final[Mapping[str, Case]] = {
    "get": Case(verb=lambda s: s.get(FACTS, F), before=[added], calls=["get_item"]),
    "add": Case(verb=added, calls=["put_item"]),
    "add what is there": Case(verb=lambda s: refused(added(s)), before=[added], calls=["put_item"]),
    "extend": Case(verb=lambda s: s.extend(FACTS, F, "a", 2), before=[added], calls=["update_item"]),
    "put": Case(verb=lambda s: s.put(REGISTERS, R, {"n": 1}), calls=["put_item"]),
    "claim": Case(verb=claimed, calls=["put_item"]),
    "claim what is taken": Case(verb=lambda s: refused(claimed(s)), before=[claimed], calls=["put_item"]),
    "update": Case(verb=lambda s: s.update(CHANGING, C, counted), before=[claimed], calls=["get_item", "put_item"]),
    "refuse an update": Case(
        verb=lambda s: refused(s.update(CHANGING, C, refusing)), before=[claimed], calls=["get_item"]
    ),
    "change nothing": Case(verb=lambda s: s.update(CHANGING, C, lambda row: row), before=[claimed], calls=["get_item"]),
    "delete a fact": Case(verb=lambda s: s.delete(FACTS, F), before=[added], calls=["delete_item"]),
    "delete a row": Case(verb=lambda s: s.delete(CHANGING, C), before=[claimed], calls=["get_item", "delete_item"]),
    "page": Case(verb=lambda s: s.page(FACTS, "p"), before=[added], calls=["query"]),
    "page of a spread table": Case(verb=lambda s: s.page(SPREAD, "p"), calls=["query"] * 4),
    "scan": Case(verb=lambda s: s.scan(FACTS), before=[added], calls=["scan"]),
    "erase": Case(
        verb=lambda s: s.erase(FACTS, "p"),
        before=[lambda s: gather_settled(*(s.add(FACTS, Key("p", f"{number}"), {}) for number in range(26)))],
        calls=["query", "batch_write_item", "batch_write_item"],
    ),
    "erase of nothing in a spread table": Case(verb=lambda s: s.erase(SPREAD, "p"), calls=["query"] * 4),
    "drop": Case(
        verb=lambda s: s.drop([f"c:{number}" for number in range(26)]), calls=["batch_write_item", "batch_write_item"]
    ),
    "drop nothing": Case(verb=lambda s: s.drop([]), calls=[]),
    "increment": Case(verb=lambda s: s.increment("c:d"), calls=["update_item"]),
    "counters": Case(verb=lambda s: s.counters("c:"), calls=["query"]),
    "verify": Case(verb=lambda s: s.verify(TABLES), calls=["describe_table", "describe_time_to_live"]),
}


@pytest.mark.parametrize("name", BUDGETS)
async def test_verb_makes_the_calls_of_its_budget(container: Container, name: str) -> None:
    """A verb makes exactly the calls of its budget."""
    case = BUDGETS[name]
    for step in case.before:
        await step(container.store)
    container.wire.calls.clear()
    await case.verb(container.store)
    assert [operation for operation, _ in container.wire.calls] == case.calls


@pytest.mark.parametrize("read", ["get_item", "query", "scan"])
async def test_reads_are_consistent(container: Container, read: str) -> None:
    await container.store.get(FACTS, F)
    await container.store.page(FACTS, "p")
    await container.store.counters("c")
    await container.store.scan(FACTS)
    reads = [params for operation, params in container.wire.calls if operation == read]
    assert reads
    assert all(params["ConsistentRead"] for params in reads)


async def test_page_reads_one_row_beyond_itself_at_most(container: Container) -> None:
    for number in range(40):
        await container.store.add(FACTS, Key("p", f"{number:02}"), {})
    container.wire.calls.clear()
    await container.store.page(FACTS, "p", limit=20, newest_first=True)
    assert [params["Limit"] for _, params in container.wire.calls] == [21]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("limit", "bytes_each", "read"), [(3, 200_000, 3), (100, 400_000, 3)])
async def test_page_decompresses_only_the_row_that_ends_it(
    world: DynamoWorld, container: Container, *, limit: int, bytes_each: int, read: int, newest_first: bool
) -> None:
    """A page decompresses at most the row that ends it.

    A query brings a megabyte of compressed rows, which may be a hundred times as much.
    """
    names = sorted((f"{number}" for number in range(9)), reverse=newest_first)
    for name in names[:read]:
        await container.store.add(FACTS, Key("p", name), {"text": "x" * bytes_each})
    for name in names[read:]:
        item = new_item(FACTS, Key("p", name), "{}", "t")
        world.client.put_item(TableName=world.table, Item=item | {"doc": {"B": b"not to be decompressed"}})
    page = await container.store.page(FACTS, "p", limit=limit, newest_first=newest_first)
    assert sorts(page) == names[: min(limit, PAGE_BYTES // bytes_each)]


@pytest.mark.parametrize("field", ["f", "f" * 128, 'of "old"', "é"])
def test_stored_size_is_at_least_that_of_the_json(field: str) -> None:
    """The size of a stored row is that of its JSON, or one byte more."""
    item = new_item(FACTS, F, serialised({"text": "é" * 100}), "t")
    for number in range(50):
        item["ext"]["M"][f"{field}{number}"] = {"S": "1"}
    stored = read_item(item)
    assert len(stored.extensions) == 50
    exact = len(serialised(stored.document()).encode())
    assert exact <= stored.size <= exact + 1


LARGEST: Final[Mapping[str, Callable[[Random], str]]] = {
    "control characters": lambda random: "".join(chr(random.randrange(1, 32)) for _ in range(100_000)),
    "CJK": lambda random: "".join(chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(100_000)),
    "emoji": lambda random: "".join(chr(random.randrange(0x1F300, 0x1F6FF)) for _ in range(50_000)),
    "any plane": lambda random: "".join(chr(random.randrange(0x10000, 0x10FFFF)) for _ in range(50_000)),
    "three bytes each": lambda random: "".join(chr(random.randrange(0x800, 0xD7FF)) for _ in range(100_000)),
}


@pytest.mark.parametrize("of", LARGEST)
async def test_add_takes_a_memo_of_the_longest_text(container: Container, of: str) -> None:
    """A memo of 100,000 UTF-16 units fits into an item, even if its text cannot be compressed."""
    text = LARGEST[of](seeded(1))
    assert len(text.encode("utf-16-le")) == 200_000
    document = {"text": text, "title": text[:200], "more": "x" * 1000}
    await container.store.add(FACTS, F, document)
    ((_, params),) = container.wire.calls
    assert item_bytes(params["Item"]) < 400 * 1024
    assert await container.store.get(FACTS, F) == document


def item_bytes(item: dict[str, dict[str, Any]]) -> int:
    """Return an item's size by DynamoDB's rules, or slightly more."""
    return sum(len(name.encode()) + 1 + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, Any]) -> int:
    match value:
        case {"S": str(text)}:
            return len(text.encode())
        case {"B": bytes(raw)}:
            return len(raw)
        case {"M": dict(fields)}:
            return 3 + item_bytes(fields)
        case {"L": list(values)}:
            return 3 + sum(1 + _value_bytes(each) for each in values)
        case _:
            return len(value["N"]) // 2 + 2


async def test_add_refuses_a_row_that_is_too_big(container: Container) -> None:
    """A row that is too big is refused, and nothing is written."""
    random = seeded(4)
    text = "".join(chr(random.randrange(0x10000, 0x10FFFF)) for _ in range(200_000))
    with pytest.raises(StoreError):
        await container.store.add(FACTS, F, {"text": text})
    assert await container.store.get(FACTS, F) is None


async def test_add_keeps_short_rows_readable(container: Container) -> None:
    """A short document is stored as readable JSON, under readable keys."""
    await container.store.add(FACTS, F, {"a": 1})
    ((_, params),) = container.wire.calls
    assert params["Item"]["doc"] == {"S": '{"a":1}'}
    assert (params["Item"]["pk"], params["Item"]["sk"]) == ({"S": "facts#p"}, {"S": "fact!"})


# rows that change


async def test_update_starts_again_when_another_came_first(world: DynamoWorld) -> None:
    """An update starts again if another container wrote the row after its read."""
    one, other = world.container(), world.container()
    await claimed(one.store)
    one.wire.before = once_at(
        one,
        "put_item",
        lambda: world.client.update_item(
            TableName=world.table,
            Key=row_key(CHANGING, C),
            UpdateExpression="SET ext.#f = :f ADD v :one",
            ExpressionAttributeNames={"#f": "more"},
            ExpressionAttributeValues={":f": {"S": "1"}, ":one": {"N": "1"}},
        ),
    )
    assert (await one.store.update(CHANGING, C, lambda row: {**(row or {}), "n": 1})).after == {"n": 1, "more": 1}
    assert await other.store.get(CHANGING, C) == {"n": 1, "more": 1}
    await gather_settled(one.dynamo.aclose(), other.dynamo.aclose())


async def test_new_item_has_a_version_of_its_own(world: DynamoWorld) -> None:
    """A row that was deleted and created again has another version than before.

    A change that saw the first row must not overwrite its successor, though both were never changed.
    """
    one, other = world.container(), world.container()
    await claimed(one.store)
    read = await one.dynamo.get(row_key(CHANGING, C), deadline=one.dynamo.deadline(5))
    await other.store.delete(CHANGING, C)
    await claimed(other.store)
    again = await one.dynamo.get(row_key(CHANGING, C), deadline=one.dynamo.deadline(5))
    assert read is not None
    assert again is not None
    assert read["v"] != again["v"]
    await gather_settled(one.dynamo.aclose(), other.dynamo.aclose())


def once_at(container: Container, operation: str, act: Callable[[], object]) -> Callable[[], None]:
    """Return a hook that runs `act` before the first call of an operation."""
    acted = False

    def before() -> None:
        nonlocal acted
        if not acted and container.wire.calls[-1][0] == operation:
            acted = True
            act()

    return before


async def test_row_keeps_its_first_and_last_eight_tokens(container: Container) -> None:
    """A row has the token of the write that made it, and the last eight, of extensions and replacements alike."""

    async def remembered() -> tuple[str, ...]:
        where = row_key(CHANGING, C)
        return tokens_of(await container.dynamo.get(where, deadline=container.dynamo.deadline(5)))

    await claimed(container.store)
    (born,) = await remembered()
    made: list[str] = []
    for number in range(24):
        if number % 3:
            await container.store.extend(CHANGING, C, f"f{number}", number)
        else:
            await container.store.update(CHANGING, C, counted)
        there = await remembered()
        made.append(there[-1])
        assert there == (born, *made[-8:])
    assert len(set(made)) == 24


async def test_extend_works_on_a_row_of_an_earlier_version(container: Container) -> None:
    """A row with fewer tokens, which an earlier version of the code wrote, can be extended."""
    where, deadline = row_key(FACTS, F), container.dynamo.deadline(5)
    await container.store.add(FACTS, F, {"a": 1})
    item = await container.dynamo.get(where, deadline=deadline)
    assert item is not None
    await container.dynamo.put({**item, "t": {"L": item["t"]["L"][:1]}}, deadline=deadline)
    await container.store.extend(FACTS, F, "b", 2)
    await container.store.extend(FACTS, F, "c", 3)
    assert await container.store.get(FACTS, F) == {"a": 1, "b": 2, "c": 3}
    item = await container.dynamo.get(where, deadline=deadline)
    assert item is not None
    assert [token["S"] != "" for token in item["t"]["L"]] == [True, *[False] * 6, True, True]


@pytest.mark.parametrize(
    ("seen", "there", "remembered"),
    [
        (("b",), ("b",), True),
        (("b",), ("b", *"1234567"), True),
        (("b",), ("b", *"12345678"), False),
        (("b", "1"), ("b", *"12345678"), True),
        (("b", "1"), ("b", *"23456789"), False),
        (("b", "1"), ("c", "1"), False),
        (("b",), (), False),
    ],
)
def test_remembered_by_tells_whether_a_token_would_be_there(
    seen: tuple[str, ...], there: tuple[str, ...], *, remembered: bool
) -> None:
    """`remembered_by` returns whether a row would still contain the token of a write that replaced a version."""
    stored = Stored(pk="", key=C, content={}, extensions={}, version=1, tokens=seen)
    assert stored.remembered_by(there) is remembered


# spread tables


@pytest.mark.thorough
async def test_page_of_a_spread_table_is_in_order(container: Container) -> None:
    """Pages of a spread table are the same as of one that is not."""
    store, names = container.store, [f"r{number:03}" for number in range(30)]
    for name in seeded(1).sample(names, 30):
        await store.add(SPREAD, Key("p", name), {"name": name})
    partitions = {params["Item"]["pk"]["S"] for _, params in container.wire.calls}
    assert partitions == {f"spread#p#{shard}" for shard in range(4)}
    for newest_first in (False, True):
        expected = sorted(names, reverse=newest_first)
        assert sorts(await store.page(SPREAD, "p", limit=12, newest_first=newest_first)) == expected[:12]
        for limit in (7, 30):
            walked = await walk(store, SPREAD, "p", limit=limit, newest_first=newest_first)
            assert [name for name, _ in walked] == expected
    page = await store.page(SPREAD, "p", between=("r005", "r020"), after="r010", limit=100)
    assert (sorts(page), page.after) == (names[11:20], None)


async def test_get_and_scan_find_rows_of_a_spread_table(container: Container) -> None:
    """Rows of a spread table are found by key and by scan, and can be deleted."""
    store = container.store
    for number in range(8):
        await store.add(SPREAD, Key("p", f"{number}"), {"n": number})
        await store.extend(SPREAD, Key("p", f"{number}"), "more", number)
    assert await store.get(SPREAD, Key("p", "5")) == {"n": 5, "more": 5}
    await store.delete(SPREAD, Key("p", "5"))
    page = await store.scan(SPREAD)
    assert sorted(row.document["n"] for row in page.rows) == [0, 1, 2, 3, 4, 6, 7]
    assert {row.key.partition for row in page.rows} == {"p"}


# counters


async def test_counters_leaves_out_ended_ones(world: DynamoWorld) -> None:
    """A counter is not returned after its end, also if DynamoDB still has it."""
    clock = FakeClock(NOON + timedelta(days=36_500))  # an engine may delete items that have ended by its own clock
    container = world.container(clock=clock)
    await container.store.increment("u:today", ends_at=clock() + timedelta(hours=1))
    await container.store.increment("u:always")
    assert await container.store.counters("u:") == {"u:always": 1, "u:today": 1}
    clock.advance(timedelta(hours=1))
    assert await container.store.counters("u:") == {"u:always": 1}
    await container.dynamo.aclose()


async def test_increment_sets_the_time_to_live(container: Container) -> None:
    """A counter with an end has it as its time to live, rounded up to a second."""
    await container.store.increment("u:today", ends_at=NOON + timedelta(milliseconds=1))
    ((_, params),) = container.wire.calls
    assert params["ExpressionAttributeValues"][":ends"] == {"N": str(int(NOON.timestamp()) + 1)}


async def test_counters_of_one_owner_share_a_partition(container: Container) -> None:
    for name in ("u", "u:calls:2026-11-23", "u:uses:k"):
        await container.store.increment(name)
    assert {params["Key"]["pk"]["S"] for _, params in container.wire.calls} == {"counter#u"}


# erase


async def test_erase_reads_keys_only(container: Container) -> None:
    """Erasing a partition transfers no documents."""
    await added(container.store)
    container.wire.calls.clear()
    await container.store.erase(FACTS, "p")
    assert [params["ProjectionExpression"] for name, params in container.wire.calls if name == "query"] == ["pk, sk"]


async def test_erase_sends_what_a_batch_left_again(container: Container, table_name: str) -> None:
    """Items that DynamoDB returns as unprocessed are sent again, after a wait, until none is left."""
    left = [{"DeleteRequest": {"Key": row_key(FACTS, F)}}]
    answers = iter([{"UnprocessedItems": {table_name: left}}, {"UnprocessedItems": {}}])
    container.wire.answers["batch_write_item"] = lambda: next(answers)
    container.wire.answers["query"] = lambda: {"Items": [row_key(FACTS, F), row_key(FACTS, Key("p", "other"))]}
    assert await container.store.erase(FACTS, "p") is True
    sent = [params["RequestItems"] for name, params in container.wire.calls if name == "batch_write_item"]
    assert [len(next(iter(requests.values()))) for requests in sent] == [2, 1]
    assert container.time.slept == [0.05]


async def test_erase_stops_at_half_of_its_time(container: Container) -> None:
    """A partition too big for the verb's time is erased by several calls, which return that rows are left."""
    pages = iter([{"LastEvaluatedKey": row_key(FACTS, F)}, {}])

    def slowly() -> dict[str, object]:
        container.time.now_s += 3
        return {"Items": [], **next(pages)}

    container.wire.answers["query"] = slowly
    assert await container.store.erase(FACTS, "p") is False
    assert await container.store.erase(FACTS, "p") is True


# scans


@pytest.mark.parametrize("after", ["", "x", "[]", "[1, 2]", '["a"]', '{"a": 1}', '["", ""]', "null"])
async def test_scan_refuses_a_cursor_of_another_form(container: Container, after: str) -> None:
    """A scan raises InvalidKey for a text that is no cursor."""
    with pytest.raises(InvalidKey):
        await container.store.scan(FACTS, after=after)


@pytest.mark.thorough
async def test_scan_ends_a_page_when_it_finds_nothing_for_long(container: Container) -> None:
    """A scan that finds no row for half of its time returns an empty page with a cursor."""
    for number in range(250):
        await container.store.increment(f"c{number}:x")
    await added(container.store)

    def slowly() -> None:
        container.time.now_s += 2

    container.wire.after = slowly
    pages, after = 0, None
    found: list[Document] = []
    while pages == 0 or after is not None:
        page = await container.store.scan(FACTS, after=after, limit=10)
        found += [row.document for row in page.rows]
        pages, after = pages + 1, page.after
    assert found == [{"a": 1}]
    assert pages == 2


async def test_update_whose_turn_comes_too_late_is_an_outage(world: DynamoWorld) -> None:
    """An update that waits for another one of its process ends by its own time, and changes nothing."""
    left = iter([5.0, 0.01, 5.0])
    container = world.container(time_left_s=lambda: next(left))
    loop, begun, released = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def held() -> None:
        loop.call_soon_threadsafe(begun.set)
        released.wait(10)

    container.wire.before = held
    first = asyncio.create_task(container.store.update(CHANGING, C, counted))
    await begun.wait()
    with pytest.raises(StoreUnavailable, match="took all the time"):
        await asyncio.wait_for(container.store.update(CHANGING, C, counted), 5)
    released.set()
    await first
    assert await container.store.get(CHANGING, C) == {"n": 0}
    await container.dynamo.aclose()


# verify


async def test_verify_creates_a_missing_table_also_when_raced(
    client: "DynamoDBClient",
) -> None:
    """Verify creates a missing table where it may, also if several containers start concurrently."""
    world = DynamoWorld(client, "agent-talk-missing")
    containers = [world.container(creates_table=True) for _ in range(3)]
    try:
        await gather_settled(*(container.store.verify(TABLES) for container in containers))
        await added(containers[0].store)
        described = client.describe_time_to_live(TableName=world.table)["TimeToLiveDescription"]
        assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
        await containers[0].store.verify(TABLES)
    finally:
        client.delete_table(TableName=world.table)
        await gather_settled(*(container.dynamo.aclose() for container in containers))


async def test_verify_creates_no_table_in_production(client: "DynamoDBClient") -> None:
    """Verify raises StoreNotReady for a missing table in production, and creates none."""
    container = DynamoWorld(client, "agent-talk-missing").container()
    with pytest.raises(StoreNotReady, match="infrastructure creates it"):
        await container.store.verify(TABLES)
    await container.dynamo.aclose()


@pytest.mark.parametrize(
    ("statuses", "looks"),
    [(["ACTIVE"], 1), (["UPDATING"], 1), (["CREATING", "CREATING", "ACTIVE"], 3), (["CREATING", "UPDATING"], 2)],
)
async def test_verify_waits_for_a_table_that_is_created(world: DynamoWorld, statuses: list[str], looks: int) -> None:
    """Another container, or infrastructure, is creating it. A table that is being changed can be used."""
    container = world.container()
    container.wire.answers["describe_table"] = described_as(world, statuses)
    await container.store.verify(TABLES)
    assert [operation for operation, _ in container.wire.calls].count("describe_table") == looks
    await container.dynamo.aclose()


@pytest.mark.parametrize(("status", "said"), [("CREATING", "is being created"), (None, "there is no such table")])
async def test_verify_ends_with_its_time_when_a_table_does_not_come(
    world: DynamoWorld, status: str | None, said: str
) -> None:
    """The outage's text distinguishes a table that is still being created from one that is absent."""
    container = world.container(creates_table=True)
    seen = described_as(world, ["CREATING"])

    def described() -> Any:
        if status is None and container.time.slept:
            absent = answered("ResourceNotFoundException")()
            raise absent
        return seen()

    container.wire.answers["describe_table"] = described
    with pytest.raises(StoreUnavailable, match=said):
        await container.store.verify(TABLES)
    assert container.time.slept
    await container.dynamo.aclose()


@pytest.mark.parametrize("statuses", [["DELETING"], ["CREATING", "DELETING"], ["ARCHIVED"]])
async def test_verify_waits_for_no_table_that_ends(world: DynamoWorld, statuses: list[str]) -> None:
    """A table that is being deleted is an immediate outage, whose text states it."""
    container = world.container(creates_table=True)
    container.wire.answers["describe_table"] = described_as(world, statuses)
    with pytest.raises(StoreUnavailable, match=f"is {statuses[-1]}"):
        await container.store.verify(TABLES)
    assert container.time.slept == []
    await container.dynamo.aclose()


def described_as(world: DynamoWorld, statuses: Sequence[str]) -> Callable[[], Any]:
    """Return answers of describe_table with these table statuses in turn; the last one stays."""
    table = world.client.describe_table(TableName=world.table)["Table"]
    following = chain(statuses, repeat(statuses[-1]))
    return lambda: {"Table": {**table, "TableStatus": next(following)}}


@pytest.mark.parametrize(
    ("keys", "creates"),
    [(("id", None), True), (("pk", None), True), (("pk", "id"), False), (("sk", "pk"), True)],
)
async def test_verify_refuses_a_table_with_other_keys(
    client: "DynamoDBClient", keys: tuple[str, str | None], *, creates: bool
) -> None:
    world = DynamoWorld(client, "agent-talk-foreign")
    names = [name for name in keys if name]
    client.create_table(
        TableName=world.table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            cast("Any", {"AttributeName": name, "KeyType": kind})
            for name, kind in zip(names, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
    )
    container = world.container(creates_table=creates)
    try:
        with pytest.raises(StoreNotReady, match="has other keys"):
            await container.store.verify(TABLES)
    finally:
        client.delete_table(TableName=world.table)
        await container.dynamo.aclose()


async def test_verify_refuses_a_table_without_time_to_live(client: "DynamoDBClient", world: DynamoWorld) -> None:
    """Verify raises StoreNotReady for a table without time to live."""
    client.update_time_to_live(
        TableName=world.table, TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"}
    )
    container = world.container()
    with pytest.raises(StoreNotReady, match="no time to live on `ttl`"):
        await container.store.verify(TABLES)
    await container.dynamo.aclose()


@pytest.mark.parametrize("creates", [False, True])
@pytest.mark.parametrize(
    ("status", "attribute"), [("ENABLED", "other"), ("ENABLING", "other"), ("DISABLING", "ttl"), ("DISABLING", "other")]
)
async def test_verify_leaves_a_foreign_time_to_live_alone(
    world: DynamoWorld, status: str, attribute: str, *, creates: bool
) -> None:
    """Verify raises StoreNotReady for a time to live on another attribute or being changed, and changes nothing.

    Rows would expire by an attribute that is not ours, or DynamoDB would refuse a change so soon after another.
    """
    container = world.container(creates_table=creates)
    container.wire.answers["describe_time_to_live"] = lambda: {
        "TimeToLiveDescription": {"TimeToLiveStatus": status, "AttributeName": attribute}
    }
    with pytest.raises(StoreNotReady, match=f"is {status} on `{attribute}`: it must be ENABLED on `ttl`"):
        await container.store.verify(TABLES)
    assert "update_time_to_live" not in [operation for operation, _ in container.wire.calls]
    await container.dynamo.aclose()


async def test_verify_accepts_another_containers_time_to_live(world: DynamoWorld) -> None:
    """If another container switched time to live on first, verify succeeds.

    If two containers start concurrently, DynamoDB refuses the slower one's request.
    """
    container = world.container(creates_table=True)
    expired = iter(["DISABLED", "ENABLING"])
    container.wire.answers["describe_time_to_live"] = lambda: {
        "TimeToLiveDescription": {"TimeToLiveStatus": next(expired), "AttributeName": "ttl"}
    }
    container.wire.faults = lambda _: (
        Fault(raises=answered("ValidationException")) if container.wire.calls[-1][0] == "update_time_to_live" else None
    )
    await container.store.verify(TABLES)
    await container.dynamo.aclose()


@pytest.mark.parametrize(
    ("code", "status", "error", "said"),
    [
        ("AccessDeniedException", 400, StoreNotReady, "the role's rights on DYNAMODB_TABLE"),
        ("UnrecognizedClientException", 400, StoreNotReady, "AWS does not know these credentials"),
        ("ThrottlingException", 400, StoreUnavailable, "no capacity"),
        ("InternalServerError", 500, StoreUnavailable, "DynamoDB failed"),
    ],
)
async def test_verify_says_what_is_wrong(
    container: Container, code: str, status: int, error: type[StoreUnavailable], said: str
) -> None:
    """Verify raises the error and the text that fit the failure."""
    container.wire.faults = always(Fault(raises=answered(code, status)))
    with pytest.raises(error, match=said) as caught:
        await container.store.verify(TABLES)
    assert type(caught.value) is error


async def test_verify_says_when_the_endpoint_is_no_dynamodb() -> None:
    """Verify raises StoreNotReady if the endpoint answers unlike DynamoDB."""

    class Empty:
        def __getattr__(self, _: str) -> Callable[..., dict[str, object]]:
            return lambda **_: {}

    dynamo = Dynamo(cast("Any", Empty), table="agent-talk")
    with pytest.raises(StoreNotReady, match="check AWS_ENDPOINT_URL"):
        await DynamoStore(dynamo).verify(TABLES)
    await dynamo.aclose()
