import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.speech.cutting import pieces, sentences

TEXTS = st.text(alphabet=st.sampled_from("ab,;: .!?…\n—。\"')"), max_size=400)


def bare(text: str) -> str:
    return "".join(text.split())


@given(TEXTS, st.integers(min_value=1, max_value=60))
def test_sentences_lose_nothing_and_fit(text: str, most: int) -> None:
    """Every character except white space is in one sentence, in order, and no sentence exceeds the given length."""
    parts = list(sentences(text, most))
    assert bare("".join(parts)) == bare(text)
    assert all(0 < len(part) <= most for part in parts)


@given(TEXTS, st.integers(min_value=1, max_value=60))
def test_pieces_lose_nothing_and_fit(text: str, most: int) -> None:
    """The same holds for pieces, and no two neighbours would have fitted into one."""
    parts = list(pieces(text, most))
    assert bare("".join(parts)) == bare(text)
    assert all(0 < len(part) <= most for part in parts)
    firsts = [next(iter(sentences(part, most))) for part in parts[1:]]
    assert all(len(part) + 1 + len(first) > most for part, first in zip(parts, firsts, strict=False))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Dr. Smith met J. K. Rowling. She left.", ["Dr. Smith met J. K. Rowling.", "She left."]),
        ('"Really?" she said. "No."', ['"Really?" she said.', '"No."']),
        ("At 5 p.m. today. Fine", ["At 5 p.m. today.", "Fine"]),
        ("Use e.g. Paris. Or 3.5 km.", ["Use e.g. Paris.", "Or 3.5 km."]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("One\nTwo", ["One", "Two"]),
        ("So do I. You too.", ["So do I.", "You too."]),
        ("Is he a Dr? Yes. Ask the Dr! Or Dr… Ann.", ["Is he a Dr?", "Yes.", "Ask the Dr!", "Or Dr…", "Ann."]),
        ("Is it B? No! A! Yes.", ["Is it B?", "No!", "A!", "Yes."]),
        ("She said no! and went? away.", ["She said no! and went? away."]),
        ("He joined NATO. Then he left.", ["He joined NATO.", "Then he left."]),
        ('(Dr. Smith) met "Mr. Jones".', ['(Dr. Smith) met "Mr. Jones".']),
        ("Milk, bread, etc. Then home.", ["Milk, bread, etc. Then home."]),
    ],
)
def test_sentence_ends_where_a_reader_pauses(text: str, parts: list[str]) -> None:
    assert list(sentences(text, 300)) == parts


def test_piece_is_filled_to_its_last_character() -> None:
    """Two sentences and the space between them, as long as a piece may be, are one."""
    assert list(pieces("Aaa. Bbb.", 9)) == ["Aaa. Bbb."]
    assert list(pieces("Aaa. Bbb.", 8)) == ["Aaa.", "Bbb."]


def test_lines_of_a_piece_stay_lines() -> None:
    """A title, which has no full stop, does not run into its text; sentences of one line stay on it."""
    assert list(pieces("Title\nOne. Two.\nEnd", 60)) == ["Title\nOne. Two.\nEnd"]
    assert list(pieces("Title\nOne. Two.\nEnd", 10)) == ["Title\nOne.", "Two.\nEnd"]


def test_long_sentence_is_cut_at_a_clause_then_a_word() -> None:
    """Without a clause that fits it is cut between words, and within a word only if that is too long itself."""
    assert list(sentences("one two, three four five", 12)) == ["one two,", "three four", "five"]
    assert list(sentences("abcdefghij", 4)) == ["abcd", "efgh", "ij"]


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("abcdefghijk, lmn", ["abcdefghijk,", "lmn"]),
        ("abcdefghijkl, mn", ["abcdefghijkl", ", mn"]),
        ("ab cdefghijk lmn", ["ab cdefghijk", "lmn"]),
        ("abc, defgh ijklm", ["abc,", "defgh ijklm"]),
        ("ab, cdefgh ijklm", ["ab, cdefgh", "ijklm"]),
        ("ab,cdefghijklmno", ["ab,", "cdefghijklmn", "o"]),
        (",abcdefghijklmno", [",", "abcdefghijkl", "mno"]),
        ("abcdefghijkl", ["abcdefghijkl"]),
    ],
)
def test_cut_fills_a_part_to_its_last_character(sentence: str, parts: list[str]) -> None:
    """A clause or a word that ends with the twelfth character fits. A clause of at most a quarter counts as a word."""
    assert list(sentences(sentence, 12)) == parts
