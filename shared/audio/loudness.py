"""The loudness of audio over time, without decoding it.

In an MP3 each granule of 576 samples has side information (ISO/IEC 11172-3, 2.4.1.7): a "global gain" in steps of
1.5 dB, and the Huffman tables of its values, whose largest value bounds the loudest frequency.
The gain depends on the bit rate too, so it compares granules of one file.
The bound does not: it is right to some decibels at 32 to 160 kbit/s.
"""

import sys
from array import array
from math import log10
from operator import mul
from typing import Final, NamedTuple

from shared.audio.mp3 import Frame, frames_of

_SAMPLES: Final = 576
_LENGTH_BITS: Final = 12
"""Bits of a granule's data. A granule without data is digital silence at any gain."""
_GAIN_AT: Final = 21
"""Bits before the gain: the length of the data, and the number of its pairs."""
_GAIN_BITS: Final = 8
_UNIT_GAIN: Final = 210
"""The gain at which a value of 1 is a frequency at full scale."""
_SIDE_BYTES: Final = {9: 9, 11: 9, 17: 17, 19: 17, 32: 32, 34: 32}
"""Bytes of side information, by the bytes between a frame's header and its data, of which two may be a checksum."""
_LARGEST: Final = {0: 0, 1: 1, 2: 2, 3: 2, 5: 3, 6: 3, 7: 5, 8: 5, 9: 5, 10: 7, 11: 7, 12: 7}
"""The largest value of a Huffman table. In a table that is not here it is 15, and more with further bits."""
_MP3_RATE: Final = 24_000
_FULL_SCALE: Final = 1 << 15
_STEP_DB: Final = 1.5
_CLIPPED_SAMPLES: Final = 4
"""Samples at full scale from which a granule counts as clipped. Speech at a usual level has fewer."""
_FURTHER_BITS: Final = dict(zip(range(16, 32), (1, 2, 3, 4, 6, 8, 10, 13, 4, 5, 6, 7, 8, 9, 11, 13), strict=True))


class Granule(NamedTuple):
    """The loudest channel's gain in steps of 1.5 dB, 0 in silence, and the upper bound of its loudest frequency in dB,
    where 0 is full scale."""

    gain: int
    peak_db: float


SILENCE: Final = Granule(0, -200.0)


def samples_granules(samples: bytes, rate: int) -> tuple[list[Granule], float]:
    """Return the granules of samples, and the seconds of one.

    Samples are 16-bit little-endian, of one channel. A granule lasts 24 ms, as in an MP3 of 24 kHz. A clipped granule
    has a peak of 0 dB.
    """
    numbers = array("h", samples)
    if sys.byteorder == "big":
        numbers.byteswap()
    size = _SAMPLES * rate // _MP3_RATE
    parts = (numbers[start : start + size] for start in range(0, len(numbers), size))
    return [_granule_of(part) for part in parts], size / rate


def _granule_of(samples: "array[int]") -> Granule:
    power = sum(map(mul, samples, samples)) / len(samples)
    if not power:
        return SILENCE
    gain = round(_UNIT_GAIN + 10 * log10(power / _FULL_SCALE**2) / _STEP_DB)  # above 100 for any sound
    clipped = (
        sum(abs(sample) >= _FULL_SCALE - 1 for sample in samples) if max(map(abs, samples)) >= _FULL_SCALE - 1 else 0
    )
    return Granule(gain, 0.0 if clipped >= _CLIPPED_SAMPLES else SILENCE.peak_db)


def granules_of(mp3: bytes) -> tuple[list[Granule], float]:
    """Return an MP3's granules, and the seconds of one.

    A header without sound counts as silence. An MP3 without frames has no granules, of 0 s.
    """
    granules: list[Granule] = []
    rate = 0
    for frame in frames_of(mp3):
        rate = frame.rate
        granules.extend(_granules(mp3[frame.start : frame.start + frame.side], frame))
    return granules, _SAMPLES / rate if rate else 0.0


def _granules(head: bytes, frame: Frame) -> list[Granule]:
    """Return the granules of a frame, from its side information.

    These are the 9, 17 or 32 bytes before `frame.side`.
    """
    first = frame.samples == _SAMPLES * 2
    size = _SIDE_BYTES[frame.side - 4]
    mono = size == (17 if first else 9)
    channels = 1 if mono else 2
    before = (9 + (5 if mono else 3) + 4 * channels) if first else (8 + (1 if mono else 2))
    width = 59 if first else 63
    bits = int.from_bytes(head[len(head) - size :])
    blocks = [
        bits >> (size * 8 - before - width * (number + 1)) & (1 << width) - 1
        for number in range((2 if first else 1) * channels)
    ]
    read = [_granule(block, width, tables_at=33 if first else 38) for block in blocks]
    return [max(read[number : number + channels]) for number in range(0, len(read), channels)]


def _granule(block: int, width: int, *, tables_at: int) -> Granule:
    """Parse one channel's part, of `width` bits. Bit `tables_at` is set if its blocks are switched."""

    def field(at: int, length: int) -> int:
        return block >> (width - at - length) & (1 << length) - 1

    if not field(0, _LENGTH_BITS):
        return SILENCE
    gain, switched = field(_GAIN_AT, _GAIN_BITS), field(tables_at, 1)
    begin, count = (tables_at + 4, 2) if switched else (tables_at + 1, 3)
    largest = max(_largest(field(begin + 5 * number, 5)) for number in range(count))
    if not largest:
        return Granule(gain, SILENCE.peak_db)
    return Granule(gain, 20 * (4 / 3 * log10(largest) + (gain - _UNIT_GAIN) / 4 * log10(2)))


def _largest(table: int) -> int:
    further = _FURTHER_BITS.get(table)
    return _LARGEST.get(table, 15) if further is None else 15 + (1 << further) - 1
