"""Voices, and what turns text into speech."""

from dataclasses import dataclass
from typing import Protocol

from shared.speech.voices import Voice


@dataclass(frozen=True, kw_only=True)
class Speech:
    """`audio_url` is relative to `PUBLIC_URL`."""

    audio_url: str
    duration_seconds: float


class Synthesizer(Protocol):
    async def speak(self, text: str, voice: Voice) -> Speech:
        """Say the text. Raises SpeechFailed, AudioStoreFailed."""
