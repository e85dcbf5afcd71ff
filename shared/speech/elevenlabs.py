"""ElevenLabs' voices, over its HTTP API."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from shared.core.text import characters
from shared.speech.funnel import Funnel
from shared.speech.posting import HttpProvider, Refusal
from shared.speech.provider_audio import sayable, spoken_by
from shared.speech.provider_errors import (
    CredentialRefused,
    ProviderBusy,
    QuotaUsedUp,
    RequestRefused,
    TextRefused,
    TooManyAtOnce,
    VoiceRefused,
)
from shared.speech.spoken import Spoken
from shared.speech.voice_map import ELEVENLABS, VoiceMap
from shared.speech.voices import Voice

T = TypeVar("T")

PROVIDER: Final = "elevenlabs"
URL: Final = "https://api.elevenlabs.io"
OUTPUT_FORMATS: Final = {"mp3": "mp3_24000_48", "wav": "pcm_24000", "opus": "opus_48000_32"}
"""`output_format` of each format: 24 kHz mono, the MP3 at 48 kbit/s; Opus at 48 kHz. Every plan has them."""

QUICK_CHARACTERS: Final = 1_000
"""Characters whose audio arrives within the funnel's time, also by the slowest model: one minute of sound."""

AT_ONCE: Final = 4
"""Concurrent requests of one process: one less than the Creator plan's five. More are refused with 429."""

MAX_CHARACTERS: Final = {
    "eleven_flash_v2_5": 40_000,
    "eleven_turbo_v2_5": 40_000,
    "eleven_flash_v2": 30_000,
    "eleven_turbo_v2": 30_000,
    "eleven_multilingual_v2": 10_000,
}
"""Characters of one request by model, from ElevenLabs' help centre; a model that is not here takes FEWEST."""

FEWEST: Final = 5_000

REFUSALS: Final = (
    Refusal(400, r"\b(max_character_limit_exceeded|text_too_long)\b", TextRefused, "takes no text of this length"),
    Refusal(400, r"\bvoice_not_found\b", VoiceRefused, "has no such voice: check SPEECH_VOICES"),
    Refusal(401, r"\bvoice_not_found\b", VoiceRefused, "has no such voice: check SPEECH_VOICES"),
    Refusal(401, r"\bquota_exceeded\b", QuotaUsedUp, "has no characters left for this account"),
    Refusal(401, r"", CredentialRefused, "refuses the key: check ELEVENLABS_API_KEY"),
    Refusal(402, r"", QuotaUsedUp, "wants to be paid"),
    Refusal(403, r"", CredentialRefused, "does not allow this to the key: check ELEVENLABS_API_KEY"),
    Refusal(404, r"\bvoice_not_found\b", VoiceRefused, "has no such voice: check SPEECH_VOICES"),
    Refusal(422, r"", RequestRefused, "does not understand the request"),
    Refusal(
        429,
        r"\b(too_many_concurrent_requests|concurrent_limit_exceeded)\b",
        TooManyAtOnce,
        "has as many requests under way as the plan allows",
    ),
    Refusal(429, r"\bquota_exceeded\b", QuotaUsedUp, "has no characters left for this account"),
    Refusal(429, r"\bsystem_busy\b", ProviderBusy, "is busy"),
)
"""The meaning of refusals. 401 can also be a used-up quota, and 429 has several meanings. The first row that fits
counts."""


@dataclass(frozen=True, kw_only=True)
class ElevenLabsSettings:
    api_key: str = field(repr=False)
    url: str = URL
    """The server, without a slash at the end. Accounts with data residency have another one."""
    model: str = "eleven_flash_v2_5"
    voices: VoiceMap = field(default_factory=lambda: ELEVENLABS)


class ElevenLabs:
    """Says texts with ElevenLabs' voices; `max_characters` is the longest text of one call."""

    formats = OUTPUT_FORMATS.keys()
    quick_characters = QUICK_CHARACTERS

    def __init__(self, http: httpx.AsyncClient, settings: ElevenLabsSettings, *, funnel: Funnel | None = None) -> None:
        self.max_characters = MAX_CHARACTERS.get(settings.model, FEWEST)
        self._settings = settings
        self._funnel = funnel or Funnel(PROVIDER, at_once=AT_ONCE)
        self._http = HttpProvider(
            http,
            provider=PROVIDER,
            secret=settings.api_key,
            error_key="detail",
            words=("status", "code", "type"),
            refusals=REFUSALS,
        )

    def reading(self, cleaned: str) -> str:
        return sayable(cleaned)

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
        """Say a text of at most `max_characters`. Raises ProviderError, a SpeechFailed."""
        if characters(text) > self.max_characters:
            raise TextRefused(PROVIDER, f"takes {self.max_characters} characters, not {characters(text)}")
        voice_id = quote(self._settings.voices[voice.id], safe="")
        path = f"/v1/text-to-speech/{voice_id}?output_format={OUTPUT_FORMATS[form]}"

        def read(answer: httpx.Response) -> Spoken:
            kind = answer.headers.get("Content-Type", "")
            return spoken_by(PROVIDER, answer.content, media_type=kind, text=text, form=form)

        body = {"text": text, "model_id": self._settings.model}
        return await self._request("POST", path, read, body=body)

    async def provider_voices(self) -> frozenset[str]:
        """Return the ids of the account's voices. Raises ProviderError."""
        return await self._request("GET", "/v1/voices", _listed)

    async def _request(
        self, method: str, path: str, read: Callable[[httpx.Response], T], *, body: dict[str, Any] | None = None
    ) -> T:
        async def send(left_s: float) -> T:
            headers = {"xi-api-key": self._settings.api_key}
            url = self._settings.url + path
            return read(await self._http.request(method, url, headers=headers, body=body, left_s=left_s))

        return await self._funnel.ask(send)


def _listed(answer: httpx.Response) -> frozenset[str]:
    try:
        return frozenset(str(voice["voice_id"]) for voice in answer.json()["voices"])
    except (ValueError, KeyError, TypeError) as exc:
        raise RequestRefused(PROVIDER, "answered with no list of voices") from exc
