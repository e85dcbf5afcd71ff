"""Amazon Polly's voices. The function's role gives the right to call it: no key.

Import this module only if Polly was chosen: boto3 takes some tenths of a second.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore import exceptions as botocore
from botocore.config import Config

from shared import aws_failures as aws
from shared.aws_connections import AwsCalls, WorkTimedOut, breakable
from shared.core.text import characters
from shared.speech.funnel import Funnel
from shared.speech.provider_audio import sayable, spoken_by
from shared.speech.provider_errors import (
    AudioCutOff,
    CredentialRefused,
    NoTurn,
    ProviderBroke,
    ProviderBusy,
    ProviderError,
    ProviderSilent,
    ProviderUnreached,
    RequestRefused,
    TextRefused,
    VoiceRefused,
)
from shared.speech.spoken import Spoken
from shared.speech.voice_map import POLLY, VoiceMap
from shared.speech.voices import Voice

if TYPE_CHECKING:  # stubs, which only a developer has
    from types_boto3_polly import PollyClient

T = TypeVar("T")

PROVIDER: Final = "polly"
MAX_CHARACTERS: Final = 3_000
"""Billed characters of one request, SynthesizeSpeech."""

QUICK_CHARACTERS: Final = 2_000
"""Characters whose audio certainly arrives within the funnel's time: two minutes of sound."""

AT_ONCE: Final = 8
"""Concurrent requests of one process, each with a thread. Neural voices take 8 requests a second (10 in a burst)."""

ENGINE: Final = "neural"
OUTPUTS: Final = {"mp3": ("mp3", 24_000), "wav": ("pcm", 16_000)}
"""`OutputFormat` and `SampleRate` of each format. Polly returns samples at 16 kHz at most."""
CONNECT_S: Final = 2.0
READ_S: Final = 8.0
"""Seconds without a byte. A thread whose caller has given up ends at the latest then."""

_BUSY: Final = (ProviderBusy, "is asked too often")
_DENIED: Final = (CredentialRefused, "does not allow this to the role: check its right to polly:SynthesizeSpeech")
_UNKNOWN: Final = (
    CredentialRefused,
    "does not know these credentials: check the function's role, or AWS_ACCESS_KEY_ID",
)
_NONE: Final = (CredentialRefused, "was not asked: there are no AWS credentials, or no region")
_TEXT: Final = (TextRefused, "takes no such text")
_VOICE: Final = (VoiceRefused, "has no such voice or engine here: check SPEECH_VOICES")
_REFUSED: Final = (RequestRefused, "refused the request")
_BROKE: Final = (ProviderBroke, "failed")
_UNREACHED: Final = (ProviderUnreached, "could not be reached")
_SILENT: Final = (ProviderSilent, "did not answer")

ANSWERED: Final[dict[str, tuple[type[ProviderError], str]]] = {
    **dict.fromkeys(("TextLengthExceededException", "InvalidSsmlException"), _TEXT),
    **dict.fromkeys(("EngineNotSupportedException", "LanguageNotSupportedException"), _VOICE),
    **dict.fromkeys(("ValidationException", "InvalidSampleRateException"), _REFUSED),
    **dict.fromkeys((*aws.BUSY_CODES, "ServiceUnavailable", "ServiceUnavailableException"), _BUSY),
    **dict.fromkeys(("ServiceFailureException", "InternalFailure"), _BROKE),
    **dict.fromkeys(aws.DENIED_CODES, _DENIED),
    **dict.fromkeys(aws.UNKNOWN_CREDENTIAL_CODES, _UNKNOWN),
}
"""The meaning by the code of Polly's answer; it throttles with HTTP 400. A code that is not here counts by its status:
429 and 503 are busy, other 5xx broke, all others are refusals."""

RAISED: Final[tuple[tuple[aws.Raised, tuple[type[ProviderError], str]], ...]] = (
    ((*aws.NO_REGION, *aws.NO_CREDENTIALS, botocore.ProfileNotFound), _NONE),
    (aws.UNREACHED, _UNREACHED),
    (aws.LOST, _SILENT),
    ((botocore.BotoCoreError,), _REFUSED),
)
"""The meaning by the exception that the SDK raises without an answer. The first row that fits counts."""


@dataclass(frozen=True, kw_only=True)
class PollySettings:
    voices: VoiceMap = field(default_factory=lambda: POLLY)


def open_polly() -> "PollyClient":
    """Open Polly. boto3 reads region, credentials and `AWS_ENDPOINT_URL` from the environment."""
    return breakable(boto3.session.Session().client("polly", config=config()))


def config() -> Config:
    return Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=AT_ONCE,
        retries={"total_max_attempts": 1},
    )


class Polly:
    """Says texts with Amazon Polly's voices; `max_characters` is the longest text of one call."""

    formats = OUTPUTS.keys()
    max_characters = MAX_CHARACTERS
    quick_characters = QUICK_CHARACTERS

    def __init__(
        self,
        settings: PollySettings,
        *,
        open_client: Callable[[], "PollyClient"] = open_polly,
        funnel: Funnel | None = None,
    ) -> None:
        self._settings = settings
        self._calls = AwsCalls(open_client, name=PROVIDER, at_once=AT_ONCE)
        self._funnel = funnel or Funnel(PROVIDER, at_once=AT_ONCE)

    async def aclose(self) -> None:
        self._calls.close()

    def reading(self, cleaned: str) -> str:
        return sayable(cleaned)

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
        """Say a text of at most `max_characters`; SSML in it is read aloud. Raises ProviderError, a SpeechFailed."""
        if characters(text) > self.max_characters:
            raise TextRefused(PROVIDER, f"takes {self.max_characters} characters, not {characters(text)}")
        name, engine = polly_voice(self._settings.voices[voice.id])
        return await self._request(lambda client: _spoken(client, text, name=name, engine=engine, form=form))

    async def provider_voices(self) -> frozenset[str]:
        """Return the voices with each of their engines: `Ruth:neural`. Raises ProviderError."""
        return await self._request(_listed)

    async def _request(self, work: Callable[["PollyClient"], T]) -> T:
        async def send(left_s: float) -> T:
            try:
                return await self._calls.run(work, left_s=left_s)
            except WorkTimedOut as exc:
                error = ProviderSilent if exc.begun else NoTurn
                raise error(
                    PROVIDER, "did not answer in time" if exc.begun else "too many calls were under way"
                ) from exc
            except ProviderError:
                raise
            except Exception as exc:
                failed = failure(exc)
                if failed is None:
                    raise
                raise failed from exc

        return await self._funnel.ask(send)


def polly_voice(name: str) -> tuple[str, str]:
    """Return name and engine of a table's entry: `Ruth:generative`, or `Ruth` for the neural engine."""
    voice, _, engine = name.partition(":")
    return voice, engine or ENGINE


def failure(exc: Exception) -> ProviderError | None:
    """Return the failure that an exception of the SDK means. None: it is not the SDK's."""
    if isinstance(exc, botocore.ClientError):
        answer = aws.read_answer(exc)
        error, what = ANSWERED.get(answer.code) or _by_status(answer.status)
        return error(PROVIDER, what, provider_status=answer.status, said=f"{answer.code}: {answer.message}")
    for kinds, (error, what) in RAISED:
        if isinstance(exc, kinds):
            # The text of HTTPClientError may show a header, and so a credential.
            return error(PROVIDER, f"{what} ({type(exc).__name__})")
    return None


def _by_status(status: int) -> tuple[type[ProviderError], str]:
    if status in {429, 503}:
        return _BUSY
    return _BROKE if status >= 500 else _REFUSED


def _spoken(client: "PollyClient", text: str, *, name: str, engine: str, form: str) -> Spoken:
    """Say a text with one request. Runs in a thread."""
    output, rate = OUTPUTS[form]
    parameters: Any = {"VoiceId": name, "Engine": engine, "SampleRate": str(rate), "OutputFormat": output}
    answer = client.synthesize_speech(Text=text, TextType="text", **parameters)
    try:
        content = answer["AudioStream"].read()
    except botocore.BotoCoreError as exc:
        raise AudioCutOff(PROVIDER, f"broke off ({type(exc).__name__})") from exc
    return spoken_by(PROVIDER, content, media_type=answer["ContentType"], text=text, form=form, rate=rate)


def _listed(client: "PollyClient") -> frozenset[str]:
    """List the voices with each of their engines. Runs in a thread."""
    pages = client.get_paginator("describe_voices").paginate()
    return frozenset(
        f"{voice['Id']}:{engine}" for page in pages for voice in page["Voices"] for engine in voice["SupportedEngines"]
    )
