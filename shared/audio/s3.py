"""Audio in a bucket of S3 (AUDIO_BUCKET), or of a server with the same protocol.

Import this module only if S3 was chosen: boto3 takes some tenths of a second.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore.config import Config

from shared.audio.files import (
    CACHE_CONTROL,
    MEDIA_TYPES,
    PAGE,
    AudioPlaceFailed,
    Held,
    HeldPage,
    Link,
    NameTaken,
    checked,
    checked_prefix,
)
from shared.audio.s3_failures import S3Fact, S3Meaning, meaning
from shared.aws_connections import AwsCalls, WorkTimedOut, breakable

if TYPE_CHECKING:  # stubs, which only a developer has
    from types_boto3_s3 import S3Client

AT_ONCE: Final = 8
"""Calls at the same time, each with a thread and a connection."""

TIMEOUT_S: Final = 8.0
"""Seconds that one call may take with its repeats. A request has 12."""

CONNECT_S: Final = 2.0
READ_S: Final = 4.0

WAIT_S: Final = 0.05, 0.8
"""Seconds of the first and of the longest span of a wait before a repeat. A wait is a random part of its span, and
spans double."""

LINK_S: Final = 300
"""Seconds for which a link is valid: a closed account's audio can be fetched for as long by an older link."""

SHORT_LINK_S: Final = 60
"""Seconds of a link when the credentials that sign it end sooner than LINK_S."""

_DIGEST: Final = "sha256"
"""The metadata that identifies an object's content: a repeated put recognises the object that it wrote before."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """A client of boto3 with the credentials that it signs with, which the client itself does not expose."""

    client: "S3Client"
    credentials: Any = field(repr=False)

    def close(self) -> None:
        self.client.close()


def open_s3() -> S3Access:
    """Open S3. boto3 reads region, credentials and `AWS_ENDPOINT_URL` from the environment."""
    session = boto3.session.Session()
    client = breakable(session.client("s3", config=config()))
    return S3Access(client=client, credentials=session.get_credentials())


def config() -> Config:
    """Return the client's configuration.

    Links need signature 4 and the bucket in the host's name: otherwise one could have another region's signature or
    host. Repeats are this module's own, so boto3 makes none.
    """
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "auto"},
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=AT_ONCE,
        retries={"total_max_attempts": 1},
    )


class S3Files:
    """One bucket. Every call ends within `timeout_s`, repeats of transient failures included."""

    def __init__(
        self,
        bucket: str,
        *,
        open_access: Callable[[], S3Access] = open_s3,
        at_once: int = AT_ONCE,
        timeout_s: float = TIMEOUT_S,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = SystemRandom().random,
    ) -> None:
        self._bucket = bucket
        self._calls = AwsCalls(open_access, name="s3", at_once=at_once)
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter

    async def aclose(self) -> None:
        self._calls.close()

    async def put(self, name: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        parameters: Any = {
            "Bucket": self._bucket,
            "Key": checked(name),
            "Body": content,
            "IfNoneMatch": "*",
            "ContentType": _media_type(name),
            "CacheControl": CACHE_CONTROL,
            "Metadata": {_DIGEST: digest},
        }
        try:
            await self._request("put", lambda s3: s3.client.put_object(**parameters))
        except _Told as told:
            if told.fact is not S3Fact.TAKEN:
                raise
            answer = await self._head("put", name)
            if answer is None or answer["Metadata"].get(_DIGEST) != digest:
                raise NameTaken(name) from told

    async def head(self, name: str) -> Held | None:
        answer = await self._head("head", checked(name))
        return None if answer is None else _held(name, answer["ContentLength"], answer)

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        if end is not None and end <= start:
            return b"" if await self.head(name) else None
        wanted: Any = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        key = checked(name)
        try:
            return await self._request(
                "read", lambda s3: s3.client.get_object(Bucket=self._bucket, Key=key, **wanted)["Body"].read()
            )
        except _Told as told:
            if told.fact is S3Fact.NO_SUCH_RANGE:
                return b""
            if told.fact is S3Fact.ABSENT:
                return None
            raise

    async def link(self, name: str, *, method: str = "GET") -> Link | None:
        """Return a presigned URL, valid for LINK_S or SHORT_LINK_S.

        The short one is for credentials that end before. Signing costs no request, unless the credentials are renewed.
        """
        verb, key = {"GET": "get_object", "HEAD": "head_object"}[method], checked(name)
        return await self._request("link", lambda s3: _signed(s3, verb, self._bucket, key))

    async def delete(self, names: Sequence[str]) -> None:
        keys: Any = [{"Key": checked(name)} for name in names]
        if not keys:
            return
        wanted: Any = {"Objects": keys, "Quiet": True}
        answer = await self._request("delete", lambda s3: s3.client.delete_objects(Bucket=self._bucket, Delete=wanted))
        failed = answer.get("Errors", [])
        if failed:
            raise AudioPlaceFailed("delete", f"{len(failed)} of {len(keys)} remain, the first: {failed[0].get('Code')}")

    async def page(self, prefix: str, *, after: str | None = None, limit: int = PAGE) -> HeldPage:
        wanted: Any = {"StartAfter": after} if after else {}
        under = checked_prefix(prefix)
        answer = await self._request(
            "list",
            lambda s3: s3.client.list_objects_v2(Bucket=self._bucket, Prefix=under, MaxKeys=limit, **wanted),
        )
        held = [_held(found["Key"], found["Size"], found) for found in answer.get("Contents", [])]
        return HeldPage(held=held, after=held[-1].name if answer["IsTruncated"] and held else None)

    async def _head(self, operation: str, name: str) -> Any:
        try:
            return await self._request(operation, lambda s3: s3.client.head_object(Bucket=self._bucket, Key=name))
        except _Told as told:
            if told.fact is S3Fact.ABSENT:
                return None
            raise

    async def _request(self, operation: str, work: Callable[[S3Access], T]) -> T:
        ends_at, turn = self._monotonic() + self._timeout_s, 0
        while True:
            try:
                return await self._send(operation, work, ends_at)
            except _Told as told:
                first, most = WAIT_S
                wait_s = self._jitter() * min(most, first * 2**turn)
                if not told.again or self._monotonic() + wait_s >= ends_at:
                    raise
                await self._sleep(wait_s)
                turn += 1

    async def _send(self, operation: str, work: Callable[[S3Access], T], ends_at: float) -> T:
        try:
            return await self._calls.run(work, left_s=max(0.0, ends_at - self._monotonic()))
        except WorkTimedOut as exc:
            raise AudioPlaceFailed(operation, f"S3: {exc}") from exc
        except AudioPlaceFailed:
            raise
        except Exception as exc:
            means = meaning(exc)
            if means is None:
                raise
            raise _Told(operation, *means) from exc


class _Told(AudioPlaceFailed):
    """A failure of S3 with its meaning."""

    def __init__(self, operation: str, means: S3Meaning, said: str) -> None:
        super().__init__(operation, f"{means.what}: {said}")
        self.fact = means.fact
        self.again = means.again


def _held(name: str, size: int, answer: Any) -> Held:
    return Held(name=name, size=size, etag=answer["ETag"], made_at=answer["LastModified"])


def _media_type(name: str) -> str:
    return MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")


def _signed(s3: S3Access, verb: str, bucket: str, key: str) -> Link:
    """Sign a URL. Runs in a thread, since credentials may have to be renewed. Raises AudioPlaceFailed if they end."""
    if s3.credentials is not None:
        s3.credentials.get_frozen_credentials()  # renews them if they end in the next minutes
    lives_s = next((life_s for life_s in (LINK_S, SHORT_LINK_S) if not _end_within(s3.credentials, life_s)), None)
    if lives_s is None:
        raise AudioPlaceFailed("link", f"the credentials end within {SHORT_LINK_S} s")
    url = s3.client.generate_presigned_url(ClientMethod=verb, Params={"Bucket": bucket, "Key": key}, ExpiresIn=lives_s)
    return Link(url=url, lives_s=lives_s)


def _end_within(credentials: Any, life_s: int) -> bool:
    """Return whether the credentials end within `life_s`. Credentials without a known end, as Lambda's, never do."""
    return hasattr(credentials, "refresh_needed") and bool(credentials.refresh_needed(refresh_in=life_s))
