from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sortedcontainers import SortedDict

from shared.stores.memory.store import MemoryStore, Rows
from shared.stores.port import InvalidKey, Key, Store
from tests.contract.cases import CHANGING, FACTS, REGISTERS, TABLES, counting, gone
from tests.contract.store import StoreContract
from tests.support import NOON, FakeClock, outcomes, racing_store

pytestmark = pytest.mark.anyio


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self, seed: int) -> Store:
        return racing_store(seed)


class _WatchedRows(SortedDict[tuple[str, str], str]):
    """Counts the documents that are read."""

    looked_up = 0

    def __getitem__(self, key: tuple[str, str]) -> str:
        self.looked_up += 1
        return super().__getitem__(key)


def _watched(count: int) -> tuple[MemoryStore, _WatchedRows]:
    """Return a store with one partition of `count` rows, and its rows."""
    rows = Rows()
    watched = _WatchedRows({("p", f"r{number:06}"): "{}" for number in range(count)})
    rows.tables[FACTS.name] = watched

    @contextmanager
    def session(*, writes: bool = False) -> Iterator[Rows]:  # noqa: ARG001 one copy serves reads and writes
        yield rows

    return MemoryStore(rows=session), watched


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("after", [None, "r000005"])
async def test_page_costs_the_page_and_not_the_table(after: str | None, *, newest_first: bool) -> None:
    read = []
    for count in (10, 20_000):
        store, watched = _watched(count)
        await store.page(FACTS, "p", limit=3, after=after, newest_first=newest_first)
        read.append(watched.looked_up)
    assert read == [4, 4]  # the page, and one row to know whether there are more


async def test_scan_costs_the_page_and_not_the_table() -> None:
    store, watched = _watched(20_000)
    page = await store.scan(FACTS, limit=3)
    await store.scan(FACTS, limit=3, after=page.after)
    assert watched.looked_up == 8


@pytest.mark.parametrize("after", ["junk", "", "[]", "[1, 2]", '["a"]', '{"a": 1}', "null"])
async def test_scan_refuses_a_cursor_of_another_form(after: str) -> None:
    """A scan raises InvalidKey for a text that is no cursor."""
    with pytest.raises(InvalidKey):
        await MemoryStore().scan(FACTS, after=after)


async def test_verbs_yield_before_they_act() -> None:
    """Every verb yields before it acts, so the state may change between its call and its action."""
    paused = 0

    async def pause() -> None:
        nonlocal paused
        paused += 1

    store = MemoryStore(pause=pause)
    calls: list[Any] = [
        store.get(FACTS, Key("p")),
        store.add(FACTS, Key("p"), {}),
        store.extend(FACTS, Key("p"), "a", 1),
        store.put(REGISTERS, Key("p"), {}),
        store.claim(CHANGING, Key("p"), {}),
        store.delete(FACTS, Key("p")),
        store.page(FACTS, "p"),
        store.increment("c"),
        store.counters("c"),
        store.scan(FACTS),
        store.verify(TABLES),
        store.erase(FACTS, "p"),
        store.drop(["c"]),
    ]
    for call in calls:
        await call
    assert paused == len(calls)
    await store.update(CHANGING, Key("p"), counting)
    assert paused == len(calls) + 2  # before it reads, and before it writes


async def test_update_starts_again_when_another_came_between() -> None:
    """The change is called again with the other writer's row."""
    seen: list[Any] = []

    def change(document: Any) -> Any:
        seen.append(document)
        return counting(document)

    store = MemoryStore()
    await outcomes([store.update(CHANGING, Key("p"), counting), store.update(CHANGING, Key("p"), change)])
    assert await store.get(CHANGING, Key("p")) == {"n": 2}
    assert seen == [None, {"n": 1}]


async def test_update_starts_again_when_the_row_was_deleted() -> None:
    """A change is called again when the row is deleted meanwhile."""
    store = MemoryStore()
    await store.claim(CHANGING, Key("p"), {"n": 7})
    _, raised = await outcomes([store.update(CHANGING, Key("p"), gone), store.update(CHANGING, Key("p"), counting)])
    assert raised == []
    assert await store.get(CHANGING, Key("p")) == {"n": 1}


async def test_stores_share_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    await one.add(FACTS, Key("p"), {})
    await one.increment("c")
    assert await other.get(FACTS, Key("p")) is None
    assert await other.counters("c") == {}


async def test_increment_forgets_ended_neighbours() -> None:
    """Ended counters are dropped when their successors are counted."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    for day in range(100):
        await store.increment(f"calls:u:{clock.at:%Y-%m-%d}", ends_at=clock.at + timedelta(days=1))
        clock.advance(timedelta(days=1, seconds=1))
        assert len(await store.counters("calls:")) <= 2, f"day {day}"


async def test_increment_keeps_neighbours_that_have_not_ended() -> None:
    """Counters before their end and without one are kept."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    await store.increment("calls:a", ends_at=NOON + timedelta(days=2))
    await store.increment("calls:b")
    clock.advance(timedelta(days=1))
    await store.increment("calls:c", ends_at=NOON + timedelta(days=3))
    assert list(await store.counters("calls:")) == ["calls:a", "calls:b", "calls:c"]
