"""Voices, and what turns text into speech."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from shared.core.text import characters
from shared.speech.spoken import Spoken
from shared.speech.voices import Voice


@dataclass(frozen=True, kw_only=True)
class Speech:
    """`audio_url` is relative to `PUBLIC_URL`."""

    audio_url: str
    duration_seconds: float


def estimated_s(text: str) -> float:
    """Return the seconds that a text is expected to take, to a tenth: the contract's estimate."""
    return (8 * characters(text) + 5) // 10 / 10


class Synthesizer(Protocol):
    """Says a whole text, and keeps what it said."""

    provider: str
    """Its name, in errors and in the rows of long memos."""

    @property
    def formats(self) -> Mapping[str, int | None]:
        """The formats that it makes, with the most characters of a text in each; None: as many as a memo may have."""

    @property
    def quick_characters(self) -> int | None:
        """Characters of a reading that `speak` says well within a request's time; None: any."""

    def reading(self, text: str) -> str:
        """Return what is said of a text, which is what `speak` takes; empty: nothing in it can be said."""

    async def speak(self, reading: str, voice: Voice, *, file: str) -> Speech:
        """Say it, and keep the audio as `file`, whose name ends with the format.

        Raises SpeechFailed, AudioStoreFailed; then `discard` is due.
        """

    async def kept(self, file: str) -> Speech | None:
        """Return what an earlier `speak` kept as `file`; None: nothing. Raises AudioStoreFailed."""

    async def speak_long(self, reading: str, voice: Voice, *, file: str, time_left_s: Callable[[], float]) -> float:
        """Say it however long it is, and keep the audio as `file`. Returns its seconds.

        Repeatable, by several callers at once: each piece is bought once. Raises Unfinished if pieces are missing when
        the time is up, NotWanted if the file is not being made any more, SpeechFailed, AudioStoreFailed.
        """

    async def discard(self, file: str) -> None:
        """Delete what `speak` and `speak_long` may have kept. Raises AudioStoreFailed."""


class VoiceAdapter(Protocol):
    """Turns a text into speech: our own voices, or a provider's."""

    max_characters: int
    """Characters of one call, in UTF-16 code units. The caller cuts longer text (`shared.speech.cutting.pieces`)."""

    quick_characters: int
    """Characters that it says well within a request's time, at most `max_characters`. A longer text is said piece by
    piece after the request. More would fail texts that are slow to say; less would make more callers wait."""

    @property
    def formats(self) -> AbstractSet[str]:
        """The formats that it brings, of `shared.audio.formats`."""

    def reading(self, cleaned: str) -> str:
        """Return what this adapter says of a cleaned text; empty: nothing, so that the text is refused before it is
        charged."""

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
        """Say what `reading` returned, in one of `formats`. Raises SpeechFailed."""
