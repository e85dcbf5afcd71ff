"""Cutting a reading into pieces that an adapter takes: at sentences, else clauses, else words, else anywhere."""

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["pieces", "sentences"]

_END = re.compile(r"(?<=[.!?…])[\"')\]]*(?=\s)|(?<=[。！？｡؟۔।])|\n")
_CLAUSE = re.compile(r"(?<=[,;:—–،、，；：])")
_TITLES: Final = frozenset(
    (
        "Mr",
        "Mrs",
        "Ms",
        "Dr",
        "Prof",
        "St",
        "Sr",
        "Jr",
        "Gen",
        "Gov",
        "Sen",
        "Rep",
        "Capt",
        "Lt",
        "Col",
        "Sgt",
        "Rev",
        "Hon",
        "Mt",
        "No",
        "Fig",
        "vs",
    )
)
_SHORTENED: Final = frozenset(("e.g", "i.e", "cf", "approx", "etc"))
"""Words whose full stop ends no sentence if another word follows."""


def sentences(text: str, most: int) -> Iterator[str]:
    """Yield the sentences in order, each of at most `most` characters. A line's end ends a sentence.

    A longer sentence is cut after its last clause that fits, else its last word that fits, else after `most`
    characters. No character but white space is lost.
    """
    for sentence in _whole_sentences(text):
        yield from _cut(sentence, most)


def pieces(text: str, most: int) -> Iterator[str]:
    """Yield pieces of at most `most` characters in order. Each has as many whole sentences as fit.

    A line's end within a piece stays, since a voice pauses there: a title has no full stop.
    """
    piece = ""
    for line in text.split("\n"):
        between = "\n"
        for sentence in sentences(line, most):
            if piece and len(piece) + 1 + len(sentence) > most:
                yield piece
                piece = sentence
            else:
                piece = f"{piece}{between}{sentence}" if piece else sentence
            between = " "
    if piece:
        yield piece


def _whole_sentences(text: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(text):
        end = match.end()
        if match[0] != "\n" and not _ends(text, start, match.start(), end):
            continue
        if sentence := text[start:end].strip():
            yield sentence
        start = end
    if sentence := text[start:].strip():
        yield sentence


def _ends(text: str, start: int, stop: int, end: int) -> bool:
    """Return whether the mark before `stop` ends a sentence.

    It does not after a title or an initial, nor before a small letter.
    """
    following = text[end : end + 2].lstrip()
    if text[stop - 1] != ".":
        return not following[:1].islower()
    word = text[max(start, stop - 30) : stop - 1].rsplit(None, 1)[-1:]
    if word and (word[0].lstrip("(\"'") in _TITLES or word[0].lower() in _SHORTENED):
        return False
    initial = bool(word) and len(word[0]) == 1 and word[0].isupper() and word[0] != "I"
    return not following[:1].islower() and not initial


def _cut(sentence: str, most: int) -> Iterator[str]:
    start, length = 0, len(sentence)
    while length - start > most:
        window = sentence[start : start + most + 1]
        clause = max((match.start() for match in _CLAUSE.finditer(window, 1, most)), default=0)
        cut = clause if clause > most // 4 else max(window.rfind(" "), clause)
        cut = cut if cut > 0 else most
        if part := sentence[start : start + cut].strip():
            yield part
        start += cut
    if part := sentence[start:].strip():
        yield part
