"""Ogg/Opus against independent readers: libsndfile and mutagen."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutagen.oggopus import OggOpus

from shared.audio.length import BadAudio
from shared.audio.ogg import RATE, NotOpus, joined, read_opus, silence
from shared.speech.encoding import OpusEncoder
from tests.support import repeatable

VOICE = 24_000


def tone(samples: int, hz: int = 220) -> bytes:
    """Return a tone of this many samples of 24 kHz."""
    wave = (8_000 * np.sin(2 * np.pi * hz * np.arange(samples) / VOICE)).astype("<i2")
    encoder = OpusEncoder()
    encoder.add(wave.tobytes())
    return encoder.finish()


def counted(file: bytes) -> tuple[int, float]:
    """Return the samples of 24 kHz by libsndfile, and the seconds by mutagen."""
    info: Any = OggOpus(BytesIO(file)).info  # type: ignore[no-untyped-call]
    return soundfile.info(BytesIO(file)).frames, round(info.length, 9)


@pytest.mark.parametrize("samples", [1, 479, 480, 24_000, 123_457])
def test_length_is_exact_to_the_sample(samples: int) -> None:
    """Two readers and ours agree with the number of encoded samples."""
    file = tone(samples)
    length = read_opus(file)
    assert (length.samples, length.rate, length.whole) == (2 * samples, RATE, True)
    assert counted(file) == (samples, round(samples / VOICE, 9))


def test_joined_parts_are_one_file_that_players_read() -> None:
    """No part is lost: at most 30 ms of silence are added at each seam, and all readers agree on the length."""
    parts = [tone(24_000, 220), tone(30_001, 440), tone(12_000, 660)]
    file = joined(parts)
    length = read_opus(file)
    assert length.whole
    assert 0 <= length.seconds - 66_001 / VOICE <= 2 * 0.03
    assert counted(file) == (length.samples // 2, round(length.seconds, 9))
    sound, _ = soundfile.read(BytesIO(file))
    loud = np.abs(sound) > 0.1
    assert loud[:24_000].mean() > 0.5
    assert loud[-12_000:].mean() > 0.5


def test_one_part_joined_has_its_length() -> None:
    assert read_opus(joined([tone(50_000)])) == read_opus(tone(50_000))


def test_same_samples_are_the_same_bytes() -> None:
    assert tone(50_000) == tone(50_000)


@pytest.mark.parametrize("samples", [0, 1, 960, 48_000, 2_880_000])
def test_silence_is_as_long_as_asked_for(samples: int) -> None:
    file = silence(samples)
    assert read_opus(file).samples == samples
    sound, _ = soundfile.read(BytesIO(file))
    assert not np.any(np.abs(sound) > 1e-9)


def test_every_page_has_the_checksum_that_readers_ask_for() -> None:
    """libsndfile skips a page whose checksum is wrong: one changed byte makes the sound shorter."""
    file = bytearray(silence(10 * RATE))
    whole = soundfile.info(BytesIO(bytes(file))).frames
    file[-2] ^= 1
    assert whole == 10 * VOICE
    assert soundfile.info(BytesIO(bytes(file))).frames < whole


@pytest.mark.parametrize("left", [1, 100, 5_000])
def test_file_that_breaks_off_is_not_whole(left: int) -> None:
    assert not read_opus(tone(100_000)[:-left]).whole


@pytest.mark.parametrize("file", [b"", b"OggS", b"ID3", silence(960)[:60], b"RIFF" + bytes(60)])
def test_what_is_no_opus_is_refused(file: bytes) -> None:
    with pytest.raises(NotOpus):
        read_opus(file)


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(NotOpus):
        joined([])


@repeatable
@given(st.binary(max_size=400), st.integers(0, 700))
def test_damaged_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    """Damaged bytes raise BadAudio or nothing, whatever a provider answers."""
    file = silence(4_800)
    try:
        read_opus(file[:at] + noise + file[at + len(noise) :])
    except BadAudio:
        return
