"""WAV files: a header before samples."""

from array import array
from io import BytesIO
from math import pi, sin

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from shared.audio.length import BadAudio
from shared.audio.wav import NotWav, at_rate, joined, read_wav, samples_of, with_header
from tests.support import repeatable

SAMPLES = bytes(range(200))


def test_header_says_rate_and_length() -> None:
    """libsndfile reads the same samples."""
    file = with_header(SAMPLES, 16_000)
    sound, rate = soundfile.read(BytesIO(file), dtype="int16")
    assert (sound.astype("<i2").tobytes(), rate) == (SAMPLES, 16_000)
    length = read_wav(file)
    assert (length.samples, length.seconds, length.whole) == (100, 100 / 16_000, True)
    assert samples_of(file) == (SAMPLES, 16_000)


def test_joined_parts_have_no_gap() -> None:
    parts = [with_header(part, 24_000) for part in (SAMPLES[:100], SAMPLES[100:])]
    assert joined(parts) == with_header(SAMPLES, 24_000)


@pytest.mark.parametrize("rates", [(), (16_000, 24_000)])
def test_parts_of_several_rates_are_refused(rates: tuple[int, ...]) -> None:
    with pytest.raises(NotWav):
        joined(with_header(SAMPLES, rate) for rate in rates)


def test_rate_of_zero_is_no_wav() -> None:
    """Its length would be a division by zero."""
    file = bytearray(with_header(SAMPLES, 24_000))
    file[24:28] = bytes(4)
    with pytest.raises(NotWav):
        read_wav(bytes(file))


def tone(hertz: int, rate: int) -> "array[int]":
    """Return a tenth of a second of a tone at half scale."""
    return array("h", (round(16_000 * sin(2 * pi * hertz * number / rate)) for number in range(rate // 10)))


@pytest.mark.parametrize("rates", [(16_000, 24_000), (24_000, 16_000), (22_050, 24_000), (8_000, 24_000)])
def test_at_rate_keeps_pitch_and_length_of_a_tone(rates: tuple[int, int]) -> None:
    """Between the given samples it is off by a few per cent of a low tone's height; the last sample is repeated."""
    rate, wanted = rates
    made = array("h", at_rate(tone(300, rate).tobytes(), rate, wanted))
    expected = tone(300, wanted)
    assert len(made) == len(expected)
    assert max(abs(one - other) for one, other in zip(made[:-3], expected[:-3], strict=True)) < 16_000 * 0.03


def test_at_rate_leaves_samples_of_the_wanted_rate() -> None:
    assert at_rate(SAMPLES, 24_000, 24_000) == SAMPLES
    assert at_rate(b"", 16_000, 24_000) == b""


@repeatable
@given(st.integers(1, 50), st.sampled_from((8_000, 16_000, 22_050, 44_100, 48_000)))
def test_at_rate_takes_any_number_of_samples(count: int, rate: int) -> None:
    assert len(at_rate(SAMPLES[:2] * count, rate, 24_000)) == 2 * (count * 24_000 // rate)


def test_file_that_breaks_off_is_not_whole() -> None:
    assert not read_wav(with_header(SAMPLES, 24_000)[:-20]).whole


def test_two_channels_are_refused() -> None:
    stereo = BytesIO()
    soundfile.write(stereo, [[0.0, 0.0]] * 10, 24_000, format="WAV", subtype="PCM_16")
    with pytest.raises(NotWav):
        read_wav(stereo.getvalue())


@repeatable
@given(st.binary(max_size=200))
def test_other_bytes_are_read_or_refused(noise: bytes) -> None:
    for file in (noise, with_header(SAMPLES, 24_000)[:36] + noise):
        try:
            read_wav(file)
        except BadAudio:
            continue
