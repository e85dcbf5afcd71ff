"""Audio files: simulated ones, which are made when they are fetched, and the part of a file that a client asks for."""

import re
from dataclasses import dataclass
from typing import Final

MEDIA_TYPE: Final = "audio/mpeg"
MAX_SIMULATED_TENTHS: Final = 600
"""Simulated audio is at most 60 s."""

_SIMULATED = re.compile(r"simulated-(0|[1-9][0-9]{0,5})\.mp3")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

_FRAME: Final = bytes.fromhex("fff314c4") + bytes(20)
"""One frame of silence: MPEG-2 Layer III, 8 kbit/s, 24 kHz, mono (ISO/IEC 13818-3), hence 72 * 8000 / 24000 = 24 bytes.
Side information of zeros says that nothing is coded."""

_FRAME_MS: Final = 24
"""576 samples at 24 kHz."""


def simulated_file(tenths: int) -> str:
    """The name of a silence of so many tenths of a second."""
    return f"simulated-{tenths}.mp3"


def simulated_audio(file: str) -> bytes | None:
    """The MP3 that a simulated file's name describes; None: it is not such a name."""
    match = _SIMULATED.fullmatch(file)
    if match is None:
        return None
    tenths = min(int(match[1]), MAX_SIMULATED_TENTHS)
    return _FRAME * max(1, round(tenths * 100 / _FRAME_MS))


@dataclass(frozen=True, kw_only=True)
class Part:
    """The bytes from `start` up to `end`, exclusive, of `total`."""

    start: int
    end: int
    total: int


def requested_part(header: str | None, total: int) -> Part | None:
    """What a `Range` header asks of a file (RFC 9110, section 14.2); None: it cannot be satisfied.

    Without a header, with several ranges, or with one that is malformed, it is the whole file.
    """
    whole = Part(start=0, end=total, total=total)
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(1, 2) == ("", "") or max(map(len, match.groups())) > 18:
        return whole
    first, last = match.groups()
    if first == "":
        start, end = max(0, total - int(last)), total
    else:
        start, end = int(first), min(total, int(last) + 1 if last else total)
        if last and int(last) < int(first):
            return whole
    return Part(start=start, end=end, total=total) if start < end else None
