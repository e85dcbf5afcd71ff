"""The voices that settings choose for each tier, opened by their first use."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from shared.audio.opening import AudioPlace, Close, nothing_to_close
from shared.core.clock import Clock, utc_now
from shared.core.settings import SettingsError
from shared.core.speech_settings import SpeechChoice, SpeechSettings
from shared.plans import Tier
from shared.speech.piecewise import Piecewise
from shared.speech.simulated import SimulatedSpeech
from shared.speech.stored import StoredSpeech
from shared.speech.synthesizer import Synthesizer, VoiceAdapter
from shared.speech.voice_map import DEFAULTS, VoiceMap, VoiceMapError, load_voice_maps

OpenAdapter = Callable[[], tuple[VoiceAdapter, Close]]


class Speakers:
    """The synthesizer of each tier. Each of `adapters` is opened once, at its first use; tiers may share one."""

    def __init__(
        self,
        choices: Mapping[Tier, SpeechChoice],
        *,
        adapters: Mapping[SpeechChoice, OpenAdapter],
        audio: AudioPlace,
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._choices = choices
        self._adapters = adapters
        self._audio = audio
        self._clock = clock
        self._sleep = sleep
        self._opened: dict[SpeechChoice, Synthesizer] = {}
        self._closing: list[Callable[[], Awaitable[None]]] = []

    def of(self, tier: Tier) -> Synthesizer:
        """Return the synthesizer of a tier. Tiers with the same voices share one object."""
        return self._speaking(self._choices[tier])

    def _speaking(self, choice: SpeechChoice) -> Synthesizer:
        if choice not in self._opened:
            self._opened[choice] = self._open(choice)
        return self._opened[choice]

    def named(self, provider: str) -> Synthesizer:
        """Return the synthesizer that a row's `speech` names. Raises ValueError if the name is unknown."""
        return self._speaking(SpeechChoice(provider))

    @property
    def all(self) -> tuple[Synthesizer, ...]:
        """The synthesizers of all tiers, each once."""
        return tuple({id(speaker): speaker for speaker in map(self.of, self._choices)}.values())

    async def close(self) -> None:
        while self._closing:
            await self._closing.pop()()
        self._opened.clear()

    def _open(self, choice: SpeechChoice) -> Synthesizer:
        files = self._audio.files
        if choice is SpeechChoice.SIMULATED or files is None:
            return SimulatedSpeech()
        adapter, close = self._adapters[choice]()
        self._closing.append(close)
        piecewise = Piecewise(files, clock=self._clock, sleep=self._sleep)
        return StoredSpeech(adapter, files, provider=choice, piecewise=piecewise)


def open_speakers(settings: SpeechSettings, audio: AudioPlace) -> Speakers:
    """Return the voices that the settings choose. Raises SettingsError if the file of voices is wrong."""
    try:
        maps = DEFAULTS if settings.voices_file is None else load_voice_maps(settings.voices_file)
    except VoiceMapError as exc:
        raise SettingsError([f"SPEECH_VOICES: {problem}" for problem in exc.problems]) from exc
    choices = {Tier.HOBBY: settings.default, Tier.PRO: settings.pro, Tier.ENTERPRISE: settings.enterprise}
    return Speakers(choices, adapters=_adapters(settings, maps), audio=audio)


def _adapters(settings: SpeechSettings, maps: Mapping[str, VoiceMap]) -> Mapping[SpeechChoice, OpenAdapter]:
    """Return the functions that open adapters. Their imports are in them: numpy, boto3 and httpx take some tenths of a
    second each."""

    def local() -> tuple[VoiceAdapter, Close]:
        from shared.speech.local import LocalVoices  # noqa: PLC0415

        return LocalVoices(), nothing_to_close

    def polly() -> tuple[VoiceAdapter, Close]:
        from shared.speech.polly import Polly, PollySettings  # noqa: PLC0415

        adapter = Polly(PollySettings(voices=maps["polly"]))
        return adapter, adapter.aclose

    def elevenlabs() -> tuple[VoiceAdapter, Close]:
        from shared.http_connections import http_client  # noqa: PLC0415
        from shared.speech.elevenlabs import URL, ElevenLabs, ElevenLabsSettings  # noqa: PLC0415

        url = settings.elevenlabs_base_url or URL
        chosen = ElevenLabsSettings(api_key=settings.elevenlabs_api_key, url=url, voices=maps["elevenlabs"])
        http = http_client(url)
        return ElevenLabs(http, chosen), http.aclose

    def openai() -> tuple[VoiceAdapter, Close]:
        from shared.http_connections import http_client  # noqa: PLC0415
        from shared.speech.openai import URL, OpenAiSettings, OpenAiSpeech  # noqa: PLC0415

        url = settings.openai_base_url or URL
        http = http_client(url)
        return OpenAiSpeech(
            http, OpenAiSettings(api_key=settings.openai_api_key, url=url, voices=maps["openai"])
        ), http.aclose

    return {
        SpeechChoice.LOCAL: local,
        SpeechChoice.POLLY: polly,
        SpeechChoice.ELEVENLABS: elevenlabs,
        SpeechChoice.OPENAI: openai,
    }
