"""Texts stored as one file: the formats of an adapter and of the encoders, and the joining of pieces."""

from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from shared.audio.files import AudioPlaceFailed, audio, making, new_file
from shared.audio.folder import FolderFiles
from shared.audio.formats import FORMATS
from shared.core.errors import SpeechFailed
from shared.core.text import characters
from shared.speech.encoding import available_encoders
from shared.speech.piecewise import Piecewise
from shared.speech.stored import MOST_AS_SAMPLES, PUT_S, StoredSpeech
from shared.speech.voices import VOICES
from tests.fakes.long_memos import ToneVoices, tone

pytestmark = pytest.mark.anyio

TEXT = "One two three four five. " * 12
NO_ENCODER = {"wav": available_encoders()["wav"]}
"""The encoders of a deployment without our own voices."""


def stored(
    folder: Path, voices: ToneVoices, *, deployed: bool = True, time_left_s: Callable[[], float] = lambda: inf
) -> StoredSpeech:
    files = FolderFiles(folder)
    return StoredSpeech(
        voices,
        files,
        provider="tones",
        time_left_s=time_left_s,
        piecewise=Piecewise(files),
        encoders=available_encoders() if deployed else NO_ENCODER,
    )


@pytest.mark.parametrize(
    ("brought", "deployed", "formats"),
    [
        ({"mp3"}, True, {"mp3": None}),
        ({"mp3", "wav"}, True, {"mp3": None, "wav": MOST_AS_SAMPLES, "opus": MOST_AS_SAMPLES}),
        ({"mp3", "wav"}, False, {"mp3": None, "wav": MOST_AS_SAMPLES}),
        ({"mp3", "wav", "opus"}, False, {"mp3": None, "wav": MOST_AS_SAMPLES, "opus": None}),
    ],
)
async def test_formats_are_those_brought_and_those_encoded(
    tmp_path: Path, brought: set[str], *, deployed: bool, formats: dict[str, int | None]
) -> None:
    """Samples can be encoded if an encoder is deployed; formats made from samples have a longest text."""
    assert stored(tmp_path, ToneVoices(formats=brought), deployed=deployed).formats == formats


@pytest.mark.parametrize("brought", [{"mp3", "wav"}, {"mp3", "wav", "opus"}])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("is_long", [False, True])
async def test_pieces_become_one_file_of_the_format(
    tmp_path: Path, brought: set[str], form: str, *, is_long: bool
) -> None:
    """Whether the adapter returns the format or its samples are encoded, the stored file has the returned length."""
    voices = ToneVoices(formats=brought)
    speech, file = stored(tmp_path, voices), new_file("ada", form)
    if is_long:
        await FolderFiles(tmp_path).put(making(file), b"")
        seconds = await speech.speak_long(TEXT, VOICES["sam"], file=file, time_left_s=lambda: inf)
    else:
        seconds = (await speech.speak(TEXT, VOICES["sam"], file=file)).duration_seconds
    kept = await FolderFiles(tmp_path).read(audio(file))
    assert kept is not None
    assert seconds == pytest.approx(FORMATS[form].read(kept).seconds, abs=1e-6)
    assert sum(voices.bought.values()) > 1
    again = await speech.kept(file)
    assert again is not None
    assert again.duration_seconds == seconds


@pytest.mark.parametrize("most", [7, 8])
async def test_pieces_are_bounded_in_utf_16_code_units(tmp_path: Path, most: int) -> None:
    """An adapter counts as its provider does: a character beyond the first 65,536 counts twice."""
    cut = stored(tmp_path, ToneVoices()).cut("\U00020000" * 21, most)
    assert "".join(cut) == "\U00020000" * 21
    assert all(characters(piece) <= most for piece in cut)


@pytest.mark.parametrize("most", [16, 17, 100])
async def test_text_that_fits_is_said_as_it_is(tmp_path: Path, most: int) -> None:
    """A text that fits keeps its lines and blanks. A longer one is cut at its sentences."""
    speech = stored(tmp_path, ToneVoices())
    assert list(speech.cut("One two.\nThree. ", most)) == ["One two.\nThree. "]
    assert list(speech.cut("One two.\nThree. ", 15)) == ["One two.\nThree."]
    assert list(speech.cut("One two.\n... !\nThree.", 8)) == ["One two.", "Three."]


@pytest.mark.parametrize("left_s", [-1.0, 0.0, PUT_S])
async def test_speak_keeps_nothing_when_no_time_is_left(tmp_path: Path, left_s: float) -> None:
    """Even if the voices answer immediately, no time is left to store the audio and to write the memo."""
    file = new_file("ada")
    with pytest.raises(SpeechFailed, match="too long"):
        await stored(tmp_path, ToneVoices(), time_left_s=lambda: left_s).speak(TEXT, VOICES["sam"], file=file)
    assert await FolderFiles(tmp_path).head(audio(file)) is None


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_file_contains_every_piece(tmp_path: Path, count: int) -> None:
    """A WAV of several pieces is as long as all of them, to the sample: none is lost or repeated."""
    sentences = [f"{letter * (10 + 10 * number)}." for number, letter in enumerate("abc"[:count])]
    voices = ToneVoices(max_characters=31, formats={"mp3", "wav"})
    speech = await stored(tmp_path, voices).speak(" ".join(sentences), VOICES["sam"], file=new_file("ada", "wav"))
    said = [tone(len(text) // 10 / 10, "wav").seconds for text in voices.bought]
    assert len(said) == count
    assert speech.duration_seconds == pytest.approx(sum(said))


async def test_audio_is_not_kept_in_the_time_of_the_memos_row(tmp_path: Path) -> None:
    """If storing leaves less than a second of the request, it fails: the memo could not be written."""
    left_s = iter([9.0, 0.9])
    speech = stored(tmp_path, ToneVoices(formats={"mp3"}), time_left_s=lambda: next(left_s))
    with pytest.raises(AudioPlaceFailed):
        await speech.speak(TEXT, VOICES["sam"], file=new_file("ada", "mp3"))
