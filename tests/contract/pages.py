"""The contract of page."""

import json

import pytest

from shared.stores.port import (
    PAGE_BYTES,
    Document,
    Key,
    Row,
    Store,
)
from tests.contract.cases import (
    CHANGING,
    FACTS,
    MOST_PAGES,
    PLAIN_RACE,
    add_numbered,
    counting,
    flip,
    sorts,
    walk,
)
from tests.support import outcomes, seeded


@pytest.mark.anyio
class PagesContract:
    async def test_page_is_in_the_order_of_sort_parts(self, store: Store, prefix: str) -> None:
        """The order is the reverse if the newest are first."""
        names = await add_numbered(store, prefix, 12)
        assert sorts(await store.page(FACTS, prefix)) == names
        assert sorts(await store.page(FACTS, prefix, newest_first=True)) == names[::-1]

    async def test_page_orders_by_character_code(self, store: Store, prefix: str) -> None:
        names = sorted(["a", "a-", "a.", "a0", "aA", "a_", "aa", "B", "-", "_", "0", "b"])
        for name in reversed(names):
            await store.add(FACTS, Key(prefix, name), {})
        assert sorts(await store.page(FACTS, prefix)) == names
        assert [name for name, _ in await walk(store, FACTS, prefix, limit=1)] == names
        assert [name for name, _ in await walk(store, FACTS, prefix, limit=1, newest_first=True)] == names[::-1]

    async def test_page_returns_keys_and_documents(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        assert (await store.page(FACTS, prefix)).rows == [Row(key=Key(prefix, "x"), document={"a": 1})]

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_page_between_includes_low_and_excludes_high(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        await add_numbered(store, prefix, 10)
        page = await store.page(FACTS, prefix, between=("r003", "r007"), newest_first=newest_first)
        assert sorted(sorts(page)) == ["r003", "r004", "r005", "r006"]
        assert page.after is None

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_page_between_takes_ends_that_do_not_exist(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        await add_numbered(store, prefix, 10)
        page = await store.page(FACTS, prefix, between=("r0025", "r0055"), newest_first=newest_first)
        assert sorted(sorts(page)) == ["r003", "r004", "r005"]

    @pytest.mark.parametrize("between", [("r003", "r003"), ("r004", "r002"), ("s", "z"), ("a", "b")])
    async def test_page_is_empty_when_between_is_empty(
        self, store: Store, prefix: str, between: tuple[str, str]
    ) -> None:
        """A range without rows, or with its ends the wrong way round, is an empty page."""
        await add_numbered(store, prefix, 10)
        for newest_first in (False, True):
            page = await store.page(FACTS, prefix, between=between, newest_first=newest_first)
            assert (page.rows, page.after) == ([], None)

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_page_continues_within_between(self, store: Store, prefix: str, *, newest_first: bool) -> None:
        """Pages of a range continue within it and end at its end."""
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
    async def test_page_stays_within_between_when_after_is_outside(
        self, store: Store, prefix: str, *, newest_first: bool, after: str, expected: list[str]
    ) -> None:
        """A cursor outside of a range never widens it."""
        await add_numbered(store, prefix, 10)
        page = await store.page(FACTS, prefix, after=after, newest_first=newest_first, between=("r003", "r005"))
        assert sorts(page) == expected

    async def test_page_has_at_most_limit_rows(self, store: Store, prefix: str) -> None:
        names = await add_numbered(store, prefix, 10)
        assert sorts(await store.page(FACTS, prefix, limit=4)) == names[:4]
        assert sorts(await store.page(FACTS, prefix, limit=4, newest_first=True)) == names[:-5:-1]
        assert sorts(await store.page(FACTS, prefix, limit=1)) == names[:1]

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_page_has_no_cursor_when_it_is_full_and_last(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        await add_numbered(store, prefix, 4)
        first = await store.page(FACTS, prefix, limit=2, newest_first=newest_first)
        second = await store.page(FACTS, prefix, limit=2, newest_first=newest_first, after=first.after)
        assert first.after is not None
        assert (len(second.rows), second.after) == (2, None)

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_page_by_page_visits_every_row_once_in_order(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        """This holds for pages of any size."""
        names = await add_numbered(store, prefix, 23)
        for limit in (1, 5, 22, 23, 24, 1000):
            walked = await walk(store, FACTS, prefix, limit=limit, newest_first=newest_first)
            assert [name for name, _ in walked] == sorted(names, reverse=newest_first)

    @pytest.mark.parametrize("newest_first", [False, True])
    @PLAIN_RACE
    async def test_page_by_page_visits_rows_that_stay_once(
        self, store: Store, prefix: str, seed: int, *, newest_first: bool
    ) -> None:
        """Rows that exist throughout are returned once, even if other rows are added and deleted between pages."""
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
            if after in there:  # delete the cursor's own row too
                await store.delete(FACTS, Key(prefix, after))
                there[after] = False
            for name in random.sample(sorted(there), 8):
                await flip(store, prefix, name, there)
        assert after is None
        assert found == sorted(set(found), reverse=newest_first)
        assert [name for name in found if name in staying] == sorted(staying, reverse=newest_first)

    @pytest.mark.parametrize("newest_first", [False, True])
    @PLAIN_RACE
    async def test_page_by_page_misses_no_row_when_raced(
        self, store: Store, prefix: str, seed: int, *, newest_first: bool
    ) -> None:
        """Readers that page while writers add, change and delete rows miss no row that exists throughout."""
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
    async def test_page_continues_after_a_row_that_never_existed(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        await add_numbered(store, prefix, 6)
        page = await store.page(FACTS, prefix, after="r002x", newest_first=newest_first)
        assert sorts(page) == (["r002", "r001", "r000"] if newest_first else ["r003", "r004", "r005"])

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_page_is_empty_after_the_last_row(self, store: Store, prefix: str, *, newest_first: bool) -> None:
        """The empty page has no cursor."""
        await add_numbered(store, prefix, 3)
        page = await store.page(FACTS, prefix, after="r000" if newest_first else "r002", newest_first=newest_first)
        assert (page.rows, page.after) == ([], None)

    async def test_page_of_an_empty_partition_is_empty(self, store: Store, prefix: str) -> None:
        """The empty page has no cursor."""
        for newest_first in (False, True):
            page = await store.page(FACTS, prefix, newest_first=newest_first)
            assert (page.rows, page.after) == ([], None)

    async def test_page_has_no_row_of_a_similar_partition(self, store: Store, prefix: str) -> None:
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

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_page_ends_before_its_documents_are_too_big(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        """The documents of a page have at most PAGE_BYTES as JSON, and no row is missed."""
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
    async def test_page_has_at_least_one_row_when_rows_are_big(
        self, store: Store, prefix: str, *, newest_first: bool
    ) -> None:
        """The page ends early, and the next one has all other rows."""
        for name in ("a", "b", "c", "d"):
            await store.add(FACTS, Key(prefix, name), {"text": name * 299_000})
        page = await store.page(FACTS, prefix, limit=4, newest_first=newest_first)
        assert 1 <= len(page.rows) <= 3
        rest = await store.page(FACTS, prefix, limit=4, newest_first=newest_first, after=page.after)
        assert sorted(sorts(page) + sorts(rest)) == ["a", "b", "c", "d"]
