"""The adapter of Amazon Polly: its requests, by botocore's stubber, and the error of each failure, row by row."""

import io
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest
from botocore import exceptions as botocore
from botocore.response import StreamingBody
from botocore.stub import Stubber
from urllib3.exceptions import ProtocolError

from shared.audio.wav import samples_of
from shared.speech.funnel import AGAIN, Funnel
from shared.speech.polly import ANSWERED, RAISED, Polly, PollySettings, config, failure, polly_voice
from shared.speech.provider_errors import (
    AudioCutOff,
    CredentialRefused,
    NotAudio,
    ProviderBroke,
    ProviderBusy,
    ProviderError,
    ProviderSilent,
    ProviderUnreached,
    RequestRefused,
    TextRefused,
    VoiceRefused,
)
from shared.speech.voice_map import POLLY
from shared.speech.voices import VOICES
from tests.fakes.dynamo_world import FakeTime
from tests.fakes.speakers import ADA, TEXT
from tests.fakes.speech_provider import aloud
from tests.speech.listening import RATE, decoded

if TYPE_CHECKING:
    from types_boto3_polly import PollyClient

pytestmark = pytest.mark.anyio

ASKED = {
    "Engine": "neural",
    "OutputFormat": "mp3",
    "SampleRate": "24000",
    "Text": TEXT,
    "TextType": "text",
    "VoiceId": "Joanna",
}


class Stubbed:
    """An adapter whose client has a stubber, and which has a fake clock."""

    def __init__(self, client: "PollyClient", **settings: Any) -> None:
        self.stub = Stubber(client)
        self.time = FakeTime()
        funnel = Funnel("polly", at_once=2, monotonic=self.time.monotonic, sleep=self.time.sleep)
        self.polly = Polly(PollySettings(**settings), open_client=lambda: client, funnel=funnel)

    def answers(self, mp3: bytes, kind: str = "audio/mpeg", **asked: Any) -> None:
        body = StreamingBody(io.BytesIO(mp3), len(mp3))
        self.stub.add_response("synthesize_speech", {"AudioStream": body, "ContentType": kind}, {**ASKED, **asked})

    def fails(self, code: str, status: int = 400) -> None:
        self.stub.add_client_error("synthesize_speech", code, "said so", status)


@pytest.fixture(scope="module")
def client() -> "PollyClient":
    return boto3.session.Session().client(
        "polly",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config(),
    )


@pytest.fixture
def stubbed(client: "PollyClient") -> Iterator[Stubbed]:
    stubbed = Stubbed(client)
    with stubbed.stub:
        yield stubbed
        stubbed.stub.assert_no_pending_responses()


async def test_polly_answers_the_providers_audio(stubbed: Stubbed) -> None:
    """It requests a neural voice, 24 kHz MP3 and plain text, and returns the bytes with their exact length."""
    mp3 = aloud(TEXT)
    stubbed.answers(mp3)
    spoken = await stubbed.polly.speak(TEXT, ADA)
    assert (spoken.audio, spoken.marks) == (mp3, None)
    assert spoken.seconds == pytest.approx(len(decoded(mp3)) / RATE)


async def test_polly_brings_samples_of_16_khz(stubbed: Stubbed) -> None:
    """That is Polly's maximum for samples. Their header contains this rate."""
    samples = (8_000 * np.sin(np.arange(2 * 16_000) / 20) * np.sin(np.arange(2 * 16_000) / 3_000)).astype("<i2")
    stubbed.answers(samples.tobytes(), "audio/pcm", OutputFormat="pcm", SampleRate="16000")
    spoken = await stubbed.polly.speak(TEXT, ADA, form="wav")
    assert (spoken.seconds, samples_of(spoken.audio)) == (2.0, (samples.tobytes(), 16_000))


async def test_polly_sends_markup_as_text(stubbed: Stubbed) -> None:
    """TextType is text, so `<speak>` is read aloud and can neither fail nor change the voice."""
    text = "<speak>1 < 2 & 3</speak>"
    stubbed.answers(aloud(text), Text=text)
    assert (await stubbed.polly.speak(text, ADA)).seconds > 0


async def test_polly_takes_the_engine_of_the_voice_map(client: "PollyClient") -> None:
    stubbed = Stubbed(client, voices={**POLLY, "freya": "Ruth:generative"})
    with stubbed.stub:
        stubbed.answers(aloud(TEXT), Engine="generative", VoiceId="Ruth")
        await stubbed.polly.speak(TEXT, VOICES["freya"])
        stubbed.stub.assert_no_pending_responses()


def test_polly_voices_are_neural_unless_the_map_says_more() -> None:
    assert (polly_voice("Ruth"), polly_voice("Ruth:generative")) == (("Ruth", "neural"), ("Ruth", "generative"))


async def test_polly_is_asked_again_when_it_throttles(stubbed: Stubbed) -> None:
    """Polly throttles by HTTP 400. Nothing was billed, so the request is repeated after a second."""
    stubbed.fails("ThrottlingException", 400)
    stubbed.answers(aloud(TEXT))
    assert (await stubbed.polly.speak(TEXT, ADA)).seconds > 0
    assert stubbed.time.slept == [1.0]


async def test_polly_gives_up_when_it_goes_on_throttling(stubbed: Stubbed) -> None:
    for _ in range(1 + AGAIN):
        stubbed.fails("ThrottlingException", 400)
    with pytest.raises(ProviderBusy):
        await stubbed.polly.speak(TEXT, ADA)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("TextLengthExceededException", 400, TextRefused),
        ("EngineNotSupportedException", 400, VoiceRefused),
        ("ValidationException", 400, RequestRefused),
        ("ServiceFailureException", 500, ProviderBroke),
        ("AccessDeniedException", 403, CredentialRefused),
        ("UnrecognizedClientException", 400, CredentialRefused),
        ("NeverHeardOf", 418, RequestRefused),
        ("NeverHeardOf", 502, ProviderBroke),
    ],
)
async def test_polly_fails_and_is_asked_once(
    stubbed: Stubbed, code: str, status: int, error: type[ProviderError]
) -> None:
    stubbed.fails(code, status)
    with pytest.raises(error) as raised:
        await stubbed.polly.speak(TEXT, ADA)
    assert type(raised.value) is error
    assert (raised.value.code, raised.value.details) == ("TTS_SERVICE_ERROR", {"provider": "polly"})


@pytest.mark.parametrize(
    ("mp3", "kind", "error"),
    [
        (b"", "audio/mpeg", NotAudio),
        (b"{}", "application/json", NotAudio),
        (bytes(8), "audio/mpeg", NotAudio),
        (aloud(TEXT)[:-1], "audio/mpeg", AudioCutOff),
    ],
)
async def test_polly_refuses_what_is_no_whole_audio(
    stubbed: Stubbed, mp3: bytes, kind: str, error: type[ProviderError]
) -> None:
    stubbed.answers(mp3, kind)
    with pytest.raises(error):
        await stubbed.polly.speak(TEXT, ADA)


class Broken(io.BytesIO):
    """A body whose connection ends."""

    def read(self, _: int | None = -1) -> bytes:
        raise ProtocolError("the connection was closed")


async def test_polly_tells_when_the_audio_breaks_off(stubbed: Stubbed) -> None:
    """The answer began, so the text was billed: the request is not repeated."""
    answer = {"AudioStream": StreamingBody(Broken(), 100), "ContentType": "audio/mpeg"}
    stubbed.stub.add_response("synthesize_speech", answer, ASKED)
    with pytest.raises(AudioCutOff):
        await stubbed.polly.speak(TEXT, ADA)


async def test_polly_ends_in_time() -> None:
    """A call that Polly does not answer ends at its deadline, as one that may have been billed."""
    release = threading.Event()

    class Slow:
        def synthesize_speech(self, **_: Any) -> None:
            release.wait()

        def close(self) -> None:
            release.set()

    slow: Any = Slow()
    polly = Polly(PollySettings(), open_client=lambda: slow, funnel=Funnel("polly", at_once=1, timeout_s=0.05))
    with pytest.raises(ProviderSilent) as raised:
        await polly.speak(TEXT, ADA)
    assert raised.value.may_be_billed
    await polly.aclose()


async def test_polly_refuses_a_longer_text_unasked(stubbed: Stubbed) -> None:
    with pytest.raises(TextRefused):
        await stubbed.polly.speak("a" * 3_001, ADA)


async def test_polly_lists_voices_with_their_engines(stubbed: Stubbed) -> None:
    pages: list[dict[str, Any]] = [
        {"Voices": [{"Id": "Ruth", "SupportedEngines": ["neural", "generative"]}], "NextToken": "more"},
        {"Voices": [{"Id": "Joanna", "SupportedEngines": ["neural"]}]},
    ]
    stubbed.stub.add_response("describe_voices", pages[0], {})
    stubbed.stub.add_response("describe_voices", pages[1], {"NextToken": "more"})
    assert await stubbed.polly.provider_voices() == {"Ruth:neural", "Ruth:generative", "Joanna:neural"}


@pytest.mark.parametrize("code", ANSWERED)
def test_failure_knows_every_code_of_the_table(code: str) -> None:
    """Status 500 would be ProviderBroke: a row's error comes from its code. Only unbilled requests are repeated."""
    answer: Any = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
    error = failure(botocore.ClientError(answer, "SynthesizeSpeech"))
    assert type(error) is ANSWERED[code][0]
    assert (error.wait_s is not None) == (ANSWERED[code][0] is ProviderBusy)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRefused),
        (429, ProviderBusy),
        (499, RequestRefused),
        (500, ProviderBroke),
        (502, ProviderBroke),
        (503, ProviderBusy),
    ],
)
def test_failure_of_another_code_is_its_statuss(status: int, error: type[ProviderError]) -> None:
    answer: Any = {"Error": {"Code": "NeverHeardOf"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert type(failure(botocore.ClientError(answer, "SynthesizeSpeech"))) is error


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (botocore.NoRegionError(), CredentialRefused),
        (botocore.NoCredentialsError(), CredentialRefused),
        (botocore.PartialCredentialsError(provider="env", cred_var="x"), CredentialRefused),
        (botocore.ConnectTimeoutError(endpoint_url="http://localhost"), ProviderUnreached),
        (botocore.EndpointConnectionError(endpoint_url="http://localhost"), ProviderUnreached),
        (botocore.ReadTimeoutError(endpoint_url="http://localhost"), ProviderSilent),
        (botocore.ConnectionClosedError(endpoint_url="http://localhost"), ProviderSilent),
        (botocore.SSLError(endpoint_url="http://localhost", error=ValueError()), ProviderSilent),
        (botocore.ParamValidationError(report="x"), RequestRefused),
    ],
)
def test_failure_knows_what_the_sdk_raises(raised: Exception, error: type[ProviderError]) -> None:
    assert type(failure(raised)) is error


def test_failure_shows_no_header_of_a_request() -> None:
    """The SDK's own text may contain a header, and so a credential."""
    error = failure(botocore.HTTPClientError(error=ValueError("Authorization: AWS4-HMAC secret")))
    assert error is not None
    assert "secret" not in str(error)


def test_failure_leaves_other_exceptions_alone() -> None:
    assert failure(ZeroDivisionError()) is None
    assert all(issubclass(kind, Exception) for kinds, _ in RAISED for kind in kinds)
