"""All forms of frames and of headers in MP3s of other encoders."""

from collections.abc import Iterable
from io import BytesIO
from itertools import product
from typing import Any

import pytest
from mutagen.mp3 import MP3, BitrateMode, MPEGFrame
from mutagen.mp3._util import XingHeader

from shared.audio.mp3 import Frame, NotMp3, frames_of, joined, read_mp3, with_length
from tests.audio.frames import MONO, Form, every_form, frame

SAMPLES = {"1": 1152, "2": 576, "2.5": 576}


def rate(form: Form) -> int:
    read: Any = MPEGFrame(BytesIO(form.header + bytes(5_000)))  # type: ignore[no-untyped-call]
    return int(read.sample_rate)


def with_tag(form: Form, flags: int, fields: Iterable[bytes], *, mark: bytes = b"Xing") -> bytes:
    """Return a first frame without sound: a mark, its flags, and the fields that they announce."""
    return frame(form, bytes(form.side_bytes) + mark + flags.to_bytes(4) + b"".join(fields))


def test_frames_of_reads_every_form_of_frame() -> None:
    """Version, bit rate, rate, channels, checksum and padding: mutagen agrees on where each frame ends."""
    for form in every_form():
        data = frame(form)
        size = len(data)
        one = Frame(0, size, SAMPLES[form.version], rate(form), form.before_side + form.side_bytes)
        assert list(frames_of(data * 2)) == [one, Frame(size, size, one.samples, one.rate, one.side)], form


@pytest.mark.parametrize("at", range(4))
def test_frames_of_skips_headers_of_no_frame(at: int) -> None:
    """Bytes of another layer, or of a reserved version, bit rate or rate, are skipped up to the next frame."""
    sound = frame(Form(version="2"))
    broken = bytearray(sound)
    broken[1 if at < 2 else 2] = {0: 0xF5, 1: 0xEB, 2: 0xF4, 3: 0x3C}[at]
    length = read_mp3(bytes(broken) + sound * 2)
    assert (length.samples, length.whole) == (2 * 576, True)


def test_frames_of_takes_a_free_bit_rate_for_no_frame() -> None:
    with pytest.raises(NotMp3, match="no frame"):
        read_mp3(Form(version="2", bit_rate=0).header + bytes(500))


@pytest.mark.parametrize("mark", [b"Info", b"Xing"])
@pytest.mark.parametrize("flags", range(16))
def test_tag_is_read_whatever_it_announces(mark: bytes, flags: int) -> None:
    """The samples to drop follow the fields that the flags announce: frames, bytes, a table of contents, a quality."""
    form = Form(version="1", bit_rate=9)
    sound = frame(form) * 5
    size = len(frame(form)) * 6
    fields = [(5).to_bytes(4), size.to_bytes(4), bytes(range(100)), b"\xff" * 4]
    announced = [field for bit, field in enumerate(fields) if flags >> bit & 1]
    writer = b"LAME3.100" + b"\xff" * 12 + (576 << 12 | 1_000).to_bytes(3)
    length = read_mp3(with_tag(form, flags, [*announced, writer], mark=mark) + sound)
    assert (length.samples, length.rate, length.whole) == (5 * 1152 - 1_576, 48_000, True)


@pytest.mark.parametrize(
    ("writer", "dropped"), [(b"LAME3.99r", 1_200), (b"Lavc58.54", 1_200), (b"Lavf58.29", 1_200), (b"Other 1.0", 0)]
)
def test_tag_of_an_unknown_writer_drops_nothing(writer: bytes, dropped: int) -> None:
    """Other encoders may have written anything in the field where LAME and FFmpeg write the samples to drop."""
    form = Form(version="1", bit_rate=9)
    tag = with_tag(form, 0, [writer, b"\xff" * 12, (700 << 12 | 500).to_bytes(3)])
    assert read_mp3(tag + frame(form) * 3).samples == 3 * 1152 - dropped


def test_samples_are_none_when_a_tag_drops_more_than_there_are() -> None:
    form = Form(version="1", bit_rate=9)
    tag = with_tag(form, 0, [b"LAME3.100", b"\xff" * 12, b"\xff" * 3])
    assert read_mp3(tag + frame(form)).samples == 0


def test_tag_counts_from_its_own_frame() -> None:
    """The bytes that a header announces do not include a title before it."""
    form = Form(version="2")
    sound = frame(form) * 3
    for missing, whole in ((0, True), (1, False)):
        size = len(frame(form)) * 4 + missing
        mp3 = with_tag(form, 2, [size.to_bytes(4)]) + sound
        assert read_mp3(b"ID3\x04\0\0\0\0\1\2" + bytes(130) + mp3).whole is whole


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 2_097_152])
def test_title_is_skipped_by_its_size(size: int) -> None:
    """A title's size has seven bits a byte. Frames in its content do not count."""
    form = Form(version="2")
    sound = frame(form)
    like_sound = (sound * (size // len(sound) + 1))[:size]
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    assert read_mp3(b"ID3\x04\0\0" + digits + like_sound + sound * 2).samples == 2 * 576


def test_rate_of_a_file_is_that_of_its_first_frame() -> None:
    """A frame of another rate is no frame of this file."""
    sound, other = frame(Form(version="2")), frame(Form(version="2", rate=2))
    length = read_mp3(sound * 2 + other + sound)
    assert (length.samples, length.rate) == (3 * 576, 24_000)


def test_tag_may_follow_the_only_frame() -> None:
    """A frame counts if nothing, a tag or another frame follows, and not in the middle of something else."""
    sound = frame(Form(version="2"))
    for after in (b"", b"TAG", b"TAG" + bytes(125), sound):
        assert read_mp3(sound + after).samples == 576 * (1 + (after == sound))
    for after in (b"\0", b"TA", b"tag" + bytes(125), sound[:3]):
        with pytest.raises(NotMp3):
            read_mp3(sound + after)


def test_one_broken_header_ends_no_file() -> None:
    """Bytes that belong to no frame are skipped once there was one: the frames after them count."""
    sound = frame(Form(version="2"))
    assert read_mp3(sound * 2 + b"\xff\0noise\xff" + sound * 2).samples == 4 * 576


@pytest.mark.parametrize("version", SAMPLES)
def test_with_length_makes_a_header_of_any_form(version: str) -> None:
    """mutagen reads the header, even if this form's frames are smaller than a header, which has its own bit rate.

    The header contains the number of the frames and bytes.
    """
    for bit_rate, mode, has_checksum, is_padded in product(range(1, 15), (0, MONO), (False, True), (False, True)):
        form = Form(version=version, bit_rate=bit_rate, mode=mode, has_checksum=has_checksum, is_padded=is_padded)
        body = frame(form) * 4
        samples = 4 * SAMPLES[version] - 1_000
        mp3 = with_length(body, samples, lead=600)
        info: Any = MP3(BytesIO(mp3)).info  # type: ignore[no-untyped-call]
        assert round(info.length * info.sample_rate) == samples, form
        length = read_mp3(mp3)
        assert (length.samples, length.rate, length.whole) == (samples, rate(form), True), form
        assert mp3.endswith(body)
        assert not read_mp3(mp3[:-1]).whole


@pytest.mark.parametrize(
    ("lead", "tail", "is_possible"),
    [
        *((0, 0, True), (4_095, 0, True), (0, 4_095, True), (4_095, 4_095, True)),
        *((-1, 0, False), (0, -1, False), (4_096, 0, False), (0, 4_096, False)),
    ],
)
def test_with_length_drops_what_a_header_can_say(lead: int, tail: int, is_possible: bool) -> None:  # noqa: FBT001
    """A header has twelve bits for the samples to drop at each end."""
    body = frame(Form(version="1", bit_rate=9)) * 10
    samples = 10 * 1152 - lead - tail
    if is_possible:
        assert read_mp3(with_length(body, samples, lead=lead)).samples == samples
    else:
        with pytest.raises(NotMp3, match="cannot be"):
            with_length(body, samples, lead=lead)


def test_with_length_refuses_a_body_without_frames() -> None:
    with pytest.raises(NotMp3, match="no frame"):
        with_length(b"", 0, lead=0)


def test_joined_drops_what_its_first_and_last_part_say() -> None:
    """The first part's header contains the samples before the sound, the last part's those after it."""
    form = Form(version="1", bit_rate=9)
    bare = frame(form) * 4
    said = with_length(bare, 4 * 1152 - 600 - 300, lead=600)
    for parts, dropped in (
        ((bare, bare), 0),
        ((said, bare), 600),
        ((bare, said), 300),
        ((said, said), 900),
        ((said, bare, said), 900),
        ((bare, said, bare), 0),
    ):
        assert read_mp3(joined(parts)).samples == len(parts) * 4 * 1152 - dropped


@pytest.mark.parametrize("part", [b"", with_tag(Form(version="1", bit_rate=9), 0, [])])
def test_header_alone_is_no_mp3(part: bytes) -> None:
    """A header without sound after it, and nothing, are neither a file nor a part of one."""
    with pytest.raises(NotMp3, match="no frame with sound"):
        joined([frame(Form(version="1", bit_rate=9)) * 2, part])
    with pytest.raises(NotMp3, match="no frame with sound"):
        read_mp3(part)


def test_joined_refuses_parts_of_several_channels() -> None:
    one, two = (frame(Form(version="1", bit_rate=9, mode=mode)) * 2 for mode in (MONO, 0))
    with pytest.raises(NotMp3, match="form"):
        joined([one, two])


def test_joined_takes_parts_of_one_frame() -> None:
    sound = frame(Form(version="1", bit_rate=9))
    assert joined([sound, sound]).endswith(sound * 2)


def test_joined_leaves_out_what_is_no_frame() -> None:
    """Titles and tags of the parts would be noise in the middle of the file."""
    sound = frame(Form(version="2"))
    tagged = b"ID3\x04\0\0\0\0\0\5title" + sound * 2 + b"TAG" + bytes(125)
    assert joined([tagged, tagged]).endswith(sound * 4)
    assert b"title" not in joined([tagged])


@pytest.mark.parametrize(("second", "mark"), [(3, b"Info"), (4, b"Xing")])
def test_header_says_whether_all_frames_have_one_size(second: int, mark: bytes) -> None:
    """A player takes a file for one of a constant bit rate exactly if it has the mark Info."""
    body = b"".join(frame(Form(version="2", bit_rate=bit_rate)) for bit_rate in (3, second))
    mp3 = with_length(body, 1_000, lead=100)
    info: Any = MP3(BytesIO(mp3)).info  # type: ignore[no-untyped-call]
    assert mark in mp3
    assert info.bitrate_mode == (BitrateMode.CBR if second == 3 else BitrateMode.VBR)


def crc16(data: bytes) -> int:
    """Return the CRC of the bits, each byte's lowest bit first, by x^16 + x^15 + x^2 + 1."""
    rest = int("".join(f"{byte:08b}"[::-1] for byte in data) + "0" * 16, 2)
    while rest.bit_length() > 16:
        rest ^= 0x18005 << (rest.bit_length() - 17)
    return int(f"{rest:016b}"[::-1], 2)


@pytest.mark.parametrize("version", SAMPLES)
def test_header_has_the_layout_of_lames(version: str) -> None:
    """mutagen reads delay, padding, size and checksum where LAME writes them. All bytes before it are summed."""
    form = Form(version=version, bit_rate=9)
    body = frame(form) * 4
    mp3 = with_length(body, 1_000, lead=576)
    at = 4 + form.side_bytes
    header: Any = XingHeader(BytesIO(mp3[at:]))  # type: ignore[no-untyped-call]
    assert (header.frames, header.bytes) == (4, len(mp3))
    lame = header.lame_header
    assert (lame.encoder_delay_start, lame.encoder_padding_end) == (576, 4 * SAMPLES[version] - 1_576)
    assert (lame.vbr_method, lame.music_length) == (1, len(mp3))
    assert lame.header_crc == crc16(mp3[: at + 50])
