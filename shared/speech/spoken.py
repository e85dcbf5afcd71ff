"""The answer of a synthesizer."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Mark:
    """When a word is said, in seconds from the beginning."""

    word: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """One piece of audio, of the format that was asked for, and its exact length.

    `marks` are None where they are not known.
    """

    audio: bytes = field(repr=False)
    seconds: float
    marks: tuple[Mark, ...] | None
