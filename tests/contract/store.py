"""The contract of the store port: what every store passes, unchanged.

An adapter's tests subclass StoreContract and give it a fixture `store`: an opened store that is verified for TABLES.
Every test keeps to partitions and counters that begin with its own `prefix`, so a shared server will do; an adapter
that leaves rows behind overrides `prefix` and cleans up after it. Races begin in an order that `seed` decides; a store
that can seed its schedule too takes `seed` into its fixture `store`.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import pytest

from shared.stores.port import (
    PAGE_BYTES,
    STEP,
    AlreadyExists,
    Counter,
    Document,
    InvalidKey,
    Key,
    Kind,
    Page,
    Row,
    Store,
    Table,
)
from tests.contract.reserving import ReserveContract
from tests.support import Refused, outcomes, refuse, seeded

FACTS: Final = Table(name="contract_facts", kind=Kind.FACTS, database="contract")
CHANGING: Final = Table(name="contract_changing", kind=Kind.CHANGING, database="contract")
REGISTERS: Final = Table(name="contract_registers", kind=Kind.REGISTERS, database="contract")
TABLES: Final = (FACTS, CHANGING, REGISTERS)

RACERS: Final = 50

MOST_PAGES: Final = 10_000
"""A walk that is longer than this has lost its way."""

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"

ODD_VALUES: Final[dict[str, Any]] = {
    "null": None,
    "truth": [True, False],
    "empty": ["", [], {}],
    "text": "naïve ✓ 漢字 \u202e rtl \u2028 \ufeff",
    "astral": "👩‍🚀\U0001d4b3",
    "controls": "\x00\x01\r\n\t\x1f\x7f\x85",
    "syntax": '"quotes" \\ / {} [] \' ; -- <script> %2F ${x}',
    "key with spaces, and ÿ": {"": "an empty name", "a.b": {"$c": [1, [2, [3, {"d": None}]]]}},
    "numbers": [0, -1, 2**31, 2**53 + 1, -(2**64) - 1, 10**30],
    "floats": [0.1, 1e-7, 5e-324, 1.7976931348623157e308, -2.5, 1 / 3, 1.0],
}

PLAIN_RACE: Final = pytest.mark.parametrize("seed", range(3))


def counting(document: Document | None) -> Document:
    return {**(document or {}), "n": (document or {"n": 0})["n"] + 1}


def unchanged(document: Document | None) -> Document | None:
    return document


def gone(_: Document | None) -> None:
    return None


def appending(number: int) -> Callable[[Document | None], Document]:
    return lambda document: {"seen": [*(document or {"seen": []})["seen"], number]}


def sorts(page: Page[Row]) -> list[str]:
    return [row.key.sort for row in page.rows]


async def walk(
    store: Store, table: Table, partition: str, *, limit: int, newest_first: bool = False
) -> list[tuple[str, Document]]:
    """All pages of a partition, one after the other."""
    found: list[tuple[str, Document]] = []
    after: str | None = None
    for _ in range(MOST_PAGES):
        page = await store.page(table, partition, after=after, limit=limit, newest_first=newest_first)
        found += [(row.key.sort, row.document) for row in page.rows]
        after = page.after
        if after is None:
            return found
    raise AssertionError("the pages do not end")


async def add_numbered(store: Store, partition: str, count: int) -> list[str]:
    """Rows `r000`, `r001` … in a random order of writing; returns their sort parts in order."""
    names = [f"r{number:03}" for number in range(count)]
    for name in seeded(count).sample(names, count):
        await store.add(FACTS, Key(partition, name), {"name": name})
    return names


@pytest.mark.anyio
class StoreContract(ReserveContract):
    @pytest.fixture
    def prefix(self) -> str:
        """Begins the names of all partitions and counters of one test, and of no other."""
        return f"t{secrets.token_hex(8)}"

    @pytest.fixture
    def seed(self) -> int:
        return 0

    # get, add

    async def test_get_of_an_absent_row_is_none(self, store: Store, prefix: str) -> None:
        assert [await store.get(table, Key(prefix, "x")) for table in TABLES] == [None, None, None]

    async def test_an_added_row_is_read_as_it_was_written(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        assert await store.get(FACTS, Key(prefix, "x")) == {"a": 1}

    async def test_a_row_needs_no_sort_part(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix), {"a": 1})
        assert await store.get(FACTS, Key(prefix)) == {"a": 1}
        assert sorts(await store.page(FACTS, prefix)) == [""]

    async def test_a_verb_refuses_a_table_of_another_kind(self, store: Store, prefix: str) -> None:
        key = Key(prefix, "x")
        refused = [
            *(verb(REGISTERS, key, {}) for verb in (store.add, store.claim)),
            *(store.take_back(REGISTERS, key), store.extend(REGISTERS, key, "a", 1)),
            *(store.put(table, key, {}) for table in (FACTS, CHANGING)),
            *(store.update(table, key, counting) for table in (FACTS, REGISTERS)),
            store.claim(FACTS, key, {}),
        ]
        for call in refused:
            with pytest.raises(TypeError, match="holds"):
                await call
        assert [await store.get(table, key) for table in TABLES] == [None, None, None]

    async def test_a_row_of_one_table_is_not_in_another(self, store: Store, prefix: str) -> None:
        await store.add(CHANGING, Key(prefix, "x"), {"a": 1})
        assert await store.get(FACTS, Key(prefix, "x")) is None

    async def test_a_document_that_was_read_is_the_callers_own(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"list": [1]})
        for document in (
            await store.get(FACTS, Key(prefix, "x")),
            (await store.page(FACTS, prefix)).rows[0].document,
        ):
            assert document is not None
            document["list"].append(2)
        assert await store.get(FACTS, Key(prefix, "x")) == {"list": [1]}

    async def test_a_document_that_was_written_is_still_the_callers_own(self, store: Store, prefix: str) -> None:
        document: Document = {"list": [1]}
        await store.add(FACTS, Key(prefix, "x"), document)
        document["list"].append(2)
        assert await store.get(FACTS, Key(prefix, "x")) == {"list": [1]}

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    @pytest.mark.parametrize(
        ("first", "second"), [({"first": True}, {"first": False}), ({"a": 1}, {"a": 1}), ({}, {}), ({}, {"a": 1})]
    )
    async def test_adding_under_a_taken_key_is_refused(
        self, store: Store, prefix: str, table: Table, first: Document, second: Document
    ) -> None:
        await store.add(table, Key(prefix, "x"), first)
        with pytest.raises(AlreadyExists):
            await store.add(table, Key(prefix, "x"), second)
        assert await store.get(table, Key(prefix, "x")) == first

    # extend

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_an_extension_sets_one_field(self, store: Store, prefix: str, table: Table) -> None:
        await store.add(table, Key(prefix, "x"), {"a": 1, "b": 2})
        await store.extend(table, Key(prefix, "x"), "b", {"c": [3]})
        await store.extend(table, Key(prefix, "x"), "d", None)
        assert await store.get(table, Key(prefix, "x")) == {"a": 1, "b": {"c": [3]}, "d": None}

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_of_two_extensions_the_later_stands(self, store: Store, prefix: str, table: Table) -> None:
        await store.add(table, Key(prefix, "x"), {"a": 1})
        await store.extend(table, Key(prefix, "x"), "b", "early")
        await store.extend(table, Key(prefix, "x"), "b", "late")
        assert await store.get(table, Key(prefix, "x")) == {"a": 1, "b": "late"}

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_extending_an_absent_row_leaves_it_absent(self, store: Store, prefix: str, table: Table) -> None:
        await store.extend(table, Key(prefix, "x"), "a", 1)
        assert await store.get(table, Key(prefix, "x")) is None
        assert (await store.page(table, prefix)).rows == []

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_a_page_shows_extensions(self, store: Store, prefix: str, table: Table) -> None:
        for name in ("x", "y", "z"):
            await store.add(table, Key(prefix, name), {"name": name})
        await store.extend(table, Key(prefix, "y"), "more", 1)
        page = await store.page(table, prefix, limit=3)
        assert [row.document for row in page.rows] == [{"name": "x"}, {"name": "y", "more": 1}, {"name": "z"}]
        assert page.after is None

    async def test_a_scan_shows_extensions(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        await store.extend(FACTS, Key(prefix, "x"), "b", 2)
        assert await scanned(store, FACTS, prefix) == [(Key(prefix, "x"), {"a": 1, "b": 2})]

    async def test_a_change_sees_extensions_and_keeps_those_it_returns(self, store: Store, prefix: str) -> None:
        await store.add(CHANGING, Key(prefix), {"n": 0})
        await store.extend(CHANGING, Key(prefix), "more", 1)
        assert (await store.update(CHANGING, Key(prefix), counting)).after == {"n": 1, "more": 1}
        assert await store.get(CHANGING, Key(prefix)) == {"n": 1, "more": 1}

    async def test_a_change_drops_the_extensions_that_it_leaves_out(self, store: Store, prefix: str) -> None:
        await store.add(CHANGING, Key(prefix), {"n": 0})
        await store.extend(CHANGING, Key(prefix), "more", 1)
        assert (await store.update(CHANGING, Key(prefix), lambda _: {"n": 1})).after == {"n": 1}
        assert await store.get(CHANGING, Key(prefix)) == {"n": 1}

    @PLAIN_RACE
    async def test_an_extension_is_not_lost_among_updates(self, store: Store, prefix: str, seed: int) -> None:
        await store.add(CHANGING, Key(prefix), {"n": 0})
        extensions = [store.extend(CHANGING, Key(prefix), f"more_{n}", n) for n in range(3)]
        await race(
            seed, *(store.update(CHANGING, Key(prefix), counting) for _ in range(RACERS - len(extensions))), *extensions
        )
        row = await store.get(CHANGING, Key(prefix))
        assert row == {"n": RACERS - len(extensions), "more_0": 0, "more_1": 1, "more_2": 2}

    async def test_a_deleted_row_leaves_no_extension_to_its_successor(self, store: Store, prefix: str) -> None:
        await store.claim(CHANGING, Key(prefix), {"a": 1})
        await store.extend(CHANGING, Key(prefix), "more", 1)
        await store.delete(CHANGING, Key(prefix))
        await store.claim(CHANGING, Key(prefix), {"a": 2})
        assert await store.get(CHANGING, Key(prefix)) == {"a": 2}

    # put

    async def test_a_register_holds_what_was_put_last(self, store: Store, prefix: str) -> None:
        await store.put(REGISTERS, Key(prefix, "x"), {"a": 1, "b": 1})
        await store.put(REGISTERS, Key(prefix, "x"), {"a": 2})
        assert await store.get(REGISTERS, Key(prefix, "x")) == {"a": 2}

    @PLAIN_RACE
    async def test_a_register_raced_by_many_holds_one_of_their_values(
        self, store: Store, prefix: str, seed: int
    ) -> None:
        await race(seed, *(store.put(REGISTERS, Key(prefix, "x"), {"a": n, "b": n}) for n in range(RACERS)))
        row = await store.get(REGISTERS, Key(prefix, "x"))
        assert row in [{"a": n, "b": n} for n in range(RACERS)]

    # claim

    @PLAIN_RACE
    async def test_a_claim_raced_by_many_has_one_winner(self, store: Store, prefix: str, seed: int) -> None:
        async def claim(by: int) -> int:
            await store.claim(CHANGING, Key(prefix), {"by": by})
            return by

        won, lost = await race(seed, *(claim(number) for number in range(RACERS)))
        assert (len(won), {type(error) for error in lost}, len(lost)) == (1, {AlreadyExists}, RACERS - 1)
        assert await store.get(CHANGING, Key(prefix)) == {"by": won[0]}

    @pytest.mark.parametrize(("first", "second"), [({"by": 1}, {"by": 2}), ({"by": 1}, {"by": 1}), ({}, {})])
    async def test_a_claim_of_a_taken_key_is_refused(
        self, store: Store, prefix: str, first: Document, second: Document
    ) -> None:
        await store.claim(CHANGING, Key(prefix), first)
        with pytest.raises(AlreadyExists):
            await store.claim(CHANGING, Key(prefix), second)
        assert await store.get(CHANGING, Key(prefix)) == first

    async def test_a_deleted_row_can_be_claimed_again(self, store: Store, prefix: str) -> None:
        for by in range(3):
            await store.claim(CHANGING, Key(prefix), {"by": by})
            assert await store.get(CHANGING, Key(prefix)) == {"by": by}
            await store.delete(CHANGING, Key(prefix))

    async def test_a_row_that_a_change_deleted_can_be_claimed_again(self, store: Store, prefix: str) -> None:
        await store.claim(CHANGING, Key(prefix), {"by": 1})
        await store.update(CHANGING, Key(prefix), gone)
        await store.claim(CHANGING, Key(prefix), {"by": 2})
        assert await store.get(CHANGING, Key(prefix)) == {"by": 2}

    @PLAIN_RACE
    async def test_every_claim_that_won_was_freed_before_the_next(self, store: Store, prefix: str, seed: int) -> None:
        """Claims race with deletes by their own winners: at no time two hold the key."""
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

    # update

    @PLAIN_RACE
    async def test_updates_raced_by_many_lose_none(self, store: Store, prefix: str, seed: int) -> None:
        await race(seed, *(store.update(CHANGING, Key(prefix), appending(number)) for number in range(RACERS)))
        row = await store.get(CHANGING, Key(prefix))
        assert row is not None
        assert sorted(row["seen"]) == list(range(RACERS))

    @PLAIN_RACE
    async def test_an_update_returns_the_row_that_it_made(self, store: Store, prefix: str, seed: int) -> None:
        returned, raised = await race(seed, *(store.update(CHANGING, Key(prefix), counting) for _ in range(RACERS)))
        assert raised == []
        assert sorted(updated.after["n"] for updated in returned) == list(range(1, RACERS + 1))
        for updated in returned:
            assert (updated.before or {"n": 0})["n"] == updated.after["n"] - 1

    async def test_an_update_creates_a_row(self, store: Store, prefix: str) -> None:
        seen: list[Document | None] = []

        def change(document: Document | None) -> Document:
            seen.append(document)
            return {"a": 1}

        assert (await store.update(CHANGING, Key(prefix), change)).after == {"a": 1}
        assert await store.get(CHANGING, Key(prefix)) == {"a": 1}
        assert set(map(repr, seen)) == {"None"}

    async def test_an_update_deletes_a_row(self, store: Store, prefix: str) -> None:
        await store.claim(CHANGING, Key(prefix, "x"), {"a": 1})
        assert (await store.update(CHANGING, Key(prefix, "x"), gone)).after is None
        assert await store.get(CHANGING, Key(prefix, "x")) is None
        assert (await store.page(CHANGING, prefix)).rows == []

    async def test_a_change_that_refuses_writes_nothing(self, store: Store, prefix: str) -> None:
        await store.claim(CHANGING, Key(prefix, "x"), {"a": 1})
        with pytest.raises(Refused):
            await store.update(CHANGING, Key(prefix, "x"), refuse)
        with pytest.raises(Refused):
            await store.update(CHANGING, Key(prefix, "absent"), refuse)
        assert [row.document for row in (await store.page(CHANGING, prefix)).rows] == [{"a": 1}]

    async def test_a_refusal_after_tampering_writes_nothing(self, store: Store, prefix: str) -> None:
        await store.claim(CHANGING, Key(prefix), {"a": [1]})

        def change(document: Document | None) -> Document | None:
            assert document is not None
            document["a"].append(2)
            return refuse(document)

        with pytest.raises(Refused):
            await store.update(CHANGING, Key(prefix), change)
        assert await store.get(CHANGING, Key(prefix)) == {"a": [1]}

    async def test_an_update_that_changes_nothing_leaves_the_row_as_it_is(self, store: Store, prefix: str) -> None:
        await store.claim(CHANGING, Key(prefix, "x"), {"a": 1})
        await store.extend(CHANGING, Key(prefix, "x"), "b", 2)
        assert (await store.update(CHANGING, Key(prefix, "x"), unchanged)).after == {"a": 1, "b": 2}
        assert (await store.update(CHANGING, Key(prefix, "absent"), unchanged)).after is None
        page = await store.page(CHANGING, prefix)
        assert [(row.key.sort, row.document) for row in page.rows] == [("x", {"a": 1, "b": 2})]

    @PLAIN_RACE
    async def test_a_limit_that_changes_refuse_to_pass_holds(self, store: Store, prefix: str, seed: int) -> None:
        def change(document: Document | None) -> Document:
            changed = counting(document)
            if changed["n"] > 7:
                raise Refused(document)
            return changed

        returned, raised = await race(seed, *(store.update(CHANGING, Key(prefix), change) for _ in range(RACERS)))
        assert (len(returned), {type(error) for error in raised}) == (7, {Refused})
        assert await store.get(CHANGING, Key(prefix)) == {"n": 7}

    async def test_updates_of_different_rows_do_not_mix(self, store: Store, prefix: str) -> None:
        await race(0, *(store.update(CHANGING, Key(prefix, f"r{n % 5}"), counting) for n in range(RACERS)))
        page = await store.page(CHANGING, prefix)
        assert [row.document for row in page.rows] == [{"n": RACERS // 5}] * 5

    # delete

    @pytest.mark.parametrize("table", TABLES)
    async def test_a_deleted_row_is_gone(self, store: Store, prefix: str, table: Table) -> None:
        await (store.put if table is REGISTERS else store.add)(table, Key(prefix, "x"), {"a": 1})
        await store.delete(table, Key(prefix, "x"))
        assert await store.get(table, Key(prefix, "x")) is None
        assert (await store.page(table, prefix)).rows == []

    @pytest.mark.parametrize("table", TABLES)
    async def test_deleting_an_absent_row_changes_nothing(self, store: Store, prefix: str, table: Table) -> None:
        await (store.put if table is REGISTERS else store.add)(table, Key(prefix, "x"), {"a": 1})
        await store.delete(table, Key(prefix, "y"))
        await store.delete(table, Key(prefix))
        assert [row.document for row in (await store.page(table, prefix)).rows] == [{"a": 1}]

    async def test_deleting_twice_is_fine(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        await store.delete(FACTS, Key(prefix, "x"))
        await store.delete(FACTS, Key(prefix, "x"))
        assert await store.get(FACTS, Key(prefix, "x")) is None

    async def test_a_deleted_row_is_not_brought_back_by_an_extension(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        await store.extend(FACTS, Key(prefix, "x"), "b", 1)
        await store.delete(FACTS, Key(prefix, "x"))
        await store.extend(FACTS, Key(prefix, "x"), "c", 1)
        assert await store.get(FACTS, Key(prefix, "x")) is None

    @PLAIN_RACE
    async def test_a_delete_among_updates_forgets_those_before_it_and_no_later_one(
        self, store: Store, prefix: str, seed: int
    ) -> None:
        """Updates count from what they find; the delete makes the next one begin at 1 again."""
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

    # pages

    async def test_a_page_is_in_the_order_of_sort_parts(self, store: Store, prefix: str) -> None:
        names = await add_numbered(store, prefix, 12)
        assert sorts(await store.page(FACTS, prefix)) == names
        assert sorts(await store.page(FACTS, prefix, newest_first=True)) == names[::-1]

    async def test_the_order_is_by_code_of_character(self, store: Store, prefix: str) -> None:
        names = sorted(["a", "a-", "a.", "a0", "aA", "a_", "aa", "B", "-", "_", "0", "b"])
        for name in reversed(names):
            await store.add(FACTS, Key(prefix, name), {})
        assert sorts(await store.page(FACTS, prefix)) == names
        assert [name for name, _ in await walk(store, FACTS, prefix, limit=1)] == names
        assert [name for name, _ in await walk(store, FACTS, prefix, limit=1, newest_first=True)] == names[::-1]

    async def test_a_row_of_a_page_has_its_key_and_document(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        assert (await store.page(FACTS, prefix)).rows == [Row(key=Key(prefix, "x"), document={"a": 1})]

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_between_includes_its_low_end_and_excludes_its_high_end(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        await add_numbered(store, prefix, 10)
        page = await store.page(FACTS, prefix, between=("r003", "r007"), newest_first=newest_first)
        assert sorted(sorts(page)) == ["r003", "r004", "r005", "r006"]
        assert page.after is None

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_between_ends_need_not_exist(self, store: Store, prefix: str, *, newest_first: bool) -> None:
        await add_numbered(store, prefix, 10)
        page = await store.page(FACTS, prefix, between=("r0025", "r0055"), newest_first=newest_first)
        assert sorted(sorts(page)) == ["r003", "r004", "r005"]

    @pytest.mark.parametrize("between", [("r003", "r003"), ("r004", "r002"), ("s", "z"), ("a", "b")])
    async def test_between_ends_with_nothing_in_between_give_nothing(
        self, store: Store, prefix: str, between: tuple[str, str]
    ) -> None:
        await add_numbered(store, prefix, 10)
        for newest_first in (False, True):
            page = await store.page(FACTS, prefix, between=between, newest_first=newest_first)
            assert (page.rows, page.after) == ([], None)

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_a_cursor_continues_within_between(self, store: Store, prefix: str, *, newest_first: bool) -> None:
        await add_numbered(store, prefix, 10)
        found: list[str] = []
        after: str | None = None
        for _ in range(3):
            page = await store.page(
                FACTS, prefix, after=after, limit=2, newest_first=newest_first, between=("r002", "r007")
            )
            found, after = found + sorts(page), page.after
        assert sorted(found) == ["r002", "r003", "r004", "r005", "r006"]
        assert found == sorted(found, reverse=newest_first)
        assert after is None

    @pytest.mark.parametrize(
        ("newest_first", "after", "expected"),
        [
            (False, "r001", ["r003", "r004"]),
            (True, "r001", []),
            (False, "r008", []),
            (True, "r008", ["r004", "r003"]),
        ],
    )
    async def test_a_cursor_from_outside_between_never_widens_it(
        self, store: Store, prefix: str, *, newest_first: bool, after: str, expected: list[str]
    ) -> None:
        await add_numbered(store, prefix, 10)
        page = await store.page(FACTS, prefix, after=after, newest_first=newest_first, between=("r003", "r005"))
        assert sorts(page) == expected

    async def test_a_page_holds_at_most_its_limit(self, store: Store, prefix: str) -> None:
        names = await add_numbered(store, prefix, 10)
        assert sorts(await store.page(FACTS, prefix, limit=4)) == names[:4]
        assert sorts(await store.page(FACTS, prefix, limit=4, newest_first=True)) == names[:-5:-1]
        assert sorts(await store.page(FACTS, prefix, limit=1)) == names[:1]

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_the_last_page_has_no_cursor_even_if_it_is_full(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        await add_numbered(store, prefix, 4)
        first = await store.page(FACTS, prefix, limit=2, newest_first=newest_first)
        second = await store.page(FACTS, prefix, limit=2, newest_first=newest_first, after=first.after)
        assert first.after is not None
        assert (len(second.rows), second.after) == (2, None)

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_walking_by_pages_visits_every_row_once_in_order(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        names = await add_numbered(store, prefix, 23)
        for limit in (1, 5, 22, 23, 24, 1000):
            walked = await walk(store, FACTS, prefix, limit=limit, newest_first=newest_first)
            assert [name for name, _ in walked] == sorted(names, reverse=newest_first)

    @pytest.mark.parametrize("newest_first", [False, True])
    @PLAIN_RACE
    async def test_rows_that_stay_are_neither_skipped_nor_repeated_while_others_come_and_go(
        self, store: Store, prefix: str, seed: int, *, newest_first: bool
    ) -> None:
        random = seeded(seed)
        names = [f"r{number:03}" for number in range(60)]
        staying = set(random.sample(names, 30))
        there = {name: random.random() < 0.5 for name in names if name not in staying}
        for name in [*staying, *(name for name, here in there.items() if here)]:
            await store.add(FACTS, Key(prefix, name), {"name": name})
        found: list[str] = []
        after: str | None = None
        for _ in range(MOST_PAGES):
            page = await store.page(FACTS, prefix, after=after, limit=random.randint(1, 7), newest_first=newest_first)
            assert all(row.document == {"name": row.key.sort} for row in page.rows)
            found, after = found + sorts(page), page.after
            if after is None:
                break
            if after in there:  # the row that the cursor stands on goes too
                await store.delete(FACTS, Key(prefix, after))
                there[after] = False
            for name in random.sample(sorted(there), 8):
                await _flip(store, prefix, name, there)
        assert after is None
        assert found == sorted(set(found), reverse=newest_first)
        assert [name for name in found if name in staying] == sorted(staying, reverse=newest_first)

    @pytest.mark.parametrize("newest_first", [False, True])
    @PLAIN_RACE
    async def test_walks_that_race_with_writers_miss_no_row_that_stays(
        self, store: Store, prefix: str, seed: int, *, newest_first: bool
    ) -> None:
        random = seeded(seed)
        staying = [f"r{number:03}" for number in range(0, 40, 2)]
        for name in staying:
            await store.add(CHANGING, Key(prefix, name), {"n": 0})

        async def come_and_go(name: str) -> list[tuple[str, Document]]:
            await store.claim(CHANGING, Key(prefix, name), {"n": -1})
            await store.update(CHANGING, Key(prefix, random.choice(staying)), counting)
            await store.delete(CHANGING, Key(prefix, name))
            return []

        passing = [come_and_go(f"r{number:03}") for number in range(1, 40, 2)]
        walks = [walk(store, CHANGING, prefix, limit=3, newest_first=newest_first) for _ in range(3)]
        walked, raised = await outcomes([*walks, *passing])
        assert raised == []
        for rows in filter(None, walked):
            found = [name for name, _ in rows]
            assert found == sorted(set(found), reverse=newest_first)
            assert [name for name in found if name in staying] == sorted(staying, reverse=newest_first)

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_a_cursor_may_name_a_row_that_never_was(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        await add_numbered(store, prefix, 6)
        page = await store.page(FACTS, prefix, after="r002x", newest_first=newest_first)
        assert sorts(page) == (["r002", "r001", "r000"] if newest_first else ["r003", "r004", "r005"])

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_behind_the_last_row_there_is_nothing(self, store: Store, prefix: str, *, newest_first: bool) -> None:
        await add_numbered(store, prefix, 3)
        page = await store.page(FACTS, prefix, after="r000" if newest_first else "r002", newest_first=newest_first)
        assert (page.rows, page.after) == ([], None)

    async def test_an_empty_partition_has_one_empty_page(self, store: Store, prefix: str) -> None:
        for newest_first in (False, True):
            page = await store.page(FACTS, prefix, newest_first=newest_first)
            assert (page.rows, page.after) == ([], None)

    async def test_partitions_with_similar_names_do_not_leak_into_one_another(self, store: Store, prefix: str) -> None:
        names = ["a", "a.b", "a-b", "ab", "a_b", "a.", "a-", "A", "a.b.c", "a0"]
        for name in names:
            for sort in ("", "b", "c", "b.c"):
                await store.add(FACTS, Key(f"{prefix}{name}", sort), {"of": name})
        for name in names:
            for newest_first in (False, True):
                page = await store.page(FACTS, f"{prefix}{name}", newest_first=newest_first)
                assert sorted(sorts(page)) == ["", "b", "b.c", "c"]
                assert [row.document for row in page.rows] == [{"of": name}] * 4
                walked = await walk(store, FACTS, f"{prefix}{name}", limit=1, newest_first=newest_first)
                assert [document for _, document in walked] == [{"of": name}] * 4

    # sizes

    async def test_a_document_of_300_kb_is_read_as_it_was_written(self, store: Store, prefix: str) -> None:
        document = {"text": 'é\n"x' * 60_000}
        await store.add(FACTS, Key(prefix, "fact"), document)
        await store.claim(CHANGING, Key(prefix, "row"), document)
        assert (
            await store.update(CHANGING, Key(prefix, "row"), lambda row: {**(row or {}), "n": 1})
        ).after == document | {"n": 1}
        assert await store.get(FACTS, Key(prefix, "fact")) == document
        assert await store.get(CHANGING, Key(prefix, "row")) == document | {"n": 1}

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_a_page_ends_before_its_documents_are_too_big(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        random, sizes = seeded(1), {}
        for number in range(12):
            name, size = f"r{number:03}", random.choice([10, 50_000, 290_000])
            sizes[name] = size
            await store.add(FACTS, Key(prefix, name), {"text": "x" * size})
        found: list[str] = []
        after: str | None = None
        for _ in range(MOST_PAGES):
            page = await store.page(FACTS, prefix, after=after, limit=100, newest_first=newest_first)
            assert page.rows
            assert sum(len(json.dumps(row.document)) for row in page.rows) <= PAGE_BYTES
            found, after = found + sorts(page), page.after
            if after is None:
                break
        assert found == sorted(sizes, reverse=newest_first)
        assert len(found) > 3

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_a_page_of_big_rows_holds_at_least_one(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        for name in ("a", "b", "c", "d"):
            await store.add(FACTS, Key(prefix, name), {"text": name * 299_000})
        page = await store.page(FACTS, prefix, limit=4, newest_first=newest_first)
        assert 1 <= len(page.rows) <= 3
        rest = await store.page(FACTS, prefix, limit=4, newest_first=newest_first, after=page.after)
        assert sorted(sorts(page) + sorts(rest)) == ["a", "b", "c", "d"]

    # keys and values

    async def test_every_character_of_the_alphabet_can_be_in_a_key(self, store: Store, prefix: str) -> None:
        parts = [*(c for c in ALPHABET if c != "."), ALPHABET.replace(".", "") + "..", "a..b."]
        for part in parts:
            await store.add(FACTS, Key(f"{prefix}{part}", part), {"part": part})
            await store.extend(FACTS, Key(f"{prefix}{part}", part), "more", 1)
            await store.increment(f"{prefix}:{part}")
        for part in parts:
            assert await store.get(FACTS, Key(f"{prefix}{part}", part)) == {"part": part, "more": 1}
            assert sorts(await store.page(FACTS, f"{prefix}{part}")) == [part]
        assert list(await store.counters(f"{prefix}:")) == sorted(f"{prefix}:{part}" for part in parts)

    async def test_keys_that_differ_in_case_only_are_two(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "a"), {"is": "a"})
        await store.add(FACTS, Key(prefix, "A"), {"is": "A"})
        assert await store.get(FACTS, Key(prefix, "a")) == {"is": "a"}
        assert await store.get(FACTS, Key(prefix, "A")) == {"is": "A"}

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_key_parts_of_128_characters_work(self, store: Store, prefix: str, table: Table) -> None:
        key = Key(prefix.ljust(128, "x"), prefix.rjust(128, "x"))
        await store.add(table, key, {"a": 1})
        await store.extend(table, key, "b", 2)
        assert await store.get(table, key) == {"a": 1, "b": 2}
        assert (await store.page(table, key.partition)).rows == [Row(key=key, document={"a": 1, "b": 2})]

    @pytest.mark.parametrize(
        "part", [".", "..", ".a", "a/b", "a b", "a:b", "a!b", "a\n", "\n", "\x00", "é", "x" * 129, "%2e", "a\\b", "#"]
    )
    async def test_what_no_store_can_address_is_refused(self, store: Store, prefix: str, part: str) -> None:
        with pytest.raises(InvalidKey):
            Key(part)
        with pytest.raises(InvalidKey):
            Key(prefix, part)
        with pytest.raises(InvalidKey):
            await store.page(FACTS, part)
        with pytest.raises(InvalidKey):
            await store.page(FACTS, prefix, after=part)

    async def test_every_character_of_the_alphabet_can_be_in_a_field(self, store: Store, prefix: str) -> None:
        fields = [*(c for c in ALPHABET if c != "."), "a..b.", "a".ljust(128, "x"), ALPHABET.replace(".", "") + "."]
        await store.add(FACTS, Key(prefix), {})
        for field in fields:
            await store.extend(FACTS, Key(prefix), field, field)
        assert await store.get(FACTS, Key(prefix)) == {field: field for field in fields}

    @pytest.mark.parametrize("field", ["", ".", ".a", "a b", "a!", "#", "a\n", "é", "\x00", "x" * 129, "x" * 70_000])
    async def test_a_field_that_no_store_can_name_is_refused(self, store: Store, prefix: str, field: str) -> None:
        await store.add(FACTS, Key(prefix), {"a": 1})
        for key in (Key(prefix), Key(prefix, "absent")):
            with pytest.raises(InvalidKey):
                await store.extend(FACTS, key, field, 1)
        assert await store.get(FACTS, Key(prefix)) == {"a": 1}

    async def test_an_empty_partition_name_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidKey):
            Key("")
        with pytest.raises(InvalidKey):
            await store.page(FACTS, "")

    @pytest.mark.parametrize("name", ["", ".", "..", ".a", "a/b", "a b", "a\n", "é", "a!", ":a", "x" * 257])
    async def test_a_counter_that_no_store_can_address_is_refused(self, store: Store, name: str) -> None:
        with pytest.raises(InvalidKey):
            await store.increment(name)
        with pytest.raises(InvalidKey):
            await store.counters(name)

    @pytest.mark.parametrize("name", ODD_VALUES)
    async def test_odd_values_are_read_as_they_were_written(self, store: Store, prefix: str, name: str) -> None:
        document = {name: ODD_VALUES[name]}
        await store.add(FACTS, Key(prefix, "fact"), document)
        await store.claim(CHANGING, Key(prefix, "claimed"), document)
        await store.update(CHANGING, Key(prefix, "updated"), lambda _: document)
        await store.put(REGISTERS, Key(prefix, "register"), document)
        await store.add(FACTS, Key(prefix, "extended"), {})
        await store.extend(FACTS, Key(prefix, "extended"), "more", ODD_VALUES[name])
        read = [
            await store.get(FACTS, Key(prefix, "fact")),
            await store.get(CHANGING, Key(prefix, "claimed")),
            await store.get(CHANGING, Key(prefix, "updated")),
            await store.get(REGISTERS, Key(prefix, "register")),
            next(row.document for row in (await store.page(FACTS, prefix)).rows if row.key.sort == "fact"),
        ]
        assert list(map(repr, read)) == [repr(document)] * 5  # as text, 1 is neither 1.0 nor true
        assert repr(await store.get(FACTS, Key(prefix, "extended"))) == repr({"more": ODD_VALUES[name]})

    async def test_an_empty_document_is_not_an_absent_one(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {})
        assert await store.get(FACTS, Key(prefix, "x")) == {}
        assert (await store.update(CHANGING, Key(prefix, "x"), lambda _: {})).after == {}
        assert await store.get(CHANGING, Key(prefix, "x")) == {}

    @pytest.mark.parametrize(
        "value",
        [float("nan"), float("inf"), -float("inf"), "\ud800", "a\udfff", ["deep", {"er": "\udc00"}]],
        ids=["nan", "inf", "-inf", "surrogate", "low surrogate", "nested"],
    )
    async def test_what_json_cannot_hold_is_refused_and_nothing_is_written(
        self, store: Store, prefix: str, value: object
    ) -> None:
        document = {"value": value}
        await store.add(FACTS, Key(prefix, "kept"), {"a": 1})
        await store.claim(CHANGING, Key(prefix, "kept"), {"a": 1})
        attempts: list[Callable[[], Awaitable[object]]] = [
            lambda: store.add(FACTS, Key(prefix, "x"), document),
            lambda: store.extend(FACTS, Key(prefix, "kept"), "value", value),
            lambda: store.claim(CHANGING, Key(prefix, "x"), document),
            lambda: store.update(CHANGING, Key(prefix, "x"), lambda _: document),
            lambda: store.update(CHANGING, Key(prefix, "kept"), lambda _: document),
            lambda: store.put(REGISTERS, Key(prefix, "x"), document),
        ]
        for attempt in attempts:
            with pytest.raises(ValueError):  # noqa: PT011 its text is the encoder's
                await attempt()
        kept = [(await store.page(table, prefix)).rows for table in TABLES]
        assert [[row.document for row in rows] for rows in kept] == [[{"a": 1}], [{"a": 1}], []]

    # counters

    async def test_an_increment_returns_the_counters_value(self, store: Store, prefix: str) -> None:
        assert [await store.increment(f"{prefix}:c", by) for by in (1, 5, -2, 0, -10)] == [1, 6, 4, 4, -6]
        assert await store.increment(f"{prefix}:c") == -5

    async def test_a_step_that_would_be_rounded_is_refused_and_not_counted(self, store: Store, prefix: str) -> None:
        for by in (STEP, -STEP):
            assert await store.increment(f"{prefix}:{by}", by) == by
        for by in (STEP + 1, -STEP - 1, 10**40):
            with pytest.raises(ValueError, match="beyond"):
                await store.increment(f"{prefix}:{by}", by)
        assert await store.counters(f"{prefix}:") == {f"{prefix}:{by}": by for by in (-STEP, STEP)}

    @PLAIN_RACE
    async def test_increments_at_once_each_get_a_value_of_their_own(self, store: Store, prefix: str, seed: int) -> None:
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

    async def test_a_prefix_matches_names_that_begin_with_exactly_it(self, store: Store, prefix: str) -> None:
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

    async def test_many_counters_are_all_found(self, store: Store, prefix: str) -> None:
        names = [f"{prefix}:{number:04}" for number in range(1001)]
        for start in range(0, len(names), RACERS):
            await asyncio.gather(*(store.increment(name) for name in names[start : start + RACERS]))
        assert await store.counters(f"{prefix}:") == dict.fromkeys(names, 1)

    async def test_a_counter_does_not_meet_a_row_of_its_name(self, store: Store, prefix: str) -> None:
        await store.increment(prefix)
        assert await store.get(FACTS, Key(prefix)) is None
        await store.claim(CHANGING, Key(prefix), {"a": 1})
        await store.update(CHANGING, Key(prefix), counting_a)
        assert await store.counters(prefix) == {prefix: 1}

    # maintenance

    async def test_a_scan_visits_every_row_once(self, store: Store, prefix: str) -> None:
        keys = [Key(f"{prefix}{partition}", sort) for partition in ("a", "a.b", "b") for sort in ("", "x", "y", "x.y")]
        for key in keys:
            await store.add(FACTS, key, {"key": [key.partition, key.sort]})
        for limit in (1, 5, 1000):
            found = await scanned(store, FACTS, prefix, limit=limit)
            assert sorted((key.partition, key.sort) for key, _ in found) == sorted(
                (key.partition, key.sort) for key in keys
            )
            assert all(document == {"key": [key.partition, key.sort]} for key, document in found)

    async def test_a_scan_shows_changing_rows_as_they_are_now(self, store: Store, prefix: str) -> None:
        for name in ("kept", "changed", "deleted"):
            await store.claim(CHANGING, Key(prefix, name), {"n": 0})
        await store.update(CHANGING, Key(prefix, "changed"), counting)
        await store.delete(CHANGING, Key(prefix, "deleted"))
        found = await scanned(store, CHANGING, prefix, limit=2)
        assert sorted((key.sort, document["n"]) for key, document in found) == [("changed", 1), ("kept", 0)]

    @pytest.mark.parametrize("after", ["", "!", "[", "[1, 2]", '["a"]', '{"a": 1}', "a b", "é"])
    async def test_a_scan_after_what_is_no_cursor_is_refused(self, store: Store, after: str) -> None:
        with pytest.raises(InvalidKey):
            await store.scan(FACTS, after=after)

    async def test_a_scan_of_big_rows_ends_its_pages_early(self, store: Store, prefix: str) -> None:
        for name in ("a", "b", "c", "d"):
            await store.add(FACTS, Key(prefix, name), {"text": name * 290_000})
        assert [key.sort for key, _ in sorted(await scanned(store, FACTS, prefix), key=lambda row: row[0].sort)] == [
            "a",
            "b",
            "c",
            "d",
        ]

    @pytest.mark.parametrize("table", [FACTS, CHANGING], ids=lambda table: table.kind)
    async def test_what_is_taken_back_was_never_there(self, store: Store, prefix: str, table: Table) -> None:
        for name in ("gone", "kept"):
            await store.add(table, Key(prefix, name), {"is": name})
        await store.take_back(table, Key(prefix, "gone"))
        await store.take_back(table, Key(prefix, "gone"))
        assert await store.get(table, Key(prefix, "gone")) is None
        assert sorts(await store.page(table, prefix)) == ["kept"]
        await store.add(table, Key(prefix, "gone"), {"is": "again"})
        assert await store.get(table, Key(prefix, "gone")) == {"is": "again"}

    async def test_a_scan_of_counters_visits_every_one_once(self, store: Store, prefix: str) -> None:
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

    async def test_verifying_again_changes_nothing(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix), {"a": 1})
        await store.increment(f"{prefix}:c")
        await store.verify(TABLES)
        await store.verify(TABLES)
        assert await store.get(FACTS, Key(prefix)) == {"a": 1}
        assert await store.counters(f"{prefix}:c") == {f"{prefix}:c": 1}


async def race(seed: int, *racers: Awaitable[Any]) -> tuple[list[Any], list[Exception]]:
    """Begin all at once, in the order that the seed decides."""
    random: Random = seeded(seed)
    return await outcomes(random.sample(racers, len(racers)))


async def scanned(store: Store, table: Table, prefix: str, *, limit: int = 1000) -> list[tuple[Key, Document]]:
    """All rows of a table in the partitions of one test."""
    found: list[tuple[Key, Document]] = []
    after: str | None = None
    for _ in range(MOST_PAGES):
        page = await store.scan(table, after=after, limit=limit)
        assert len(page.rows) <= limit
        assert len(page.rows) <= 1 or sum(len(json.dumps(row.document)) for row in page.rows) <= PAGE_BYTES * 1.1
        found += [(row.key, row.document) for row in page.rows if row.key.partition.startswith(prefix)]
        after = page.after
        if after is None:
            return found
    raise AssertionError("the pages do not end")


def counting_a(document: Document | None) -> Document:
    return {"a": (document or {"a": 0})["a"] + 1}


async def _flip(store: Store, partition: str, name: str, there: dict[str, bool]) -> None:
    if there[name]:
        await store.delete(FACTS, Key(partition, name))
    else:
        await store.add(FACTS, Key(partition, name), {"name": name})
    there[name] = not there[name]
