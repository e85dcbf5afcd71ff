"""The speaker, driven by whole SQS events: long memos are processing, then ready or failed, in every answer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.jobs.queue import QueueFailed
from shared.speech.voice_map import OPENAI
from tests.events import LambdaContext, sqs_event
from tests.fakes.long_memos import HeldQueue
from tests.fakes.speech_provider import KEY, FakeProvider, Fault, OpenAiDialect, aloud
from tests.handlers.test_speech import MEMO, actions, fetch, kept, say, served, used
from tests.handlers.world import Logs, World
from tests.speech.listening import PLAIN, decoded, heard, lengths, wrong_words

NewWorld = Callable[..., World]

EXPORT = "/api/v1/analytics/export"

LONG = f"{PLAIN} " * 22
"""A text of two pieces: longer than our own voices speak within a request."""


def handed_over(world: World, *memo_ids: str, received: int = 1, remaining_ms: int = 300_000) -> list[str]:
    """Deliver memos in one event. Returns those to deliver again."""
    event = sqs_event([json.dumps({"memoId": memo_id}) for memo_id in memo_ids], received=received)
    answer = world.speaker(event, LambdaContext(remaining_ms=remaining_ms))
    failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    return [json.loads(record["body"])["memoId"] for record in event["Records"] if record["messageId"] in failed]


def get(world: World, key: str, memo: Any) -> Any:
    return world.get(f"{MEMO}/{memo['id']}", token=key).json


class TestLongMemo:
    @pytest.mark.thorough
    def test_long_text_is_processing_then_ready(self, speaking: World, queue: HeldQueue) -> None:
        """The memo has an estimate, and its audio is 503 AUDIO_NOT_READY. Then its file has the exact length."""
        ada = speaking.sign_up()
        answer = say(speaking, ada.key, LONG)
        memo = answer.json
        assert answer.status == 201
        assert memo["audio"] | {"url": ""} == {
            "url": "",
            "duration": (8 * len(LONG) + 5) // 10 / 10,
            "format": "mp3",
            "status": "processing",
        }
        assert get(speaking, ada.key, memo)["audio"] == memo["audio"]
        waiting = fetch(speaking, memo)
        assert (waiting.status, waiting.error["code"]) == (503, "AUDIO_NOT_READY")
        assert int(waiting.headers["retry-after"]) > 0
        assert queue.sent == [memo["id"]]
        assert handed_over(speaking, memo["id"]) == []
        ready = get(speaking, ada.key, memo)
        assert ready["audio"]["status"] == "ready"
        assert speaking.get("/api/v1/memos", token=ada.key).json["memos"] == [ready]
        audio = fetch(speaking, memo).body
        assert set(lengths(audio).values()) == {round(ready["audio"]["duration"] * 24_000)}
        understood = heard(decoded(audio)[: 24_000 * 20])
        assert wrong_words(PLAIN, " ".join(understood.split()[: len(PLAIN.split())])) <= 0.25, understood

    @pytest.mark.thorough
    def test_usage_tells_the_exact_seconds(self, speaking: World) -> None:
        """Counts, logs, series and both exports have the estimate first, and the exact length afterwards."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, LONG).json

        days = {"startTime": "2026-03-02", "endTime": "2026-03-02", "bucket": "1d"}

        def seconds() -> list[float]:
            (bucket,) = speaking.get("/api/v1/usage/series", token=ada.key, query=days).json["buckets"]
            (log,) = speaking.get("/api/v1/usage", token=ada.key, query={"action": "memo_created"}).json["logs"]
            csv = speaking.get(EXPORT, token=ada.key, query={"days": "1"}).body.decode()
            line = json.loads(speaking.get(EXPORT, token=ada.key, query={"days": "1", "format": "ndjson"}).body)
            cell = csv.splitlines()[2].split(",")[4]
            return [
                bucket["results"][0]["audioSeconds"],
                log["metadata"]["audioSeconds"],
                float(cell),
                line["audio"]["duration"],
            ]

        assert set(seconds()) == {memo["audio"]["duration"]}
        handed_over(speaking, memo["id"])
        exact = get(speaking, ada.key, memo)["audio"]["duration"]
        assert seconds() == pytest.approx([exact] * 4, abs=0.0006)

    @pytest.mark.thorough
    def test_memo_said_a_day_later_corrects_what_was_summed(self, speaking: World) -> None:
        """The memo's day was summed with the estimate, and its figures become exact."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, LONG).json
        speaking.later(days=1, hours=2)
        days = {"startTime": "2026-03-02", "endTime": "2026-03-02", "bucket": "1d"}

        def seconds() -> float:
            (bucket,) = speaking.get("/api/v1/usage/series", token=ada.session, query=days).json["buckets"]
            told: float = bucket["results"][0]["audioSeconds"]
            return told

        assert seconds() == memo["audio"]["duration"]
        assert handed_over(speaking, memo["id"]) == []
        exact = get(speaking, ada.key, memo)["audio"]["duration"]
        assert seconds() == pytest.approx(exact, abs=0.0006)

    def test_deleting_a_processing_memo_leaves_nothing(self, speaking: World, queue: HeldQueue, folder: Path) -> None:
        """Its audio is 404, its text is not spoken, and it still counts as a call."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, LONG).json
        assert speaking.delete(f"{MEMO}/{memo['id']}", token=ada.session).status == 200
        assert fetch(speaking, memo).status == 404
        assert handed_over(speaking, *queue.sent) == []
        assert kept(folder) == []
        assert used(speaking, ada) == 1
        assert speaking.get("/api/v1/memos", token=ada.key).json["memos"] == []

    @pytest.mark.thorough
    def test_retitled_while_it_is_said(self, speaking: World) -> None:
        """A title and an outcome do not overwrite each other."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, LONG).json
        speaking.patch(f"{MEMO}/{memo['id']}", token=ada.key, json={"title": "Later"})
        handed_over(speaking, memo["id"])
        ready = get(speaking, ada.key, memo)
        assert (ready["title"], ready["audio"]["status"]) == ("Later", "ready")

    def test_test_keys_and_quick_texts_are_not_queued(self, speaking: World, queue: HeldQueue) -> None:
        ada = speaking.sign_up()
        _, test_key = speaking.new_key(ada, test=True)
        assert say(speaking, test_key, LONG).json["audio"]["status"] == "ready"
        assert say(speaking, ada.key, "x" * 10).json["audio"]["status"] == "ready"
        assert queue.sent == []


class TestEvents:
    def test_one_of_three_records_comes_again(self, new_world: NewWorld, folder: Path, queue: HeldQueue) -> None:
        """The failed one is handed over again alone; after its last failure it is failed, given back and logged."""
        ten = aloud(f"{PLAIN} " * 10, "rachel")
        provider = FakeProvider(OpenAiDialect(), voices=list(OPENAI.values()), say=lambda _, __: ten)
        with served(provider) as url:
            world = new_world(
                {"SPEECH": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{url}/v1", "AUDIO_DIR": str(folder)},
                queue=queue,
            )
            ada = world.sign_up()
            memos = [say(world, ada.key, f"{name}. " + f"{PLAIN} " * 20).json for name in ("Ada", "Bob", "Cid")]
            provider.fault_of = lambda text: Fault.HTML_500 if "Bob" in text else None
            assert handed_over(world, *queue.sent) == [memos[1]["id"]]
            assert handed_over(world, memos[1]["id"], received=2) == [memos[1]["id"]]
            assert used(world, ada) == 3
            assert handed_over(world, memos[1]["id"], received=3) == []
            statuses = [get(world, ada.key, memo)["audio"]["status"] for memo in memos]
            assert statuses == ["ready", "failed", "ready"]
            assert (used(world, ada), fetch(world, memos[1]).status) == (2, 404)
            assert {"memo_failed", "error_tts"} <= set(actions(world, ada))
            assert len(kept(folder)) == 2

    def test_unreadable_message_and_outage_come_again(self, speaking: World, logs: Logs) -> None:
        """A foreign message does not hinder any other; without the store all messages are delivered again."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, LONG).json
        event = sqs_event(["no JSON", json.dumps({"memoId": memo["id"]})])
        context = LambdaContext(remaining_ms=300_000)
        speaking.is_down = True
        assert len(speaking.speaker(event, context)["batchItemFailures"]) == 2
        speaking.is_down = False
        failures = speaking.speaker(event, context)["batchItemFailures"]
        assert failures == [{"itemIdentifier": event["Records"][0]["messageId"]}]
        assert get(speaking, ada.key, memo)["audio"]["status"] == "ready"
        assert "a message was not handled" in logs.text

    def test_memo_without_enough_time_comes_again(self, speaking: World) -> None:
        """A memo for which the function's time is too short is delivered again, and is still processing."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, LONG).json
        assert handed_over(speaking, memo["id"], remaining_ms=30_000) == [memo["id"]]
        assert get(speaking, ada.key, memo)["audio"]["status"] == "processing"

    def test_event_of_another_kind_is_refused(self, speaking: World) -> None:
        with pytest.raises(ValueError, match="messages of SQS"):
            speaking.speaker({"version": "2.0"}, LambdaContext())


class TestQueue:
    def test_memo_that_cannot_be_queued_is_502(self, new_world: NewWorld, folder: Path) -> None:
        """It is given back, and nothing is left of it."""

        class Down(HeldQueue):
            async def send(self, memo_id: str) -> None:
                raise QueueFailed(f"no room for {memo_id}")

        world = new_world({"SPEECH": "local", "AUDIO_DIR": str(folder)}, queue=Down())
        ada = world.sign_up()
        answer = say(world, ada.key, LONG)
        assert (answer.status, answer.error["code"]) == (502, "TTS_SERVICE_ERROR")
        assert used(world, ada) == 0
        assert world.get("/api/v1/memos", token=ada.session).json["memos"] == []
        assert kept(folder) == []
