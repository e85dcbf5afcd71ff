from functools import cache

import lameenc
import numpy as np
import pytest

from shared.core.errors import SpeechFailed
from shared.speech.encoding import RATE, Mp3Encoder
from shared.speech.model import Model
from shared.speech.spoilt import check_audio
from shared.speech.timbres import TIMBRES
from tests.speech.listening import PLAIN, Sound


@cache
def clean(voice: str = "rachel") -> Sound:
    return np.frombuffer(b"".join(Model().say(PLAIN, TIMBRES[voice])), "<i2") / 32_768


def samples(sound: Sound) -> bytes:
    return (np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes()


def mp3(sound: Sound) -> bytes:
    encoder = Mp3Encoder()
    encoder.add(samples(sound))
    return encoder.finish()


def encoded(sound: Sound, rate: int, kilobits: int) -> bytes:
    """Return an MP3 of another form than ours, as providers make them."""
    lame = lameenc.Encoder()
    lame.set_in_sample_rate(RATE)
    lame.set_out_sample_rate(rate)
    lame.set_channels(1)
    lame.set_bit_rate(kilobits)
    lame.silence()
    return bytes(lame.encode(samples(sound)) + lame.flush())


def with_hole(noise_db: float) -> Sound:
    noise = np.random.default_rng(1).normal(0, 10 ** (noise_db / 20), 2 * RATE)
    middle = len(clean()) // 2
    return np.concatenate([clean()[:middle], noise, clean()[middle:]])


def test_clean_speech_passes() -> None:
    check_audio(mp3(clean()), PLAIN)


@pytest.mark.parametrize("noise_db", [-200, -70, -60])
def test_hole_is_spoilt(noise_db: float) -> None:
    """Two seconds of silence in a sentence, digital or a studio's, are no pause."""
    with pytest.raises(SpeechFailed, match="hole"):
        check_audio(mp3(with_hole(noise_db)), PLAIN)


def test_hole_that_a_pause_explains_passes() -> None:
    """A new passage or dots explain one hole each."""
    check_audio(mp3(with_hole(-200)), PLAIN.replace(", ", "...\n", 1))


@pytest.mark.parametrize("text", [PLAIN * 4, "Go."])
def test_implausible_length_is_spoilt(text: str) -> None:
    """Speech of a quarter of a text, or of many times a text, is not speech of that text."""
    with pytest.raises(SpeechFailed, match="takes"):
        check_audio(mp3(clean()), text)


def test_steady_noise_is_spoilt() -> None:
    """A buzz in place of half the words is a steady noise."""
    buzz = 0.3 * np.sign(np.sin(np.arange(4 * RATE) * 0.03))
    with pytest.raises(SpeechFailed, match="steady"):
        check_audio(mp3(np.concatenate([clean(), buzz])), PLAIN * 2)


def test_silence_is_spoilt() -> None:
    with pytest.raises(SpeechFailed, match="silent"):
        check_audio(mp3(np.zeros(len(clean()))), PLAIN)


@pytest.mark.parametrize("voice", ["rachel", "adam", "freya", "bill"])
@pytest.mark.parametrize(("rate", "kilobits"), [(24_000, 48), (24_000, 160), (44_100, 128)])
@pytest.mark.thorough
def test_clipped_audio_is_spoilt(voice: str, rate: int, kilobits: int) -> None:
    """Speech four and twelve times too loud is refused in any form; unchanged, and 1.5 times as loud, it passes."""
    for times in (1, 1.5):
        check_audio(encoded(clean(voice) * times, rate, kilobits), PLAIN)
    for times in (4, 12):
        with pytest.raises(SpeechFailed, match="clipped"):
            check_audio(encoded(clean(voice) * times, rate, kilobits), PLAIN)


def test_cut_off_body_is_spoilt() -> None:
    with pytest.raises(SpeechFailed, match="cut off"):
        check_audio(mp3(clean())[:-500], PLAIN)


def test_body_without_frames_is_spoilt() -> None:
    with pytest.raises(SpeechFailed, match="not mp3"):
        check_audio(b'{"error": "quota"}', PLAIN)


@pytest.mark.parametrize("text", ["a" * 100_000, "100%", "$1,234,567.89", "word " * 1000, "7 7 7 7 7 7 7 7"])
def test_length_of_odd_texts_is_plausible(text: str) -> None:
    """A long word is babbled in seconds, and a sign may be read as many letters: neither is refused for its length."""
    with pytest.raises(SpeechFailed) as refused:
        check_audio(mp3(np.zeros(RATE * (400 if text.startswith("word") else 3))), text)
    assert "takes" not in str(refused.value)
