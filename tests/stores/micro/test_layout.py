"""Rows as documents of HYPR Micro."""

from shared.micro import StoredDocument
from shared.stores.micro.layout import row_state, sized_row
from shared.stores.port import Key


def extension(stamp: str, name: str, text: str) -> StoredDocument:
    return StoredDocument(key=f"memos!p!x!e{stamp}", value={"field": name, "json": text})


def test_size_counts_a_row_and_its_extensions() -> None:
    """Pages end by the size, so it is never less than the bytes of the row's JSON."""
    fact = StoredDocument(key="memos!p!x!r", value={"final": True, "doc": '{"text":"' + "ÿ" * 500 + '"}'})
    titled = [fact, extension("1", "title", '"' + "t" * 300 + '"')]
    alone, both = sized_row(Key("p", "x"), [fact]), sized_row(Key("p", "x"), titled)
    assert alone is not None
    assert both is not None
    assert 1011 <= alone[1] < 1050
    assert 1311 <= both[1] - len("title") < 1370
    assert row_state([fact]).size == alone[1]
