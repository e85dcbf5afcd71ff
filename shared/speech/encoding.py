"""From samples to a file: the port of encoders, and MP3."""

from typing import Final, Protocol

from shared.audio.mp3 import with_length

RATE: Final = 24_000
"""Samples a second, of one channel, that an encoder takes. It is the rate of our own voices."""

_BIT_RATE: Final = 48
"""kbit/s, hence 6 kB a second. At 32 speech begins to sound hollow, and above 64 listeners hear no difference."""
_LAME_DELAY: Final = 576
"""Samples that LAME puts before the first one."""


class Encoder(Protocol):
    """Makes one file of samples that come piece by piece, so that an hour of sound is never in memory as samples."""

    media_type: str

    def add(self, samples: bytes) -> None:
        """Take 16-bit little-endian samples of one channel at RATE."""

    def finish(self) -> bytes:
        """Return the file. The encoder takes nothing more after this."""


class Mp3Encoder:
    """MP3 of 48 kbit/s whose header says its length to the sample."""

    media_type = "audio/mpeg"

    def __init__(self) -> None:
        import lameenc  # noqa: PLC0415 in the archive of our own voices alone

        self._lame = lameenc.Encoder()
        self._lame.set_in_sample_rate(RATE)
        self._lame.set_out_sample_rate(RATE)  # otherwise LAME resamples at low bit rates, unasked
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
