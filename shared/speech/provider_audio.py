"""What a provider answered, taken for audio only if it is: an MP3 that is whole and about as long as its text."""

from typing import Final

from shared.audio.mp3 import NotMp3, read_mp3
from shared.core.text import characters
from shared.speech.provider_errors import AudioCutOff, NotAudio, SpoiltAudio
from shared.speech.spoken import Spoken

MEDIA_TYPES: Final = frozenset({"audio/mpeg", "audio/mp3", "audio/mpeg3", "application/octet-stream"})
"""What servers call an MP3."""

CHARACTER_S: Final = 0.08
"""Seconds that a character takes to say, as in the contract's estimate."""

DIGIT_CHARACTERS: Final = 5
"""A digit is said as a word: `1234567` is nothing like seven letters."""

SHORTEST: Final = 0.4
LONGEST: Final = 3.0
"""Parts of the estimate between which audio is taken for the text. Some answers in a hundred babble or break off."""

SLACK_S: Final = 3.0
"""Seconds that any text may take longer: a short one is mostly the silence around it."""


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
    estimate_s = CHARACTER_S * (characters(text) + (DIGIT_CHARACTERS - 1) * sum(map(str.isdigit, text)))
    if not SHORTEST * CHARACTER_S * characters(text) <= length.seconds <= LONGEST * estimate_s + SLACK_S:
        raise SpoiltAudio(provider, f"answered with {length.seconds:.1f} s for a text of some {estimate_s:.1f} s")
    return Spoken(mp3=content, seconds=length.seconds, marks=None)
