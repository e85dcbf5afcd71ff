"""Audio that is no speech of the text: too short or too long, with a hole, a steady noise, clipped, or cut off.

Some 1 % of a provider's answers babble, buzz or break off, with status 200. They count as failed, so they are not
charged. No audio is decoded: an MP3's side information contains the loudness of each granule, and that of samples is
computed. For Opus only the length is checked.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from shared.audio.formats import FORMATS
from shared.audio.length import BadAudio, Length
from shared.audio.loudness import Granule, granules_of, samples_granules
from shared.audio.wav import samples_of
from shared.core.errors import SpeechFailed

__all__ = ["check_audio", "check_sound"]

_SECONDS_A_CHARACTER: Final = 0.08
"""The estimate of the contract: 12.5 characters a second."""
_LEAST: Final = 0.4
_MOST: Final = 3.0
_SLACK_S: Final = 1.0
"""Seconds of silence around a text, more than a text of one word takes."""
_WORD_CHARACTERS: Final = 20
"""Characters of a word that certainly take time: a voice babbles 1,000 letters in a row in some seconds."""
_SIGN_CHARACTERS: Final = 12
"""Characters that a digit, a sign or a line's end may stand for: % is "percent", and a voice pauses between lines."""
_CAPITAL_CHARACTERS: Final = 3
"""Characters that a capital letter may stand for: WWW is "double u double u double u"."""
_HOLE_S: Final = 1.5
_QUIET_STEPS: Final = 18
"""Steps of 1.5 dB below the loud granules, hence 27 dB: less than any sound of speech, more than a studio's noise."""
_STEADY_STEPS: Final = 10
_STEADY_S: Final = 3.0
"""Speech has gaps and consonants in any three seconds; a buzz or a noise stays within 15 dB."""
_CLIPPED_DB: Final = -6.5
"""The most decibels of the loudest frequency in the loudest quarter of the granules. Speech of -19 LUFS has -17 to -11
in all our voices, at 32 to 160 kbit/s; 12 dB louder, with 5 % of its samples clipped, -6 and more. A lower bound would
refuse speech that is only loud."""
_PAUSE = re.compile(r"\n|\.\.\.|…")
"""Signs at which a voice may pause over _HOLE_S: a new passage, and dots. A sentence's end takes a second at most."""


def check_audio(audio: bytes, text: str, form: str = "mp3") -> Length:
    """Return the length of audio that can be speech of `text`.

    Raises SpeechFailed, with the reason in its message, if it cannot, or is not of this format.
    """
    try:
        length = FORMATS[form].read(audio)
    except BadAudio as exc:
        raise SpeechFailed(f"The audio is not {form}: {exc}") from exc
    if not length.whole:
        raise SpeechFailed("The audio is cut off")
    check_sound(audio, length, text, form)
    return length


def check_sound(audio: bytes, length: Length, text: str, form: str) -> None:
    """Raise SpeechFailed if whole audio of a known length cannot be speech of `text`."""
    least_s, most_s = _plausible_s(text)
    if not least_s <= length.seconds <= most_s:
        raise SpeechFailed(f"The audio takes {length.seconds:.1f} s, and the text {least_s:.1f} to {most_s:.1f} s")
    if form == "mp3":
        _check_loudness(*granules_of(audio), text)
    elif form == "wav":
        _check_loudness(*samples_granules(*samples_of(audio)), text)


def _check_loudness(granules: Sequence[Granule], granule_s: float, text: str) -> None:
    gains = [granule.gain for granule in granules]
    loud = sorted(gains)[len(gains) * 9 // 10]
    quiet = [gain < loud - _QUIET_STEPS for gain in gains]
    runs = [(is_quiet, sum(1 for _ in run) * granule_s) for is_quiet, run in groupby(quiet)]
    if sum(is_quiet and seconds > _HOLE_S for is_quiet, seconds in runs) > len(_PAUSE.findall(text)):
        raise SpeechFailed(f"The audio has a hole of {max(seconds for is_quiet, seconds in runs if is_quiet):.1f} s")
    if not loud:
        raise SpeechFailed("The audio is silent")
    if _steady_s(gains, granule_s, loud) > _STEADY_S:
        raise SpeechFailed("The audio is a steady noise")
    if sorted(granule.peak_db for granule in granules)[len(granules) * 3 // 4] > _CLIPPED_DB:
        raise SpeechFailed("The audio is clipped")


def _plausible_s(text: str) -> tuple[float, float]:
    """Return the least and the most seconds that a text may take."""
    words = [word for word in text.split() if any(map(str.isalnum, word))]  # a voice may pass over signs alone
    certain = sum(min(len(word), _WORD_CHARACTERS) + 1 for word in words)
    possible = sum(map(_most_characters, text))
    least_s = _LEAST * _SECONDS_A_CHARACTER * certain - _SLACK_S
    return least_s, _MOST * _SECONDS_A_CHARACTER * max(possible, certain) + _SLACK_S


def _most_characters(character: str) -> int:
    """Return the most characters that one may stand for when it is read."""
    if character.isupper():
        return _CAPITAL_CHARACTERS
    return 1 if character.isalpha() or character == " " else _SIGN_CHARACTERS


def _steady_s(gains: list[int], granule_s: float, loud: int) -> float:
    """Return the seconds of the longest run without a granule below the loud ones."""
    steady = (loud - gain < _STEADY_STEPS for gain in gains)
    return max((sum(1 for _ in run) * granule_s for is_steady, run in groupby(steady) if is_steady), default=0.0)
