"""The contract of scan, scan_counters, erase and verify."""

import pytest

from shared.stores.port import (
    Counter,
    InvalidKey,
    Key,
    Store,
    Table,
)
from tests.contract.cases import (
    CHANGING,
    FACTS,
    REGISTERS,
    TABLES,
    counting,
    scanned,
)


@pytest.mark.anyio
class MaintenanceContract:
    async def test_scan_visits_every_row_once(self, store: Store, prefix: str) -> None:
        """This holds for pages of any size."""
        keys = [Key(f"{prefix}{partition}", sort) for partition in ("a", "a.b", "b") for sort in ("", "x", "y", "x.y")]
        for key in keys:
            await store.add(FACTS, key, {"key": [key.partition, key.sort]})
        for limit in (1, 5, 1000):
            found = await scanned(store, FACTS, prefix, limit=limit)
            assert sorted((key.partition, key.sort) for key, _ in found) == sorted(
                (key.partition, key.sort) for key in keys
            )
            assert all(document == {"key": [key.partition, key.sort]} for key, document in found)

    async def test_scan_returns_rows_as_they_are_now(self, store: Store, prefix: str) -> None:
        """The scan returns a changed row as it is after the change, and no deleted row."""
        for name in ("kept", "changed", "deleted"):
            await store.claim(CHANGING, Key(prefix, name), {"n": 0})
        await store.update(CHANGING, Key(prefix, "changed"), counting)
        await store.delete(CHANGING, Key(prefix, "deleted"))
        found = await scanned(store, CHANGING, prefix, limit=2)
        assert sorted((key.sort, document["n"]) for key, document in found) == [("changed", 1), ("kept", 0)]

    @pytest.mark.parametrize("after", ['["", "x"]', "", "!", "[", "[1, 2]", '["a"]', '{"a": 1}', "a b", "é"])
    async def test_scan_refuses_what_is_no_cursor(self, store: Store, after: str) -> None:
        """A scan raises InvalidKey for a text that is no cursor."""
        with pytest.raises(InvalidKey):
            await store.scan(FACTS, after=after)

    async def test_scan_ends_pages_early_when_rows_are_big(self, store: Store, prefix: str) -> None:
        """No page exceeds its bound, as `scanned` checks, and no row is missed."""
        for name in ("a", "b", "c", "d"):
            await store.add(FACTS, Key(prefix, name), {"text": name * 290_000})
        assert [key.sort for key, _ in sorted(await scanned(store, FACTS, prefix), key=lambda row: row[0].sort)] == [
            "a",
            "b",
            "c",
            "d",
        ]

    async def test_scan_counters_visits_every_counter_once(self, store: Store, prefix: str) -> None:
        """This holds for pages of any size, and no row is among the counters."""
        await store.claim(CHANGING, Key(prefix), {"a": 1})
        for number, name in enumerate(("a", "a:b", "b", "c:d")):
            await store.increment(f"{prefix}:{name}", number)
        for limit in (1, 3, 1000):
            found, after = list[Counter](), None
            while True:
                page = await store.scan_counters(after=after, limit=limit)
                found += [counter for counter in page.rows if counter.name.startswith(prefix)]
                after = page.after
                if after is None:
                    break
            assert sorted((counter.name, counter.value) for counter in found) == [
                (f"{prefix}:a", 0),
                (f"{prefix}:a:b", 1),
                (f"{prefix}:b", 2),
                (f"{prefix}:c:d", 3),
            ]

    async def test_verify_can_be_repeated(self, store: Store, prefix: str) -> None:
        """Rows and counters stay."""
        await store.add(FACTS, Key(prefix), {"a": 1})
        await store.increment(f"{prefix}:c")
        await store.verify(TABLES)
        await store.verify(TABLES)
        assert await store.get(FACTS, Key(prefix)) == {"a": 1}
        assert await store.counters(f"{prefix}:c") == {f"{prefix}:c": 1}

    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)
    async def test_erase_deletes_a_partition(self, store: Store, prefix: str, table: Table) -> None:
        """All rows of a partition are deleted, with their extensions; rows of similar partitions and tables stay."""
        write = store.put if table is REGISTERS else store.add
        names = ["", *(f"r{number:02}" for number in range(60))]
        for name in names:
            await write(table, Key(prefix, name), {"is": name})
        if table is not REGISTERS:
            await store.extend(table, Key(prefix, "r01"), "more", 1)
        for partition in (f"{prefix}x", f"{prefix}.x", f"{prefix}-"):
            await write(table, Key(partition, "r01"), {"is": partition})
        await (store.add if table is REGISTERS else store.put)(
            FACTS if table is REGISTERS else REGISTERS, Key(prefix, "r01"), {"is": "of another table"}
        )
        while not await store.erase(table, prefix):
            pass
        assert await store.erase(table, prefix) is True
        assert (await store.page(table, prefix)).rows == []
        assert [await store.get(table, Key(prefix, name)) for name in names] == [None] * len(names)
        kept = [key.partition for key, _ in await scanned(store, table, prefix)]
        assert sorted(kept) == sorted([f"{prefix}x", f"{prefix}.x", f"{prefix}-"])
        assert await store.get(FACTS if table is REGISTERS else REGISTERS, Key(prefix, "r01")) is not None

    async def test_erase_leaves_keys_free(self, store: Store, prefix: str) -> None:
        """A key whose row was changed, extended and erased can be claimed and changed again, without the extension."""
        await store.claim(CHANGING, Key(prefix), {"n": 7})
        await store.update(CHANGING, Key(prefix), counting)
        await store.extend(CHANGING, Key(prefix), "more", 1)
        assert await store.erase(CHANGING, prefix) is True
        assert await store.get(CHANGING, Key(prefix)) is None
        await store.claim(CHANGING, Key(prefix), {"n": 1})
        assert (await store.update(CHANGING, Key(prefix), counting)).after == {"n": 2}

    async def test_erase_refuses_a_partition_of_another_form(self, store: Store) -> None:
        """A partition of another form raises InvalidKey."""
        for partition in ("", "a/b", "a!b", "."):
            with pytest.raises(InvalidKey):
                await store.erase(FACTS, partition)
