"""Texts: their lengths, their normal form, and the characters that would break a line."""

import json
import unicodedata
from typing import Final

_LONGEST_DECOMPOSITION: Final = 4
"""The most characters that NFC composes to one, as for U+1FAF."""

_MOST_MARKS: Final = 30
LINE_ENDS: Final = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
"""Characters that some readers take for line ends, and their JSON escapes. NDJSON has one object a line."""


def characters(text: str) -> int:
    """Return the length of a text in UTF-16 code units, as JavaScript counts it."""
    return len(text.encode("utf-16-le")) // 2


def with_few_marks(text: str) -> str:
    """Return the text with each run of combining characters cut after 30.

    So does Unicode's stream-safe format: no word has more. Normalization's time grows with the square of a run: 100,000
    characters would take 20 seconds.
    """
    if text.isascii():
        return text
    run, kept = 0, []
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def composed(text: str, *, most: int) -> str | None:
    """Return a text in NFC. None: it is so long that its NFC has more than `most` characters.

    Normalization's time grows with the square of a run of combining characters: 1 MiB of them would take an hour.
    """
    if len(text) > _LONGEST_DECOMPOSITION * most:
        return None
    return unicodedata.normalize("NFC", text)


def sent_bytes(text: str) -> int:
    """Return a text's bytes in the JSON that Lambda sends, without the quotes."""
    return len(json.dumps(text)) - 2
