"""A provider's media type, and the audio that the answer really contains."""

import pytest

from shared.audio.ogg import silence
from shared.speech.provider_audio import MEDIA_TYPES, spoken_by
from shared.speech.provider_errors import AudioCutOff, NotAudio

OPUS = silence(48_000)


@pytest.mark.parametrize("kind", sorted(MEDIA_TYPES["opus"]))
def test_media_type_is_read_as_http_means_it(kind: str) -> None:
    """It is read in upper or lower case, with blanks around it, and with parameters after it."""
    for written in (kind, kind.upper(), f" {kind} ", f"{kind};codecs=opus", f"{kind} ; charset=x; y"):
        assert spoken_by("some", OPUS, media_type=written, text="Hello.", form="opus").seconds == 1


@pytest.mark.parametrize("kind", ["", "text/html", "audio/mpeg", "x/audio/ogg", ";audio/ogg"])
def test_answer_of_another_media_type_is_no_audio(kind: str) -> None:
    with pytest.raises(NotAudio, match=f"{len(OPUS)} bytes of") as raised:
        spoken_by("some", OPUS, media_type=kind, text="Hello.", form="opus")
    assert raised.value.what.endswith(kind.partition(";")[0] or "no type")


def test_answer_of_nothing_is_no_audio() -> None:
    with pytest.raises(NotAudio, match="nothing"):
        spoken_by("some", b"", media_type="audio/ogg", text="Hello.", form="opus")


@pytest.mark.parametrize("size", [1, 3, 47_999])
def test_half_a_sample_is_a_cut_off_answer(size: int) -> None:
    with pytest.raises(AudioCutOff, match="sample"):
        spoken_by("some", bytes(size), media_type="audio/pcm", text="Hello.", form="wav")


def test_answer_that_breaks_off_is_cut_off() -> None:
    with pytest.raises(AudioCutOff, match="end of its answer"):
        spoken_by("some", OPUS[:-1], media_type="audio/ogg", text="Hello.", form="opus")


def test_bytes_of_another_format_are_no_audio() -> None:
    with pytest.raises(NotAudio, match="not opus"):
        spoken_by("some", OPUS[10:], media_type="audio/ogg", text="Hello.", form="opus")
