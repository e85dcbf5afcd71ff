"""How loud an MP3 is over time, without decoding it.

Each granule of 576 samples has a "global gain" in its side information (ISO/IEC 11172-3, 2.4.1.7), in steps of 1.5 dB.
It depends on the bit rate too, so it compares granules of one file, and nothing else.
"""

from typing import Final

from shared.audio.mp3 import Frame, frames_of

_SAMPLES: Final = 576
_LENGTH_BITS: Final = 12
"""Bits of a granule's data. A granule without data is digital silence at any gain."""
_GAIN_AT: Final = 21
"""Bits before the gain: the data's length, and the number of its pairs."""
_GAIN_BITS: Final = 8
_SIDE_BYTES: Final = {9: 9, 11: 9, 17: 17, 19: 17, 32: 32, 34: 32}
"""Bytes between a frame's header and its data, of which two may be a checksum."""


def gains_of(mp3: bytes) -> tuple[list[int], float]:
    """Return the gain of each granule, of its loudest channel, and the seconds of a granule. 0 is silence.

    A header without sound counts as silence. An MP3 without frames has no gains, and granules of 0 s.
    """
    gains: list[int] = []
    rate = 0
    for frame in frames_of(mp3):
        rate = frame.rate
        gains.extend(_granules(mp3[frame.start : frame.start + frame.side], frame))
    return gains, _SAMPLES / rate if rate else 0.0


def _granules(head: bytes, frame: Frame) -> list[int]:
    """Return the gains in a frame's side information, which is 9, 17 or 32 bytes before `frame.side`."""
    first = frame.samples == _SAMPLES * 2
    size = _SIDE_BYTES[frame.side - 4]
    mono = size == (17 if first else 9)
    channels = 1 if mono else 2
    before = (9 + (5 if mono else 3) + 4 * channels) if first else (8 + (1 if mono else 2))
    width = 59 if first else 63
    bits = int.from_bytes(head[len(head) - size :])
    gains = []
    for granule in range(2 if first else 1):
        found = []
        for channel in range(channels):
            shift = size * 8 - before - width * (granule * channels + channel)
            data = bits >> (shift - _LENGTH_BITS) & 0xFFF
            found.append(bits >> (shift - _GAIN_AT - _GAIN_BITS) & 0xFF if data else 0)
        gains.append(max(found))
    return gains
