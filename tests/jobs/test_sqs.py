"""The queue in SQS, by botocore's stubber and by moto."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from moto import mock_aws

from shared.core.settings import Settings
from shared.jobs.opening import open_queue
from shared.jobs.process import ProcessQueue
from shared.jobs.queue import QueueFailed
from shared.jobs.sqs import SqsQueue

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

pytestmark = pytest.mark.anyio

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/long-memos"


def client() -> "SQSClient":
    return boto3.session.Session(
        aws_access_key_id="tests", aws_secret_access_key="tests", region_name="eu-central-1"
    ).client("sqs", config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture
def moto() -> Iterator["SQSClient"]:
    with mock_aws():
        yield client()


async def test_memo_is_sent_as_its_id(moto: "SQSClient") -> None:
    url = moto.create_queue(QueueName="long-memos")["QueueUrl"]
    queue = SqsQueue(url, open_client=lambda: moto)
    await queue.send("019c")
    (message,) = moto.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"]) == {"memoId": "019c"}
    await queue.close()


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.NonExistentQueue", "AccessDenied", "ThrottlingException"])
async def test_refusal_of_sqs_is_queue_failed(code: str) -> None:
    """An absent queue, a missing permission and throttling raise it alike."""
    sqs = client()
    with Stubber(sqs) as stubber:
        stubber.add_client_error("send_message", code)
        queue = SqsQueue(URL, open_client=lambda: sqs)
        with pytest.raises(QueueFailed, match="SQS"):
            await queue.send("019c")
        await queue.close()


async def test_time_up_is_queue_failed() -> None:
    """A queue that does not answer holds no request for longer than its time."""
    sqs = client()
    queue = SqsQueue(URL, open_client=lambda: sqs, timeout_s=0.0)
    with pytest.raises(QueueFailed, match="WorkTimedOut"):
        await queue.send("019c")
    await queue.close()


async def test_settings_choose_the_queue() -> None:
    """SQS if its URL is set, otherwise tasks of this process."""

    async def work(memo_id: str, times: int) -> None:
        raise AssertionError(f"nothing is queued: {memo_id}, {times}")

    named = Settings.from_env({"SPEECH_QUEUE_URL": URL}).speech
    assert isinstance(open_queue(named, work), SqsQueue)
    assert isinstance(open_queue(Settings.from_env({}).speech, work), ProcessQueue)
