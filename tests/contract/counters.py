"""The contract of increment, counters and drop."""

import asyncio

import pytest

from shared.stores.port import (
    STEP,
    InvalidKey,
    Key,
    Store,
)
from tests.contract.cases import (
    CHANGING,
    FACTS,
    PLAIN_RACE,
    RACERS,
    counting,
    counting_a,
    race,
)


@pytest.mark.anyio
class CountersContract:
    counters_of_several_reads = 1001
    """A number of counters that takes the adapter several reads."""

    @pytest.mark.parametrize("name", ["", ".", "..", ".a", "a/b", "a b", "a\n", "é", "a!", ":a", "x" * 257])
    async def test_increment_refuses_a_name_of_another_form(self, store: Store, name: str) -> None:
        """`increment` and `counters` raise InvalidKey."""
        with pytest.raises(InvalidKey):
            await store.increment(name)
        with pytest.raises(InvalidKey):
            await store.counters(name)

    async def test_increment_returns_the_value(self, store: Store, prefix: str) -> None:
        assert [await store.increment(f"{prefix}:c", by) for by in (1, 5, -2, 0, -10)] == [1, 6, 4, 4, -6]
        assert await store.increment(f"{prefix}:c") == -5

    async def test_increment_refuses_a_step_that_would_be_rounded(self, store: Store, prefix: str) -> None:
        """A step beyond 2**53 raises ValueError and is not counted; 2**53 is exact."""
        for by in (STEP, -STEP):
            assert await store.increment(f"{prefix}:{by}", by) == by
        for by in (STEP + 1, -STEP - 1, 10**40):
            with pytest.raises(ValueError, match="beyond"):
                await store.increment(f"{prefix}:{by}", by)
        assert await store.counters(f"{prefix}:") == {f"{prefix}:{by}": by for by in (-STEP, STEP)}

    @PLAIN_RACE
    async def test_increment_returns_each_value_once_when_raced(self, store: Store, prefix: str, seed: int) -> None:
        """200 concurrent increments return each of 1 to 200 once."""
        values, raised = await race(seed, *(store.increment(f"{prefix}:c") for _ in range(200)))
        assert raised == []
        assert sorted(values) == list(range(1, 201))
        assert await store.counters(f"{prefix}:c") == {f"{prefix}:c": 200}

    async def test_counters_are_in_the_order_of_their_names(self, store: Store, prefix: str) -> None:
        names = [f"{prefix}:{name}" for name in ("b", "a", "c", "aa", "a-", "a:", "B", "0")]
        for number, name in enumerate(names):
            await store.increment(name, number)
        found = await store.counters(f"{prefix}:")
        assert list(found) == sorted(names)
        assert found == {name: number for number, name in enumerate(names)}

    async def test_counters_match_the_exact_prefix(self, store: Store, prefix: str) -> None:
        """A prefix matches exactly the names that begin with it, colons included."""
        for name in ("a", "a:", "a:b", "a:b:c", "ab", "a-b", "A:b", "b:a:b"):
            await store.increment(f"{prefix}:{name}")
        found = {
            part: [name.removeprefix(f"{prefix}:") for name in await store.counters(f"{prefix}:{part}")]
            for part in ("a", "a:", "a:b", "a:b:", "c")
        }
        assert found == {
            "a": ["a", "a-b", "a:", "a:b", "a:b:c", "ab"],
            "a:": ["a:", "a:b", "a:b:c"],
            "a:b": ["a:b", "a:b:c"],
            "a:b:": ["a:b:c"],
            "c": [],
        }

    async def test_counters_returns_more_than_one_read_finds(self, store: Store, prefix: str) -> None:
        names = [f"{prefix}:{number:04}" for number in range(self.counters_of_several_reads)]
        for start in range(0, len(names), RACERS):
            await asyncio.gather(*(store.increment(name) for name in names[start : start + RACERS]))
        assert await store.counters(f"{prefix}:") == dict.fromkeys(names, 1)

    async def test_counters_are_apart_from_rows_of_the_same_name(self, store: Store, prefix: str) -> None:
        await store.increment(prefix)
        assert await store.get(FACTS, Key(prefix)) is None
        await store.claim(CHANGING, Key(prefix), {"a": 1})
        await store.update(CHANGING, Key(prefix), counting_a)
        assert await store.counters(prefix) == {prefix: 1}

    async def test_drop_forgets_the_counters_named(self, store: Store, prefix: str) -> None:
        """Dropped counters are in no read and count from 0 again; all other counters stay. It can be repeated."""
        names = [f"{prefix}:{number:02}" for number in range(60)]
        for name in [*names, f"{prefix}:kept", f"{prefix}other:00"]:
            await store.increment(name, 2)
        for _ in range(2):
            await store.drop([*names, names[0], f"{prefix}:absent"])
        assert await store.counters(f"{prefix}:") == {f"{prefix}:kept": 2}
        assert await store.counters(f"{prefix}other:") == {f"{prefix}other:00": 2}
        assert await store.increment(names[0]) == 1
        await store.drop([])

    async def test_drop_refuses_a_name_of_another_form(self, store: Store, prefix: str) -> None:
        """A counter's name of another form raises InvalidKey, and no counter is dropped."""
        await store.increment(f"{prefix}:kept")
        with pytest.raises(InvalidKey):
            await store.drop([f"{prefix}:kept", "a/b"])
        assert await store.counters(prefix) == {f"{prefix}:kept": 1}

    async def test_drop_leaves_rows_of_the_same_name(self, store: Store, prefix: str) -> None:
        """Dropping a counter does not affect a row of its name, which can be changed as before."""
        await store.update(CHANGING, Key(prefix), counting)
        await store.drop([prefix])
        assert (await store.update(CHANGING, Key(prefix), counting)).after == {"n": 2}
