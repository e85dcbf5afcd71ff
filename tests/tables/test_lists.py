"""Lists that are merged from several partitions."""

import pytest

from shared.stores.port import Key, Page, Row
from shared.tables.lists import merged


@pytest.mark.parametrize(("limit", "after"), [(1, "b"), (2, None), (3, None)])
def test_merged_page_that_holds_all_is_the_last(limit: int, after: str | None) -> None:
    """With a cursor a client would request an empty page."""
    pages = [Page(rows=[Row(key=Key("p", sort), document={})], after=None) for sort in "ab"]
    assert merged(pages, limit).after == after


@pytest.mark.parametrize(
    ("pages", "rows", "after"),
    [
        ([("975", "5"), ("861", None)], "98765", "5"),
        ([("975", "5"), ("861", "1")], "98765", "5"),
        ([("97", "7"), ("6", "6")], "97", "7"),
        ([("97", "7"), ("", None)], "97", "7"),
        ([("97", None), ("8", None)], "987", None),
        ([("", None), ("", None)], "", None),
        ([("", "5"), ("", None)], "", None),
    ],
)
def test_merged_page_ends_where_the_first_of_them_ends(
    pages: list[tuple[str, str | None]], rows: str, after: str | None
) -> None:
    """Later rows may be missing from a page that has a cursor, so the next page begins there."""
    given = [Page(rows=[Row(key=Key("p", sort), document={}) for sort in sorts], after=end) for sorts, end in pages]
    page = merged(given, 9)
    assert ("".join(row.key.sort for row in page.rows), page.after) == (rows, after)
