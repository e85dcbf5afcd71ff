"""Tables, changes and walks for the contract of the store port, and races in a seeded order."""

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import pytest

from shared.stores.port import (
    PAGE_BYTES,
    Document,
    Key,
    Kind,
    Page,
    Row,
    Store,
    Table,
)
from tests.support import one_quickly, outcomes, seeded

FACTS: Final = Table(name="contract_facts", kind=Kind.FACTS, database="contract")
CHANGING: Final = Table(name="contract_changing", kind=Kind.CHANGING, database="contract")
REGISTERS: Final = Table(name="contract_registers", kind=Kind.REGISTERS, database="contract")
TABLES: Final = (FACTS, CHANGING, REGISTERS)

RACERS: Final = 50

MOST_PAGES: Final = 10_000
"""Pages after which a walk counts as endless."""

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

PLAIN_RACE: Final = pytest.mark.parametrize("seed", one_quickly(0, 1, 2))


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
    """Return the rows of all pages of a partition, read one after the other."""
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
    """Add rows `r000`, `r001` … in a random order. Returns their sort parts in order."""
    names = [f"r{number:03}" for number in range(count)]
    for name in seeded(count).sample(names, count):
        await store.add(FACTS, Key(partition, name), {"name": name})
    return names


async def race(seed: int, *racers: Awaitable[Any]) -> tuple[list[Any], list[Exception]]:
    """Run all racers concurrently, begun in a seeded order. Returns their results, and their exceptions."""
    random: Random = seeded(seed)
    return await outcomes(random.sample(racers, len(racers)))


async def scanned(store: Store, table: Table, prefix: str, *, limit: int = 1000) -> list[tuple[Key, Document]]:
    """Return all rows of a table in the partitions of one test."""
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


async def flip(store: Store, partition: str, name: str, there: dict[str, bool]) -> None:
    if there[name]:
        await store.delete(FACTS, Key(partition, name))
    else:
        await store.add(FACTS, Key(partition, name), {"name": name})
    there[name] = not there[name]
