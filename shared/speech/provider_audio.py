"""Checks of a provider's answer: it counts as audio only if it is whole, of the requested format, and fits its text."""

from collections.abc import Mapping
from typing import Final

from shared.audio.formats import FORMATS
from shared.audio.length import BadAudio
from shared.audio.wav import with_header
from shared.core.errors import SpeechFailed
from shared.speech.provider_errors import AudioCutOff, NotAudio, SpoiltAudio
from shared.speech.spoilt import check_sound
from shared.speech.spoken import Spoken

_ANY: Final = "application/octet-stream"
MEDIA_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "mp3": frozenset({"audio/mpeg", "audio/mp3", "audio/mpeg3", _ANY}),
    "wav": frozenset({"audio/pcm", "audio/l16", "audio/x-pcm", "audio/basic", _ANY}),
    "opus": frozenset({"audio/opus", "audio/ogg", "application/ogg", _ANY}),
}
"""The media types that servers send for each format. A WAV is made here from samples: in a stream a server does not
know the length for the header."""


def sayable(cleaned: str) -> str:
    """Return the text if it has a letter or a digit, else an empty one. Providers say all scripts."""
    return cleaned if any(map(str.isalnum, cleaned)) else ""


def spoken_by(
    provider: str, content: bytes, *, media_type: str, text: str, form: str = "mp3", rate: int = 24_000
) -> Spoken:
    """Return the audio of this text, with its exact length. Samples of `rate` become a WAV.

    Raises NotAudio, AudioCutOff and SpoiltAudio.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if not content:
        raise NotAudio(provider, "answered with nothing")
    if kind not in MEDIA_TYPES[form]:
        raise NotAudio(provider, f"answered with {len(content)} bytes of {kind[:100] or 'no type'}")
    if form == "wav":
        if len(content) % 2:
            raise AudioCutOff(provider, "the last sample of its answer is cut off")
        content = with_header(content, rate)
    try:
        length = FORMATS[form].read(content)
    except BadAudio as exc:
        raise NotAudio(provider, f"answered with {len(content)} bytes that are not {form}") from exc
    if not length.whole:
        raise AudioCutOff(provider, "the end of its answer is cut off")
    try:
        check_sound(content, length, text, form)
    except SpeechFailed as exc:
        raise SpoiltAudio(provider, exc.message) from exc
    return Spoken(audio=content, seconds=length.seconds, marks=None)
