"""Counts of usage by API key, by voice and by action, and how they are stored in few bytes.

A call is a memo made with a live key. An `error_…` log is one error. Other logs add nothing.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Self

from shared.stores.port import Document
from shared.tables.memos import ENDED
from shared.tables.usage_logs import Action

ERRORS: Final = frozenset(action.value for action in Action if action.startswith("error_"))


class GroupBy(StrEnum):
    """The dimensions by which counts can be grouped."""

    KEY = "key"
    VOICE = "voice"
    ACTION = "action"


Group = tuple[GroupBy, str]
"""`(GroupBy.VOICE, "sam")`. An empty name: the log has no such field."""


class Counts(NamedTuple):
    """`characters` are UTF-16 code units of text; `audio_ms` is milliseconds of audio."""

    calls: int = 0
    characters: int = 0
    audio_ms: int = 0
    errors: int = 0

    def plus(self, other: "Counts") -> "Counts":
        calls, characters, audio_ms, errors = self
        more_calls, more_characters, more_audio_ms, more_errors = other
        return Counts(calls + more_calls, characters + more_characters, audio_ms + more_audio_ms, errors + more_errors)

    @property
    def audio_seconds(self) -> float:
        return self.audio_ms / 1000


class GroupedCounts:
    """The counts of one time span, by group. The groups of one `GroupBy` add up to the whole.

    {(GroupBy.ACTION, "memo_created"): Counts(2, 14, 1200, 0), (GroupBy.VOICE, "sam"): Counts(2, 14, 1200, 0), …}
    """

    def __init__(self, groups: Mapping[Group, Counts] | None = None) -> None:
        self.groups: dict[Group, Counts] = dict(groups or {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GroupedCounts) and self.groups == other.groups

    __hash__ = None  # type: ignore[assignment] # they change

    def __repr__(self) -> str:
        return f"GroupedCounts({self.groups})"

    def __bool__(self) -> bool:
        return bool(self.groups)

    @property
    def total(self) -> Counts:
        total = Counts()
        for counts in self.by(GroupBy.ACTION).values():
            total = total.plus(counts)
        return total

    def by(self, group_by: GroupBy) -> dict[str, Counts]:
        """Return the counts of one grouping, by the groups' names."""
        return {name: counts for (grouping, name), counts in self.groups.items() if grouping is group_by}

    def only(self, *kept: GroupBy) -> "GroupedCounts":
        return GroupedCounts({group: counts for group, counts in self.groups.items() if group[0] in kept})

    def add_log(self, log: Document) -> None:
        """Count a usage log's document."""
        counts = counts_of(log)
        if counts is not None:
            self.add_counts(log, counts)

    def add_counts(self, log: Document, counts: Counts) -> None:
        """Add the counts that `counts_of` returned for this document."""
        action, key, voice = log["action"], log["api_key_id"] or "", log["metadata"].get("voice") or ""
        self._add([((GroupBy.ACTION, action), counts), ((GroupBy.KEY, key), counts), ((GroupBy.VOICE, voice), counts)])

    def add(self, other: "GroupedCounts") -> None:
        self._add(other.groups.items())

    @classmethod
    def sum(cls, parts: Iterable["GroupedCounts"]) -> Self:
        whole = cls()
        for part in parts:
            whole.add(part)
        return whole

    def _add(self, more: Iterable[tuple[Group, Counts]]) -> None:
        groups = self.groups
        for group, counts in more:
            before = groups.get(group)
            groups[group] = counts if before is None else before.plus(counts)


def counts_of(log: Document) -> Counts | None:
    """Return the counts of a usage log's document; None: it has none. A long memo counts with its exact seconds once
    they are known, and not at all if it failed."""
    action, metadata = log["action"], log["metadata"]
    if action == Action.MEMO_CREATED and not metadata.get("test", False):
        ended = log.get(ENDED)
        seconds = metadata["audioSeconds"] if ended is None else ended["seconds"]
        return None if seconds is None else Counts(1, metadata["characters"], round(1000 * seconds))
    return Counts(errors=1) if action in ERRORS else None


def packed(parts: Mapping[int, GroupedCounts]) -> Document:
    """Pack counts by number (the hour of a day, or the day of a month) into a document.

    Two memos and an error at 9 o'clock, all in the voice sam and with one key:

        {"groups": [["action", "error_tts"], ["action", "memo_created"], ["key", "5c1d…"], ["voice", "sam"]],
         "parts": [[9, [0, 0, 0, 0, 1], [1, 2, 14, 1200], [2, 2, 14, 1200, 1], [3, 2, 14, 1200, 1]]]}

    A part is its number, and for each group its place in `groups`, calls, characters, milliseconds of audio and errors,
    without trailing zeros. Empty parts are left out. The same counts make the same document.
    """
    groups = sorted({group for part in parts.values() for group in part.groups})
    place = {group: number for number, group in enumerate(groups)}
    return {
        "groups": [[grouping.value, name] for grouping, name in groups],
        "parts": [
            [number, *([place[group], *_trimmed(part.groups[group])] for group in sorted(part.groups))]
            for number, part in sorted(parts.items())
            if part
        ],
    }


def unpacked(document: Document) -> dict[int, GroupedCounts]:
    """Undo `packed`."""
    groups = [(GroupBy(grouping), name) for grouping, name in document["groups"]]
    return {
        number: GroupedCounts({groups[place]: Counts(*counts) for place, *counts in part})
        for number, *part in document["parts"]
    }


def _trimmed(counts: Counts) -> list[int]:
    kept = list(counts)
    while kept and kept[-1] == 0:
        kept.pop()
    return kept
