"""The contract of reserve."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import pytest

from shared.stores.port import Bound, InvalidKey, Store
from tests.support import Refused, one_quickly, outcomes, seeded

MONTH: Final = "calls:2026-03"
DAY: Final = "calls:2026-03-02"
ENDS_AT: Final = datetime(2099, 1, 1, tzinfo=UTC)

PLAIN_RACE: Final = pytest.mark.parametrize("seed", one_quickly(0, 1, 2))


def bounds(prefix: str, *, day: int | None, month: int | None, by: int = 1) -> Sequence[Bound]:
    return [
        Bound(counter=f"{prefix}:{DAY}", by=by, most=day, ends_at=ENDS_AT),
        Bound(counter=f"{prefix}:{MONTH}", by=by, most=month, ends_at=ENDS_AT),
    ]


async def counts(store: Store, prefix: str) -> list[int]:
    found = await store.counters(f"{prefix}:{MONTH}")
    return [found.get(f"{prefix}:{name}", 0) for name in (DAY, MONTH)]


class ReserveContract:
    async def test_reserve_adds_to_each_counter_its_own_number(self, store: Store, prefix: str) -> None:
        """Each counter grows by its own number, and the new values are returned."""
        await store.increment(f"{prefix}:{MONTH}", 10)
        given = [Bound(counter=f"{prefix}:{DAY}", by=2, most=2), Bound(counter=f"{prefix}:{MONTH}", by=3)]
        reserved = await store.reserve(given)
        assert reserved.refused == ()
        assert reserved.values == {f"{prefix}:{DAY}": 2, f"{prefix}:{MONTH}": 13}
        assert await counts(store, prefix) == [2, 13]

    @pytest.mark.parametrize(("day", "month", "refused"), [(0, 9, DAY), (9, 0, MONTH), (1, 0, MONTH)])
    async def test_reserve_adds_to_none_when_one_would_pass_its_bound(
        self, store: Store, prefix: str, day: int, month: int, refused: str
    ) -> None:
        """If any sum would pass its bound, no counter changes, and the counter is named."""
        reserved = await store.reserve(bounds(prefix, day=day, month=month))
        assert reserved.refused == (f"{prefix}:{refused}",)
        assert reserved.values[f"{prefix}:{refused}"] == 0
        assert await counts(store, prefix) == [0, 0]

    async def test_reserve_is_refused_when_the_number_is_above_the_bound(self, store: Store, prefix: str) -> None:
        """A number that no empty counter could take is refused."""
        assert (await store.reserve(bounds(prefix, day=4, month=4, by=5))).refused != ()
        assert await counts(store, prefix) == [0, 0]

    @PLAIN_RACE
    async def test_reserve_lets_exactly_the_bound_through(self, store: Store, prefix: str, seed: int) -> None:
        """Exactly as many concurrent reservations succeed as the tightest bound has room for, whichever it is."""
        for name, (day, month, room) in {"d": (5, 20, 5), "m": (20, 5, 5), "b": (5, 5, 5)}.items():
            owner = f"{prefix}{name}"
            racers = [store.reserve(bounds(owner, day=day, month=month)) for _ in range(40)]
            reserved, raised = await outcomes(seeded(seed).sample(racers, len(racers)))
            assert raised == []
            assert sum(each.refused == () for each in reserved) == room
            assert await counts(store, owner) == [room, room]

    async def test_reserve_awaits_a_bound(self, store: Store, prefix: str) -> None:
        """A bound may be an awaitable; several may share it."""
        limit: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        given = [Bound(counter=f"{prefix}:{name}", most=limit) for name in (DAY, MONTH)]
        reserving = asyncio.ensure_future(store.reserve(given))
        await asyncio.sleep(0)
        limit.set_result(1)
        assert (await reserving).refused == ()
        assert (await store.reserve(given)).refused != ()
        assert await counts(store, prefix) == [1, 1]

    async def test_reserve_adds_nothing_when_a_bound_raises(self, store: Store, prefix: str) -> None:
        """The exception of an awaited bound propagates, and neither counter stays raised."""

        async def refusing() -> int | None:
            raise Refused

        with pytest.raises(Refused):
            await store.reserve([Bound(counter=f"{prefix}:{DAY}", most=refusing()), Bound(counter=f"{prefix}:{MONTH}")])
        assert await counts(store, prefix) == [0, 0]

    async def test_reserve_gives_places_back(self, store: Store, prefix: str) -> None:
        """A negative number gives reserved places back, and makes room for other reservations."""
        await store.reserve(bounds(prefix, day=1, month=1))
        assert (await store.reserve(bounds(prefix, day=1, month=1))).refused != ()
        assert (await store.reserve(bounds(prefix, day=None, month=None, by=-1))).refused == ()
        assert await counts(store, prefix) == [0, 0]
        assert (await store.reserve(bounds(prefix, day=1, month=1))).refused == ()

    async def test_reserve_counts_a_name_without_a_month(self, store: Store, prefix: str) -> None:
        """Any single counter can be reserved, also one in no window."""
        assert (await store.reserve([Bound(counter=f"{prefix}:uses", most=1)])).refused == ()
        assert (await store.reserve([Bound(counter=f"{prefix}:uses", most=1)])).refused == (f"{prefix}:uses",)
        assert await store.counters(f"{prefix}:") == {f"{prefix}:uses": 1}

    async def test_reserve_and_increment_count_the_same(self, store: Store, prefix: str) -> None:
        """The counter of a day is one, whichever verb counts it, and a range of names finds it."""
        await store.increment(f"{prefix}:{DAY}", ends_at=ENDS_AT)
        await store.reserve(bounds(prefix, day=9, month=9))
        await store.increment(f"{prefix}:{DAY}")
        assert await counts(store, prefix) == [3, 1]
        assert await store.counters(f"{prefix}:{DAY}") == {f"{prefix}:{DAY}": 3}

    @pytest.mark.parametrize("names", [("c:2026-03", "c:2026-04"), ("a", "b"), ("c:2026-03", "c:2026-03"), ()])
    async def test_reserve_refuses_counters_of_several_months(
        self, store: Store, prefix: str, names: Sequence[str]
    ) -> None:
        """Different counters can be reserved together only within one month."""
        with pytest.raises(ValueError, match="month"):
            await store.reserve([Bound(counter=f"{prefix}:{name}") for name in names])
        assert await store.counters(f"{prefix}:") == {}

    async def test_reserve_refuses_what_no_store_can_address(self, store: Store) -> None:
        """A counter's name is checked as `increment` checks it."""
        with pytest.raises(InvalidKey):
            await store.reserve([Bound(counter="a/b")])
