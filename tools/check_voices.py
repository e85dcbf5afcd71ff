"""Check that a provider has the voices that ours are mapped to, before a deployment relies on them.

    python -m tools.check_voices elevenlabs

Settings come from the environment, as for the functions: SPEECH_VOICES names the file that changes the map (see
`shared.speech.voice_map`), ELEVENLABS_API_KEY, OPENAI_API_KEY and OPENAI_BASE_URL choose the provider's account and
address; Polly uses AWS's own.
The exit status is 0 if the provider has all voices, 1 if one is missing, and 2 if the provider cannot be asked.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from shared.http_connections import http_client
from shared.speech import elevenlabs, openai
from shared.speech.elevenlabs import ElevenLabs, ElevenLabsSettings
from shared.speech.openai import OpenAiSettings, OpenAiSpeech
from shared.speech.polly import Polly, PollySettings, polly_voice
from shared.speech.provider_errors import ProviderError
from shared.speech.voice_map import DEFAULTS, VoiceMap, VoiceMapError, load_voice_maps
from shared.speech.voices import VOICES

THERE: Final = 0
MISSING: Final = 1
UNASKED: Final = 2


class VoiceLister(Protocol):
    async def provider_voices(self) -> frozenset[str]:
        """Return the names of the provider's voices. Raises ProviderError."""


def main(arguments: list[str] | None = None, *, environ: Mapping[str, str] = os.environ) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.check_voices",
        description="Ask a provider whether it has the voices that ours are mapped to.",
    )
    parser.add_argument("provider", choices=tuple(DEFAULTS))
    options = parser.parse_args(arguments)
    file = environ.get("SPEECH_VOICES")
    try:
        voices = (load_voice_maps(Path(file)) if file else DEFAULTS)[options.provider]
        there = asyncio.run(_listed(options.provider, voices, environ))
    except VoiceMapError as exc:
        print(*exc.problems, sep="\n", file=sys.stderr)
        return UNASKED
    except ProviderError as exc:
        print(exc, file=sys.stderr)
        return UNASKED
    return _told(voices, there, provider=options.provider)


def _told(voices: VoiceMap, there: frozenset[str], *, provider: str) -> int:
    status = THERE
    for voice in VOICES:
        name = ":".join(polly_voice(voices[voice])) if provider == "polly" else voices[voice]
        if name not in there:
            status = MISSING
        print(f"{'ok' if name in there else 'MISSING':8}{voice:9}{name}")
    return status


async def _listed(provider: str, voices: VoiceMap, environ: Mapping[str, str]) -> frozenset[str]:
    async with _opened(provider, voices, environ) as lister:
        return await lister.provider_voices()


@asynccontextmanager
async def _opened(provider: str, voices: VoiceMap, environ: Mapping[str, str]) -> AsyncIterator[VoiceLister]:
    if provider == "polly":
        polly = Polly(PollySettings(voices=voices))
        yield polly
        await polly.aclose()
        return
    setting, default = {
        "elevenlabs": ("ELEVENLABS_BASE_URL", elevenlabs.URL),
        "openai": ("OPENAI_BASE_URL", openai.URL),
    }[provider]
    url = (environ.get(setting) or default).rstrip("/")
    async with http_client(url) as http:
        if provider == "elevenlabs":
            key = environ.get("ELEVENLABS_API_KEY", "")
            yield ElevenLabs(http, ElevenLabsSettings(api_key=key, url=url, voices=voices))
        else:
            key = environ.get("OPENAI_API_KEY", "")
            yield OpenAiSpeech(http, OpenAiSettings(api_key=key, url=url, voices=voices))


if __name__ == "__main__":
    sys.exit(main())
