"""The contract of get, add, take_back, extend and put; keys, fields and documents."""

from collections.abc import Awaitable, Callable

import pytest

from shared.stores.port import (
    AlreadyExists,
    Document,
    InvalidKey,
    Key,
    Row,
    Store,
    Table,
)
from tests.contract.cases import (
    ALPHABET,
    CHANGING,
    FACTS,
    ODD_VALUES,
    PLAIN_RACE,
    RACERS,
    REGISTERS,
    TABLES,
    counting,
    race,
    scanned,
    sorts,
)


@pytest.mark.anyio
class RowsContract:
    async def test_get_returns_none_when_the_row_is_absent(self, store: Store, prefix: str) -> None:
        assert [await store.get(table, Key(prefix, "x")) for table in TABLES] == [None, None, None]

    async def test_get_returns_the_added_document(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        assert await store.get(FACTS, Key(prefix, "x")) == {"a": 1}

    async def test_get_returns_a_document_nested_200_deep(self, store: Store, prefix: str) -> None:
        """A document of the maximum depth is read unchanged."""
        inner: object = 1
        for _ in range(199):
            inner = [inner]
        await store.add(FACTS, Key(prefix, "x"), {"a": inner})
        assert await store.get(FACTS, Key(prefix, "x")) == {"a": inner}

    async def test_add_takes_a_key_without_sort_part(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix), {"a": 1})
        assert await store.get(FACTS, Key(prefix)) == {"a": 1}
        assert sorts(await store.page(FACTS, prefix)) == [""]

    async def test_verbs_refuse_a_table_of_another_kind(self, store: Store, prefix: str) -> None:
        """A verb raises TypeError for a table of a kind that it is not for, and writes nothing."""
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

    async def test_get_does_not_find_a_row_of_another_table(self, store: Store, prefix: str) -> None:
        await store.add(CHANGING, Key(prefix, "x"), {"a": 1})
        assert await store.get(FACTS, Key(prefix, "x")) is None

    async def test_get_returns_a_document_of_the_callers_own(self, store: Store, prefix: str) -> None:
        """Changing a document that get or page returned does not change the row."""
        await store.add(FACTS, Key(prefix, "x"), {"list": [1]})
        for document in (
            await store.get(FACTS, Key(prefix, "x")),
            (await store.page(FACTS, prefix)).rows[0].document,
        ):
            assert document is not None
            document["list"].append(2)
        assert await store.get(FACTS, Key(prefix, "x")) == {"list": [1]}

    async def test_add_keeps_no_reference_to_the_document(self, store: Store, prefix: str) -> None:
        """Changing a document after it was added does not change the row."""
        document: Document = {"list": [1]}
        await store.add(FACTS, Key(prefix, "x"), document)
        document["list"].append(2)
        assert await store.get(FACTS, Key(prefix, "x")) == {"list": [1]}

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    @pytest.mark.parametrize(
        ("first", "second"), [({"first": True}, {"first": False}), ({"a": 1}, {"a": 1}), ({}, {}), ({}, {"a": 1})]
    )
    async def test_add_refuses_a_taken_key(
        self, store: Store, prefix: str, table: Table, first: Document, second: Document
    ) -> None:
        """The first document stays. A second one that equals it is refused too."""
        await store.add(table, Key(prefix, "x"), first)
        with pytest.raises(AlreadyExists):
            await store.add(table, Key(prefix, "x"), second)
        assert await store.get(table, Key(prefix, "x")) == first

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_extend_sets_one_field(self, store: Store, prefix: str, table: Table) -> None:
        """The field may be a new one or one of the document. The other fields stay."""
        await store.add(table, Key(prefix, "x"), {"a": 1, "b": 2})
        await store.extend(table, Key(prefix, "x"), "b", {"c": [3]})
        await store.extend(table, Key(prefix, "x"), "d", None)
        assert await store.get(table, Key(prefix, "x")) == {"a": 1, "b": {"c": [3]}, "d": None}

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_extend_replaces_an_earlier_extension(self, store: Store, prefix: str, table: Table) -> None:
        await store.add(table, Key(prefix, "x"), {"a": 1})
        await store.extend(table, Key(prefix, "x"), "b", "early")
        await store.extend(table, Key(prefix, "x"), "b", "late")
        assert await store.get(table, Key(prefix, "x")) == {"a": 1, "b": "late"}

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_extend_leaves_an_absent_row_absent(self, store: Store, prefix: str, table: Table) -> None:
        await store.extend(table, Key(prefix, "x"), "a", 1)
        assert await store.get(table, Key(prefix, "x")) is None
        assert (await store.page(table, prefix)).rows == []

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_extend_shows_in_a_page(self, store: Store, prefix: str, table: Table) -> None:
        for name in ("x", "y", "z"):
            await store.add(table, Key(prefix, name), {"name": name})
        await store.extend(table, Key(prefix, "y"), "more", 1)
        page = await store.page(table, prefix, limit=3)
        assert [row.document for row in page.rows] == [{"name": "x"}, {"name": "y", "more": 1}, {"name": "z"}]
        assert page.after is None

    async def test_extend_shows_in_a_scan(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "x"), {"a": 1})
        await store.extend(FACTS, Key(prefix, "x"), "b", 2)
        assert await scanned(store, FACTS, prefix) == [(Key(prefix, "x"), {"a": 1, "b": 2})]

    async def test_extend_is_not_inherited_by_a_later_row(self, store: Store, prefix: str) -> None:
        """A row that is created after a delete has none of the deleted row's extensions."""
        await store.claim(CHANGING, Key(prefix), {"a": 1})
        await store.extend(CHANGING, Key(prefix), "more", 1)
        await store.delete(CHANGING, Key(prefix))
        await store.claim(CHANGING, Key(prefix), {"a": 2})
        assert await store.get(CHANGING, Key(prefix)) == {"a": 2}

    async def test_put_replaces_the_last_value(self, store: Store, prefix: str) -> None:
        """No field of the last value stays."""
        await store.put(REGISTERS, Key(prefix, "x"), {"a": 1, "b": 1})
        await store.put(REGISTERS, Key(prefix, "x"), {"a": 2})
        assert await store.get(REGISTERS, Key(prefix, "x")) == {"a": 2}

    @PLAIN_RACE
    async def test_put_leaves_one_of_the_values_when_raced(self, store: Store, prefix: str, seed: int) -> None:
        """The register contains one value whole, and no mixture of several."""
        await race(seed, *(store.put(REGISTERS, Key(prefix, "x"), {"a": n, "b": n}) for n in range(RACERS)))
        row = await store.get(REGISTERS, Key(prefix, "x"))
        assert row in [{"a": n, "b": n} for n in range(RACERS)]

    @pytest.mark.parametrize("table", [FACTS, CHANGING], ids=lambda table: table.kind)
    async def test_take_back_leaves_no_trace_of_an_add(self, store: Store, prefix: str, table: Table) -> None:
        """A row that is taken back is in no read, and its key can be added again."""
        for name in ("gone", "kept"):
            await store.add(table, Key(prefix, name), {"is": name})
        await store.take_back(table, Key(prefix, "gone"))
        await store.take_back(table, Key(prefix, "gone"))
        assert await store.get(table, Key(prefix, "gone")) is None
        assert sorts(await store.page(table, prefix)) == ["kept"]
        await store.add(table, Key(prefix, "gone"), {"is": "again"})
        assert await store.get(table, Key(prefix, "gone")) == {"is": "again"}

    async def test_get_returns_a_document_of_300_kb(self, store: Store, prefix: str) -> None:
        """Facts and changing rows of this size are read unchanged, also after an update."""
        document = {"text": 'é\n"x' * 60_000}
        await store.add(FACTS, Key(prefix, "fact"), document)
        await store.claim(CHANGING, Key(prefix, "row"), document)
        assert (
            await store.update(CHANGING, Key(prefix, "row"), lambda row: {**(row or {}), "n": 1})
        ).after == document | {"n": 1}
        assert await store.get(FACTS, Key(prefix, "fact")) == document
        assert await store.get(CHANGING, Key(prefix, "row")) == document | {"n": 1}

    async def test_add_takes_every_character_of_keys(self, store: Store, prefix: str) -> None:
        """Every character that keys may contain works in partitions, sort parts and counters."""
        parts = [*(c for c in ALPHABET if c != "."), ALPHABET.replace(".", "") + "..", "a..b."]
        for part in parts:
            await store.add(FACTS, Key(f"{prefix}{part}", part), {"part": part})
            await store.extend(FACTS, Key(f"{prefix}{part}", part), "more", 1)
            await store.increment(f"{prefix}:{part}")
        for part in parts:
            assert await store.get(FACTS, Key(f"{prefix}{part}", part)) == {"part": part, "more": 1}
            assert sorts(await store.page(FACTS, f"{prefix}{part}")) == [part]
        assert list(await store.counters(f"{prefix}:")) == sorted(f"{prefix}:{part}" for part in parts)

    async def test_add_tells_keys_apart_by_case(self, store: Store, prefix: str) -> None:
        await store.add(FACTS, Key(prefix, "a"), {"is": "a"})
        await store.add(FACTS, Key(prefix, "A"), {"is": "A"})
        assert await store.get(FACTS, Key(prefix, "a")) == {"is": "a"}
        assert await store.get(FACTS, Key(prefix, "A")) == {"is": "A"}

    @pytest.mark.parametrize("table", [FACTS, CHANGING])
    async def test_add_takes_key_parts_of_128_characters(self, store: Store, prefix: str, table: Table) -> None:
        key = Key(prefix.ljust(128, "x"), prefix.rjust(128, "x"))
        await store.add(table, key, {"a": 1})
        await store.extend(table, key, "b", 2)
        assert await store.get(table, key) == {"a": 1, "b": 2}
        assert (await store.page(table, key.partition)).rows == [Row(key=key, document={"a": 1, "b": 2})]

    @pytest.mark.parametrize(
        "part", [".", "..", ".a", "a/b", "a b", "a:b", "a!b", "a\n", "\n", "\x00", "é", "x" * 129, "%2e", "a\\b", "#"]
    )
    async def test_key_refuses_what_a_store_cannot_address(self, store: Store, prefix: str, part: str) -> None:
        """A key part of another form raises InvalidKey, in a key, a page and a cursor."""
        with pytest.raises(InvalidKey):
            Key(part)
        with pytest.raises(InvalidKey):
            Key(prefix, part)
        with pytest.raises(InvalidKey):
            await store.page(FACTS, part)
        with pytest.raises(InvalidKey):
            await store.page(FACTS, prefix, after=part)

    async def test_extend_takes_every_character_of_fields(self, store: Store, prefix: str) -> None:
        fields = [*(c for c in ALPHABET if c != "."), "a..b.", "a".ljust(128, "x"), ALPHABET.replace(".", "") + "."]
        await store.add(FACTS, Key(prefix), {})
        for field in fields:
            await store.extend(FACTS, Key(prefix), field, field)
        assert await store.get(FACTS, Key(prefix)) == {field: field for field in fields}

    @pytest.mark.parametrize("field", ["", ".", ".a", "a b", "a!", "#", "a\n", "é", "\x00", "x" * 129, "x" * 70_000])
    async def test_extend_refuses_a_field_of_another_form(self, store: Store, prefix: str, field: str) -> None:
        """A field of another form raises InvalidKey, whether the row exists or not."""
        await store.add(FACTS, Key(prefix), {"a": 1})
        for key in (Key(prefix), Key(prefix, "absent")):
            with pytest.raises(InvalidKey):
                await store.extend(FACTS, key, field, 1)
        assert await store.get(FACTS, Key(prefix)) == {"a": 1}

    async def test_key_refuses_an_empty_partition(self, store: Store) -> None:
        """`Key` and `page` raise InvalidKey."""
        with pytest.raises(InvalidKey):
            Key("")
        with pytest.raises(InvalidKey):
            await store.page(FACTS, "")

    @pytest.mark.parametrize("name", ODD_VALUES)
    async def test_get_returns_odd_values_unchanged(self, store: Store, prefix: str, name: str) -> None:
        """This holds for rows of every kind, for extensions and for pages."""
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
        assert list(map(repr, read)) == [repr(document)] * 5  # `==` would accept 1.0 and True for 1
        assert repr(await store.get(FACTS, Key(prefix, "extended"))) == repr({"more": ODD_VALUES[name]})

    async def test_get_tells_an_empty_document_from_an_absent_row(self, store: Store, prefix: str) -> None:
        """An empty document is returned as {}, not as None."""
        await store.add(FACTS, Key(prefix, "x"), {})
        assert await store.get(FACTS, Key(prefix, "x")) == {}
        assert (await store.update(CHANGING, Key(prefix, "x"), lambda _: {})).after == {}
        assert await store.get(CHANGING, Key(prefix, "x")) == {}

    @pytest.mark.parametrize(
        "value",
        [float("nan"), float("inf"), -float("inf"), "\ud800", "a\udfff", ["deep", {"er": "\udc00"}]],
        ids=["nan", "inf", "-inf", "surrogate", "low surrogate", "nested"],
    )
    async def test_verbs_refuse_what_json_cannot_hold(self, store: Store, prefix: str, value: object) -> None:
        """A document that is not JSON raises ValueError, and nothing is written."""
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
            with pytest.raises(ValueError):  # noqa: PT011 the encoder words it
                await attempt()
        kept = [(await store.page(table, prefix)).rows for table in TABLES]
        assert [[row.document for row in rows] for rows in kept] == [[{"a": 1}], [{"a": 1}], []]
