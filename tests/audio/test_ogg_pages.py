"""Pages of Ogg, written by mutagen and read by us, and the other way round."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pytest
from mutagen.ogg import OggPage

from shared.audio.ogg import NotOpus, joined, read_opus, silence

HEAD = b"OpusHead\x01\x01" + (312).to_bytes(2, "little") + (24_000).to_bytes(4, "little") + bytes(3)
TAGS = b"OpusTags" + bytes(8)
FRAME = 960
LENGTHS = (1, 2, 253, 254, 255, 256, 509, 510, 511, 764, 765, 766, 1_275)


def packet(length: int) -> bytes:
    """Return a packet of one frame of 20 ms."""
    return b"\xf8" + bytes(length - 1)


def pages_of(file: bytes) -> list[Any]:
    source, pages = BytesIO(file), []
    while source.tell() < len(file):
        pages.append(OggPage(source))  # type: ignore[no-untyped-call]
    return pages


def written(
    packets: Sequence[bytes], *, drop: int = 0, head: bytes = HEAD, size: int = 600, frame: int = FRAME
) -> bytes:
    """Return a file written by mutagen: pages of some 600 bytes, so that a packet may take several."""
    pages: Any = [
        *OggPage.from_packets([head], sequence=0),  # type: ignore[no-untyped-call]
        *OggPage.from_packets([TAGS], sequence=1),  # type: ignore[no-untyped-call]
        *OggPage.from_packets(packets, sequence=2, default_size=size),  # type: ignore[no-untyped-call]
    ]
    pages[0].first, pages[-1].last = True, True
    position = 0
    for page in pages[2:]:
        position += frame * (len(page.packets) - (not page.complete))
        page.position = position - (drop if page.last else 0) if page.complete or len(page.packets) > 1 else -1
    return b"".join(page.write() for page in pages)


@pytest.mark.parametrize("size", [255, 600, 60_000])
def test_packets_of_any_length_are_read_from_any_pages(size: int) -> None:
    """A packet ends with a segment below 255 bytes, on this page or a later one."""
    packets = [packet(length) for length in LENGTHS]
    length = read_opus(written(packets, size=size, drop=500))
    assert (length.samples, length.whole) == (len(packets) * FRAME - 312 - 500, True)


@pytest.mark.parametrize(("kind", "frame"), [(0, 480), (3, 2880), (12, 480), (13, 960), (16, 120), (31, 960)])
@pytest.mark.parametrize(
    ("code", "more", "frames"), [(0, b"", 1), (1, b"", 2), (2, b"", 2), (3, b"\xc3", 3), (3, b"\x01", 1)]
)
def test_length_counts_the_frames_of_each_packet(kind: int, frame: int, code: int, more: bytes, frames: int) -> None:
    """By RFC 6716, table 2 and 3.2, a packet of code 3 contains its number of frames, and two flags."""
    packet = bytes([kind << 3 | code]) + more
    sound = 10 * frames * frame
    length = read_opus(written([packet] * 10, frame=2 * frames * frame))  # no position reduces the count
    assert (length.samples, length.whole) == (max(0, sound - 312), True)


@pytest.mark.parametrize("drop", [0, 1, 959, 5_000])
def test_samples_after_the_last_position_are_dropped(drop: int) -> None:
    assert read_opus(written([packet(40)] * 10, drop=drop)).samples == 10 * FRAME - 312 - drop


def test_samples_are_none_when_all_are_dropped() -> None:
    assert read_opus(written([packet(40)] * 2, drop=1_900)).samples == 0


@pytest.mark.parametrize("count", [1, 39, 40, 41, 80, 81])
@pytest.mark.parametrize("length", LENGTHS)
def test_written_pages_are_those_that_mutagen_would_write(count: int, length: int) -> None:
    """Each page has its number, its position, its checksum and 40 packets. The first and the last page are marked."""
    packets = [packet(length)] * count
    file = joined([written(packets, drop=500)])
    pages = pages_of(file)
    assert b"".join(page.write() for page in pages) == file
    assert [page.sequence for page in pages] == list(range(len(pages)))
    assert [page.first for page in pages] == [True] + [False] * (len(pages) - 1)
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    ends = [*range(40, count, 40), count]
    assert [page.position for page in pages] == [0, 0, *(FRAME * end - 500 * (end == count) for end in ends)]
    assert [held for page in pages[2:] for held in page.packets] == packets
    assert len({page.serial for page in pages}) == 1
    assert pages[0].packets == [HEAD]


@pytest.mark.parametrize("frames", [2, 6, 48])
def test_joined_packets_of_many_frames_get_more_pages(frames: int) -> None:
    """A packet may have 48 frames of 1,275 bytes, and no page more than 255 segments."""
    packets = [bytes([0xF8 | 3, frames]) + bytes(frames * 1_275)] * 50
    file = joined([written(packets, size=30_000, frame=frames * FRAME)])
    pages = pages_of(file)
    assert b"".join(page.write() for page in pages) == file
    assert [held for page in pages[2:] for held in page.packets] == packets
    assert read_opus(file).samples == 50 * frames * FRAME - 312
    assert pages[-1].last


@pytest.mark.parametrize(("size", "is_joined"), [(61_440, True), (61_441, False)])
def test_joined_refuses_a_packet_beyond_the_format(size: int, is_joined: bool) -> None:  # noqa: FBT001
    """No reader has to take a packet of more than 61,440 bytes (RFC 7845, 6)."""
    part = written([packet(9), packet(size)], size=60_000)
    if is_joined:
        assert read_opus(joined([part])).samples == 2 * FRAME - 312
    else:
        with pytest.raises(NotOpus, match="61441 bytes"):
            joined([part])


def test_joined_drops_what_its_first_and_last_part_say() -> None:
    """The first part's header has the samples before the sound, the last part's position those after it."""
    parts = [written([packet(40)] * 5, drop=drop) for drop in (100, 200, 300)]
    assert read_opus(joined(parts)).samples == 15 * FRAME - 312 - 300


@pytest.mark.parametrize(("at", "is_equal"), [(9, False), (10, True), (11, True), (12, True), (17, True), (18, False)])
def test_joined_parts_have_equal_channels(at: int, is_equal: bool) -> None:  # noqa: FBT001
    """Channels and their mapping must be equal. The samples to drop, the source's rate and its gain may differ."""
    head = bytearray(HEAD)
    head[at] += 1
    parts = [written([packet(40)] * 5), written([packet(40)] * 5, head=bytes(head))]
    if is_equal:
        assert pages_of(joined(parts))[0].packets == [HEAD]
    else:
        with pytest.raises(NotOpus, match="differ"):
            joined(parts)


def test_file_is_whole_only_up_to_its_last_byte() -> None:
    """A file that breaks off, within a page or between two, is not whole, and no part that arrived is dropped."""
    file = written([packet(300)] * 4, drop=500)
    sizes = [len(page.write()) for page in pages_of(file)]
    least = sum(sizes[:3])
    for end in range(least, len(file)):
        length = read_opus(file[:end])
        assert not length.whole
        assert length.samples % FRAME == -312 % FRAME
    assert read_opus(file).whole


def test_file_without_a_last_page_is_not_whole() -> None:
    pages = pages_of(written([packet(300)] * 4))
    pages[-1].last = False
    assert not read_opus(b"".join(page.write() for page in pages)).whole


@pytest.mark.parametrize("packets", [[HEAD, TAGS], [TAGS, HEAD, packet(9)], [HEAD, HEAD, packet(9)], [packet(9)] * 3])
def test_stream_without_both_headers_and_sound_is_refused(packets: list[bytes]) -> None:
    pages: Any = OggPage.from_packets(packets)  # type: ignore[no-untyped-call]
    with pytest.raises(NotOpus, match="no Ogg stream of Opus"):
        read_opus(b"".join(page.write() for page in pages))


@pytest.mark.parametrize("broken", [b"", b"\x03"])
def test_packet_that_tells_no_length_is_refused(broken: bytes) -> None:
    with pytest.raises(NotOpus, match="a packet"):
        read_opus(written([packet(9), broken, packet(9)]))


@pytest.mark.parametrize("count", [1, 2, 50])
def test_silence_is_filled_to_whole_packets(count: int) -> None:
    """A length that fills its last packet takes no further one."""
    pages = pages_of(silence(count * FRAME - 312))
    assert sum(len(page.packets) for page in pages[2:]) == count
    assert pages[-1].position == count * FRAME
