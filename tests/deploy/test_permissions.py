"""The roles' permissions: the actions that the DynamoDB store really sends, on tables that exist."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pytest

from deploy.permissions import AUDIO, COUNTERS, OBJECTS, PERMITTED, by_actions
from shared.audio.files import Area
from shared.stores.port import Bound, Key, Store
from shared.tables.schema import TABLES
from tests.fakes.dynamo_world import CHANGING, FACTS, REGISTERS, SPREAD, DynamoWorld, Wire, engine, table_on
from tests.fakes.permitted import NotPermitted, PermittedStore
from tests.support import counted, racing_store
from tools.local import FUNCTIONS

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

KEY = Key("p", "row")

VERBS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "get": lambda store: store.get(FACTS, KEY),
    "add": lambda store: store.add(FACTS, KEY, {}),
    "take_back": lambda store: store.take_back(FACTS, KEY),
    "extend": lambda store: store.extend(FACTS, KEY, "field", 1),
    "put": lambda store: store.put(REGISTERS, KEY, {}),
    "claim": lambda store: store.claim(CHANGING, KEY, {}),
    "update": lambda store: store.update(CHANGING, KEY, counted),
    "delete a fact": lambda store: store.delete(FACTS, KEY),
    "delete a changing row": lambda store: store.delete(CHANGING, Key("p", "there")),
    "page": lambda store: store.page(SPREAD, "p"),
    "increment": lambda store: store.increment("p:calls"),
    "reserve": lambda store: store.reserve([Bound(counter="p:calls:2026-03", most=1)]),
    "counters": lambda store: store.counters("p:"),
    "erase": lambda store: store.erase(CHANGING, "p"),
    "drop": lambda store: store.drop(["p:uses:k"]),
    "drop a day": lambda store: store.drop(["p:calls:2026-03-02"]),
}


class AskedStore(PermittedStore):
    """Permits all actions, and records those that a role would need."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, "")
        self.asked: set[tuple[str, str]] = set()

    def _needs(self, table: str, *actions: str) -> None:
        self.asked |= {(action, table) for action in actions}


@pytest.fixture(scope="module")
def client() -> Iterator["DynamoDBClient"]:
    with engine() as client:
        yield client


@pytest.fixture
def world(client: "DynamoDBClient") -> Iterator[DynamoWorld]:
    with table_on(client) as table:
        yield DynamoWorld(client, table)


def sent(wire: Wire) -> set[tuple[str, str]]:
    """Return the sent actions, each with the table at the beginning of its partition key."""
    found = set()
    for operation, asked in wire.calls:
        params = asked
        if "RequestItems" in params:
            ((request, *_),) = params["RequestItems"].values()
            params = request["DeleteRequest"]
        key = params.get("Key") or params.get("Item") or {"pk": params["ExpressionAttributeValues"][":pk"]}
        found.add((operation.title().replace("_", ""), key["pk"]["S"].split("#")[0]))
    return found


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.thorough
def test_permitted_store_asks_for_what_is_sent(world: DynamoWorld, verb: str) -> None:
    """Each verb needs exactly the actions that the DynamoDB store sends for it, on items of the same table."""
    container = world.container()
    store = AskedStore(container.store)

    async def play() -> None:
        await container.store.add(CHANGING, Key("p", "there"), {})
        container.wire.calls.clear()
        await VERBS[verb](store)

    asyncio.run(play())
    assert sent(container.wire) == store.asked


def test_permitted_store_refuses_what_the_role_lacks() -> None:
    """The usage function reads users; it neither writes one nor counts anything."""
    store = PermittedStore(racing_store(0), "usage")
    users = next(table for table in TABLES if table.name == "users")
    key = Key("all", "user")

    async def play() -> None:
        assert await store.get(users, key) is None
        with pytest.raises(NotPermitted, match="lacks PutItem on users"):
            await store.add(users, key, {})
        with pytest.raises(NotPermitted, match=f"lacks UpdateItem on {COUNTERS}"):
            await store.increment("users")

    asyncio.run(play())


def test_permissions_name_functions_and_tables_that_exist() -> None:
    """A misspelt table would permit nothing, and would show in an account only."""
    assert PERMITTED.keys() == {*FUNCTIONS, "speaker", "housekeeping"}
    tables = {table.name for table in TABLES} | {COUNTERS}
    assert {name for permitted in PERMITTED.values() for name in permitted} <= tables


def test_no_table_name_begins_another_partition() -> None:
    """`<table>#*` matches the items of one table alone: `#` and `*` are in no table's name."""
    assert all(re.fullmatch(r"[a-z_]+", table.name) for table in TABLES)


def test_by_actions_groups_tables_with_the_same_actions() -> None:
    """One statement of a role covers all tables with the same permitted actions."""
    assert by_actions("subscriptions") == {
        frozenset({"GetItem", "PutItem"}): frozenset({"users", "subscriptions", "stripe_ids"}),
        frozenset({"PutItem"}): frozenset({"usage_logs"}),
        frozenset({"UpdateItem"}): frozenset({COUNTERS}),
    }


def _may(function: str, area: Area) -> set[str]:
    """Return the actions that a function's role permits on objects of an area."""
    return {
        action
        for parts, actions in AUDIO[function].items()
        if any(part and fnmatch(f"/{area}/object", part) for part in parts)
        for action in actions.split()
    }


def test_permissions_cover_every_area_of_audio() -> None:
    """Functions that speak write and delete in all areas but that of the marks of closed accounts."""
    assert {f"/{area}/*" for area in Area} == {*OBJECTS, "/closed/*"}
    for function in ("memos", "mcp", "speaker"):
        assert {area for area in Area if "PutObject" in _may(function, area)} == set(Area) - {Area.CLOSED}


def test_permissions_let_no_function_delete_a_closing_mark() -> None:
    """Without its mark a closed account's audio would be served again; only functions that close accounts write one."""
    assert [function for function in AUDIO if "DeleteObject" in _may(function, Area.CLOSED)] == []
    writers = {function for function in AUDIO if "PutObject" in _may(function, Area.CLOSED)}
    assert writers == {"users", "admin", "housekeeping"}
    assert all("GetObject" in _may(function, Area.CLOSED) for function in AUDIO)
