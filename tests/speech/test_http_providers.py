"""The adapters of ElevenLabs and of OpenAI-compatible servers: their requests, and the error of each failure."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.core.errors import SpeechFailed
from shared.speech.encoding import Mp3Encoder
from shared.speech.funnel import AGAIN, FAILURES, PAUSE_S
from shared.speech.provider_errors import (
    AudioCutOff,
    CredentialRefused,
    NotAudio,
    ProviderBroke,
    ProviderBusy,
    ProviderError,
    ProviderPaused,
    ProviderSilent,
    ProviderUnreached,
    QuotaUsedUp,
    RequestRefused,
    SpoiltAudio,
    TextRefused,
    TooManyAtOnce,
    VoiceRefused,
)
from shared.speech.voices import VOICES
from tests.fakes.speakers import ADA, KINDS, TEXT, Kind, Spoke, spoke
from tests.fakes.speech_provider import KEY, Fault, Refused, aloud
from tests.speech.listening import RATE, decoded, heard, played, wrong_words

pytestmark = pytest.mark.anyio


def silence(seconds: float) -> bytes:
    encoder = Mp3Encoder()
    encoder.add(bytes(2 * round(seconds * RATE)))
    return encoder.finish()


QUOTA = {
    "elevenlabs": Refused(status=401, error={"status": "quota_exceeded", "message": "You have 3 credits remaining"}),
    "openai": Refused(status=429, error={"code": "insufficient_quota", "type": "insufficient_quota", "message": "No"}),
}
BUSY = {
    "elevenlabs": Refused(status=429, error={"status": "system_busy", "message": "Busy"}),
    "openai": Refused(status=429, error={"code": "rate_limit_exceeded", "type": "requests", "message": "Slow down"}),
}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def world(kind: Kind) -> AsyncIterator[Spoke]:
    async with spoke(kind) as world:
        yield world


@pytest.mark.thorough
async def test_speak_answers_the_providers_audio(world: Spoke) -> None:
    """The bytes are the provider's own, a recogniser finds the text, the length is exact, and it was billed once."""
    spoken = await world.open().speak(TEXT, ADA)
    assert spoken.audio == aloud(TEXT)
    sound = decoded(spoken.audio)
    assert spoken.seconds == len(sound) / RATE
    assert wrong_words(TEXT, heard(sound)) <= 0.25
    assert spoken.marks is None
    assert world.provider.billed == [TEXT]


@pytest.mark.parametrize("form", ["wav", "opus"])
@pytest.mark.thorough
async def test_speak_answers_each_format(world: Spoke, form: str) -> None:
    """Samples get a header; Opus is unchanged. A recogniser finds the text, and the length is exact."""
    spoken = await world.open().speak(TEXT, ADA, form=form)
    assert spoken.audio == aloud(TEXT, form=form)
    sound = played(spoken.audio)
    assert spoken.seconds == len(sound) / RATE
    assert wrong_words(TEXT, heard(sound)) <= 0.25


@pytest.mark.parametrize("form", ["wav", "opus"])
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.CUT_CHUNK, Fault.CUT_UNANNOUNCED, Fault.JSON, Fault.EMPTY])
async def test_broken_answer_is_refused_in_each_format(world: Spoke, form: str, fault: Fault) -> None:
    world.provider.faults = lambda _: fault
    with pytest.raises(SpeechFailed):
        await world.open().speak(TEXT, ADA, form=form)


async def test_speak_sends_the_text_as_it_is(world: Spoke) -> None:
    """Markup, quotes, other scripts and astral characters arrive unchanged."""
    text = '<speak>"Hi" & naïve ✓ 漢字 👩‍🚀</speak>'
    await world.open().speak(text, ADA)
    assert world.provider.billed == [text]


async def test_speak_asks_for_each_voice_by_the_map(world: Spoke) -> None:
    """Each of our voices has its own name at the provider, and no two have the same."""
    speaker = world.open()
    for voice in VOICES.values():
        await speaker.speak(voice.name, voice)
    asked = [world.kind.dialect().asked(request)[1] for request in world.provider.requests]
    assert asked == [world.kind.voices[voice] for voice in VOICES]
    assert len(set(asked)) == len(VOICES)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.RESET, ProviderSilent),
        (Fault.RESET_UNREAD, ProviderSilent),
        (Fault.CUT, AudioCutOff),
        (Fault.CUT_CHUNK, AudioCutOff),
        (Fault.CUT_UNANNOUNCED, AudioCutOff),
        (Fault.JSON, NotAudio),
        (Fault.EMPTY, NotAudio),
        (Fault.NO_MP3, NotAudio),
        (Fault.HTML_500, ProviderBroke),
        (Refused(status=500, error={"message": "broke"}), ProviderBroke),
        (Refused(status=502, error="bad gateway"), ProviderBroke),
        (Refused(status=301, error="moved", headers={"Location": "http://127.0.0.1:1/"}), RequestRefused),
        (Refused(status=422, error=[{"loc": ["body", "text"], "msg": "odd"}]), RequestRefused),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else getattr(value, "status", None) or value.__name__,
)
async def test_speak_fails_and_asks_once(world: Spoke, fault: Fault | Refused, error: type[ProviderError]) -> None:
    """A failure after which the text may have been billed, or that would repeat, is not retried.

    It is 502 TTS_SERVICE_ERROR with the provider's name, without the provider's text.
    """
    world.provider.faults = lambda _: fault
    with pytest.raises(error) as raised:
        await world.open().speak(TEXT, ADA)
    assert type(raised.value) is error
    assert isinstance(raised.value, SpeechFailed)
    assert (raised.value.status, raised.value.code) == (502, "TTS_SERVICE_ERROR")
    assert (raised.value.message, raised.value.details) == (
        "The speech provider failed",
        {"provider": world.kind.name},
    )
    assert len(world.provider.requests) == 1
    assert len(world.provider.billed) <= 1


@pytest.mark.parametrize(("fault", "error"), [(Fault.SILENT, ProviderSilent), (Fault.STALLED, AudioCutOff)])
async def test_speak_ends_in_time_and_asks_once(world: Spoke, fault: Fault, error: type[ProviderError]) -> None:
    """A provider that got the text and is too slow has billed it once, and gets no second request."""
    world.provider.faults = lambda _: fault
    with pytest.raises(error):
        await world.open(timeout_s=0.2).speak(TEXT, ADA)
    assert world.provider.billed == [TEXT]


async def test_speak_names_a_wrong_key_and_hides_it(world: Spoke) -> None:
    """A wrong key has its own error, without the key that the provider repeats, and is not retried."""
    world.provider.faults = lambda _: world.kind.dialect().wrong_key()
    with pytest.raises(CredentialRefused) as raised:
        await world.open().speak(TEXT, ADA)
    assert KEY not in str(raised.value) + repr(raised.value)
    assert "API key" in str(raised.value)
    assert len(world.provider.requests) == 1


async def test_speak_is_refused_for_another_key(world: Spoke) -> None:
    with pytest.raises(CredentialRefused):
        await world.open(key="another").speak(TEXT, ADA)
    assert world.provider.billed == []


async def test_speak_tells_a_used_up_quota_from_a_wrong_key(world: Spoke) -> None:
    """With a spent credit ElevenLabs answers 401 and OpenAI 429: neither means a wrong key or a busy server."""
    world.provider.faults = lambda _: QUOTA[world.kind.name]
    with pytest.raises(QuotaUsedUp):
        await world.open().speak(TEXT, ADA)
    assert len(world.provider.requests) == 1
    assert world.provider.billed == []


@pytest.mark.parametrize("status", [None, 429, 503])
async def test_speak_asks_a_busy_provider_again(world: Spoke, status: int | None) -> None:
    """A provider that requests a wait has billed nothing: the retry after a second is billed once.

    That holds for its own error (None), and for the bare status.
    """
    busy = BUSY[world.kind.name] if status is None else Refused(status=status, error={"message": "later"})
    world.provider.faults = lambda number: busy if number == 1 else None
    assert (await world.open().speak(TEXT, ADA)).seconds > 0
    assert world.time.slept == [1.0]
    assert world.provider.billed == [TEXT]


async def test_speak_waits_as_long_as_it_is_asked_to(world: Spoke) -> None:
    busy = BUSY[world.kind.name]
    asks = Refused(status=429, error=busy.error, headers={"Retry-After": "3"})
    world.provider.faults = lambda number: asks if number == 1 else None
    await world.open().speak(TEXT, ADA)
    assert world.time.slept == [3.0]


async def test_speak_gives_up_when_the_wait_does_not_fit(world: Spoke) -> None:
    asks = Refused(status=429, error=BUSY[world.kind.name].error, headers={"Retry-After": "60"})
    world.provider.faults = lambda _: asks
    with pytest.raises(ProviderBusy):
        await world.open().speak(TEXT, ADA)
    assert len(world.provider.requests) == 1


async def test_speak_gives_up_on_a_provider_that_stays_busy(world: Spoke) -> None:
    world.provider.faults = lambda _: BUSY[world.kind.name]
    with pytest.raises(ProviderBusy):
        await world.open().speak(TEXT, ADA)
    assert len(world.provider.requests) == 1 + AGAIN
    assert world.provider.billed == []


async def test_elevenlabs_waits_shortly_for_a_place_of_its_plan() -> None:
    """429 too_many_concurrent_requests is not system_busy: a place is free as soon as a request ends."""
    async with spoke(KINDS[0]) as world:
        world.provider.faults = lambda number: world.kind.dialect().too_many() if number == 1 else None
        await world.open().speak(TEXT, ADA)
        assert world.time.slept == [0.25]
        world.provider.faults = lambda _: world.kind.dialect().too_many()
        with pytest.raises(TooManyAtOnce):
            await world.open().speak(TEXT, ADA)


async def test_speak_refuses_a_longer_text_unasked(world: Spoke) -> None:
    """The caller cuts texts to `max_characters`; a longer one would be refused or billed, and is not sent."""
    speaker = world.open()
    with pytest.raises(TextRefused):
        await speaker.speak("a" * (speaker.max_characters + 1), ADA)
    assert world.provider.requests == []


async def test_speak_names_a_text_that_the_provider_refuses(kind: Kind) -> None:
    async with spoke(kind, max_characters=10) as world:
        with pytest.raises(TextRefused) as raised:
            await world.open().speak(TEXT, ADA)
    assert raised.value.for_good
    assert world.provider.billed == []


async def test_speak_names_a_voice_that_the_provider_lacks(world: Spoke) -> None:
    world.provider.faults = lambda _: world.kind.dialect().no_voice()
    with pytest.raises(VoiceRefused) as raised:
        await world.open().speak(TEXT, ADA)
    assert raised.value.for_good
    assert "SPEECH_VOICES" in str(raised.value)


async def test_speak_keeps_to_the_bound_of_requests_at_once(kind: Kind) -> None:
    """At most two of twenty calls run concurrently: a plan that allows two refuses none, and each is billed once."""
    async with spoke(kind, at_once=2) as world:
        speaker = world.open(at_once=2)
        texts = [f"Text {number}." for number in range(20)]
        world.provider.hold.clear()
        calls = [asyncio.create_task(speaker.speak(text, ADA)) for text in texts]
        await world.provider.until_billed(2)
        world.provider.hold.set()
        assert all(spoken.seconds > 0 for spoken in await asyncio.gather(*calls))
        assert world.provider.most_at_once == 2
        assert sorted(world.provider.billed) == sorted(texts)


async def test_speak_is_abandoned_with_its_caller(world: Spoke) -> None:
    """A cancelled caller frees its place."""
    speaker = world.open(at_once=1)
    world.provider.hold.clear()
    task = asyncio.create_task(speaker.speak(TEXT, ADA))
    await world.provider.until_billed(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    world.provider.hold.set()
    assert (await speaker.speak("Another.", ADA)).seconds > 0


async def test_speak_asks_a_failing_provider_no_more(world: Spoke) -> None:
    """After five failures in a row nothing is sent for 30 s; then one call tries, and its success ends the pause."""
    world.provider.faults = lambda number: Fault.HTML_500 if number <= FAILURES else None
    speaker = world.open()
    for _ in range(FAILURES):
        with pytest.raises(ProviderBroke):
            await speaker.speak(TEXT, ADA)
    with pytest.raises(ProviderPaused):
        await speaker.speak(TEXT, ADA)
    assert len(world.provider.requests) == FAILURES
    world.time.now_s += PAUSE_S
    assert (await speaker.speak(TEXT, ADA)).seconds > 0


async def test_spoilt_audio_counts_as_a_failure_of_the_provider(world: Spoke) -> None:
    """Answers of 200 with JSON are failures: five of them pause the provider too."""
    world.provider.faults = lambda _: Fault.JSON
    speaker = world.open()
    for _ in range(FAILURES):
        with pytest.raises(NotAudio):
            await speaker.speak(TEXT, ADA)
    with pytest.raises(ProviderPaused):
        await speaker.speak(TEXT, ADA)


@pytest.mark.parametrize("said", ["The book.", f"{TEXT} " * 12], ids=["cut short", "babbling"])
@pytest.mark.thorough
async def test_speak_refuses_audio_of_another_text(kind: Kind, said: str) -> None:
    """Good audio that is much shorter or longer than its text fails, and is billed once."""
    async with spoke(kind, say=lambda _text, _voice: aloud(said)) as world:
        with pytest.raises(SpoiltAudio) as raised:
            await world.open().speak(f"{TEXT} {TEXT}", ADA)
    assert (raised.value.message, len(world.provider.billed)) == ("The speech provider failed", 1)


async def test_speak_refuses_silence(kind: Kind) -> None:
    """Frames without sound, as long as the text would take, are refused."""
    async with spoke(kind, say=lambda _text, _voice: silence(3.0)) as world:
        with pytest.raises(SpoiltAudio):
            await world.open().speak(TEXT, ADA)


@pytest.mark.parametrize(
    ("cleaned", "said"), [("Hi!", "Hi!"), ("漢字", "漢字"), ("7", "7"), ("", ""), ("... !?", ""), ("\n", "")]
)
async def test_reading_is_nothing_where_nothing_is_said(world: Spoke, cleaned: str, said: str) -> None:
    assert world.open().reading(cleaned) == said


async def test_speak_asks_again_where_there_was_no_connection(kind: Kind) -> None:
    """Nothing was sent to a closed port, so it is tried three times in all, without a wait."""
    async with spoke(kind, gone=True) as world:
        with pytest.raises(ProviderUnreached):
            await world.open().speak(TEXT, ADA)
    assert world.time.slept == [0.0] * AGAIN


async def test_provider_voices_are_the_providers_list(world: Spoke) -> None:
    assert await world.open().provider_voices() == frozenset(world.kind.voices.values())


async def test_provider_voices_refuses_another_answer(world: Spoke) -> None:
    world.provider.faults = lambda _: Refused(status=200, error="no list")
    with pytest.raises(RequestRefused):
        await world.open().provider_voices()
