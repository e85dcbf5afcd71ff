"""Voices, and what turns text into speech."""

from dataclasses import dataclass
from typing import Final, Protocol

from shared.speech.simulated import simulated_file


@dataclass(frozen=True, kw_only=True)
class Voice:
    id: str
    name: str
    gender: str
    description: str


VOICES: Final = {
    voice.id: voice
    for voice in (
        Voice(id=name.lower(), name=name, gender=gender, description=description)
        for name, gender, description in (
            ("Rachel", "female", "Calm, professional"),
            ("Domi", "female", "Strong, confident"),
            ("Bella", "female", "Soft, warm"),
            ("Adam", "male", "Deep narration"),
            ("Sam", "male", "Conversational"),
            ("Charlie", "male", "Casual conversational"),
            ("Emily", "female", "Soft, gentle"),
            ("Ethan", "male", "Young male"),
            ("Freya", "female", "Young, energetic"),
            ("Dorothy", "female", "Storyteller"),
            ("Bill", "male", "Mature male"),
            ("Sarah", "female", "Professional female"),
        )
    )
}


def characters(text: str) -> int:
    """The length of a text as every client counts it: in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


@dataclass(frozen=True, kw_only=True)
class Speech:
    """`audio_url` is relative to `PUBLIC_URL`."""

    audio_url: str
    duration_seconds: float


class Synthesizer(Protocol):
    async def speak(self, text: str, voice: Voice) -> Speech:
        """Say the text. Raises SpeechFailed, AudioStoreFailed."""


class SimulatedSpeech:
    """Silence of the estimated duration. Nothing is stored: the file's name says all that its making needs."""

    async def speak(self, text: str, voice: Voice) -> Speech:  # noqa: ARG002 silence sounds alike in every voice
        tenths = (8 * characters(text) + 5) // 10
        return Speech(audio_url=f"/audio/{simulated_file(tenths)}", duration_seconds=tenths / 10)
