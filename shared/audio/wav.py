"""WAV files of 16-bit samples of one channel: a header before the samples that providers call PCM."""

import sys
import wave
from array import array
from collections.abc import Iterable
from io import BytesIO
from itertools import islice
from math import gcd
from typing import Final

from shared.audio.length import BadAudio, Length

__all__ = ["NotWav", "at_rate", "joined", "read_wav", "samples_of", "with_header"]

_HEADER_BYTES: Final = 44
_WIDTH: Final = 2
"""Bytes of a sample."""


class NotWav(BadAudio):
    """The bytes are no WAV of 16-bit samples of one channel, or the parts have several rates."""


def with_header(samples: bytes, rate: int) -> bytes:
    """Return the WAV file of 16-bit little-endian samples."""
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(_WIDTH)
        out.setframerate(rate)
        out.writeframes(samples)
    return file.getvalue()


def read_wav(data: bytes) -> Length:
    """Return the exact length of a file. Raises NotWav."""
    samples, rate, announced = _read(data)
    return Length(samples=len(samples) // _WIDTH, rate=rate, whole=len(samples) == announced * _WIDTH)


def samples_of(data: bytes) -> tuple[bytes, int]:
    """Return the samples and their rate. Raises NotWav."""
    samples, rate, _ = _read(data)
    return samples, rate


def at_rate(samples: bytes, rate: int, wanted: int) -> bytes:
    """Return samples of `rate` as samples of the rate `wanted`, on the straight lines between them.

    Speech at 16 kHz loses a part of its hiss by it, and no word. The last sample is held to the end. A minute takes
    half a second of CPU.
    """
    if rate == wanted or not samples:
        return samples
    up, down = wanted // gcd(rate, wanted), rate // gcd(rate, wanted)
    numbers = _numbers(samples)
    made = array("h", bytes(_WIDTH * (len(numbers) * wanted // rate)))
    numbers.append(numbers[-1])
    for phase in range(up):  # samples that are `up` apart divide their lines in one ratio
        at, part = divmod(phase * down, up)
        ends = zip(numbers[at::down], numbers[at + 1 :: down], strict=False)
        values = ((one * (up - part) + other * part) // up for one, other in islice(ends, len(made[phase::up])))
        made[phase::up] = array("h", values)
    return _numbers(made.tobytes()).tobytes()


def joined(parts: Iterable[bytes]) -> bytes:
    """Join the parts to one file, without a gap. Raises NotWav if a part is no WAV, or if their rates differ."""
    read = [_read(part) for part in parts]
    rates = {rate for _, rate, _ in read}
    if len(rates) != 1:
        raise NotWav(f"{len(read)} parts have the rates {sorted(rates)}")
    return with_header(b"".join(samples for samples, _, _ in read), rates.pop())


def _numbers(samples: bytes) -> "array[int]":
    """Return little-endian samples as numbers of this machine, or the reverse."""
    numbers = array("h", samples)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _read(data: bytes) -> tuple[bytes, int, int]:
    """Return the samples, their rate, and the number that the header announces."""
    try:
        with wave.open(BytesIO(data), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, _WIDTH):
                raise NotWav(f"{file.getnchannels()} channels of {file.getsampwidth()} bytes")
            if not file.getframerate():
                raise NotWav("a rate of 0")
            announced = file.getnframes()
            return file.readframes(announced), file.getframerate(), announced
    except (wave.Error, EOFError, ValueError, RuntimeError) as exc:  # all of them from the standard reader
        raise NotWav(f"{len(data)} bytes are no WAV ({exc})") from exc
