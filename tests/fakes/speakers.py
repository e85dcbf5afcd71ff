"""The HTTP adapters of speech, each with its dialect of the fake provider, and a funnel with a fake clock."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from shared.http_connections import http_client
from shared.speech.elevenlabs import ElevenLabs, ElevenLabsSettings
from shared.speech.funnel import Funnel
from shared.speech.openai import OpenAiSettings, OpenAiSpeech
from shared.speech.spoken import Spoken
from shared.speech.voice_map import ELEVENLABS, OPENAI
from shared.speech.voices import VOICES, Voice
from tests.fakes.dynamo_world import FakeTime
from tests.fakes.speech_provider import KEY, Dialect, ElevenLabsDialect, FakeProvider, OpenAiDialect

ADA: Final = VOICES["rachel"]
TEXT: Final = "The book is on the table near the window."


class Speaker(Protocol):
    max_characters: int

    def reading(self, cleaned: str) -> str: ...

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken: ...

    async def provider_voices(self) -> frozenset[str]: ...


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of adapter. `open` takes a client, a URL, a key and a funnel."""

    name: str
    dialect: Callable[[], Dialect]
    voices: Mapping[str, str]
    open: Callable[[Any, str, str, Funnel], Speaker]


KINDS: Final = (
    Kind(
        name="elevenlabs",
        dialect=ElevenLabsDialect,
        voices=ELEVENLABS,
        open=lambda http, url, key, funnel: ElevenLabs(http, ElevenLabsSettings(api_key=key, url=url), funnel=funnel),
    ),
    Kind(
        name="openai",
        dialect=OpenAiDialect,
        voices=OPENAI,
        open=lambda http, url, key, funnel: OpenAiSpeech(
            http, OpenAiSettings(api_key=key, url=f"{url}/v1"), funnel=funnel
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Spoke:
    """One adapter and its provider."""

    kind: Kind
    provider: FakeProvider
    time: FakeTime
    open: Callable[..., Speaker]


@asynccontextmanager
async def spoke(kind: Kind, *, gone: bool = False, **how: Any) -> AsyncIterator[Spoke]:
    """Run a fake provider, and yield it with its adapter.

    `Spoke.open` makes an adapter, optionally with another key, number of concurrent requests or timeout. If the
    provider is `gone`, its port refuses connections.
    """
    provider, time = FakeProvider(kind.dialect(), voices=list(kind.voices.values()), **how), FakeTime()
    async with AsyncExitStack() as stack:
        if gone:
            async with provider.serving() as url:
                pass
        else:
            url = await stack.enter_async_context(provider.serving())
        http = await stack.enter_async_context(http_client(url))

        def opened(*, key: str = KEY, at_once: int = 8, timeout_s: float = 10.0) -> Speaker:
            funnel = Funnel(kind.name, at_once=at_once, timeout_s=timeout_s, monotonic=time.monotonic, sleep=time.sleep)
            return kind.open(http, url, key, funnel)

        yield Spoke(kind=kind, provider=provider, time=time, open=opened)
