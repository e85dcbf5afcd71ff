"""The queue in SQS (SPEECH_QUEUE_URL): it hands memos over to the `speaker` function.

Import this module only if SQS was chosen: boto3 takes some tenths of a second.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws_connections import AwsCalls, WorkTimedOut, breakable
from shared.jobs.queue import QueueFailed

if TYPE_CHECKING:  # stubs, which only a developer has
    from types_boto3_sqs import SQSClient

TIMEOUT_S: Final = 3.0
"""Seconds that sending may take. It is the last step of a request, after about a second of writing the memo."""

CONNECT_S: Final = 1.0
AT_ONCE: Final = 4


def open_sqs() -> "SQSClient":
    """Open SQS. boto3 reads region, credentials and `AWS_ENDPOINT_URL` from the environment."""
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=TIMEOUT_S,
        max_pool_connections=AT_ONCE,
        retries={"total_max_attempts": 2},
    )
    return breakable(boto3.session.Session().client("sqs", config=config))


class SqsQueue:
    """One queue. A message is `{"memoId": "019c…"}`. Sending may be repeated: a memo sent twice is said once."""

    def __init__(
        self, url: str, *, open_client: Callable[[], "SQSClient"] = open_sqs, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._url = url
        self._calls = AwsCalls(open_client, name="sqs", at_once=AT_ONCE)
        self._timeout_s = timeout_s

    async def send(self, memo_id: str) -> None:
        body = json.dumps({"memoId": memo_id})
        try:
            await self._calls.run(
                lambda client: client.send_message(QueueUrl=self._url, MessageBody=body), left_s=self._timeout_s
            )
        except (WorkTimedOut, ClientError, BotoCoreError) as exc:
            raise QueueFailed(f"SQS: {type(exc).__name__}: {exc}") from exc

    async def close(self) -> None:
        self._calls.close()
