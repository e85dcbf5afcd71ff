"""Figures: how much was made, by API key, by voice and by action; and how they are kept in few bytes.

A call is a memo made with a live key. What an `error_…` log tells is an error. Other logs add nothing.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Self

from shared.stores.port import Document
from shared.tables.usage_logs import Action

ERRORS: Final = frozenset(action.value for action in Action if action.startswith("error_"))


class By(StrEnum):
    """What figures can be grouped by."""

    KEY = "key"
    VOICE = "voice"
    ACTION = "action"


class Counts(NamedTuple):
    """`characters` are UTF-16 code units of text; `audio_ms` is milliseconds of audio."""

    calls: int = 0
    characters: int = 0
    audio_ms: int = 0
    errors: int = 0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(
            self.calls + other.calls,
            self.characters + other.characters,
            self.audio_ms + other.audio_ms,
            self.errors + other.errors,
        )

    @property
    def audio_seconds(self) -> float:
        return self.audio_ms / 1000


class Figures:
    """What was made in some time. Groups of one `By` partition it; an empty name is none that was recorded.

    `groups` is by `k`, `v` or `a`, for the `By`, and the name.
    """

    def __init__(self, groups: Mapping[str, Counts] | None = None) -> None:
        self.groups: dict[str, Counts] = dict(groups or {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figures) and self.groups == other.groups

    __hash__ = None  # type: ignore[assignment] # they change

    def __repr__(self) -> str:
        return f"Figures({self.groups})"

    def __bool__(self) -> bool:
        return bool(self.groups)

    @property
    def total(self) -> Counts:
        counts = Counts()
        for each in self.by(By.ACTION).values():
            counts = counts.plus(each)
        return counts

    def by(self, what: By) -> dict[str, Counts]:
        """Counts by the groups' names."""
        return {name[1:]: counts for name, counts in self.groups.items() if name[0] == _LETTERS[what]}

    def only(self, *kept: By) -> "Figures":
        letters = {_LETTERS[what] for what in kept}
        return Figures({name: counts for name, counts in self.groups.items() if name[0] in letters})

    def record(self, log: Document) -> None:
        """Add what a usage log's document tells."""
        made = made_by(log)
        if made is not None:
            names = (log["action"], log["api_key_id"], log["metadata"].get("voice"))
            for letter, name in zip("akv", names, strict=True):
                self._add(letter + (name or ""), made)

    def add(self, other: "Figures") -> None:
        for name, counts in other.groups.items():
            self._add(name, counts)

    @classmethod
    def sum(cls, parts: Iterable["Figures"]) -> Self:
        whole = cls()
        for part in parts:
            whole.add(part)
        return whole

    def _add(self, name: str, counts: Counts) -> None:
        there = self.groups.get(name)
        self.groups[name] = counts if there is None else there.plus(counts)


def made_by(log: Document) -> Counts | None:
    """What a usage log's document counts; None: nothing."""
    action, metadata = log["action"], log["metadata"]
    if action == Action.MEMO_CREATED and not metadata.get("test", False):
        return Counts(1, metadata["characters"], round(1000 * metadata["audioSeconds"]))
    return Counts(errors=1) if action in ERRORS else None


def packed(parts: Mapping[int, Figures]) -> Document:
    """Figures by a number (an hour of a day, a day of a month): names once, numbers without trailing zeros.

    The same figures make the same document.
    """
    names = sorted({name for part in parts.values() for name in part.groups})
    number = {name: at for at, name in enumerate(names)}
    return {
        "groups": names,
        "parts": [
            [at, *([number[name], *_trimmed(part.groups[name])] for name in sorted(part.groups))]
            for at, part in sorted(parts.items())
            if part
        ],
    }


def unpacked(document: Document) -> dict[int, Figures]:
    names = document["groups"]
    return {
        at: Figures({names[number]: Counts(*counts) for number, *counts in groups}) for at, *groups in document["parts"]
    }


_LETTERS: Final = {By.KEY: "k", By.VOICE: "v", By.ACTION: "a"}


def _trimmed(counts: Counts) -> list[int]:
    kept = list(counts)
    while kept and kept[-1] == 0:
        kept.pop()
    return kept
