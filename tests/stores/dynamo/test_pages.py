"""The size of reads for pages and scans: every row beyond a page costs capacity, and a missing one a request."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.items import new_item
from shared.stores.dynamo.pages import SCANNED, SLACK, read_page, scan_rows
from shared.stores.port import Key, Table
from tests.fakes.dynamo_world import FACTS, SPREAD, FakeTime

pytestmark = pytest.mark.anyio


class _Asked:
    """A client whose tables are empty, or whose scans never end. Records the limit of each request."""

    def __init__(self, scanned: Callable[[], Any] = dict) -> None:
        self.limits: list[int] = []
        self._scanned = scanned

    def query(self, **asked: Any) -> Any:
        self.limits.append(asked["Limit"])
        return {"Items": []}

    def scan(self, **asked: Any) -> Any:
        self.limits.append(asked["Limit"])
        return self._scanned()

    def close(self) -> None:
        return None


def dynamo_on(client: _Asked, time: FakeTime | None = None) -> Dynamo:
    time = time or FakeTime()
    return Dynamo(lambda: client, table="t", monotonic=time.monotonic)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("table", "limit", "asked"),
    [
        (FACTS, 1, [2]),
        (FACTS, 20, [21]),
        (SPREAD, 1, [SLACK] * 4),
        (SPREAD, 20, [5 + SLACK] * 4),
        (SPREAD, 23, [5 + SLACK] * 4),
    ],
)
async def test_page_asks_for_little_more_than_it_shows(table: Table, limit: int, asked: list[int]) -> None:
    """One more row proves whether more exist; each shard of a spread table is read for its share."""
    dynamo = dynamo_on(client := _Asked())
    found = await read_page(dynamo, table, "p", "a", "z", limit=limit, newest_first=False, deadline=dynamo.deadline(9))
    assert (found, client.limits) == (([], False), asked)
    await dynamo.aclose()


@pytest.mark.parametrize(("limit", "asked"), [(1, SCANNED), (SCANNED, SCANNED), (1000, 1000)])
async def test_scan_asks_for_a_hundred_items_at_least(limit: int, asked: int) -> None:
    """Most items may be of other tables: one item a request would be too many requests."""
    dynamo = dynamo_on(client := _Asked())
    late = dynamo.deadline(9)
    assert await scan_rows(dynamo, FACTS, after=None, limit=limit, deadline=late, enough=late) == ([], None)
    assert client.limits == [asked]
    await dynamo.aclose()


async def test_scan_stops_with_its_place_when_half_its_time_is_up() -> None:
    """A scan of a big table returns its rows so far, and a cursor, before its deadline."""
    time = FakeTime()
    item = new_item(FACTS, Key("p", "1"), "{}", "token")

    def scanned() -> Any:
        time.now_s += 1
        return {"Items": [item], "LastEvaluatedKey": {"pk": item["pk"], "sk": item["sk"]}}

    dynamo = dynamo_on(client := _Asked(scanned), time)
    rows, place = await scan_rows(
        dynamo, FACTS, after=None, limit=1000, deadline=dynamo.deadline(8), enough=dynamo.deadline(4)
    )
    assert (len(rows), len(client.limits)) == (5, 5), "it goes on until 4 s have passed"
    assert place == (item["pk"]["S"], item["sk"]["S"])
    await dynamo.aclose()
