"""The reads and continuations of pages on HYPR Micro: each row complete, none twice, in few requests."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import pytest

from shared.micro import Json, MicroClient, StoredDocument
from shared.stores.micro.ranges import BULK, MOST, SLACK, read_rows
from shared.stores.port import Row
from tests.fakes.micro_store_world import FACTS

pytestmark = pytest.mark.anyio

ALL: Final = ("facts!p!", 'facts!p"')


class _Documents:
    """A server's documents, which records the options of each request."""

    def __init__(self, documents: Sequence[StoredDocument] = ()) -> None:
        self._documents = sorted(documents)
        self._keys = [document.key for document in self._documents]
        self.limits: list[int] = []

    async def query(
        self, _database: str, *, start: str, end: str, limit: int, reverse: bool = False, deadline: float
    ) -> list[StoredDocument]:
        assert deadline == 9.0
        self.limits.append(limit)
        if reverse:
            low, high = bisect_left(self._keys, end + "\0"), bisect_left(self._keys, start + "\0")
            return self._documents[low:high][::-1][:limit]
        return self._documents[bisect_left(self._keys, start) : bisect_left(self._keys, end)][:limit]


def a_row(number: int, *, is_deleted: bool = False, extensions: int = 0) -> list[StoredDocument]:
    stem = f"facts!p!{number:05d}"
    value: Json = {"final": True, "doc": None if is_deleted else "{}", "trail": [], "folded": [], "at": ""}
    return [
        StoredDocument(f"{stem}!v{1:012d}", value),
        *(
            StoredDocument(f"{stem}!e{at:016x}node", {"field": f"f{at}", "json": str(at)})
            for at in range(1, extensions + 1)
        ),
    ]


def documents(*rows: list[StoredDocument]) -> _Documents:
    return _Documents([document for row in rows for document in row])


async def read(server: _Documents, *, limit: int, newest_first: bool = False) -> tuple[list[Row], bool]:
    low, high = ALL
    client: MicroClient = server  # type: ignore[assignment] # it only answers queries
    return await read_rows(client, FACTS, low, high, limit=limit, newest_first=newest_first, deadline=9.0)


def sorts(rows: Sequence[Row]) -> list[int]:
    return [int(row.key.sort) for row in rows]


@pytest.mark.parametrize(
    ("limit", "asked"),
    [
        (1, 1 + SLACK),
        (20, 25 + SLACK),
        (BULK, 1250 + SLACK),
        (BULK + 1, BULK + 1),
        (MOST, MOST),
        (MOST + 1, MOST),
    ],
)
async def test_page_asks_for_little_more_than_its_rows(limit: int, asked: int) -> None:
    """A page requests a quarter more documents, and SLACK; a bulk page one for each row, up to the server's maximum."""
    server = documents()
    assert await read(server, limit=limit) == ([], False)
    assert server.limits == [asked]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_page_doubles_what_it_asks_for_while_rows_are_absent(*, newest_first: bool) -> None:
    """Many deleted rows cost few requests; the page is still full, in order, and has a cursor."""
    absent = range(300)
    present = range(300, 330)
    server = documents(
        *(a_row(number if not newest_first else 1000 - number, is_deleted=True) for number in absent),
        *(a_row(number if not newest_first else 1000 - number) for number in present),
    )
    rows, more = await read(server, limit=20, newest_first=newest_first)
    assert sorts(rows) == [1000 - number if newest_first else number for number in present[:20]]
    assert more
    first = 25 + SLACK
    assert server.limits == [first, 2 * first, 4 * first, 8 * first]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("extensions", [0, 1, 7, 60])
async def test_page_has_each_row_whole(extensions: int, *, newest_first: bool) -> None:
    """A read may end within a row: it is read completely, once. A row of more documents than a read is read alone."""
    server = documents(*(a_row(number, extensions=extensions) for number in range(12)))
    rows, more = await read(server, limit=10, newest_first=newest_first)
    expected = list(range(12))[::-1] if newest_first else list(range(12))
    assert (sorts(rows), more) == (expected[:10], True)
    assert all(row.document == {f"f{at}": at for at in range(1, extensions + 1)} for row in rows)
    rows, more = await read(server, limit=12, newest_first=newest_first)
    assert (sorts(rows), more) == (expected, False)


async def test_bulk_page_ends_with_the_first_answer_that_has_a_row() -> None:
    """One answer with a row suffices; the last row may be incomplete, and is on the next page."""
    server = documents(*(a_row(number) for number in range(BULK + 500)))
    rows, more = await read(server, limit=BULK + 200)
    assert (sorts(rows), more, len(server.limits)) == (list(range(BULK + 199)), True, 1)


async def test_bulk_page_goes_on_while_it_has_no_row() -> None:
    """Answers with deleted rows alone do not end a bulk page: an empty page would look like the end."""
    absent = [a_row(number, is_deleted=True) for number in range(2 * BULK)]
    server = documents(*absent, a_row(2 * BULK))
    rows, more = await read(server, limit=BULK + 1)
    assert (sorts(rows), more) == ([2 * BULK], False)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_documents_of_no_row_are_passed_over(*, newest_first: bool) -> None:
    """Foreign documents in the range end no page, even if they fill a whole answer."""
    foreign = [StoredDocument(f"facts!p!{number:05d}", {}) for number in range(100, 300)]
    server = _Documents([*a_row(1), *foreign, *a_row(400)])
    rows, more = await read(server, limit=5, newest_first=newest_first)
    assert (sorts(rows), more) == ([400, 1] if newest_first else [1, 400], False)


class _Erased(_Documents):
    """A server on which another caller erases the only row after the first answer."""

    async def query(
        self, database: str, *, start: str, end: str, limit: int, reverse: bool = False, deadline: float
    ) -> list[StoredDocument]:
        answer = await super().query(database, start=start, end=end, limit=limit, reverse=reverse, deadline=deadline)
        self._documents, self._keys = [], []
        return answer


@pytest.mark.parametrize("newest_first", [False, True])
async def test_row_that_is_erased_during_its_read_is_absent(*, newest_first: bool) -> None:
    """A row that fills a whole answer is read again alone. If it was erased in between, the page is without it."""
    server = _Erased(a_row(1, extensions=60))
    assert await read(server, limit=1, newest_first=newest_first) == ([], False)
