"""Audio files: simulated ones, which are made when they are fetched, and the part of a file that a client asks for."""

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
"""Samples a second of a silent WAV, as of all our voices."""

MAX_SIMULATED_TENTHS: Final = 600
"""Simulated audio is at most 60 s."""

_SIMULATED = re.compile(r"simulated-(0|[1-9][0-9]{0,5})\.(mp3|wav|opus)")

_FRAME: Final = bytes.fromhex("fff314c4") + bytes(20)
"""One frame of silence: MPEG-2 Layer III, 8 kbit/s, 24 kHz, mono (ISO/IEC 13818-3), hence 72 * 8000 / 24000 = 24 bytes.
Side information of zeros says that nothing is coded."""

_FRAME_MS: Final = 24
"""576 samples at 24 kHz."""


def simulated_file(tenths: int, form: str = "mp3") -> str:
    """The name of a silence of so many tenths of a second."""
    return f"simulated-{tenths}.{form}"


def simulated_audio(file: str) -> bytes | None:
    """The silence that a simulated file's name describes; None: it is not such a name."""
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
    """Silence of the estimated duration. Nothing is stored: the file's name says all that its making needs."""

    provider = "simulation"
    quick_characters = None
    formats: Mapping[str, int | None] = dict.fromkeys(FORMATS)

    def reading(self, text: str) -> str:
        """Return the text itself, of whose length the silence is; empty if no voice could say anything of it."""
        return text if cleaned(text) else ""

    async def speak(self, reading: str, voice: Voice, *, file: str) -> Speech:  # noqa: ARG002 silence has no voice
        """Name a silence of the format that `file` ends with."""
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
        """Keep nothing: voices that were chosen once, and are simulated now, leave their memos without audio."""
        raise SpeechFailed("The voices of this memo are simulated now", details={"provider": self.provider})

    async def kept(self, file: str) -> Speech | None:  # noqa: ARG002 nothing is kept
        return None

    async def discard(self, file: str) -> None:
        """Nothing was kept."""
