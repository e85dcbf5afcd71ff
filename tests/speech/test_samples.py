import asyncio
from pathlib import Path

import pytest

from shared.audio.mp3 import read_mp3
from shared.speech.samples import FOLDER, sample
from shared.speech.spoilt import check_audio
from shared.speech.voices import VOICES
from tools.samples import TEXT, make


@pytest.mark.parametrize("voice", VOICES)
def test_sample_is_a_short_sentence_in_each_voice(voice: str) -> None:
    """Every voice has a sample of its complete sentence, of at most 20 kB."""

    mp3 = sample(voice)
    assert mp3 is not None
    assert len(mp3) <= 20_000
    check_audio(mp3, TEXT.format(name=VOICES[voice].name))


def test_samples_are_those_of_the_voices() -> None:
    assert {file.stem for file in FOLDER.glob("*.mp3")} == set(VOICES)


@pytest.mark.parametrize("voice", ["nobody", "", "../adam", "ADAM"])
def test_unknown_voice_has_no_sample(voice: str) -> None:
    assert sample(voice) is None


def test_samples_are_what_the_command_makes(tmp_path: Path) -> None:
    """The stored samples are as long as those of the current voices, to the sample, on any processor."""
    asyncio.run(make(tmp_path))
    for voice in VOICES:
        made, kept = (read_mp3((folder / f"{voice}.mp3").read_bytes()) for folder in (tmp_path, FOLDER))
        assert made.samples == kept.samples, f"{voice} changed: run python -m tools.samples"
