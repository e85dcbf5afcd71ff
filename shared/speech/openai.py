"""The voices of OpenAI, and of any server with the same protocol (kokoro-fastapi, speaches, LiteLLM …)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

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
    VoiceRefused,
)
from shared.speech.spoken import Spoken
from shared.speech.voice_map import OPENAI, VoiceMap
from shared.speech.voices import Voice

T = TypeVar("T")

PROVIDER: Final = "openai"
URL: Final = "https://api.openai.com/v1"
MAX_CHARACTERS: Final = 4_096
"""Characters of one request, from OpenAI's reference; compatible servers take at least as many."""

RESPONSE_FORMATS: Final = {"mp3": "mp3", "wav": "pcm", "opus": "opus"}
"""`response_format` of each format. A WAV is made from `pcm`, samples of 24 kHz: OpenAI's own WAV has no length in its
header."""

QUICK_CHARACTERS: Final = 1_000
"""Characters whose audio arrives within the funnel's time: one minute of sound, made in some 6 s."""

AT_ONCE: Final = 8
"""Concurrent requests of one process. OpenAI limits requests a minute instead, by the account's level."""

DOCUMENTED: Final = frozenset(
    "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split()  # noqa: SIM905 a list of names
)
"""The voices of `gpt-4o-mini-tts`, from OpenAI's reference: its API has no list of them."""

REFUSALS: Final = (
    Refusal(400, r"\b(string_above_max_length|string_too_long)\b", TextRefused, "takes no text of this length"),
    Refusal(400, r"\bvoice\b", VoiceRefused, "has no such voice: check SPEECH_VOICES"),
    Refusal(401, r"", CredentialRefused, "refuses the key: check OPENAI_API_KEY"),
    Refusal(403, r"", CredentialRefused, "does not allow this to the key: check OPENAI_API_KEY"),
    Refusal(404, r"", RequestRefused, "has no such model or address: check OPENAI_BASE_URL"),
    Refusal(429, r"\b(insufficient_quota|billing_hard_limit_reached)\b", QuotaUsedUp, "has no money of this account"),
    Refusal(429, r"", ProviderBusy, "is asked too often"),
)
"""The meaning of refusals. 429 can also be a used-up quota. The first row that fits counts."""


@dataclass(frozen=True, kw_only=True)
class OpenAiSettings:
    api_key: str = field(default="", repr=False)
    """Empty: no key is sent, for a server of one's own without keys."""
    url: str = URL
    """The server with the version, as OpenAI's libraries take it, and without a slash at the end."""
    model: str = "gpt-4o-mini-tts"
    voices: VoiceMap = field(default_factory=lambda: OPENAI)


class OpenAiSpeech:
    """Says texts with an OpenAI-compatible server's voices; `max_characters` is the longest text of one call."""

    max_characters = MAX_CHARACTERS
    formats = RESPONSE_FORMATS.keys()
    quick_characters = QUICK_CHARACTERS

    def __init__(self, http: httpx.AsyncClient, settings: OpenAiSettings, *, funnel: Funnel | None = None) -> None:
        self._settings = settings
        self._funnel = funnel or Funnel(PROVIDER, at_once=AT_ONCE)
        self._http = HttpProvider(
            http,
            provider=PROVIDER,
            secret=settings.api_key,
            error_key="error",
            words=("code", "type", "param"),
            refusals=REFUSALS,
        )

    def reading(self, cleaned: str) -> str:
        return sayable(cleaned)

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
        """Say a text of at most `max_characters`. Raises ProviderError, a SpeechFailed."""
        if characters(text) > self.max_characters:
            raise TextRefused(PROVIDER, f"takes {self.max_characters} characters, not {characters(text)}")

        def read(answer: httpx.Response) -> Spoken:
            kind = answer.headers.get("Content-Type", "")
            return spoken_by(PROVIDER, answer.content, media_type=kind, text=text, form=form)

        body = {
            "model": self._settings.model,
            "input": text,
            "voice": self._settings.voices[voice.id],
            "response_format": RESPONSE_FORMATS[form],
        }
        return await self._request("POST", "/audio/speech", read, body=body)

    async def provider_voices(self) -> frozenset[str]:
        """Return the names of the server's voices; for OpenAI's own server DOCUMENTED.

        kokoro-fastapi and similar servers answer `{"voices": ["af_heart", …]}`, some of them with objects that have an
        id or a name. Raises ProviderError, also if the server has no list.
        """
        if self._settings.url == URL:
            return DOCUMENTED
        return await self._request("GET", "/audio/voices", _listed)

    async def _request(
        self, method: str, path: str, read: Callable[[httpx.Response], T], *, body: dict[str, Any] | None = None
    ) -> T:
        async def send(left_s: float) -> T:
            headers = {"Authorization": f"Bearer {self._settings.api_key}"} if self._settings.api_key else {}
            url = self._settings.url + path
            return read(await self._http.request(method, url, headers=headers, body=body, left_s=left_s))

        return await self._funnel.ask(send)


def _listed(answer: httpx.Response) -> frozenset[str]:
    try:
        return frozenset(map(_name, answer.json()["voices"]))
    except (ValueError, KeyError, TypeError) as exc:
        raise RequestRefused(PROVIDER, "answered with no list of voices") from exc


def _name(voice: Any) -> str:
    name = (voice.get("id") or voice["name"]) if isinstance(voice, dict) else voice
    if not isinstance(name, str):
        raise TypeError(f"not a name: {type(name).__name__}")
    return name
