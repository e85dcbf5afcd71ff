"""Audio in S3 keeps the port's contract; errors of its failures, repeated requests, and the life of links."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore import exceptions as botocore
from botocore.credentials import RefreshableCredentials

from shared.audio.files import PAGE, AudioFiles, AudioPlaceFailed, NameTaken, audio, making, new_file
from shared.audio.s3 import LINK_S, SHORT_LINK_S, TIMEOUT_S, S3Access, S3Files, config
from shared.audio.s3_failures import ANSWERED, RAISED, S3Fact, meaning
from tests.contract.audio_files import AudioFilesContract
from tests.fakes.dynamo_world import Fault, always, answered, closed, nth, unanswered, unreached
from tests.fakes.s3_world import S3World, bucket_on, engine

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

FAULTS = {
    "asked to wait": Fault(raises=answered("SlowDown", 503)),
    "in conflict": Fault(raises=answered("ConditionalRequestConflict", 409)),
    "unreached": Fault(raises=unreached),
    "failed before": Fault(raises=answered("InternalError", 500)),
    "failed after": Fault(raises=answered("InternalError", 500), carried_out=True),
    "timed out before": Fault(raises=unanswered),
    "timed out after": Fault(raises=unanswered, carried_out=True),
    "closed after": Fault(raises=closed, carried_out=True),
}


@pytest.fixture(scope="module")
def client() -> Iterator["S3Client"]:
    with engine() as client:
        yield client


@pytest.fixture(scope="module")
def bucket(client: "S3Client") -> Iterator[str]:
    with bucket_on(client) as name:
        yield name


@pytest.fixture
async def world(client: "S3Client", bucket: str) -> AsyncIterator[S3World]:
    world = S3World(client, bucket)
    yield world
    await world.files.aclose()


@pytest.fixture
def file() -> str:
    return new_file("ada")


class TestS3Files(AudioFilesContract):
    @pytest.fixture
    def files(self, world: S3World) -> AudioFiles:
        return world.files


async def test_s3_keeps_the_type_and_how_long_to_keep_it(world: S3World, file: str) -> None:
    """A link is served by S3 itself, so the headers of its answer are kept with the object."""
    await world.files.put(audio(file), b"x")
    answer = world.client.head_object(Bucket=world.bucket, Key=audio(file))
    assert (answer["ContentType"], answer["CacheControl"]) == ("audio/mpeg", "private, max-age=86400")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_s3_is_asked_again_until_it_answers(world: S3World, file: str, fault: Fault) -> None:
    """Whether or not a failed request took effect, the object exists once, complete, and each answer is true."""
    for call in (1, 2):
        world.wire.faults = nth(len(world.calls) + call, fault)
        await world.files.put(audio(file), b"content")
        world.wire.faults = nth(len(world.calls) + 1, fault)
        assert await world.files.read(audio(file)) == b"content"
    world.wire.faults = nth(len(world.calls) + 1, fault)
    with pytest.raises(NameTaken):
        await world.files.put(audio(file), b"another")
    world.wire.faults = nth(len(world.calls) + 1, fault)
    await world.files.delete([audio(file)])
    assert await world.files.head(audio(file)) is None


async def test_s3_keeps_no_promise_for_a_name_that_was_taken(world: S3World, file: str) -> None:
    """If the object with the name was deleted before the comparison, NameTaken is raised: nothing was stored."""
    world.wire.faults = nth(len(world.calls) + 1, Fault(raises=answered("PreconditionFailed", 412)))
    with pytest.raises(NameTaken):
        await world.files.put(audio(file), b"content")
    assert await world.files.head(audio(file)) is None


def test_s3_sdk_repeats_nothing_by_itself() -> None:
    """Only our own repeats keep to the deadline."""
    assert config().retries == {"total_max_attempts": 1}  # type: ignore[attr-defined]


async def test_s3_gives_up_at_the_deadline(world: S3World, file: str) -> None:
    """The waits grow to 0.8 s, the last request ends within the call's time, and the error names the operation."""
    world.wire.faults = always(FAULTS["asked to wait"])
    began = world.time.now_s
    with pytest.raises(AudioPlaceFailed) as raised:
        await world.files.head(audio(file))
    assert world.time.slept[:6] == [0.05, 0.1, 0.2, 0.4, 0.8, 0.8]
    assert world.time.now_s - began < TIMEOUT_S
    assert (raised.value.code, raised.value.details) == ("STORAGE_ERROR", {"operation": "head"})
    assert "SlowDown" in str(raised.value)
    assert "SlowDown" not in raised.value.message


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("AccessDenied", 403, "AUDIO_BUCKET"),
        ("403", 403, "AUDIO_BUCKET"),
        ("NoSuchBucket", 404, "AUDIO_BUCKET"),
        ("PermanentRedirect", 301, "AWS_DEFAULT_REGION"),
        ("InvalidAccessKeyId", 403, "role"),
        ("NeverHeardOf", 400, "does not take"),
    ],
)
async def test_s3_says_what_to_check_and_asks_once(
    world: S3World, file: str, code: str, status: int, says: str
) -> None:
    """A denied or misdirected request is no absent object: it fails, names the setting, and is not repeated."""
    world.wire.faults = always(Fault(raises=answered(code, status)))
    for call in (
        lambda: world.files.head(audio(file)),
        lambda: world.files.read(audio(file)),
        lambda: world.files.put(audio(file), b"x"),
        lambda: world.files.delete([audio(file)]),
        lambda: world.files.page("audio/"),
    ):
        before = len(world.calls)
        with pytest.raises(AudioPlaceFailed, match="audio store: ") as raised:
            await call()
        assert says in str(raised.value)
        assert len(world.calls) == before + 1


async def test_s3_says_which_objects_remain(world: S3World, file: str) -> None:
    """S3 answers 200 to a deletion that fails in part. The error says how many objects remain."""
    world.wire.answers["delete_objects"] = lambda: {"Errors": [{"Key": audio(file), "Code": "AccessDenied"}]}
    with pytest.raises(AudioPlaceFailed) as raised:
        await world.files.delete([audio(file), making(file)])
    assert "1 of 2 remain" in str(raised.value)
    assert "AccessDenied" in str(raised.value)


async def test_s3_deletes_a_page_by_one_request(world: S3World) -> None:
    await world.files.delete([audio(new_file("ada")) for _ in range(PAGE)])
    assert world.calls == ["delete_objects"]


# links


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_link_is_signed_for_five_minutes(world: S3World, file: str, method: str) -> None:
    """The link is for the object alone, with signature version 4, and is made without a request."""
    link = await world.files.link(audio(file), method=method)
    assert link is not None
    parts = urlsplit(link.url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert parts.path.endswith(audio(file))
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert (query["X-Amz-Expires"], link.lives_s) == (str(LINK_S), LINK_S)
    assert world.calls == ["generate_presigned_url"]


def temporary(ends_in: timedelta, renewed: Callable[[], dict[str, str]] | None = None) -> RefreshableCredentials:
    """Return credentials that expire, and whose renewal fails unless `renewed` is given."""

    def fails() -> dict[str, str]:
        raise botocore.CredentialRetrievalError(provider="test", error_msg="the service is down")

    return RefreshableCredentials(
        "test",
        "test",
        "token",
        datetime.now(UTC) + ends_in,
        renewed or fails,
        "test",
        advisory_timeout=1,
        mandatory_timeout=1,
    )


@pytest.mark.parametrize(
    ("ends_in_s", "lives_s"), [(3600, LINK_S), (LINK_S + 30, LINK_S), (LINK_S - 30, SHORT_LINK_S), (90, SHORT_LINK_S)]
)
async def test_link_never_outlives_its_credentials(
    client: "S3Client", bucket: str, file: str, ends_in_s: int, lives_s: int
) -> None:
    world = S3World(client, bucket, credentials=temporary(timedelta(seconds=ends_in_s)))
    link = await world.files.link(audio(file))
    assert link is not None
    assert link.lives_s == lives_s
    assert f"X-Amz-Expires={lives_s}&" in f"{link.url}&"
    await world.files.aclose()


async def test_link_is_refused_when_its_credentials_end(client: "S3Client", bucket: str, file: str) -> None:
    world = S3World(client, bucket, credentials=temporary(timedelta(seconds=SHORT_LINK_S - 5)))
    with pytest.raises(AudioPlaceFailed) as raised:
        await world.files.link(audio(file))
    assert raised.value.details == {"operation": "link"}
    await world.files.aclose()


async def test_link_renews_credentials_that_end(client: "S3Client", bucket: str, file: str) -> None:
    """Credentials that are renewed in time sign for the whole five minutes."""
    fresh = {
        "access_key": "new",
        "secret_key": "new",
        "token": "new",
        "expiry_time": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    }
    world = S3World(client, bucket, credentials=temporary(timedelta(seconds=-1), lambda: fresh))
    link = await world.files.link(audio(file))
    assert link is not None
    assert link.lives_s == LINK_S
    await world.files.aclose()


async def test_link_of_a_process_without_credentials_fails(file: str) -> None:
    """AudioPlaceFailed is raised, and no unsigned URL is returned."""

    class Nobody:
        def generate_presigned_url(self, *_: Any, **__: Any) -> str:
            raise botocore.NoCredentialsError

        def close(self) -> None:
            pass

    nobody: Any = Nobody()
    files = S3Files("bucket", open_access=lambda: S3Access(client=nobody, credentials=None))
    with pytest.raises(AudioPlaceFailed) as raised:
        await files.link(audio(file))
    assert "credentials" in str(raised.value)
    await files.aclose()


# failures, row by row


@pytest.mark.parametrize("code", ANSWERED)
def test_meaning_knows_every_code_of_the_table(code: str) -> None:
    """Status 418 would be unexpected: a row's meaning comes from its code."""
    answer: Any = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": 418}}
    means = meaning(botocore.ClientError(answer, "GetObject"))
    assert means is not None
    assert means[0] is ANSWERED[code]
    assert (means[0].fact is S3Fact.FAILED) or not means[0].again


@pytest.mark.parametrize(
    ("status", "what", "again"),
    [
        (400, "S3 does not take this request", False),
        (409, "S3 does not take this request", False),
        (429, "S3 asks to wait", True),
        (499, "S3 does not take this request", False),
        (500, "S3 failed", True),
        (502, "S3 failed", True),
        (503, "S3 asks to wait", True),
    ],
)
def test_meaning_of_another_code_is_its_statuss(status: int, what: str, *, again: bool) -> None:
    answer: Any = {"Error": {"Code": "NeverHeardOf"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    means = meaning(botocore.ClientError(answer, "GetObject"))
    assert means is not None
    assert (means[0].fact, means[0].what, means[0].again) == (S3Fact.FAILED, what, again)


@pytest.mark.parametrize(
    ("raised", "again"),
    [
        (botocore.NoRegionError(), False),
        (botocore.NoCredentialsError(), False),
        (botocore.ConnectTimeoutError(endpoint_url="http://localhost"), True),
        (botocore.EndpointConnectionError(endpoint_url="http://localhost"), True),
        (botocore.ReadTimeoutError(endpoint_url="http://localhost"), True),
        (botocore.ConnectionClosedError(endpoint_url="http://localhost"), True),
        (botocore.SSLError(endpoint_url="http://localhost", error=ValueError()), True),
        (botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (botocore.ParamValidationError(report="x"), False),
    ],
)
def test_meaning_of_what_the_sdk_raises(raised: Exception, *, again: bool) -> None:
    means = meaning(raised)
    assert means is not None
    assert (means[0].fact, means[0].again) == (S3Fact.FAILED, again)


def test_meaning_shows_no_header_and_leaves_others_alone() -> None:
    """The SDK's own text may contain a credential. An exception outside the table is a defect, and stays one."""
    means = meaning(botocore.HTTPClientError(error=ValueError("Authorization: secret")))
    assert means is not None
    assert "secret" not in means[1]
    assert meaning(ZeroDivisionError()) is None
    assert all(issubclass(kind, Exception) for kinds, _ in RAISED for kind in kinds)
