"""Simulated speech: silence, whose files are made when they are fetched, from their names alone."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from shared.audio.files import format_of
from shared.audio.formats import FORMATS
from shared.audio.ogg import RATE as OPUS_RATE
from shared.audio.ogg import silence
from shared.audio.wav import with_header
from shared.core.errors import SpeechFailed
from shared.speech.cleaning import cleaned
from shared.speech.synthesizer import Speech, estimated_s
from shared.speech.voices import Voice

RATE: Final = 24_000
"""Samples a second of a silent WAV, equal to those of our own voices."""

MAX_SIMULATED_TENTHS: Final = 600
"""The most tenths of a second of a simulated file: 60 s."""

_SIMULATED = re.compile(r"simulated-(0|[1-9][0-9]{0,5})\.(mp3|wav|opus)")

_FRAME: Final = bytes.fromhex("fff314c4") + bytes(20)
"""One frame of silence: MPEG-2 Layer III, 8 kbit/s, 24 kHz, mono (ISO/IEC 13818-3), hence 72 * 8000 / 24000 = 24 bytes.
Side information of zeros means that no sound is coded."""

_FRAME_MS: Final = 24
"""Milliseconds of 576 samples at 24 kHz."""


def simulated_file(tenths: int, form: str = "mp3") -> str:
    """Return the name of a silence of this length: `simulated-15.mp3` has 1.5 s."""
    return f"simulated-{tenths}.{form}"


def simulated_audio(file: str) -> bytes | None:
    """Return the silence that a simulated file's name describes. None: this is no such name."""
    match = _SIMULATED.fullmatch(file)
    if match is None:
        return None
    tenths = min(int(match[1]), MAX_SIMULATED_TENTHS)
    match match[2]:
        case "wav":
            return with_header(bytes(2 * RATE * tenths // 10), RATE)
        case "opus":
            return silence(OPUS_RATE * tenths // 10)
        case _:
            return _FRAME * max(1, round(tenths * 100 / _FRAME_MS))


class SimulatedSpeech:
    """Silence of the estimated duration. Nothing is stored: the file's name contains its length and format."""

    provider = "simulation"
    quick_characters = None
    formats: Mapping[str, int | None] = dict.fromkeys(FORMATS)

    def reading(self, text: str) -> str:
        """Return the text itself, from whose length the duration follows. Empty: no voice could say any of it."""
        return text if cleaned(text) else ""

    async def speak(self, reading: str, voice: Voice, *, file: str) -> Speech:  # noqa: ARG002 silence has no voice
        """Return the URL of a silence in the format of `file`; without one in MP3."""
        seconds = estimated_s(reading)
        return Speech(
            audio_url=f"/audio/{simulated_file(round(10 * seconds), format_of(file) if file else 'mp3')}",
            duration_seconds=seconds,
        )

    async def speak_long(
        self,
        reading: str,  # noqa: ARG002 nothing is said
        voice: Voice,  # noqa: ARG002 silence has no voice
        *,
        file: str,  # noqa: ARG002 nothing is kept
        time_left_s: Callable[[], float],  # noqa: ARG002 silence takes no time
    ) -> float:
        """Raise SpeechFailed. This is called only for a memo whose voices were real once, and are simulated now."""
        raise SpeechFailed("The voices of this memo are simulated now", details={"provider": self.provider})

    async def kept(self, file: str) -> Speech | None:  # noqa: ARG002 nothing is kept
        return None

    async def discard(self, file: str) -> None:
        """Do nothing: no audio was kept."""
