"""Ogg files of Opus without a codec: their exact length, parts joined into one file, and silence.

An Ogg stream is a row of pages (RFC 3533), each with up to 255 segments; a packet ends with a segment below 255 bytes.
Opus (RFC 7845) has two packets of headers, then packets of sound. A page's granule position is the number of samples at
48 kHz up to its end. A player drops the first `pre-skip` of them, and those beyond the last page's position.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from shared.audio.length import BadAudio, Length

__all__ = ["RATE", "NotOpus", "joined", "read_opus", "silence"]

RATE: Final = 48_000
"""Samples a second, in which positions are counted at any encoded rate."""

_PAGE: Final = b"OggS"
_FIRST, _LAST = 2, 4
"""Flags of a page: the stream begins, the stream ends."""
_HEAD_BYTES: Final = 27
_WHOLE_SEGMENT: Final = 255
_SEGMENTS_A_PAGE: Final = 255
_PACKETS_A_PAGE: Final = 40
"""Packets of 20 ms in 0.8 s of sound. Players seek by pages, so longer pages would make seeking coarser."""
_PACKET_BYTES: Final = 61_440
"""RFC 7845 (6) lets a reader refuse longer packets. A packet of this size fits into one page."""
_PRE_SKIP: Final = 312
"""Samples before the sound, as many as libopus adds at 24 kHz."""
_FRAME: Final = 960
"""Samples of 20 ms."""
_SILENT: Final = bytes.fromhex("f8fffe")
"""A packet of 20 ms without sound: one CELT frame of full band and one channel (RFC 6716, 3.1)."""
_SERIAL: Final = 1
_VENDOR: Final = b"Agent Talk"

_FRAMES: Final = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
"""Samples of one frame, by the first five bits of its packet (RFC 6716, table 2)."""
_CODE_MASK: Final = 3
_COUNT_MASK: Final = 0x3F


class NotOpus(BadAudio):
    """The bytes are no Ogg stream of Opus."""


@dataclass(frozen=True, kw_only=True)
class _Stream:
    """The content of a file: `packets` of sound, and the samples to `drop` at the end."""

    head: bytes
    packets: Sequence[bytes]
    drop: int
    whole: bool

    @property
    def pre_skip(self) -> int:
        return int.from_bytes(self.head[10:12], "little")


def read_opus(data: bytes) -> Length:
    """Return the exact length of a file, in samples of 48 kHz. Raises NotOpus."""
    stream = _read(data)
    samples = sum(map(_samples, stream.packets)) - stream.pre_skip - stream.drop
    return Length(samples=max(0, samples), rate=RATE, whole=stream.whole)


def joined(parts: Iterable[bytes]) -> bytes:
    """Join the parts to one file. Samples that the encoder added stay as silence at the seams, some 20 ms.

    Raises NotOpus if a part is no Opus, if parts differ in their channels, or if there is no part.
    """
    streams = [_read(part) for part in parts]
    if len({stream.head[8:10] + stream.head[18:] for stream in streams}) != 1:
        raise NotOpus("the parts differ in their channels, or there is none")
    packets = [packet for stream in streams for packet in stream.packets]
    return _written(streams[0].head, packets, drop=streams[-1].drop)


def silence(samples: int) -> bytes:
    """Return a silent file of this many samples of 48 kHz."""
    head = b"OpusHead\x01\x01" + _PRE_SKIP.to_bytes(2, "little") + (24_000).to_bytes(4, "little") + bytes(3)
    count = -(-(samples + _PRE_SKIP) // _FRAME)
    return _written(head, [_SILENT] * count, drop=count * _FRAME - samples - _PRE_SKIP)


def _read(data: bytes) -> _Stream:
    packets, position, whole = list[bytes](), 0, False
    pending = bytearray()
    for body, segments, flags, granule in _pages(data):
        at = 0
        for size in segments:
            pending += body[at : at + size]
            at += size
            if size < _WHOLE_SEGMENT:
                packets.append(bytes(pending))
                pending.clear()
        position = max(position, granule)
        whole = bool(flags & _LAST) and at == len(body)
    if len(packets) < 3 or not packets[0].startswith(b"OpusHead") or not packets[1].startswith(b"OpusTags"):
        raise NotOpus(f"{len(data)} bytes are no Ogg stream of Opus with sound")
    sound = packets[2:]
    drop = max(0, sum(map(_samples, sound)) - position) if whole else 0
    return _Stream(head=packets[0], packets=sound, drop=drop, whole=whole)


def _pages(data: bytes) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Yield each page's body, the sizes of its segments, its flags and its position.

    A truncated page is the last one. It has its body up to the cut, and no segments.
    """
    at = 0
    while data[at : at + 4] == _PAGE and at + _HEAD_BYTES <= len(data):
        count = data[at + 26]
        segments = data[at + _HEAD_BYTES : at + _HEAD_BYTES + count]
        start = at + _HEAD_BYTES + count
        end = start + sum(segments)
        if len(segments) < count or end > len(data):
            yield data[start:end], b"", 0, 0
            return
        yield data[start:end], segments, data[at + 5], int.from_bytes(data[at + 6 : at + 14], "little", signed=True)
        at = end


def _samples(packet: bytes) -> int:
    """Return the number of samples of 48 kHz in a packet (RFC 6716, 3.1 and 3.2). Raises NotOpus."""
    if not packet:
        raise NotOpus("a packet is empty")
    code = packet[0] & _CODE_MASK
    if code == _CODE_MASK:
        if len(packet) < 2:
            raise NotOpus("a packet breaks off")
        count = packet[1] & _COUNT_MASK
    else:
        count = 1 if code == 0 else 2
    return count * _FRAMES[packet[0] >> 3]


def _written(head: bytes, packets: Sequence[bytes], *, drop: int) -> bytes:
    tags = b"OpusTags" + len(_VENDOR).to_bytes(4, "little") + _VENDOR + bytes(4)
    pages = [_page(0, [head], flags=_FIRST, position=0), _page(1, [tags], flags=0, position=0)]
    *batches, last = _by_page(packets)
    position = 0
    for batch in batches:
        position += sum(map(_samples, batch))
        pages.append(_page(len(pages), batch, flags=0, position=position))
    position += sum(map(_samples, last)) - drop
    pages.append(_page(len(pages), last, flags=_LAST, position=position))
    return b"".join(pages)


def _by_page(packets: Sequence[bytes]) -> list[list[bytes]]:
    """Return the packets in batches that fit into a page each; at least one batch. Raises NotOpus."""
    batches, segments = list[list[bytes]]([[]]), 0
    for packet in packets:
        if len(packet) > _PACKET_BYTES:
            raise NotOpus(f"a packet has {len(packet)} bytes")
        needed = len(packet) // _WHOLE_SEGMENT + 1
        if len(batches[-1]) == _PACKETS_A_PAGE or segments + needed > _SEGMENTS_A_PAGE:
            batches.append([])
            segments = 0
        batches[-1].append(packet)
        segments += needed
    return batches


def _page(number: int, packets: Sequence[bytes], *, flags: int, position: int) -> bytes:
    segments = b"".join(
        bytes([_WHOLE_SEGMENT]) * (len(packet) // _WHOLE_SEGMENT) + bytes([len(packet) % _WHOLE_SEGMENT])
        for packet in packets
    )
    before = _PAGE + bytes([0, flags]) + position.to_bytes(8, "little") + _SERIAL.to_bytes(4, "little")
    before += number.to_bytes(4, "little")
    after = bytes([len(segments)]) + segments + b"".join(packets)
    return before + _crc32(before + bytes(4) + after).to_bytes(4, "little") + after


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
        rows.append(crc)
    return tuple(rows)


_CRCS: Final = _table()


def _crc32(data: bytes) -> int:
    """Return Ogg's checksum. The standard library has none: its CRC-32 is reflected and inverted, Ogg's is neither."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRCS[crc >> 24 ^ byte]
    return crc
