"""Voices, and what turns text into speech."""

from dataclasses import dataclass
from typing import Protocol

from shared.speech.spoken import Spoken
from shared.speech.voices import Voice


@dataclass(frozen=True, kw_only=True)
class Speech:
    """`audio_url` is relative to `PUBLIC_URL`."""

    audio_url: str
    duration_seconds: float


class Synthesizer(Protocol):
    """Says a whole text, and keeps what it said."""

    def reading(self, text: str) -> str:
        """Return what is said of a text, which is what `speak` takes; empty: nothing in it can be said."""

    async def speak(self, reading: str, voice: Voice, *, file: str) -> Speech:
        """Say it, and keep the audio as `file`. Raises SpeechFailed, AudioStoreFailed; then `discard` is due."""

    async def kept(self, file: str) -> Speech | None:
        """Return what an earlier `speak` kept as `file`; None: nothing. Raises AudioStoreFailed."""

    async def discard(self, file: str) -> None:
        """Delete what `speak` may have kept. Raises AudioStoreFailed."""


class VoiceAdapter(Protocol):
    """Turns a text into speech: our own voices, or a provider's."""

    max_characters: int
    """Characters of one call, in UTF-16 code units. The caller cuts longer text (`shared.speech.cutting.pieces`)."""

    def reading(self, cleaned: str) -> str:
        """Return what this adapter says of a cleaned text; empty: nothing, so that the text is refused before it is
        charged."""

    async def speak(self, text: str, voice: Voice) -> Spoken:
        """Say what `reading` returned. Raises SpeechFailed."""
