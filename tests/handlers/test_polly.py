"""Amazon Polly through the handlers, by botocore's stubber: its requests, and the cost of its failures."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from shared.audio.opening import AudioPlace
from shared.core.speech_settings import SpeechChoice
from shared.plans import Tier
from shared.speech.opening import Speakers
from shared.speech.polly import Polly, PollySettings, config
from tests.events import LambdaContext, sqs_event
from tests.fakes.long_memos import HeldQueue
from tests.fakes.speech_provider import aloud
from tests.handlers.test_speech import MEMO, actions, fetch, kept, say, used
from tests.handlers.world import World
from tests.speech.listening import PLAIN, decoded, heard, wrong_words

NewWorld = Callable[..., World]

SENTENCE = "The book is on the table near the window, and the lamp is on the floor. "


class StubbedPolly:
    """A world in which Polly speaks, and the stubber of Polly's answers."""

    def __init__(self, new_world: NewWorld, folder: Path) -> None:
        self.client = boto3.session.Session().client(
            "polly",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=config(),
        )
        self.stub = Stubber(self.client)
        self.queue = HeldQueue()
        self.world = new_world(
            {"SPEECH": "polly", "AUDIO": "folder", "AUDIO_DIR": str(folder)}, queue=self.queue, speakers=self.speakers
        )

    def speakers(self, audio: AudioPlace) -> Speakers:
        async def close() -> None:
            """Close nothing: the client outlives the functions."""

        polly = Polly(PollySettings(), open_client=lambda: self.client)
        adapters = {SpeechChoice.POLLY: lambda: (polly, close)}
        return Speakers(dict.fromkeys(Tier, SpeechChoice.POLLY), adapters=adapters, audio=audio)

    def says(self, text: str, mp3: bytes | None = None) -> None:
        content = aloud(text) if mp3 is None else mp3
        asked = {"Engine": "neural", "OutputFormat": "mp3", "SampleRate": "24000", "TextType": "text"}
        answer: Any = {"AudioStream": StreamingBody(io.BytesIO(content), len(content)), "ContentType": "audio/mpeg"}
        self.stub.add_response("synthesize_speech", answer, {**asked, "Text": text, "VoiceId": "Joanna"})


@pytest.fixture
def polly(new_world: NewWorld, folder: Path) -> Iterator[StubbedPolly]:
    polly = StubbedPolly(new_world, folder)
    with polly.stub:
        yield polly
        polly.stub.assert_no_pending_responses()


@pytest.mark.thorough
def test_memo_is_said_by_polly(polly: StubbedPolly) -> None:
    """The request has a neural voice and plain text, and the audio is stored, fetched and recognised."""
    ada = polly.world.sign_up()
    polly.says(PLAIN)
    memo = say(polly.world, ada.key, PLAIN).json
    content = fetch(polly.world, memo).body
    assert len(decoded(content)) == round(memo["audio"]["duration"] * 24_000)
    assert wrong_words(PLAIN, heard(decoded(content))) <= 0.25


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "ServiceFailureException"])
def test_failure_of_polly_is_502_and_uncharged(polly: StubbedPolly, folder: Path, code: str) -> None:
    """Throttling, which is Polly's 400, is retried within the request; in the end nothing is stored or charged."""
    ada = polly.world.sign_up()
    for _ in range(3 if code == "ThrottlingException" else 1):
        polly.stub.add_client_error("synthesize_speech", code, "said so", 400)
    answer = say(polly.world, ada.key, PLAIN)
    assert (answer.status, answer.error["details"]) == (502, {"provider": "polly"})
    assert (used(polly.world, ada), kept(folder)) == (0, [])
    assert {"memo_failed", "error_tts"} <= set(actions(polly.world, ada))


@pytest.mark.thorough
def test_long_text_is_said_by_polly_in_pieces(polly: StubbedPolly) -> None:
    """Each piece is one request of at most 2,000 characters; a failed one is retried alone.

    Both requests are concurrent, in any order, so their texts are equal.
    """
    ada = polly.world.sign_up()
    text = SENTENCE * 54
    memo = say(polly.world, ada.key, text).json
    assert memo["audio"]["status"] == "processing"
    piece = (SENTENCE * 27).strip()
    polly.says(piece, aloud(piece))
    polly.stub.add_client_error("synthesize_speech", "ServiceFailureException", "said so", 500)
    event = sqs_event([json.dumps({"memoId": memo["id"]})])
    assert len(polly.world.speaker(event, LambdaContext(remaining_ms=300_000))["batchItemFailures"]) == 1
    polly.says(piece)
    assert polly.world.speaker(event, LambdaContext(remaining_ms=300_000)) == {"batchItemFailures": []}
    ready = polly.world.get(f"{MEMO}/{memo['id']}", token=ada.key).json
    assert ready["audio"]["status"] == "ready"
    assert len(decoded(fetch(polly.world, ready).body)) == round(ready["audio"]["duration"] * 24_000)
