"""MP3 files without a codec: the exact length of any file, and the header from which players read the length of ours.

An MP3 is a row of frames of 576 or 1152 samples (ISO/IEC 11172-3 and 13818-3, Layer III).
An encoder adds some hundred samples at the start and fills the last frame, so the frames alone are up to 0.1 s too
long.
A first frame without sound, marked Xing or Info, contains the number of the frames that follow, and in its LAME part
the samples to drop at each end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

from shared.audio.length import BadAudio, Length

__all__ = ["Frame", "NotMp3", "frames_of", "joined", "read_mp3", "with_length"]

_VERSIONS: Final = {0: "2.5", 2: "2", 3: "1"}
_BIT_RATES: Final = {
    "1": (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    "2": (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of Layer III, from index 1. Version 2.5 has those of 2."""
_RATES: Final = {"1": (44_100, 48_000, 32_000), "2": (22_050, 24_000, 16_000), "2.5": (11_025, 12_000, 8_000)}
_MARKS: Final = (b"Info", b"Xing")
_WRITERS: Final = (b"LAME", b"Lavc", b"Lavf")
"""Encoders whose tag contains the samples to drop. Lavc and Lavf are FFmpeg."""
_TAG_BYTES: Final = 4 + 4 + 8 + 36
"""A mark, its flags, frames and bytes, and the LAME part."""
_MAX_GAP: Final = 0xFFF
"""The LAME part has twelve bits for the samples to drop at an end."""


class NotMp3(BadAudio):
    """The bytes contain no frame of MPEG audio Layer III, or frames that cannot be joined to one file."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's place and form.

    `side` is the offset in the frame at which the side information ends, and a mark would begin.
    """

    start: int
    size: int
    samples: int
    rate: int
    side: int


@dataclass(frozen=True, kw_only=True)
class _Tag:
    """The content of an Info frame: the frames and bytes of the file, None if absent, and the samples to drop at each
    end."""

    frames: int | None
    size: int | None
    lead: int
    tail: int


def read_mp3(data: bytes) -> Length:
    """Return the exact length of a file, by a walk over its frames.

    The file is not whole if its last frame breaks off, or if it has fewer frames or bytes than its header announces.
    Tags before the first frame and after the last are skipped, and so are bytes that belong to no frame.
    Raises NotMp3 if there is no frame with sound.
    """
    frames = frames_of(data)
    first = next(frames, None)
    tag = None if first is None else _tag(data, first)
    if first is not None and tag is None:
        frames = chain([first], frames)
    count = samples = end = 0
    last = None
    for last in frames:
        count += 1
        samples += last.samples
        end = last.start + last.size
    if first is None or last is None:
        raise NotMp3(f"{len(data)} bytes contain no frame with sound")
    whole = end <= len(data)
    if tag is not None:
        whole &= (tag.frames is None or count >= tag.frames) and (
            tag.size is None or len(data) - first.start >= tag.size
        )
        samples = max(0, samples - tag.lead - tag.tail)
    return Length(samples=samples, rate=last.rate, whole=whole)


def with_length(body: bytes, samples: int, *, lead: int) -> bytes:
    """Return `body` after a header with its exact length.

    By the header players drop the first `lead` samples, and then play `samples`. Raises NotMp3 if `body` has no frames,
    fewer samples than these, or over 4095 more.
    """
    frames = list(frames_of(body))
    if not frames:
        raise NotMp3(f"{len(body)} bytes contain no frame")
    tail = sum(frame.samples for frame in frames) - lead - samples
    if not (0 <= tail <= _MAX_GAP and 0 <= lead <= _MAX_GAP):
        raise NotMp3(f"{samples} samples after {lead} cannot be what {len(frames)} frames hold")
    return _header(body, frames, lead=lead, tail=tail) + body


def joined(parts: Iterable[bytes]) -> bytes:
    """Join MP3s of one form into one file with one header.

    Samples that the encoder added stay as silence at the seams, some 50 ms. At the ends of the file they are dropped,
    by the marks of the first and the last part.
    Raises NotMp3 if a part has no frame, or another rate or number of channels than the first.
    """
    bodies: list[bytes] = []
    lead, tail, form = 0, 0, None
    for part in parts:
        frames = list(frames_of(part))
        tag = _tag(part, frames[0]) if frames else None
        if tag is not None:
            del frames[0]
        if not frames:
            raise NotMp3(f"a part of {len(part)} bytes contains no frame with sound")
        if form is None:
            form, lead = (frames[0].rate, frames[0].side), tag.lead if tag else 0
        if form != (frames[0].rate, frames[0].side):
            raise NotMp3(f"a part has the form {(frames[0].rate, frames[0].side)}, and the first one {form}")
        tail = tag.tail if tag else 0
        bodies.append(b"".join(part[frame.start : frame.start + frame.size] for frame in frames))
    body = b"".join(bodies)
    return _header(body, list(frames_of(body)), lead=lead, tail=tail) + body


def _header(body: bytes, frames: list[Frame], *, lead: int, tail: int) -> bytes:
    """Return a frame without sound, with the number of frames and bytes of the file.

    It has the form of the first frame. Its bit rate is the stream's, or the next one whose frame has room for the
    content.
    """
    first = frames[0]
    kind = bytearray(body[first.start : first.start + 4])
    kind[1] |= 1  # without a checksum
    kind[2] &= ~2  # without a padding byte
    while (frame := _frame(bytes(kind), 0)) is not None and frame.size < first.side + _TAG_BYTES:
        kind[2] += 1 << 4
    if frame is None:
        raise NotMp3("no frame of this form has room for a header")
    equal = len({frame.size for frame in frames}) == 1
    total = frame.size + len(body)
    head = bytes(kind) + bytes(frame.side - 4)
    head += (_MARKS[0] if equal else _MARKS[1]) + (3).to_bytes(4) + len(frames).to_bytes(4) + total.to_bytes(4)
    head += b"LAME3.100" + (b"\x01" if equal else b"\x00") + bytes(11) + (lead << 12 | tail).to_bytes(3)
    head += bytes(4) + total.to_bytes(4) + bytes(2)
    return (head + _crc16(head).to_bytes(2)).ljust(frame.size, b"\0")


def frames_of(data: bytes) -> Iterator[Frame]:
    """Yield the frames in order. The last one may break off.

    The first header counts only if another one, a tag or the end of the data follows its frame: 11 set bits occur by
    chance in a picture or a text. Further headers count only if they have its rate.
    """
    at = _after_id3(data)
    form = None
    while (at := data.find(b"\xff", at)) != -1:
        frame = _frame(data, at)
        if frame is None or (form is not None and form != frame.rate):
            at += 1
            continue
        end = at + frame.size
        follows = end >= len(data) or data[end : end + 3] == b"TAG" or _frame(data, end) is not None
        if not follows and form is None:
            at += 1
            continue
        form = frame.rate
        yield frame
        at = end


def _frame(data: bytes, at: int) -> Frame | None:
    """Return the frame whose header begins at `at`. None: no header of Layer III begins there."""
    if data[at : at + 1] != b"\xff" or (form := _form(data[at : at + 4])) is None:
        return None
    return Frame(at, *form)


@lru_cache(maxsize=64)
def _form(head: bytes) -> tuple[int, int, int, int] | None:
    """Parse a header into a frame's size, samples, rate and side information's end.

    A header has four bytes. None: this is no header of Layer III, or one of a free bit rate, which is rare. Cached: a
    file has two or three different headers.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version = _VERSIONS.get(head[1] >> 3 & 3)
    index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if version is None or index in {0, 15} or rate_index == 3:
        return None
    rate = _RATES[version][rate_index]
    bits = _BIT_RATES["1" if version == "1" else "2"][index - 1] * 1000
    samples = 1152 if version == "1" else 576
    mono = head[3] >> 6 == 3
    side = (17 if mono else 32) if version == "1" else (9 if mono else 17)
    checksum = 0 if head[1] & 1 else 2
    return samples // 8 * bits // rate + (head[2] >> 1 & 1), samples, rate, 4 + checksum + side


def _tag(data: bytes, frame: Frame) -> _Tag | None:
    """Parse the Info or Xing mark of a first frame. None: it has no mark, so it is a frame of sound."""
    at = frame.start + frame.side
    if data[at : at + 4] not in _MARKS or len(data) < at + 8:  # cut off before the flags: not whole in either reading
        return None
    flags, at = data[at + 7], at + 8
    numbers: list[int | None] = []
    for flag in (1, 2):
        numbers.append(int.from_bytes(data[at : at + 4]) if flags & flag else None)
        at += 4 if flags & flag else 0
    at += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    gaps = int.from_bytes(data[at + 21 : at + 24]) if data[at : at + 4] in _WRITERS else 0
    return _Tag(frames=numbers[0], size=numbers[1], lead=gaps >> 12, tail=gaps & _MAX_GAP)


def _after_id3(data: bytes) -> int:
    """Return the offset at which an ID3v2 tag ends, 0 without one. Its size has seven bits a byte."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _crc16(data: bytes) -> int:
    """Return the CRC-16/ARC that ends the LAME part. Without it a reader may reject the part as damaged."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc
