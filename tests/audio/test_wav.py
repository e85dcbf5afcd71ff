"""WAV files: a header before samples."""

from io import BytesIO

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from shared.audio.length import BadAudio
from shared.audio.wav import NotWav, joined, read_wav, samples_of, with_header
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
