"""An S3 in this process (moto), or the engine that `S3_URL` names, and a client with chosen failures."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from botocore.credentials import Credentials
from moto import mock_aws

from shared.audio.s3 import S3Access, S3Files, config
from tests.fakes.dynamo_world import FakeTime, Faults, Wire, never
from tests.fakes.moto_turns import in_turns

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

LIVE_URL: Final = os.environ.get("S3_URL", "")
"""The URL of an engine to use instead of moto; empty: moto."""

KEY: Final = "test"
"""The invented access key and secret."""

CREDENTIALS: Final = Credentials(KEY, KEY)


@contextmanager
def engine() -> Iterator["S3Client"]:
    """Yield a client of moto, whose objects are this process's own, or of the live engine."""
    if LIVE_URL:
        yield s3_client(LIVE_URL)
        return
    with mock_aws():
        yield in_turns(s3_client(None))


def s3_client(url: str | None, *, secret: str = KEY) -> "S3Client":
    return boto3.session.Session().client(
        "s3",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=KEY,
        aws_secret_access_key=secret,
        config=config(),
    )


@contextmanager
def bucket_on(client: "S3Client") -> Iterator[str]:
    """Make a bucket for the block, yield its name, and empty and delete it afterwards."""
    name = f"agent-talk-{secrets.token_hex(8)}"
    client.create_bucket(Bucket=name)
    yield name
    while held := client.list_objects_v2(Bucket=name).get("Contents", []):
        client.delete_objects(Bucket=name, Delete={"Objects": [{"Key": found["Key"]} for found in held]})
    client.delete_bucket(Bucket=name)


class S3World:
    """One bucket, an audio place with a fake clock, and the wire between them. One thread: calls keep their order."""

    def __init__(
        self, client: "S3Client", bucket: str, *, faults: Faults = never, credentials: Any = CREDENTIALS
    ) -> None:
        self.client = client
        self.bucket = bucket
        self.time = FakeTime()
        self.wire = Wire(cast("Any", client))
        self.wire.faults = faults
        self.files = S3Files(
            bucket,
            open_access=lambda: S3Access(client=cast("S3Client", self.wire), credentials=credentials),
            at_once=1,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            jitter=lambda: 1.0,
        )

    @property
    def calls(self) -> list[str]:
        return [operation for operation, _ in self.wire.calls]
