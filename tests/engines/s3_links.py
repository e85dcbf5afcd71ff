"""Audio in an S3 that checks signatures, over sockets and with threads.

`make test-s3` runs this; it is not in the default run, since it needs an engine, which `S3_URL` names.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.credentials import Credentials

from shared.audio.files import AudioPlaceFailed, audio, delete_file, new_file
from shared.audio.s3 import S3Access, S3Files
from tests.contract.audio_files import AudioFilesContract
from tests.fakes.s3_world import CREDENTIALS, LIVE_URL, bucket_on, s3_client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 40

EXPIRY_S = 15.0
"""Seconds after the end of a link after which an engine that still serves it counts as ignoring the end."""


@pytest.fixture(scope="module")
def client() -> Iterator["S3Client"]:
    client = s3_client(LIVE_URL)
    yield client
    client.close()


@pytest.fixture(scope="module")
def bucket(client: "S3Client") -> Iterator[str]:
    with bucket_on(client) as name:
        yield name


@pytest.fixture
async def files(bucket: str) -> AsyncIterator[S3Files]:
    files = S3Files(bucket, open_access=lambda: S3Access(client=s3_client(LIVE_URL), credentials=CREDENTIALS))
    yield files
    await files.aclose()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as http:
        yield http


@pytest.fixture
async def file(files: S3Files) -> str:
    """Store an audio file, and return its name."""
    file = new_file("ada")
    await files.put(audio(file), CONTENT)
    return file


class TestS3FilesOverSockets(AudioFilesContract):
    """The contract with eight threads, each with its own connection."""


async def linked(files: S3Files, file: str, method: str = "GET") -> str:
    link = await files.link(audio(file), method=method)
    assert link is not None
    return link.url


async def test_a_link_serves_the_audio(files: S3Files, http: httpx.AsyncClient, file: str) -> None:
    """Any client with the link gets the bytes, their type, their cache time, and a part of them."""
    url = await linked(files, file)
    whole = await http.get(url)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert (whole.headers["Content-Type"], whole.headers["Cache-Control"]) == ("audio/mpeg", "private, max-age=86400")
    part = await http.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, CONTENT[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(CONTENT)}"
    known = await http.get(url, headers={"If-None-Match": whole.headers["ETag"]})
    assert known.status_code == 304


async def test_a_link_for_head_answers_head_alone(files: S3Files, http: httpx.AsyncClient, file: str) -> None:
    """A link is signed for one method."""
    url = await linked(files, file, "HEAD")
    head = await http.head(url)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(CONTENT)))
    assert (await http.get(url)).status_code == 403
    assert (await http.head(await linked(files, file))).status_code == 403


async def test_a_link_to_something_else_is_refused(files: S3Files, http: httpx.AsyncClient, file: str) -> None:
    """A link altered to another object, end, method or signature is 403. The link itself still serves."""
    other = new_file("ada")
    await files.put(audio(other), b"other")
    url = await linked(files, file)
    assert (await http.get(url.replace(file, other))).status_code == 403
    assert (await http.get(url.replace("X-Amz-Expires=300", "X-Amz-Expires=3000"))).status_code == 403
    assert (await http.put(url, content=b"x")).status_code == 403
    assert (await http.delete(url)).status_code == 403
    last = "0" if url[-1] != "0" else "1"
    signature = url.partition("X-Amz-Signature=")[2].partition("&")[0]
    assert (await http.get(url.replace(signature, signature[:-1] + last))).status_code == 403
    assert (await http.get(url)).status_code == 200


async def test_a_link_ends(client: "S3Client", bucket: str, http: httpx.AsyncClient, file: str) -> None:
    """A link of one second serves at first, and is soon refused."""
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": audio(file)}, ExpiresIn=1)
    until = time.monotonic() + EXPIRY_S
    while (await http.get(url)).status_code == 200:
        assert time.monotonic() < until, "the link does not end"
        await asyncio.sleep(0.2)
    assert (await http.get(url)).status_code == 403


async def test_a_link_to_deleted_audio_finds_nothing(files: S3Files, http: httpx.AsyncClient, file: str) -> None:
    url = await linked(files, file)
    await delete_file(files, file)
    assert (await http.get(url)).status_code == 404


async def test_a_link_of_a_wrong_secret_is_refused(bucket: str, http: httpx.AsyncClient, file: str) -> None:
    client = s3_client(LIVE_URL, secret="wrong")
    files = S3Files(bucket, open_access=lambda: S3Access(client=client, credentials=Credentials("test", "wrong")))
    assert (await http.get(await linked(files, file))).status_code == 403
    await files.aclose()


async def test_a_place_that_is_gone_fails_in_time(bucket: str, file: str) -> None:
    """An outage raises AudioPlaceFailed within the call's time, and is no absent object."""
    files = S3Files(
        bucket,
        open_access=lambda: S3Access(client=s3_client("http://127.0.0.1:1"), credentials=CREDENTIALS),
        timeout_s=1.0,
    )
    began = time.monotonic()
    with pytest.raises(AudioPlaceFailed) as raised:
        await files.head(audio(file))
    assert "cannot be reached" in str(raised.value)
    assert time.monotonic() - began < 2.0
    await files.aclose()
