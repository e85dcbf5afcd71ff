"""The answer of a synthesizer."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The time of a word, in seconds from the beginning."""

    word: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """One piece of audio, of the requested format, and its exact length. `marks` of None: unknown."""

    audio: bytes = field(repr=False)
    seconds: float
    marks: tuple[Mark, ...] | None
