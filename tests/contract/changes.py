"""The contract of claim, update and delete."""

import pytest

from shared.stores.port import (
    AlreadyExists,
    Document,
    Key,
    Store,
    Table,
)
from tests.contract.cases import (
    CHANGING,
    FACTS,
    PLAIN_RACE,
    RACERS,
    REGISTERS,
    TABLES,
    appending,
    counting,
    gone,
    race,
    unchanged,
)
from tests.support import Refused, refuse


@pytest.mark.anyio
class ChangesContract:
    async def test_update_keeps_extensions_that_it_returns(self, store: Store, prefix: str) -> None:
        """A change gets the row with its extensions, and keeps those it returns."""
        await store.add(CHANGING, Key(prefix), {"n": 0})
        await store.extend(CHANGING, Key(prefix), "more", 1)
        assert (await store.update(CHANGING, Key(prefix), counting)).after == {"n": 1, "more": 1}
        assert await store.get(CHANGING, Key(prefix)) == {"n": 1, "more": 1}

    async def test_update_drops_extensions_that_it_leaves_out(self, store: Store, prefix: str) -> None:
        await store.add(CHANGING, Key(prefix), {"n": 0})
        await store.extend(CHANGING, Key(prefix), "more", 1)
        assert (await store.update(CHANGING, Key(prefix), lambda _: {"n": 1})).after == {"n": 1}
        assert await store.get(CHANGING, Key(prefix)) == {"n": 1}

    @PLAIN_RACE
    async def test_update_loses_no_extension_when_raced(self, store: Store, prefix: str, seed: int) -> None:
        """Extensions that race with updates are all in the row, and so are the updates."""
        await store.add(CHANGING, Key(prefix), {"n": 0})
        extensions = [store.extend(CHANGING, Key(prefix), f"more_{n}", n) for n in range(3)]
        _, raised = await race(
            seed, *(store.update(CHANGING, Key(prefix), counting) for _ in range(RACERS - len(extensions))), *extensions
        )
        assert raised == []
        row = await store.get(CHANGING, Key(prefix))
        assert row == {"n": RACERS - len(extensions), "more_0": 0, "more_1": 1, "more_2": 2}

    @PLAIN_RACE
    async def test_claim_has_one_winner_when_raced(self, store: Store, prefix: str, seed: int) -> None:
        """All other claims raise AlreadyExists, and the row is the winner's."""

        async def claim(by: int) -> int:
            await store.claim(CHANGING, Key(prefix), {"by": by})
            return by

        won, lost = await race(seed, *(claim(number) for number in range(RACERS)))
        assert (len(won), {type(error) for error in lost}, len(lost)) == (1, {AlreadyExists}, RACERS - 1)
        assert await store.get(CHANGING, Key(prefix)) == {"by": won[0]}

    @pytest.mark.parametrize(("first", "second"), [({"by": 1}, {"by": 2}), ({"by": 1}, {"by": 1}), ({}, {})])
    async def test_claim_refuses_a_taken_key(
        self, store: Store, prefix: str, first: Document, second: Document
    ) -> None:
        """The first document stays. A second one that equals it is refused too."""
        await store.claim(CHANGING, Key(prefix), first)
        with pytest.raises(AlreadyExists):
            await store.claim(CHANGING, Key(prefix), second)
        assert await store.get(CHANGING, Key(prefix)) == first

    async def test_claim_succeeds_after_a_delete(self, store: Store, prefix: str) -> None:
        for by in range(3):
            await store.claim(CHANGING, Key(prefix), {"by": by})
            assert await store.get(CHANGING, Key(prefix)) == {"by": by}
            await store.delete(CHANGING, Key(prefix))

    async def test_claim_succeeds_after_an_update_deleted_the_row(self, store: Store, prefix: str) -> None:
        await store.claim(CHANGING, Key(prefix), {"by": 1})
        await store.update(CHANGING, Key(prefix), gone)
        await store.claim(CHANGING, Key(prefix), {"by": 2})
        assert await store.get(CHANGING, Key(prefix)) == {"by": 2}

    @PLAIN_RACE
    async def test_claim_is_never_held_by_two(self, store: Store, prefix: str, seed: int) -> None:
        """When claims race with deletes by their own winners, the key never has two owners."""
        holders: list[int] = []

        async def hold(by: int) -> None:
            await store.claim(CHANGING, Key(prefix), {"by": by})
            holders.append(by)
            assert holders == [by]
            assert await store.get(CHANGING, Key(prefix)) == {"by": by}
            holders.remove(by)
            await store.delete(CHANGING, Key(prefix))

        returned, raised = await race(seed, *(hold(number) for number in range(RACERS)))
        assert len(returned) >= 1
        assert {type(error) for error in raised} <= {AlreadyExists}
        assert await store.get(CHANGING, Key(prefix)) is None

    @PLAIN_RACE
    async def test_update_loses_no_change_when_raced(self, store: Store, prefix: str, seed: int) -> None:
        await race(seed, *(store.update(CHANGING, Key(prefix), appending(number)) for number in range(RACERS)))
        row = await store.get(CHANGING, Key(prefix))
        assert row is not None
        assert sorted(row["seen"]) == list(range(RACERS))

    @PLAIN_RACE
    async def test_update_returns_its_own_before_and_after_when_raced(
        self, store: Store, prefix: str, seed: int
    ) -> None:
        """Each update returns the row that it changed and the row that it made, also when raced."""
        returned, raised = await race(seed, *(store.update(CHANGING, Key(prefix), counting) for _ in range(RACERS)))
        assert raised == []
        assert sorted(updated.after["n"] for updated in returned) == list(range(1, RACERS + 1))
        for updated in returned:
            assert (updated.before or {"n": 0})["n"] == updated.after["n"] - 1

    async def test_update_creates_an_absent_row(self, store: Store, prefix: str) -> None:
        """The change gets None."""
        seen: list[Document | None] = []

        def change(document: Document | None) -> Document:
            seen.append(document)
            return {"a": 1}

        assert (await store.update(CHANGING, Key(prefix), change)).after == {"a": 1}
        assert await store.get(CHANGING, Key(prefix)) == {"a": 1}
        assert set(map(repr, seen)) == {"None"}

    async def test_update_deletes_a_row(self, store: Store, prefix: str) -> None:
        """A change that returns None deletes the row."""
        await store.claim(CHANGING, Key(prefix, "x"), {"a": 1})
        assert (await store.update(CHANGING, Key(prefix, "x"), gone)).after is None
        assert await store.get(CHANGING, Key(prefix, "x")) is None
        assert (await store.page(CHANGING, prefix)).rows == []

    async def test_update_writes_nothing_when_the_change_raises(self, store: Store, prefix: str) -> None:
        """An existing row is unchanged, and an absent one stays absent."""
        await store.claim(CHANGING, Key(prefix, "x"), {"a": 1})
        with pytest.raises(Refused):
            await store.update(CHANGING, Key(prefix, "x"), refuse)
        with pytest.raises(Refused):
            await store.update(CHANGING, Key(prefix, "absent"), refuse)
        assert [row.document for row in (await store.page(CHANGING, prefix)).rows] == [{"a": 1}]

    async def test_update_writes_nothing_when_refused_after_tampering(self, store: Store, prefix: str) -> None:
        """A change that alters its document and then raises leaves the row unchanged."""
        await store.claim(CHANGING, Key(prefix), {"a": [1]})

        def change(document: Document | None) -> Document | None:
            assert document is not None
            document["a"].append(2)
            return refuse(document)

        with pytest.raises(Refused):
            await store.update(CHANGING, Key(prefix), change)
        assert await store.get(CHANGING, Key(prefix)) == {"a": [1]}

    async def test_update_leaves_a_row_that_the_change_returned(self, store: Store, prefix: str) -> None:
        """A change that returns its argument leaves the row unchanged, and an absent row absent."""
        await store.claim(CHANGING, Key(prefix, "x"), {"a": 1})
        await store.extend(CHANGING, Key(prefix, "x"), "b", 2)
        assert (await store.update(CHANGING, Key(prefix, "x"), unchanged)).after == {"a": 1, "b": 2}
        assert (await store.update(CHANGING, Key(prefix, "absent"), unchanged)).after is None
        page = await store.page(CHANGING, prefix)
        assert [(row.key.sort, row.document) for row in page.rows] == [("x", {"a": 1, "b": 2})]

    @PLAIN_RACE
    async def test_update_holds_a_limit_when_raced(self, store: Store, prefix: str, seed: int) -> None:
        """Any number of racing changes that refuse above 7 leave the row at 7."""

        def change(document: Document | None) -> Document:
            changed = counting(document)
            if changed["n"] > 7:
                raise Refused(document)
            return changed

        returned, raised = await race(seed, *(store.update(CHANGING, Key(prefix), change) for _ in range(RACERS)))
        assert (len(returned), {type(error) for error in raised}) == (7, {Refused})
        assert await store.get(CHANGING, Key(prefix)) == {"n": 7}

    async def test_update_keeps_rows_apart_when_raced(self, store: Store, prefix: str) -> None:
        await race(0, *(store.update(CHANGING, Key(prefix, f"r{n % 5}"), counting) for n in range(RACERS)))
        page = await store.page(CHANGING, prefix)
        assert [row.document for row in page.rows] == [{"n": RACERS // 5}] * 5

    @pytest.mark.parametrize("table", TABLES)
    async def test_delete_removes_a_row(self, store: Store, prefix: str, table: Table) -> None:
        """A deleted row is in no read."""
        await (store.put if table is REGISTERS else store.add)(table, Key(prefix, "x"), {"a": 1})
        await store.delete(table, Key(prefix, "x"))
        assert await store.get(table, Key(prefix, "x")) is None
        assert (await store.page(table, prefix)).rows == []

    @pytest.mark.parametrize("table", TABLES)
    async def test_delete_of_an_absent_row_changes_nothing(self, store: Store, prefix: str, table: Table) -> None:
        await (store.put if table is REGISTERS else store.add)(table, Key(prefix, "x"), {"a": 1})
        await store.delete(table, Key(prefix, "y"))
        await store.delete(table, Key(prefix))
        assert [row.document for row in (await store.page(table, prefix)).rows] == [{"a": 1}]

    async def test_delete_can_be_repeated(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        await store.delete(FACTS, Key(prefix, "x"))
        await store.delete(FACTS, Key(prefix, "x"))
        assert await store.get(FACTS, Key(prefix, "x")) is None

    async def test_delete_holds_when_the_row_is_extended_later(self, store: Store, prefix: str) -> None:
        """A deleted row is not brought back by an extension."""
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        await store.extend(FACTS, Key(prefix, "x"), "b", 1)
        await store.delete(FACTS, Key(prefix, "x"))
        await store.extend(FACTS, Key(prefix, "x"), "c", 1)
        assert await store.get(FACTS, Key(prefix, "x")) is None

    @PLAIN_RACE
    async def test_delete_keeps_later_updates_when_raced(self, store: Store, prefix: str, seed: int) -> None:
        """A delete that races with updates undoes those before it, and no later one.

        Updates count from what they find; the delete makes the next one begin at 1 again.
        """
        updates = 20
        await store.claim(CHANGING, Key(prefix), {"n": 100})
        returned, raised = await race(
            seed,
            *(store.update(CHANGING, Key(prefix), counting) for _ in range(updates)),
            store.delete(CHANGING, Key(prefix)),
        )
        assert raised == []
        counts = sorted(updated.after["n"] for updated in returned if updated is not None)
        before = [n for n in counts if n > 100]
        after = [n for n in counts if n <= 100]
        assert before == list(range(101, 101 + len(before)))
        assert after == list(range(1, 1 + updates - len(before)))
        assert await store.get(CHANGING, Key(prefix)) == ({"n": len(after)} if after else None)
