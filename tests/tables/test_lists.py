"""Lists that are merged of several partitions."""

import pytest

from shared.stores.port import Key, Page, Row
from shared.tables.lists import merged


@pytest.mark.parametrize(("limit", "after"), [(1, "b"), (2, None), (3, None)])
def test_merged_page_that_holds_all_is_the_last(limit: int, after: str | None) -> None:
    """A client that was told of a next page would ask for one that is empty."""
    pages = [Page(rows=[Row(key=Key("p", sort), document={})], after=None) for sort in "ab"]
    assert merged(pages, limit).after == after
