"""What a provider answered, taken for audio only if it is: an MP3 that is whole and can be its text."""

from typing import Final

from shared.audio.mp3 import NotMp3, read_mp3
from shared.core.errors import SpeechFailed
from shared.speech.provider_errors import AudioCutOff, NotAudio, SpoiltAudio
from shared.speech.spoilt import check_audio
from shared.speech.spoken import Spoken

MEDIA_TYPES: Final = frozenset({"audio/mpeg", "audio/mp3", "audio/mpeg3", "application/octet-stream"})
"""What servers call an MP3."""


def sayable(cleaned: str) -> str:
    """The text if any voice can say something of it, else nothing. Providers say all scripts."""
    return cleaned if any(map(str.isalnum, cleaned)) else ""


def spoken_by(provider: str, content: bytes, *, media_type: str, text: str) -> Spoken:
    """The audio of this text, with its exact length. Raises NotAudio, AudioCutOff and SpoiltAudio."""
    kind = media_type.partition(";")[0].strip().lower()
    if not content:
        raise NotAudio(provider, "answered with nothing")
    if kind not in MEDIA_TYPES:
        raise NotAudio(provider, f"answered with {len(content)} bytes of {kind[:100] or 'no type'}")
    try:
        length = read_mp3(content)
    except NotMp3 as exc:
        raise NotAudio(provider, f"answered with {len(content)} bytes that are no MP3") from exc
    if not length.whole:
        raise AudioCutOff(provider, "the last frame of its answer is cut off")
    try:
        check_audio(content, text)
    except SpeechFailed as exc:
        raise SpoiltAudio(provider, exc.message) from exc
    return Spoken(mp3=content, seconds=length.seconds, marks=None)
