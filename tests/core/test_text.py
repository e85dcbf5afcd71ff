"""Lengths and normalisation of texts."""

import pytest

from shared.core.text import characters, composed, sent_bytes, with_few_marks

ACCENT = "\u0301"


@pytest.mark.parametrize(("text", "length"), [("", 0), ("abc", 3), ("ä", 1), ("\U0001f600", 2)])
def test_characters_are_utf_16_code_units(text: str, length: int) -> None:
    """Characters are counted as in JavaScript."""
    assert characters(text) == length


@pytest.mark.parametrize("marks", [0, 1, 29, 30, 31, 100])
def test_runs_of_marks_end_after_30(marks: int) -> None:
    """Each run of marks keeps its first 30. A letter between two runs begins a new one."""
    runs = f"a{ACCENT * marks}b{ACCENT * marks}c"
    kept = min(marks, 30)
    assert with_few_marks(runs) == f"a{ACCENT * kept}b{ACCENT * kept}c"


@pytest.mark.parametrize("most", [1, 5])
def test_composed_refuses_what_cannot_fit(most: int) -> None:
    """Four characters compose to one at most, so a longer text is refused before the work."""
    fits = f"e{ACCENT}" * (2 * most)
    assert composed(fits, most=most) == "é" * (2 * most)
    assert composed(f"{fits}e", most=most) is None


@pytest.mark.parametrize(("text", "size"), [("", 0), ("abc", 3), ('"', 2), ("ä", 6), ("\n", 2)])
def test_sent_bytes_count_escapes(text: str, size: int) -> None:
    """Lambda's JSON is ASCII, so all else is escaped; the quotation marks around the text are not counted."""
    assert sent_bytes(text) == size
