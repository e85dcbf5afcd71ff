"""The English reading of numbers and signs that the library of our own voices, hibari, would misread.

hibari reads numbers, money, dates, times, units, fractions and abbreviations by itself; a table of tests shows how.
The rules here rewrite further forms into forms that it reads. Providers read numbers themselves, in the text's
language, so their texts are not rewritten.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Final

__all__ = ["in_english"]

_NUMBER: Final = r"\d{1,15}(?:,\d{3}){0,8}(?:\.\d{1,15})?"
"""A number of at most eight groups of thousands. Without that bound a rule tries each group of a longer row as a start,
and reads on to the end of the row: 20,000 characters of `,111` took six seconds."""
_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(?:,\d{3}){1,10}|[1-9]\d?(?:,\d\d){1,10},\d{3}")
"""A number with separators as most countries or India write it: 1,234,567 or 12,34,567."""
_PART: Final = re.compile(r"[A-Z]?[^\W\dA-Z_]+|[A-Z]+|\d+(?:[.,]\d+)*|[\W_]")
_MOST_PARTS: Final = 16
"""Parts of a word without a space. hibari's time grows with their cube: 6 ms for 16, and 3.5 s for 200."""
_COMPLETE: Final = r"(?!,?\d|[ ]?(?:hundred|thousand|[a-z]{1,4}illion|[kKmMbB])\b)"
"""The end of a sum: no further digit or magnitude follows. The library reads `$1.5 million` itself."""
_CURRENCIES: Final = {"€": "euros", "£": "pounds", "$": "dollars"}
_LARGE: Final = {"bn": "billion", "mn": "million", "tn": "trillion", "trn": "trillion"}
_CODES: Final = {"USD": "$", "EUR": "€", "GBP": "£"}
_SIGNS: Final = {
    "≥": "at least", "≤": "at most", "≈": "about", "≠": "is not", "∞": "infinity", "√": "the root of", "‰": "per mille",
    "℃": "°C", "℉": "°F", "№": "No. ", "©": "copyright", "®": "", "™": "", "⁄": "/", "•": ",", "·": " ", "→": "to",
    "…": "...",
}  # fmt: skip
_LETTERS: Final = {
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ł": "l",
    "ı": "i",
    "ħ": "h",
    "ŋ": "ng",
}
_POWER: Final = re.compile(r"(?<=\d|\b[A-Za-z])(?![²³](?![⁰¹²³⁴-⁹]))([⁺⁻]?)([⁰¹²³⁴-⁹]+)")
"""A power beyond the square and the cube, for which the library has words: 10⁴ would be read as 104."""
_SHORT: Final = {
    "mo": "month",
    "yr": "year",
    "wk": "week",
    "hr": "hour",
    "h": "hour",
    "min": "minute",
    "kg": "kilogram",
    "lb": "pound",
    "GB": "gigabyte",
    "TB": "terabyte",
}
_UNITS: Final = {
    "h": "hour",
    "s": "second",
    "m": "meter",
    "g": "gram",
    "l": "liter",
    "L": "liter",
    "V": "volt",
    "W": "watt",
}

Rewrite = Callable[[re.Match[str]], str]


def in_english(text: str) -> str:
    """Return the reading of a cleaned text for our own voices.

    Empty: they can say nothing of it. It consists of Latin letters, digits, and signs that have a word. Words of other
    scripts are left out: an English voice would spell some and skip others.
    """
    said = "".join(map(_latin, _POWER.sub(_to_the_power, text)))
    for pattern, rewrite in _RULES:
        said = pattern.sub(rewrite, said)
    said = re.sub(r"\S{17,}", _parted, said)
    said = re.sub(r"[^\S\n]+", " ", said).strip()
    return said if any(character.isalnum() for character in said) else ""


def _latin(character: str) -> str:
    if character < "\x7f" or character in "°½¼¾²³±×÷¢§µ—–€£¥₹₩" or "⅐" <= character <= "⅞":
        return character
    if (word := _SIGNS.get(character)) is not None:
        return f" {word} " if word[:1].isalpha() else word
    if (digit := unicodedata.digit(character, None)) is not None:
        return str(digit)
    if "LATIN" in unicodedata.name(character, "") and character.isalpha():
        small = _LETTERS.get(character.lower())
        if small is not None:
            return small.capitalize() if character.isupper() else small
        if "à" <= character <= "ÿ":
            return character  # the model's dictionary has words such as café
        base = "".join(filter(str.isascii, unicodedata.normalize("NFKD", character)))
        return base if base.isalpha() else " "
    return "" if unicodedata.category(character).startswith("M") else " "


def _parted(word: re.Match[str]) -> str:
    """Return a word with a space after each 16 of its parts. People write words of fewer; `x-x-x-…` has many."""
    parts = _PART.findall(word[0])
    return " ".join("".join(parts[start : start + _MOST_PARTS]) for start in range(0, len(parts), _MOST_PARTS))


def _spelled(digits: str) -> str:
    """Return digits one by one, in groups: `1 2 3 4, 5 6`. Groups are those of the text, or else of four."""
    groups = re.findall(r"\d+", digits)
    if len(groups) == 1:
        groups = re.findall(r"\d{1,4}", groups[0])
    return "  ".join(" ".join(group) for group in groups)


def _alone(match: re.Match[str]) -> str:
    return _spelled(match[0])


def _phone(match: re.Match[str]) -> str:
    return ("plus " if match[0].startswith("+") else "") + _spelled(match[0])


def _dotted(match: re.Match[str], *, word: str) -> str:
    """Return numbers between dots with a word for each dot."""
    lead = "version " if match[0][0] in "vV" else ""
    return lead + f" {word} ".join(re.findall(r"\d+", match[0]))


def _day_and_time(match: re.Match[str]) -> str:
    zone = match[4] or ""
    return f"{match[1]} at {match[2]}" + {"": "", "Z": " U T C"}.get(
        zone, f" U T C {zone.replace('-', 'minus ').replace('+', 'plus ')}"
    )


def _sum_behind(match: re.Match[str]) -> str:
    """Return `5 €` as `€5`."""
    return f"{_CODES.get(match[2], match[2])}{match[1]}"


def _continental(match: re.Match[str]) -> str:
    """Return `1.234,56` as `1234.56`."""
    return f"{match[1].replace('.', '')}.{match[2]}"


def _large(match: re.Match[str]) -> str:
    return f" {_LARGE[match[1]]}"


def _fine_sum(match: re.Match[str]) -> str:
    """Return `$3.459` as `3.459 dollars`: the library would leave the currency out."""
    return f"{match[2]} {_CURRENCIES[match[1]]}"


def _range_of_money(match: re.Match[str]) -> str:
    """Return `$5-10 million` as `5 to 10 million dollars`."""
    return f"{match[2]} to {match[3]} {match[4] + ' ' if match[4] else ''}{_CURRENCIES[match[1]]}"


def _fraction(match: re.Match[str]) -> str:
    """Return ⅔ as `2/3`."""
    return f" {unicodedata.normalize('NFKC', match[0]).replace('⁄', '/')} "


def _to_the_power(match: re.Match[str]) -> str:
    """Return the `⁻⁶` of `10⁻⁶` in words."""
    digits = "".join(str(unicodedata.digit(digit)) for digit in match[2])
    return f" to the power of {'minus ' if match[1] == '⁻' else ''}{digits} "


def _power(match: re.Match[str]) -> str:
    return f"{match[1]} times 10 to the power of {'minus ' if match[2] == '-' else ''}{match[3]}"


def _unit(match: re.Match[str]) -> str:
    return f"{match[1]} {_UNITS[match[2]]}" + ("" if match[1] == "1" else "s")


def _per(match: re.Match[str]) -> str:
    return f"{match[1]} per {_SHORT.get(match[2], match[2])}"


def _thousands(match: re.Match[str]) -> str:
    """Return `1'000'000` and `1 000 000` as `1,000,000`."""
    return re.sub("[' ]", ",", match[0])


def _list(match: re.Match[str]) -> str:
    """Return `1,5` as `1, 5`, and a number with groups as it is. hibari says fifteen, and fails beyond decillions."""
    return match[0] if _GROUPED.fullmatch(match[0]) else match[0].replace(",", ", ")


def _area(match: re.Match[str]) -> str:
    unit = {"m": "meter", "km": "kilometer", "cm": "centimeter", "ft": "foot"}[match[2]]
    units = "feet" if unit == "foot" else f"{unit}s"
    return f"{match[1]} {'square' if match[3] in '²2' else 'cubic'} {unit if match[1] == '1' else units}"


def _rule(pattern: str, rewrite: Rewrite | str) -> tuple[re.Pattern[str], Rewrite | str]:
    return re.compile(pattern), rewrite


_RULES: Final = (
    _rule(r"(?<![\w.,])(\d{1,3}(?:\.\d{3}){1,4}),(\d\d)(?![\d.,]\d|\d)", _continental),
    _rule(r"([$€£]\d{1,15}),(\d\d)(?!\d|,\d)", r"\1.\2"),
    _rule(r"(?<![\w.,$€£])(\d{1,15}),(\d\d)(?=[ ]?(?:€|£|\$|USD|EUR|GBP)(?!\w))", r"\1.\2"),
    _rule(r"(?<=[A-Za-z0-9)])\*\*(?=[A-Za-z0-9(])", "^"),
    _rule(r"(\d)[ ]?h[ ]?0?(\d{1,2})[ ]?m(?:in)?(?![^\W\d]|[/²³])", r"\1 h \2 min "),
    _rule(r"(\d)(?:m| min)[ ]{0,2}0?(\d{1,2})s(?![\w/²³])", r"\1 min \2 s"),
    _rule(r"(?<![\w.,'])\d{1,3}(?:'\d{3})+(?![\d'])", _thousands),
    _rule(r"(?<![\w.,'+/-])(?<!\d )[1-9]\d{0,2}(?: 000){1,4}(?![\w-]|[ .,/]\d)", _thousands),
    _rule(r"(?<!\d)\d+(?:,\d+)+", _list),
    _rule(r"\bUS\$(?=\d)", "$"),
    _rule(r"(?<=\d) ?([ap])\.?m\.? ?[-–—] ?(?=\d)", r" \1.m. to "),
    _rule(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?", _day_and_time),
    _rule(r"\b\d{1,3}(?:\.\d{1,3}){3}\b(?!\.\d)", partial(_dotted, word="dot")),
    _rule(r"\b[vV]\d{1,6}(?:\.\d{1,6}){1,3}\b|\b\d{1,6}(?:\.\d{1,6}){2,3}\b", partial(_dotted, word="point")),
    _rule(r"(?<![\w.,/-])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ ]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])", _phone),
    _rule(r"(?<![\w.,/])\+\d{1,3}(?:[ .-]?\d{2,4}){2,5}(?![\w-])", _phone),
    _rule(
        r"(?<![\w.,/-])\d{4}(?:[ -]\d{4}){2,4}(?![\w-])|"
        r"(?<![\w.,/-])\d{2,4}(?:-\d{2,4}){2,4}(?![\w-])(?<!\d{4}-\d\d-\d\d)",
        _alone,
    ),
    _rule(r"(?<![\d.,:/$€£¥-])0\d++(?![\d.,:/-]*\d)|(?<![\d.,$€£¥])\d{10,}(?![.,]?\d)", _alone),
    _rule(r"\d{16,}", _alone),
    _rule(r"(?<![\w.,])(?:-[ ]?([$€£¥₹₩])|([$€£¥₹₩])-)(?=\d)", r"minus \1\2"),
    _rule(r"(?<=\d)[ ]?(bn|mn|trn|tn)\b", _large),
    _rule(rf"([$€£]\d{{1,15}}(?:,\d{{3}})*\.\d){_COMPLETE}", r"\g<1>0"),
    _rule(rf"([$€£])({_NUMBER})[ ]?[-–][ ]?\1?({_NUMBER})(?![\d%])(?: (million|billion|thousand))?", _range_of_money),
    _rule(rf"(?<![\w.,$€£])({_NUMBER})[ ]?(€|£|\$|USD|EUR|GBP)(?!\w)", _sum_behind),
    _rule(rf"([$€£]{_NUMBER}[kKmMbB]?)/([A-Za-z]+)\b", _per),
    _rule(rf"([$€£])(\d{{1,15}}(?:,\d{{3}})*\.\d{{3,15}}){_COMPLETE}", _fine_sum),
    _rule(r"(?<=\d) - (?=\d[\d., +*/-]{0,60}=)", " minus "),
    _rule(rf"(?<!\d)(?<!\d[.,])({_NUMBER})[ ]?[-–][ ]?({_NUMBER}) ?%", r"\1 to \2%"),
    _rule(r"(?<!\d)(\d{1,2}:\d\d) ?[-–] ?(\d{1,2}:\d\d)(?!\d)", r"\1 to \2"),
    _rule(r"(?<![\d:])(1[3-9]|2[0-3]):00(?![\d:])", r"\1 hundred"),
    _rule(r"(?<![\d:])(\d{1,2}):(\d)(?![\d:])", r"\1 to \2"),
    _rule(rf"(?<![\w.,])({_NUMBER})[ ]?(k?m|cm|ft)([²³])", _area),
    _rule(rf"(?<![\w.,$€£])(?!\d*0s)({_NUMBER})[ ]?([hsmglLVW])(?![\w'/²³.])(?!\.\w)", _unit),
    _rule(r"(?<![\w.,])(\d+)'(\d{1,2})\"", r"\1 feet \2 inches"),
    _rule(r"(?<=\d)'(?=\d)", " "),
    _rule(r"(?<![\w.,])(\d+(?:\.\d+)?)[eE]([+-]?)(\d{1,3})\b", _power),
    _rule(r"(?<![\w.,])(\d+(?:\.\d+)?)x\b(?!\d)", r"\1 times"),
    _rule(r"(\d)[ ]?([½¼¾⅐-⅞])", r"\1 and \2"),
    _rule(r"[⅐-⅞]", _fraction),
    _rule(r"(?<![\w.,/-])(\d{1,3}) (?=[1-9]/[2-9](?![\w/.,]\w|\w))", r"\1 and "),
    _rule(r"\b24/7\b", "24 7"),
    _rule(r"\b50[/-]50\b", "fifty fifty"),
    _rule(r"(?<=\d) ?\* ?(?=\d)", " times "),
    _rule(r"\bCO2\b", "C O 2"),
    _rule(r"\be\.g\.", "for example"),
    _rule(r"\bi\.e\.", "that is"),
    _rule(r"\betc\.", "et cetera."),
    _rule(r"(?<=\w)@(?=\w)", " at "),
    _rule(r"(?<=[A-Za-z0-9])\.(?=[a-z]{2,10}\b)", " dot "),
    _rule(r"(?<=[a-z])_(?=[a-z])", " "),
    _rule(r"[\[\]{}\\|]", " "),
)
