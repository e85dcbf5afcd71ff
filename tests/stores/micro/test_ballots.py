"""Changing rows under concurrent writers and waiters."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.core.concurrency import gather_settled
from shared.stores.micro.ballots import STALE_S, SWEEPING_S
from shared.stores.micro.store import MicroStore
from shared.stores.port import AlreadyExists, Document, Key, StoreUnavailable, Table
from tests.fakes.micro_store_world import CHANGING, FACTS, micro_store_world
from tests.fakes.standin_network import FAILED, HANGS, LOST, REFUSED, Fault, always, nth, slow
from tests.fakes.standin_steps import AtOnce, Moment, Step

pytestmark = pytest.mark.anyio

ROW = Key("p", "row")
INCREMENT = "POST /api/cache/:key/increment"


class Meanwhile(AtOnce):
    """A schedule that runs an action before the `number`th request of this sender and route."""

    def __init__(self, sender: str, route: str, number: int) -> None:
        self.first: Callable[[], Awaitable[object]] | None = None
        self._of = (sender, route)
        self._left = number

    async def pause(self, step: Step) -> None:
        if self.first is None or step.moment is not Moment.ARRIVES or (step.seen.sender, step.seen.route) != self._of:
            return
        self._left -= 1
        if self._left == 0:
            await self.first()


def appended(token: str) -> Callable[[Document | None], Document]:
    return lambda row: {"log": [*(row or {"log": []})["log"], token]}


def emptied(row: Document | None) -> Document:
    """Return the row's log with one more entry, and without the row's other fields."""
    assert row is not None
    return {"log": [*row["log"], "emptied"]}


async def test_update_refuses_by_a_read_made_while_it_waited() -> None:
    """An update may refuse by a read that began while it waited for its turn."""
    async with micro_store_world() as world:
        container = await world.container()
        won: list[int] = []

        async def claim(number: int) -> None:
            try:
                await container.store.claim(CHANGING, ROW, {"by": number})
                won.append(number)
            except AlreadyExists:
                pass

        with world.recorder.measure() as cost:
            await gather_settled(*(claim(number) for number in range(25)))
        assert len(won) == 1
        assert cost.requests <= 6


async def test_update_gives_up_when_it_may_have_left_the_trail() -> None:
    """A change that may have left the trail is not made twice."""
    meanwhile = Meanwhile("c1", "POST /api/dbs/:db/query", 2)
    async with micro_store_world(schedule=meanwhile) as world:
        one, other = await world.container(timeout_s=60), await world.container()
        await other.store.claim(CHANGING, ROW, {"log": []})
        one.network.faults = nth(1, LOST, route="POST /api/dbs/:db/docs")

        async def seventy() -> None:
            other.clock.advance(STALE_S)
            for number in range(70):
                await other.store.update(CHANGING, ROW, appended(f"other {number}"))

        meanwhile.first = seventy
        with pytest.raises(StoreUnavailable):
            await one.store.update(CHANGING, ROW, appended("one"))
        row = await one.store.get(CHANGING, ROW)
        assert row is not None
        assert (len(row["log"]), row["log"].count("one")) == (71, 1)


async def test_update_sees_an_extension_set_during_the_last_one() -> None:
    """An update reads an extension that this store set during the previous update."""
    meanwhile = Meanwhile("c1", INCREMENT, 1)
    async with micro_store_world(schedule=meanwhile) as world:
        container = await world.container()
        await container.store.claim(CHANGING, ROW, {"log": []})
        meanwhile.first = lambda: container.store.extend(CHANGING, ROW, "field", 1)
        await container.store.update(CHANGING, ROW, appended("one"))
        await container.store.update(CHANGING, ROW, emptied)
        assert await container.store.get(CHANGING, ROW) == {"log": ["one", "emptied"]}


async def test_update_sees_another_stores_extension_in_a_second() -> None:
    """Successive updates read another store's extension within a second."""
    async with micro_store_world() as world:
        one, other = await world.container(), await world.container()
        await one.store.claim(CHANGING, ROW, {"log": []})
        await other.store.extend(CHANGING, ROW, "field", 1)
        for number in range(3):
            one.clock.advance(0.6)
            await one.store.update(CHANGING, ROW, appended(str(number)))
        await one.store.update(CHANGING, ROW, emptied)
        assert await one.store.get(CHANGING, ROW) == {"log": ["0", "1", "2", "emptied"]}


async def test_update_folds_what_its_long_read_has_missed() -> None:
    """A row of 1,000 documents is read by two requests: an extension written and folded in between stays folded."""
    meanwhile = Meanwhile("c1", "POST /api/dbs/:db/query", 2)
    async with micro_store_world(schedule=meanwhile) as world:
        one, other = await world.container(), await world.container()
        await other.store.claim(CHANGING, ROW, {"log": []})
        for number in range(1000):
            await other.client.create("users", f"rows!p!row!g{number:032x}", {})

        async def folded() -> None:
            await other.store.extend(CHANGING, ROW, "late", 1)
            await other.store.update(CHANGING, ROW, emptied)

        meanwhile.first = folded
        await one.store.update(CHANGING, ROW, appended("one"))
        assert await one.store.get(CHANGING, ROW) == {"log": ["emptied", "one"]}


async def test_update_succeeds_when_answers_take_over_a_second() -> None:
    """A row can be claimed and changed while each answer takes more than a second."""
    async with micro_store_world() as world:
        container = await world.container()
        store = MicroStore(container.client, sleep=container.clock.sleep)
        container.network.faults = always(slow(1.3))
        await store.claim(CHANGING, ROW, {"log": []})
        container.clock.advance(2)
        assert (await store.update(CHANGING, ROW, appended("one"))).after == {"log": ["one"]}


async def test_get_answers_what_is_decided_when_a_draft_stays() -> None:
    """A dead writer's draft that cannot be finished now hides nothing: the version decided before it counts."""
    async with micro_store_world() as world:
        container = await world.container()
        await container.store.claim(CHANGING, ROW, {"log": []})
        draft = {"final": False, "doc": '{"log":["late"]}', "at": "0" * 32, "trail": [1, 2]}
        await container.client.create("users", "rows!p!row!v000000000002", draft)
        container.network.faults = lambda seen: REFUSED if seen.route == INCREMENT else None
        assert await container.store.get(CHANGING, ROW) == {"log": []}


async def test_update_builds_on_no_row_that_was_taken_back() -> None:
    """A row that this store read and then took back is absent for its next change."""
    async with micro_store_world() as world:
        store = (await world.container()).store
        await store.add(CHANGING, ROW, {"log": ["taken back"]})
        await store.get(CHANGING, ROW)
        await store.take_back(CHANGING, ROW)
        assert (await store.update(CHANGING, ROW, appended("new"))).after == {"log": ["new"]}


@pytest.mark.parametrize("table", [FACTS, CHANGING])
async def test_extension_of_an_absent_row_is_not_the_next_ones(table: Table) -> None:
    """An extension of an absent row has no effect, also after this store has added the row."""
    async with micro_store_world() as world:
        one, other = await world.container(), await world.container()
        await one.store.extend(table, ROW, "revoked_at", "now")
        await one.store.add(table, ROW, {"a": 1})
        for container in (one, other):
            assert await container.store.get(table, ROW) == {"a": 1}
            assert [row.document for row in (await container.store.page(table, "p")).rows] == [{"a": 1}]


@pytest.mark.parametrize("fault", [HANGS, FAILED, REFUSED], ids=["hangs", "fails", "is refused"])
async def test_sweeping_holds_no_change(fault: Fault) -> None:
    """Deleting replaced versions may fail, and delays the next change by at most a second."""
    async with micro_store_world() as world:
        container = await world.container()
        for token in ("one", "two"):
            await container.store.update(CHANGING, ROW, appended(token))
        container.network.faults = lambda seen: fault if seen.method == "DELETE" else None
        began = container.clock.monotonic()
        assert (await container.store.update(CHANGING, ROW, appended("three"))).after == {
            "log": ["one", "two", "three"]
        }
        assert container.clock.monotonic() - began <= SWEEPING_S


async def test_update_whose_turn_comes_too_late_is_an_outage() -> None:
    """An update that waits for another one of its process ends by its own time, and changes nothing."""
    meanwhile = Meanwhile("c1", INCREMENT, 1)
    async with micro_store_world(schedule=meanwhile) as world:
        container = await world.container()
        left = iter([8.0, 0.01, 8.0])
        store = MicroStore(container.client, sleep=container.clock.sleep, time_left_s=lambda: next(left))

        late = list[object]()

        async def too_late() -> None:
            update = asyncio.wait_for(store.update(CHANGING, ROW, appended("late")), 5)
            late.extend(await asyncio.gather(update, return_exceptions=True))

        meanwhile.first = too_late
        await store.update(CHANGING, ROW, appended("one"))
        assert isinstance(late[0], StoreUnavailable)
        assert "took all the time" in str(late[0])
        assert await store.get(CHANGING, ROW) == {"log": ["one"]}
