"""The provider's voice for each of ours.

A settings file (SPEECH_VOICES) changes the table name by name; voices that it leaves out stay as they are here:

    {"elevenlabs": {"rachel": "21m00Tcm4TlvDq8ikWAM"}, "polly": {"freya": "Ruth:generative"}}

`python -m tools.check_voices` checks that a provider still has these voices.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shared.speech.voices import VOICES

VoiceMap = Mapping[str, str]
"""The provider's name of a voice by the id of ours."""

POLLY: Final[VoiceMap] = {
    "rachel": "Joanna",
    "domi": "Danielle",
    "bella": "Salli",
    "adam": "Matthew",
    "sam": "Joey",
    "charlie": "Stephen",
    "emily": "Kimberly",
    "ethan": "Gregory",
    "freya": "Ruth",
    "dorothy": "Amy",
    "bill": "Brian",
    "sarah": "Kendra",
}
"""Names of Amazon Polly's voices; all have the neural engine. Another engine follows a colon: `Ruth:generative`."""

ELEVENLABS: Final[VoiceMap] = {
    "rachel": "21m00Tcm4TlvDq8ikWAM",
    "domi": "AZnzlk1XvdvUeBnXmlld",
    "bella": "hpp4J3VqNfWAUOO0d1Us",
    "adam": "pNInz6obpgDQGcFmaJgB",
    "sam": "yoZ06aMxZJJ28mfd3POQ",
    "charlie": "IKne3meq5aSn9XLyUdCD",
    "emily": "LcfcDJNUP1GQjkzn1xUU",
    "ethan": "g5CIjZEefAph4nQFvHAz",
    "freya": "jsCqWAovK2LkecY7zXl4",
    "dorothy": "ThT5KcBeYPX3keUQqHPh",
    "bill": "pqHfZKP75CvOlQylNhV4",
    "sarah": "EXAVITQu4vr4xnSDxMaL",
}
"""Ids of ElevenLabs' public voices. EXAVITQu4vr4xnSDxMaL, today Sarah, was called Bella once: it cannot be both. New
accounts may lack some of the older ones (Rachel, Domi, Emily, Ethan, Freya, Dorothy, Sam)."""

OPENAI: Final[VoiceMap] = {
    "rachel": "marin",
    "domi": "alloy",
    "bella": "shimmer",
    "adam": "onyx",
    "sam": "ash",
    "charlie": "verse",
    "emily": "sage",
    "ethan": "echo",
    "freya": "nova",
    "dorothy": "fable",
    "bill": "cedar",
    "sarah": "coral",
}
"""Names of the voices of OpenAI's `gpt-4o-mini-tts`; tts-1 lacks marin, verse and cedar. Other servers with the same
protocol have other names."""

DEFAULTS: Final[Mapping[str, VoiceMap]] = {"polly": POLLY, "elevenlabs": ELEVENLABS, "openai": OPENAI}


class VoiceMapError(Exception):
    """A file of voices is wrong. `problems` are its faults, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load_voice_maps(file: Path) -> Mapping[str, VoiceMap]:
    """Return the table by provider, with the changes of the settings file. Raises VoiceMapError with all its faults."""
    try:
        changes: Any = json.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise VoiceMapError([f"{file} cannot be read: {exc.strerror}"]) from exc
    except (ValueError, RecursionError) as exc:
        raise VoiceMapError([f"{file} is not JSON: {exc}"]) from exc
    return changed(changes, file=str(file))


def changed(changes: Any, *, file: str) -> Mapping[str, VoiceMap]:
    """Return DEFAULTS with these changes, the content of `file`. Raises VoiceMapError with all faults."""
    if not isinstance(changes, dict):
        raise VoiceMapError([f"{file} must be an object of providers"])
    problems = [
        f"{file}: {provider!r} is no provider: use {', '.join(DEFAULTS)}"
        for provider in changes
        if provider not in DEFAULTS
    ]
    maps: dict[str, VoiceMap] = {}
    for provider, default in DEFAULTS.items():
        own = changes.get(provider, {})
        if not isinstance(own, dict):
            problems.append(f"{file}: {provider} must be an object of voices")
            continue
        maps[provider] = {**default, **own}
        problems += [f"{file}: {provider}: {problem}" for problem in _problems(own, maps[provider])]
    if problems:
        raise VoiceMapError(problems)
    return maps


def _problems(own: Mapping[str, Any], whole: Mapping[str, Any]) -> list[str]:
    unknown = [f"{voice!r} is none of our voices" for voice in own if voice not in VOICES]
    odd = [
        f"{voice} must be the name of a voice, in visible ASCII characters"
        for voice, name in own.items()
        if not (isinstance(name, str) and name and all("!" <= character <= "~" for character in name))
    ]
    if odd:
        return unknown + odd
    uses = Counter(whole.values())
    shared = [
        f"{name} says both {' and '.join(voice for voice in whole if whole[voice] == name)}"
        for name, count in uses.items()
        if count > 1
    ]
    return unknown + shared
