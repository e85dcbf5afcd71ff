"""The sayable part of a text: without markup, addresses and signs without sound. The stored text is not changed.

The result is for every adapter: words of any language, numbers as they were written, lines where a pause belongs.
Nothing is treated as SSML: `<break/>` is text, and an adapter whose provider parses SSML must escape it.
"""

import re
import unicodedata
from typing import Final

from shared.core.text import with_few_marks

__all__ = ["cleaned"]

_KEPT_SIGNS: Final = frozenset("°©®™№℃℉")
"""Signs of Unicode's category "other symbol" that have a word. The rest of that category is emoji and ornament."""
_SILENT: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "So", "Sk", "Me"})
"""Categories without sound: control, format, surrogate, private, unassigned, ornament, skin tones, keycaps."""
_SPACES: Final = {"\t": " ", "\r": "\n", "\v": "\n", "\f": "\n", "\x85": "\n", "\u2028": "\n", "\u2029": "\n"}
_PLAIN: Final = {
    "‘": "'",
    "’": "'",
    "‚": "'",
    "‛": "'",
    "′": "'",
    "“": '"',
    "”": '"',
    "„": '"',
    "‟": '"',
    "″": '"',
    "«": '"',
    "»": '"',
}
_PLAIN_DASHES: Final = {"‐": "-", "‑": "-", "‒": "-", "−": "-", "―": "—", "`": "'", "´": "'"}
_WRITTEN: Final = _SPACES | _PLAIN | _PLAIN_DASHES
_STYLED: Final = (
    (0x1D400, 0x1D7FF),
    (0xFF01, 0xFF5E),
    (0x1F130, 0x1F149),
    (0x2460, 0x24FF),
    (0x2160, 0x217F),
    (0xFB00, 0xFB06),
)
"""Ranges of styled letters and digits: mathematical, full-width, boxed, circled, Roman, ligatures. They alone are
normalised by NFKC, which would break ½ and x²."""

_FENCE = re.compile(r"^[ ]{0,3}(?:`{3,}|~{3,})[ ]?[\w+#.-]{0,30}[ ]*$", re.MULTILINE)
_RULE = re.compile(r"^[-*_=|: ]+$", re.MULTILINE)
_LINE_START = re.compile(r"^[ ]{0,3}(?:>[ ]?)*(?:#{1,6}[ ]+|[-*+•‣◦][ ]+)?(?:\[[ xX]\][ ]+)?", re.MULTILINE)
_ITEM = re.compile(r"\n[ ]{0,3}(?=(?:>|#{1,6} |[-*+•‣◦] |\d{1,3}[.)] |\|))")
_LINK = re.compile(r"!?\[([^\[\]\n]{0,1000})\]\([^()\n]{0,2000}(?:\([^()\n]{0,200}\)[^()\n]{0,2000})?\)")
_REFERENCE = re.compile(r"(?<![A-Za-z0-9_\]])!?\[([^\[\]\n]{0,1000})\]\[[^\[\]\n]{0,200}\]")
"""A link by a name: `[label][name]`. After a letter or digit it is no link: `grid[0][1]` would lose an index."""
_ANGLED = re.compile(r"<((?:https?://|mailto:)[^<>\s]{1,2000})>")
_UNSPACED: Final = "—…\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Characters that end an address: dashes, and scripts whose writers put no space after it. Without them the rest of a
Chinese paragraph would count as its path."""

_ADDRESS = re.compile(
    r"(?<![A-Za-z0-9_])(?:https?|ftp)://(?:[^\s/@<>\"]{1,200}@)?([^\s/?#:<>\"()]{1,255})(?::\d{1,5})?"
    rf"(?:[/?#][^\s<>\"{_UNSPACED}]*)?",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"(?:(?<!\d)(?<!\d\*)|(?!\*{1,3}\d))(\*{1,3}|~~)(?=\S)([^\n*~]{1,2000}?)(?<=\S)\1")
"""Stars between digits are no markup: `2*3*4` would be read as 234."""
_UNDERLINED = re.compile(r"(?<!\w)(_{1,3})(?=[^\s_])([^\n_]{1,2000}?)(?<=[^\s_])\1(?!\w)")
_CODE = re.compile(r"(`{1,3})(?!`)([^`\n]{1,2000})(?<!`)\1")
_BARS = re.compile(r"[ ]*\|[ ]*")
_REPEATED = re.compile(r"([^\w\s])\1{3,}")
_BREAK = re.compile(r"[ ]*\n[ \n]*")
_WRAPPED = re.compile(r"(?<=[^\n]{60})(?<![.!?:;…])\n(?=[^\n])")
_SPACE = re.compile(r"[^\S\n]+")
_WIDE = re.compile(r"[^\S\n]{2,}")


def cleaned(text: str) -> str:
    """Return the sayable text, one line a passage.

    Empty: no letter or digit is left, so nothing can be said. Links keep their label, addresses their host, code its
    text.
    """
    said = "".join(_character(character) for character in unicodedata.normalize("NFC", with_few_marks(text)))
    said = _without_markup(_WIDE.sub("  ", said))
    said = _REPEATED.sub(r"\1\1\1", said)
    said = _BREAK.sub("\n", _SPACE.sub(" ", said)).strip()
    return said if any(character.isalnum() for character in said) else ""


def _character(character: str) -> str:
    """Return a character, its plain form, or a space if it has no sound. Empty within a word or an emoji."""
    if character < "\x7f" and (character >= " " or character == "\n"):
        return character
    if (written := _WRITTEN.get(character)) is not None:
        return written
    if any(first <= ord(character) <= last for first, last in _STYLED):
        return unicodedata.normalize("NFKC", character)
    category = unicodedata.category(character)
    if character in "\u200c\u200d\ufe0e\ufe0f\u00ad\u2060\u20e3":  # within a word or an emoji: no space
        return ""
    return " " if category in _SILENT and character not in _KEPT_SIGNS else character


def _without_markup(text: str) -> str:
    """Return the text without Markdown. Signs that are no markup stay: 5 * 3, 2*3*4, snake_case, a < b."""
    text = _FENCE.sub("", text)
    text = _RULE.sub("", text)
    text = _ITEM.sub("\n\n", text)
    text = _WRAPPED.sub(" ", text)
    text = _LINE_START.sub("", text)
    text = _ANGLED.sub(r"\1", text)
    for _ in range(2):  # an image inside a link
        text = _REFERENCE.sub(r"\1", _LINK.sub(r"\1", text))
    text = _ADDRESS.sub(_host, text)
    for _ in range(2):  # bold inside italics
        text = _EMPHASIS.sub(r"\2", text)
        text = _UNDERLINED.sub(r"\2", text)
    text = _CODE.sub(r"\2", text)
    return _BARS.sub(_cell, text)


def _host(match: re.Match[str]) -> str:
    """Return an address's host and the punctuation after it. A listener could not remember the rest."""
    host = match[1].lower().removeprefix("www.")
    end = match[0][-1]
    return host.rstrip(".,;!?") + (end if end in ".,;!?" else "")


def _cell(match: re.Match[str]) -> str:
    """Return a pause for a border between two cells, nothing at the ends of a line."""
    before, after = match.start() - 1, match.end()
    if before < 0 or match.string[before] == "\n" or after == len(match.string) or match.string[after] == "\n":
        return ""
    return ", "
