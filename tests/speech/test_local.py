"""Our own voices, tested by a recogniser, by meters, and by two decoders."""

import asyncio
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.errors import SpeechFailed
from shared.speech.cleaning import cleaned
from shared.speech.local import LocalVoices
from shared.speech.model import Model
from shared.speech.spoilt import check_audio
from shared.speech.spoken import Spoken
from shared.speech.timbres import TIMBRES
from shared.speech.voices import VOICES
from tests.speech.listening import PLAIN, RATE, Sound, decoded, heard, lengths, loudness, pitch, wrong_words
from tests.support import one_quickly

_HARD_TEXTS: Final = (
    "a" * 2_000,
    "word and then some " * 100,
    "7 " * 300,
    "<b>&amp;</b> < & >",
    "\0 NUL \x1b",
    "\ud800 lone",
    "مرحبا hello שלום",
    "½",
    "ǂ",
    "e\u0301" * 50,
    "$$$1%%%",
    "[a](/b/) _x_",
    "X Æ A-12",
)


each_voice: Final = pytest.mark.parametrize("voice", one_quickly(*VOICES))


@cache
def model() -> Model:
    """Load the model once for a test worker: it takes half a second."""
    return Model()


def say(text: str, voice: str) -> Spoken:
    return asyncio.run(LocalVoices().speak(text, VOICES[voice]))


@cache
def plain(voice: str) -> tuple[Spoken, Sound]:
    spoken = say(PLAIN, voice)
    return spoken, decoded(spoken.audio)


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.thorough
def test_voice_is_understood(voice: str) -> None:
    """A recogniser gets at most a quarter of plain words wrong in each of the twelve voices."""
    understood = heard(plain(voice)[1])
    assert wrong_words(PLAIN, understood) <= 0.25, understood


@each_voice
def test_voice_is_as_loud_as_the_others(voice: str) -> None:
    """Each voice is at -19 LUFS within 1.5, and peaks stay below -1 dBFS after decoding."""
    sound = plain(voice)[1]
    assert loudness(sound) == pytest.approx(-19, abs=1.5)
    assert np.abs(sound).max() <= 10 ** (-1 / 20)


@each_voice
def test_voice_is_played_for_its_exact_length(voice: str) -> None:
    """Decoders play exactly the stated seconds, to the sample."""
    spoken = plain(voice)[0]
    assert lengths(spoken.audio) == dict.fromkeys(("miniaudio", "mutagen"), round(spoken.seconds * RATE))


@each_voice
def test_voice_passes_the_check_of_spoilt_audio(voice: str) -> None:
    """Audio of our own voices is never taken for babble, a hole, a steady noise or clipping."""
    spoken, sound = plain(voice)
    check_audio(spoken.audio, PLAIN)
    assert np.abs(sound).max() < 1


@pytest.mark.thorough
def test_voices_of_men_are_lower_than_those_of_women() -> None:
    """The median pitch is below 150 Hz in men's voices and above it in women's."""
    medians = {voice: float(np.median(pitch(plain(voice)[1]))) for voice in VOICES}
    low = {voice for voice, hz in medians.items() if hz < 150}
    assert low == {voice.id for voice in VOICES.values() if voice.gender == "male"}, medians


@pytest.mark.thorough
def test_voices_differ_in_pitch_pace_or_range() -> None:
    """Any two voices differ by at least 5 % in pitch, or in pace or in the range of their pitch."""
    measures = {}
    for voice in VOICES:
        spoken, sound = plain(voice)
        low, median, high = np.percentile(pitch(sound), [10, 50, 90])
        measures[voice] = (median, spoken.seconds, high / low)
    alike = [
        (one, other)
        for one in VOICES
        for other in VOICES
        if one < other and all(0.95 < a / b < 1.05 for a, b in zip(measures[one], measures[other], strict=True))
    ]
    assert alike == []


def test_voices_all_have_a_timbre() -> None:
    assert set(TIMBRES) == set(VOICES)


def test_voice_says_the_same_text_in_the_same_bytes() -> None:
    """The noise in a voice has a fixed seed, which earlier texts do not change."""
    voices = LocalVoices()

    async def twice() -> list[bytes]:
        texts = ("Hello there.", "Something else.", "Hello there.")
        return [(await voices.speak(text, VOICES["bella"])).audio for text in texts]

    first, between, again = asyncio.run(twice())
    assert first == again != between


def test_seams_have_no_step() -> None:
    """A sentence begins and ends at silence, so that no sample is more than 0.2 from the next one there."""
    parts = [
        np.frombuffer(part, "<i2") / 32_768 for part in model().say("One. Two! " + "and on " * 60, TIMBRES["freya"])
    ]
    assert len(parts) >= 4
    for one, other in pairwise(parts):
        edge = np.concatenate([one[-RATE // 5 :], other[: RATE // 50]])
        assert np.abs(np.diff(edge)).max() < 0.2
        assert one[-1] == other[0] == 0


@pytest.mark.parametrize("text", _HARD_TEXTS, ids=lambda text: repr(text[:12]))
@pytest.mark.thorough
def test_hard_text_is_audio(text: str) -> None:
    """A text of which `reading` leaves something has a sound, whatever it is made of, and it is not clipped."""
    reading = LocalVoices().reading(cleaned(text))
    if reading:
        sound = b"".join(model().say(reading, TIMBRES["sam"]))
        assert len(sound) > RATE // 5, reading
        assert np.abs(np.frombuffer(sound, "<i2").astype(int)).max() < 32_767
    else:
        assert not any(character.isascii() and character.isalnum() for character in text)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_audio_or_nothing_to_say(text: str) -> None:
    """Any text either has no reading, which is known before it is charged, or gives a sound."""
    reading = LocalVoices().reading(cleaned(text))
    assert bool(reading) == bool(b"".join(model().say(reading, TIMBRES["bill"])))


def test_text_without_sound_is_a_failure_of_speech() -> None:
    """A caller that did not call `reading` first gets an error, not an empty file."""
    with pytest.raises(SpeechFailed, match="no sound"):
        say("...", "adam")


def test_event_loop_runs_while_a_text_is_said() -> None:
    """The loop runs other tasks while the voice's thread works: none of its steps takes as long as the text."""

    async def ticks() -> int:
        count = 0
        saying = asyncio.ensure_future(LocalVoices().speak(PLAIN * 3, VOICES["ethan"]))
        while not saying.done():
            await asyncio.sleep(0)
            count += 1
        await saying
        return count

    assert asyncio.run(ticks()) > 100


def test_text_of_a_cancelled_caller_makes_room_for_the_next() -> None:
    """A cancelled caller frees the voices long before its text would be finished."""

    async def after_a_long_one() -> tuple[Spoken, bool]:
        voices = LocalVoices()
        long = asyncio.ensure_future(voices.speak(PLAIN * 200, VOICES["adam"]))
        await asyncio.sleep(0)
        long.cancel()
        return await asyncio.wait_for(voices.speak("Next.", VOICES["adam"]), 30), long.cancelled()

    spoken, cancelled = asyncio.run(after_a_long_one())
    assert cancelled
    assert 0.3 < spoken.seconds < 3
