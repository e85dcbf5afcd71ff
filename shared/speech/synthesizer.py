"""The ports of speech: a synthesizer, which keeps a text's audio, and its adapter."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from shared.core.text import characters
from shared.speech.spoken import Spoken
from shared.speech.voices import Voice


@dataclass(frozen=True, kw_only=True)
class Speech:
    """Audio that was kept. `audio_url` is relative to `PUBLIC_URL`: `/audio/4f1d…-9c07….mp3`."""

    audio_url: str
    duration_seconds: float


def estimated_s(text: str) -> float:
    """Return the estimated seconds of a text, to a tenth. By the API's contract: 0.08 a character."""
    return (8 * characters(text) + 5) // 10 / 10


class Synthesizer(Protocol):
    """Says whole texts, and keeps their audio."""

    provider: str
    """The name in errors and in the rows of long memos."""

    @property
    def formats(self) -> Mapping[str, int | None]:
        """The formats that it makes, with the most characters of a text in each. None: any number."""

    @property
    def quick_characters(self) -> int | None:
        """Characters of a reading that `speak` says well within a request's time. None: any number."""

    def reading(self, text: str) -> str:
        """Return the reading of a text, for `speak`; empty: nothing in it can be said."""

    async def speak(self, reading: str, voice: Voice, *, file: str) -> Speech:
        """Say a reading, and keep the audio as `file`, whose name ends with the format.

        Raises SpeechFailed, AudioStoreFailed; then the caller calls `discard`.
        """

    async def kept(self, file: str) -> Speech | None:
        """Return the speech that an earlier `speak` kept as `file`; None: absent. Raises AudioStoreFailed."""

    async def speak_long(self, reading: str, voice: Voice, *, file: str, time_left_s: Callable[[], float]) -> float:
        """Say a reading of any length, keep the audio as `file`, and return its seconds.

        Repeatable, by several callers at once: each piece is bought once. Raises Unfinished if pieces are missing when
        the time is up, NotWanted if the file is no longer being made, SpeechFailed, AudioStoreFailed.
        """

    async def discard(self, file: str) -> None:
        """Delete all that `speak` and `speak_long` may have kept for a file. Raises AudioStoreFailed."""


class VoiceAdapter(Protocol):
    """Says texts, with our own voices or a provider's."""

    max_characters: int
    """The most characters of one call, in UTF-16 code units. The caller cuts longer text (`cutting.pieces`)."""

    quick_characters: int
    """Characters that it says well within a request's time, at most `max_characters`. A longer text is said piece by
    piece after the request. With more, texts that are slow to say would fail; with less, more callers would wait."""

    @property
    def formats(self) -> AbstractSet[str]:
        """The formats that it returns, of `shared.audio.formats`."""

    def reading(self, cleaned: str) -> str:
        """Return the reading of a cleaned text. Empty: nothing in it can be said, so it is refused before a charge."""

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
        """Say a text that `reading` returned, in one of `formats`. Raises SpeechFailed."""
