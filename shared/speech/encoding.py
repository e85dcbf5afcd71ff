"""From samples to a file: the port of encoders, and the three encoders."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from io import BytesIO
from typing import Final, Protocol

from shared.audio.mp3 import with_length
from shared.audio.ogg import joined
from shared.audio.wav import with_header

RATE: Final = 24_000
"""Samples a second of our own voices. Clients of OpenAI's speech API expect PCM at this rate."""

_BIT_RATE: Final = 48
"""kbit/s, hence 6 kB a second. At 32 speech begins to sound hollow, and above 64 listeners hear no difference."""
_LAME_DELAY: Final = 576
"""Samples that LAME adds before the first one."""
_OPUS_LEVEL: Final = 0.9
"""libsndfile's compression, from 0 to 1: some 32 kbit/s, at which speech in Opus has no audible loss."""


class Encoder(Protocol):
    """Encodes samples to one file, piece by piece, so that an hour of sound is never in memory as samples."""

    def add(self, samples: bytes) -> None:
        """Encode further samples: 16-bit, little-endian, of one channel."""

    def finish(self) -> bytes:
        """Return the file. The encoder cannot be used after this."""


class Mp3Encoder:
    """MP3 of 48 kbit/s whose header contains its length to the sample."""

    def __init__(self, rate: int = RATE) -> None:
        import lameenc  # noqa: PLC0415 in the archive of our own voices alone

        self._lame = lameenc.Encoder()
        self._lame.set_in_sample_rate(rate)
        self._lame.set_out_sample_rate(rate)  # otherwise LAME resamples at low bit rates
        self._lame.set_channels(1)
        self._lame.set_bit_rate(_BIT_RATE)
        self._lame.set_quality(5)
        self._lame.silence()
        self._body = bytearray()
        self._samples = 0

    def add(self, samples: bytes) -> None:
        self._samples += len(samples) // 2
        self._body += self._lame.encode(samples)

    def finish(self) -> bytes:
        self._body += self._lame.flush()
        return with_length(bytes(self._body), self._samples, lead=_LAME_DELAY)


class WavEncoder:
    """WAV with the samples unchanged: 48 kB a second."""

    def __init__(self, rate: int = RATE) -> None:
        self._rate = rate
        self._samples = bytearray()

    def add(self, samples: bytes) -> None:
        self._samples += samples

    def finish(self) -> bytes:
        return with_header(bytes(self._samples), self._rate)


class OpusEncoder:
    """Ogg/Opus whose last page contains its length to the sample."""

    def __init__(self, rate: int = RATE) -> None:
        import soundfile  # noqa: PLC0415 in the archive of our own voices alone

        self._file = BytesIO()
        self._out = soundfile.SoundFile(
            self._file, "w", rate, channels=1, format="OGG", subtype="OPUS", compression_level=_OPUS_LEVEL
        )

    def add(self, samples: bytes) -> None:
        self._out.buffer_write(samples, "int16")

    def finish(self) -> bytes:
        self._out.close()
        return joined([self._file.getvalue()])  # libsndfile draws a serial: without this equal texts differ


OpenEncoder = Callable[[int], Encoder]
"""Opens an encoder for samples of this rate, in Hz."""

_MODULES: Final = {"mp3": "lameenc", "opus": "soundfile"}
_ENCODERS: Final[Mapping[str, OpenEncoder]] = {"mp3": Mp3Encoder, "wav": WavEncoder, "opus": OpusEncoder}


def available_encoders() -> Mapping[str, OpenEncoder]:
    """Return the encoders whose libraries are deployed, by format."""
    return {
        name: opened
        for name, opened in _ENCODERS.items()
        if name not in _MODULES or find_spec(_MODULES[name]) is not None
    }
