import struct
from functools import cache
from io import BytesIO
from typing import Any

import miniaudio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.id3 import ID3, TIT2

from shared.audio.mp3 import NotMp3, frames_of, joined, read_mp3, with_length
from shared.speech.encoding import RATE, Mp3Encoder
from shared.speech.simulated import simulated_audio
from tests.speech.listening import decoded, lengths


@cache
def tone(samples: int) -> bytes:
    encoder = Mp3Encoder()
    sound = struct.pack(f"<{samples}h", *(int(8_000 * ((n % 60) / 30 - 1)) for n in range(samples)))
    for at in range(0, len(sound), 7_000):
        encoder.add(sound[at : at + 7_000])
    return encoder.finish()


@pytest.mark.parametrize("samples", [100, 575, 576, 577, 1_104, 1_105, 24_000, 24_001, 50_000])
def test_length_is_exact_in_all_readers(samples: int) -> None:
    """The walk, miniaudio and mutagen agree on the length to the sample, at every remainder of a frame."""
    mp3 = tone(samples)
    assert read_mp3(mp3).samples == samples
    assert lengths(mp3) == {"miniaudio": samples, "mutagen": samples}


def test_sound_begins_where_the_samples_began() -> None:
    """The encoder's own samples before the first one are dropped, so the sound is not delayed."""
    encoder = Mp3Encoder()
    encoder.add(bytes(2 * 5_000) + struct.pack("<2000h", *([9_000, -9_000] * 500 + [0] * 1_000)) + bytes(2 * 5_000))
    loud = [n for n, value in enumerate(decoded(encoder.finish())) if abs(value) > 0.1]
    assert loud[0] == pytest.approx(5_000, abs=30)
    assert loud[-1] == pytest.approx(6_000, abs=30)


def test_joined_files_have_one_exact_length() -> None:
    """Parts become one file whose length all readers agree on; what encoders added stays at the seams, below 0.1 s
    each."""
    parts = [tone(24_001), tone(5_000), tone(577)]
    mp3 = joined(parts)
    samples = read_mp3(mp3).samples
    assert lengths(mp3) == {"miniaudio": samples, "mutagen": samples}
    assert 29_578 <= samples <= 29_578 + 2 * RATE // 10
    assert joined([mp3]) == mp3


def test_parts_of_other_forms_are_not_joined() -> None:
    """A file of two rates would play at a wrong speed."""
    other = bytes.fromhex("fff318c4") + bytes(32)
    with pytest.raises(NotMp3, match="form"):
        joined([tone(577), other * 3])


def test_tags_around_an_mp3_have_no_length() -> None:
    """A title before the first frame and an old tag after the last change nothing."""
    tags: Any = ID3()  # type: ignore[no-untyped-call]
    tags.add(TIT2(encoding=3, text="title ÿû"))  # type: ignore[no-untyped-call]
    before = BytesIO()
    tags.save(before)
    mp3 = tone(24_000)
    assert read_mp3(before.getvalue() + mp3 + b"TAG" + bytes(125)) == read_mp3(mp3)


def test_simulated_audio_has_the_length_of_its_frames() -> None:
    silence = simulated_audio("simulated-12.mp3")
    assert silence is not None
    length = read_mp3(silence)
    assert (length.seconds, length.whole) == (1.2, True)


@pytest.mark.parametrize("cut", [1, 143, 144, 1_000])
def test_cut_off_body_is_not_whole(cut: int) -> None:
    """A body without its last bytes is not whole, whether the cut is within a frame or between two."""
    mp3 = tone(24_000)
    assert read_mp3(mp3).whole
    assert not read_mp3(mp3[:-cut]).whole


@pytest.mark.parametrize("left", [4, 13, 16, 17, 20])
def test_file_that_is_cut_in_its_header_is_not_whole(left: int) -> None:
    """The first frame breaks off before the mark's flags, which are the bytes 17 to 20: a provider may send so few."""
    assert not read_mp3(tone(24_000)[:left]).whole


@pytest.mark.parametrize(
    ("more_frames", "more_bytes", "whole"),
    [
        *((None, None, True), (0, None, True), (None, 0, True), (0, 0, True), (-1, -1, True)),
        *((1, 0, False), (0, 1, False), (1, None, False), (None, 1, False)),
    ],
)
def test_whole_is_what_a_header_announces(more_frames: int | None, more_bytes: int | None, whole: bool) -> None:  # noqa: FBT001
    """Headers announce the frames after them, all bytes, both or neither. More than announced is no loss."""
    mp3 = tone(24_000)
    header, *frames = frames_of(mp3)
    numbers = [(1, len(frames), more_frames), (2, len(mp3), more_bytes)]
    flags = sum(flag for flag, _, more in numbers if more is not None)
    tag = bytes([0, 0, 0, flags]) + b"".join((of + more).to_bytes(4) for _, of, more in numbers if more is not None)
    at = header.start + header.side + 4
    assert read_mp3(mp3[:at] + (tag + bytes(header.size))[: header.size - at] + mp3[header.size :]).whole == whole


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"ID3", b"\xff" * 100, b'{"detail": "\xff\xf3\x14\xc4"}' + b"x" * 99, b"\0" * 999]
)
def test_bytes_without_frames_are_no_mp3(data: bytes) -> None:
    with pytest.raises(NotMp3):
        read_mp3(data)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_an_mp3_or_not(data: bytes) -> None:
    """For any bytes the walk ends. A length is read only if there is a frame, and is never negative."""
    with_sound = True
    try:
        samples = read_mp3(data).samples
    except NotMp3:
        with_sound, samples = False, 0
    assert samples >= 0
    assert with_sound <= bool(list(frames_of(data)))


def test_length_that_frames_cannot_hold_is_refused() -> None:
    body = tone(1_000)[144:]
    with pytest.raises(NotMp3, match="cannot be"):
        with_length(body, 10_000, lead=576)


def test_encoder_keeps_the_rate() -> None:
    """Without an explicit rate LAME would resample to 22.05 kHz at low bit rates."""
    assert miniaudio.mp3_get_info(tone(24_000)).sample_rate == RATE
