"""DynamoDB on the wire: requests off the event loop, in time, repeated if safe; and the errors of failures."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

import botocore.exceptions as sdk
import pytest
from botocore.parsers import ResponseParserError

from shared.core.checked_clock import CheckedClock
from shared.core.concurrency import gather_settled
from shared.observability import request_stats
from shared.stores.dynamo.client import Dynamo, open_client
from shared.stores.dynamo.failures import (
    ANSWERED,
    BODY,
    RAISED,
    AnswerCut,
    CallOutcome,
    ConditionFailed,
    DynamoError,
    NotDynamo,
    failure,
)
from shared.stores.dynamo.failures import BUSY as BUSY_MEANING
from shared.stores.dynamo.store import DynamoStore
from shared.stores.port import Key, StoreError, StoreNotReady, StoreUnavailable
from tests.fakes.dynamo_world import FACTS, FakeTime, answered, client_of, closed, unanswered, unreached
from tests.support import NOON, FakeClock

pytestmark = pytest.mark.anyio

ROOT: Final = Path(__file__).parents[3]
KEY: Final = {"pk": {"S": "p"}, "sk": {"S": "s"}}


class Client:
    """Answers each call with the result of `respond`; records the most concurrent calls."""

    def __init__(self, respond: Callable[[], Any] = dict) -> None:
        self.respond = respond
        self.calls: list[str] = []
        self.at_once = self.most_at_once = self.closed = 0
        self.crowded = threading.Event()
        """Set once three calls were in progress."""

        self._lock = threading.Lock()

    def close(self) -> None:
        self.closed += 1

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**_: object) -> Any:
            with self._lock:
                self.calls.append(operation)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                if self.at_once == 3:
                    self.crowded.set()
            try:
                return self.respond()
            finally:
                with self._lock:
                    self.at_once -= 1

        return call


class Opened:
    """Opens clients, and counts them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return self.client


def raising(*errors: Exception, then: Any = None) -> Callable[[], Any]:
    """Return a call that raises the errors in turn, and then returns `then`."""
    left: Iterator[Exception] = iter(errors)

    def respond() -> Any:
        error = next(left, None)
        if error is not None:
            raise error
        return {} if then is None else then

    return respond


def dynamo_on(client: Any, time: FakeTime | None = None, **how: Any) -> Dynamo:
    time = time or FakeTime()
    how = {"monotonic": time.monotonic, "wall": time.monotonic, "sleep": time.sleep, "jitter": lambda: 1.0} | how
    return Dynamo(lambda: client, table="agent-talk", **how)


async def test_call_that_is_slow_blocks_no_other() -> None:
    """A slow call does not block the event loop."""
    answers = threading.Event()
    client = Client(lambda: {} if answers.wait(10) else None)
    dynamo = dynamo_on(client)
    call = asyncio.ensure_future(dynamo.get(KEY, deadline=dynamo.deadline(60)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not call.done()
    answers.set()
    assert await call is None
    await dynamo.aclose()


async def test_answer_holds_back_a_clock_that_is_ahead() -> None:
    """The `Date` of an answer is the store's time: a machine's clock that is a day ahead of it is set back to it."""
    clock = CheckedClock(FakeClock(NOON + timedelta(days=1)))
    metadata = {"HTTPHeaders": {"date": format_datetime(NOON, usegmt=True)}}
    dynamo = dynamo_on(Client(lambda: {"ResponseMetadata": metadata}), checked_clock=clock)
    await dynamo.get(KEY, deadline=dynamo.deadline(60))
    assert clock() == NOON
    await dynamo.aclose()


async def test_calls_are_no_more_than_connections() -> None:
    """Concurrent calls never exceed the connections."""
    answers = threading.Event()
    client = Client(lambda: {} if answers.wait(10) else None)
    dynamo = dynamo_on(client, at_once=3)
    calls = [asyncio.ensure_future(dynamo.get(KEY, deadline=dynamo.deadline(60))) for _ in range(20)]
    await asyncio.to_thread(client.crowded.wait, 10)
    answers.set()
    await gather_settled(*calls)
    assert (client.most_at_once, len(client.calls)) == (3, 20)
    await dynamo.aclose()


async def test_client_is_opened_once_by_the_first_call() -> None:
    opened = Opened(Client())
    dynamo = Dynamo(opened, table="agent-talk")
    assert opened.times == 0
    await gather_settled(*(dynamo.get(KEY, deadline=dynamo.deadline(5)) for _ in range(20)))
    assert opened.times == 1
    await dynamo.aclose()
    assert opened.client.closed == 1


async def test_connections_are_closed_when_idle_or_failed() -> None:
    """Connections that were idle for long, or got no answer, are closed before the next call."""
    client, time = Client(raising(*[])), FakeTime()
    dynamo = dynamo_on(client, time)

    async def get() -> int:
        await dynamo.get(KEY, deadline=dynamo.deadline(5))
        return client.closed

    assert [await get(), await get()] == [0, 0]
    time.now_s += 4
    assert await get() == 0
    time.now_s += 6  # a freeze
    assert await get() == 1
    client.respond = raising(closed())
    assert await get() == 2
    await dynamo.aclose()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ConditionalCheckFailedException", 400),
        ("ThrottlingException", 400),
        ("ValidationException", 400),
        ("InternalServerError", 500),
    ],
)
async def test_connections_are_kept_after_an_error_answer(code: str, status: int) -> None:
    """A connection is reused after any answer, also an error."""
    client = Client(raising(answered(code, status)(), answered(code, status)()))
    dynamo = dynamo_on(client)
    for _ in range(3):
        with suppress(DynamoError):
            await dynamo.get(KEY, deadline=dynamo.deadline(5))
    assert client.closed == 0
    await dynamo.aclose()


async def test_connections_are_replaced_after_a_freeze() -> None:
    """After a freeze old connections are closed, also while an abandoned call still waits on one.

    That call keeps its connection, since its answer may still arrive.
    """
    with SlowServer() as server:
        time = FakeTime()
        dynamo = dynamo_on(client_of(server.url), time, at_once=3)

        async def call() -> asyncio.Future[Any]:
            under_way = asyncio.ensure_future(dynamo.get(KEY, deadline=dynamo.deadline(60)))
            await asyncio.to_thread(server.asked.acquire, timeout=10)
            return under_way

        one, other = await call(), await call()
        server.answers.set()
        await gather_settled(one, other)
        server.answers.clear()
        abandoned = await call()
        assert server.connections == 2
        time.now_s += 3600  # a freeze
        fresh = await call()
        assert server.connections == 3
        server.answers.set()
        assert await gather_settled(abandoned, fresh) == (None, None)
        await dynamo.aclose()


class SlowServer:
    """Answers all requests `{}` once `answers` is set; each request releases `asked`. Counts connections."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = threading.Semaphore(0)
        self.connections = 0
        slow = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                slow.connections += 1

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                slow.asked.release()
                slow.answers.wait(10)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()


async def test_call_ends_by_its_deadline_when_no_answer_comes() -> None:
    answers = threading.Event()
    dynamo = Dynamo(lambda: Client(lambda: answers.wait(10)), table="agent-talk")  # type: ignore[arg-type,return-value]
    store = DynamoStore(dynamo, timeout_s=0.05)
    try:
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            await store.get(FACTS, Key("p"))
    finally:
        answers.set()
        await dynamo.aclose()


async def test_verb_ends_within_the_requests_time() -> None:
    client, time = Client(raising(*(answered("ThrottlingException")() for _ in range(99)))), FakeTime()
    dynamo = dynamo_on(client, time)
    with pytest.raises(StoreUnavailable, match="no capacity"):
        await DynamoStore(dynamo, time_left_s=lambda: 1.0).get(FACTS, Key("p"))
    assert 0 < sum(time.slept) < 1
    with pytest.raises(StoreUnavailable):
        await DynamoStore(dynamo, time_left_s=lambda: 0.0).get(FACTS, Key("p"))
    await dynamo.aclose()


async def test_waits_double_up_to_a_bound_with_jitter() -> None:
    """Waits before repeats double up to a bound, times a random factor."""
    client, time = Client(raising(*(answered("ThrottlingException")() for _ in range(7)))), FakeTime()
    dynamo = dynamo_on(client, time)
    await dynamo.get(KEY, deadline=dynamo.deadline(60))
    assert time.slept == [0.05, 0.1, 0.2, 0.4, 0.8, 0.8, 0.8]
    client.respond = raising(answered("ThrottlingException")())
    half = dynamo_on(client, time, jitter=lambda: 0.5)
    await half.get(KEY, deadline=half.deadline(60))
    assert time.slept[7:] == [0.025]
    await gather_settled(dynamo.aclose(), half.aclose())


async def test_waits_double_until_a_batch_is_carried_out() -> None:
    """A batch that was carried out in part is sent again with the rest alone, after the same waits."""
    keys = [KEY | {"sk": {"S": str(number)}} for number in range(4)]
    sent: list[int] = []

    class Partly:
        def batch_write_item(self, *, RequestItems: Any) -> Any:  # noqa: N803 boto3's name
            (requests,) = RequestItems.values()
            sent.append(len(requests))
            return {"UnprocessedItems": {"agent-talk": requests[1:]} if requests[1:] else {}}

        def close(self) -> None:
            return None

    dynamo = dynamo_on(Partly(), time := FakeTime())
    await dynamo.delete_all(keys, deadline=dynamo.deadline(60))
    assert (sent, time.slept) == ([4, 3, 2, 1], [0.05, 0.1, 0.2])
    await dynamo.aclose()


async def test_each_sending_is_counted_with_its_time() -> None:
    """The request's statistics have one number for each sending, failed ones included: their milliseconds."""
    time, errors = FakeTime(), iter([unanswered(), None, answered("ValidationException")()])

    def respond() -> Any:
        time.now_s += 0.25
        error = next(errors)
        if error is not None:
            raise error
        return {}

    dynamo = dynamo_on(Client(respond), time)
    with request_stats.collected() as spent:
        await dynamo.get(KEY, deadline=dynamo.deadline(60))
        with pytest.raises(DynamoError):
            await dynamo.get(KEY, deadline=dynamo.deadline(60))
    assert spent.store_ms == [250.0, 250.0, 250.0]
    await dynamo.aclose()


def test_error_has_a_bounded_part_of_the_message() -> None:
    """A proxy's page of HTML does not fill the log."""
    error = DynamoError("Code", "x" * 10_000, BUSY_MEANING)
    assert (str(error), error.code) == (f"Code: {'x' * BODY}", "Code")
    assert BODY <= 500


@pytest.mark.parametrize("error", [unanswered(), closed(), answered("InternalServerError", 500)()])
async def test_call_is_not_resent_when_twice_would_harm(error: Exception) -> None:
    """A call that must not take effect twice is not sent again if its outcome is unknown."""
    client = Client(raising(error))
    dynamo = dynamo_on(client)
    with pytest.raises(DynamoError) as caught:
        await dynamo.update(KEY, "ADD n :by", values={}, repeatable=False, deadline=dynamo.deadline(5))
    assert caught.value.meaning.outcome is CallOutcome.UNKNOWN
    assert caught.value.__cause__ is error
    assert len(client.calls) == 1
    await dynamo.aclose()


@pytest.mark.parametrize("error", [unreached(), answered("ProvisionedThroughputExceededException")()])
async def test_call_is_resent_when_it_was_refused(error: Exception) -> None:
    """A call that did not arrive, or found no capacity, is sent again, even if it must not take effect twice."""
    client = Client(raising(error, then={"Attributes": {"n": {"N": "1"}}}))
    dynamo = dynamo_on(client)
    counted = await dynamo.update(KEY, "ADD n :by", values={}, repeatable=False, deadline=dynamo.deadline(5))
    assert counted == {"n": {"N": "1"}}
    await dynamo.aclose()


async def test_condition_failed_tells_of_an_earlier_sending() -> None:
    """ConditionFailed contains whether an earlier, unanswered request may have written the row."""
    failed = answered("ConditionalCheckFailedException", Item={"v": {"N": "1"}})()
    for earlier, repeated in ((answered("ThrottlingException")(), False), (unanswered(), True)):
        dynamo = dynamo_on(Client(raising(earlier, failed)))
        with pytest.raises(ConditionFailed) as caught:
            await dynamo.put({}, condition="c", deadline=dynamo.deadline(5))
        assert (caught.value.item, caught.value.repeated) == ({"v": {"N": "1"}}, repeated)
        await dynamo.aclose()


# errors of failures

BUSY, FAILED = "no capacity", "DynamoDB failed"
FORBIDDEN, UNKNOWN, NO_TABLE, REFUSED = "DYNAMODB_TABLE", "AWS_ACCESS_KEY_ID", "no such table", "does not take"
CONFIG, KMS = "AWS_CONFIG_FILE", "encryption key"

CODES: Final = {
    "ProvisionedThroughputExceededException": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "ThrottlingException": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "Throttling": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "TooManyRequestsException": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "SlowDown": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "RequestLimitExceeded": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "LimitExceededException": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "TransactionConflictException": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "TransactionInProgressException": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "ReplicatedWriteConflictException": (StoreUnavailable, BUSY, CallOutcome.REFUSED, True),
    "InternalServerError": (StoreUnavailable, FAILED, CallOutcome.UNKNOWN, True),
    "InternalServerErrorException": (StoreUnavailable, FAILED, CallOutcome.UNKNOWN, True),
    "InternalFailure": (StoreUnavailable, FAILED, CallOutcome.UNKNOWN, True),
    "ServiceUnavailable": (StoreUnavailable, FAILED, CallOutcome.UNKNOWN, True),
    "ServiceUnavailableException": (StoreUnavailable, FAILED, CallOutcome.UNKNOWN, True),
    "AccessDeniedException": (StoreNotReady, FORBIDDEN, CallOutcome.REFUSED, False),
    "AccessDenied": (StoreNotReady, FORBIDDEN, CallOutcome.REFUSED, False),
    "KMSAccessDeniedException": (StoreNotReady, FORBIDDEN, CallOutcome.REFUSED, False),
    "AllAccessDisabled": (StoreNotReady, FORBIDDEN, CallOutcome.REFUSED, False),
    "OptInRequired": (StoreNotReady, FORBIDDEN, CallOutcome.REFUSED, False),
    "KMSDisabledException": (StoreNotReady, KMS, CallOutcome.REFUSED, False),
    "KMSInvalidStateException": (StoreNotReady, KMS, CallOutcome.REFUSED, False),
    "UnrecognizedClientException": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "InvalidSignatureException": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "SignatureDoesNotMatch": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "IncompleteSignatureException": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "MissingAuthenticationTokenException": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "ExpiredTokenException": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "ExpiredToken": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "RequestExpired": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "AuthFailure": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "InvalidAccessKeyId": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "InvalidToken": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "RequestTimeTooSkewed": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "InvalidClientTokenId": (StoreNotReady, UNKNOWN, CallOutcome.REFUSED, False),
    "ResourceNotFoundException": (StoreNotReady, NO_TABLE, CallOutcome.REFUSED, False),
    "ValidationException": (StoreError, REFUSED, CallOutcome.REFUSED, False),
    "ItemCollectionSizeLimitExceededException": (StoreError, REFUSED, CallOutcome.REFUSED, False),
}


def test_answered_table_is_tested_row_by_row() -> None:
    """Each row of ANSWERED is one of the cases below."""
    assert set(CODES) == set(ANSWERED)


@pytest.mark.parametrize("code", CODES)
def test_failure_classifies_each_code_of_the_table(code: str) -> None:
    """Each code of DynamoDB becomes the store error of its row."""
    error = failure(answered(code)())
    assert error is not None
    kind, said, outcome, again = CODES[code]
    assert (error.meaning.error, error.meaning.outcome, error.meaning.again) == (kind, outcome, again)
    assert said in error.meaning.what
    assert error.code == code


@pytest.mark.parametrize(
    ("status", "kind", "outcome", "again"),
    [
        (500, StoreUnavailable, CallOutcome.UNKNOWN, True),
        (503, StoreUnavailable, CallOutcome.UNKNOWN, True),
        (408, StoreUnavailable, CallOutcome.REFUSED, True),
        (429, StoreUnavailable, CallOutcome.REFUSED, True),
        (400, StoreError, CallOutcome.REFUSED, False),
        (403, StoreError, CallOutcome.REFUSED, False),
    ],
)
def test_failure_classifies_an_unknown_code_by_status(
    status: int, kind: type[StoreError], outcome: CallOutcome, *, again: bool
) -> None:
    """A code without a row is classified by the answer's status."""
    error = failure(answered("NewException", status)())
    assert error is not None
    assert (error.meaning.error, error.meaning.outcome, error.meaning.again) == (kind, outcome, again)
    assert f"said so (HTTP {status})" in str(error)


URL: Final = "http://localhost"
SDK_ERRORS: Final[list[tuple[Exception, type[StoreError], str, CallOutcome]]] = [
    (sdk.NoRegionError(), StoreNotReady, "AWS_DEFAULT_REGION", CallOutcome.REFUSED),
    (sdk.InvalidRegionError(region_name="!"), StoreNotReady, "AWS_DEFAULT_REGION", CallOutcome.REFUSED),
    (sdk.NoCredentialsError(), StoreNotReady, UNKNOWN, CallOutcome.REFUSED),
    (sdk.PartialCredentialsError(provider="env", cred_var="x"), StoreNotReady, UNKNOWN, CallOutcome.REFUSED),
    (sdk.CredentialRetrievalError(provider="sso", error_msg="x"), StoreNotReady, UNKNOWN, CallOutcome.REFUSED),
    (sdk.UnauthorizedSSOTokenError(), StoreNotReady, UNKNOWN, CallOutcome.REFUSED),
    (sdk.SSOTokenLoadError(error_msg="x"), StoreNotReady, UNKNOWN, CallOutcome.REFUSED),
    (sdk.TokenRetrievalError(provider="sso", error_msg="x"), StoreNotReady, UNKNOWN, CallOutcome.REFUSED),
    (sdk.MetadataRetrievalError(error_msg="x"), StoreNotReady, UNKNOWN, CallOutcome.REFUSED),
    (sdk.ProfileNotFound(profile="p"), StoreNotReady, CONFIG, CallOutcome.REFUSED),
    (sdk.ConfigNotFound(path="p"), StoreNotReady, CONFIG, CallOutcome.REFUSED),
    (sdk.ConfigParseError(path="p"), StoreNotReady, CONFIG, CallOutcome.REFUSED),
    (sdk.InvalidConfigError(error_msg="x"), StoreNotReady, CONFIG, CallOutcome.REFUSED),
    (
        sdk.InfiniteLoopConfigError(source_profile="p", visited_profiles=["p"]),
        StoreNotReady,
        CONFIG,
        CallOutcome.REFUSED,
    ),
    (sdk.InvalidProxiesConfigError(), StoreNotReady, CONFIG, CallOutcome.REFUSED),
    (sdk.InvalidDefaultsMode(mode="m", valid_modes="n"), StoreNotReady, CONFIG, CallOutcome.REFUSED),
    (sdk.InvalidRetryModeError(provided_retry_mode="m", valid_modes="n"), StoreNotReady, CONFIG, CallOutcome.REFUSED),
    (sdk.InvalidEndpointConfigurationError(msg="m"), StoreNotReady, "AWS_ENDPOINT_URL", CallOutcome.REFUSED),
    (sdk.ConnectTimeoutError(endpoint_url=URL), StoreUnavailable, "cannot be reached", CallOutcome.REFUSED),
    (sdk.EndpointConnectionError(endpoint_url=URL), StoreUnavailable, "cannot be reached", CallOutcome.REFUSED),
    (sdk.ProxyConnectionError(proxy_url=URL), StoreUnavailable, "cannot be reached", CallOutcome.REFUSED),
    (sdk.SSLError(endpoint_url=URL, error=OSError("x")), StoreUnavailable, "did not answer", CallOutcome.UNKNOWN),
    (sdk.ReadTimeoutError(endpoint_url=URL), StoreUnavailable, "did not answer", CallOutcome.UNKNOWN),
    (sdk.ConnectionClosedError(endpoint_url=URL), StoreUnavailable, "did not answer", CallOutcome.UNKNOWN),
    (sdk.HTTPClientError(error="x"), StoreUnavailable, "did not answer", CallOutcome.UNKNOWN),
    (
        sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        StoreUnavailable,
        "did not answer",
        CallOutcome.UNKNOWN,
    ),
    (
        sdk.ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
        StoreUnavailable,
        "did not answer",
        CallOutcome.UNKNOWN,
    ),
    (sdk.FlexibleChecksumError(error_msg="x"), StoreUnavailable, "did not answer", CallOutcome.UNKNOWN),
    (ResponseParserError("x"), StoreUnavailable, "did not answer", CallOutcome.UNKNOWN),
    (AnswerCut("x"), StoreUnavailable, "did not answer", CallOutcome.UNKNOWN),
    (NotDynamo("x"), StoreNotReady, "AWS_ENDPOINT_URL", CallOutcome.UNKNOWN),
    (sdk.ParamValidationError(report="r"), StoreError, REFUSED, CallOutcome.REFUSED),
]


def test_raised_table_is_tested_row_by_row() -> None:
    """Each class of each row of RAISED is one of the cases above."""
    classes = [kind for kinds, _ in RAISED for kind in kinds]
    assert {next(kind for kind in classes if isinstance(error, kind)) for error, *_ in SDK_ERRORS} == set(classes)


@pytest.mark.parametrize(("raised", "kind", "said", "outcome"), SDK_ERRORS, ids=lambda value: type(value).__name__)
def test_failure_classifies_each_exception_of_the_table(
    raised: Exception, kind: type[StoreError], said: str, outcome: CallOutcome
) -> None:
    """Each exception of the SDK becomes the store error of its row."""
    error = failure(raised)
    assert error is not None
    assert (error.meaning.error, error.meaning.outcome) == (kind, outcome)
    assert said in error.meaning.what


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_ENDPOINT_URL", "http://[", "AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL", "http://h:99999", "AWS_ENDPOINT_URL"),
        ("AWS_METADATA_SERVICE_TIMEOUT", "x", CONFIG),
    ],
)
def test_failure_names_a_variable_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """An environment variable that the SDK cannot parse is named by the error."""
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the SDK words it
        open_client().describe_limits()
    error = failure(caught.value)
    assert error is not None
    assert error.meaning.error is StoreNotReady
    assert said in error.meaning.what


def test_failure_does_not_show_a_header() -> None:
    """A header that the SDK cannot send, which may contain a credential, is in no error."""
    error = failure(sdk.HTTPClientError(error=ValueError("Invalid header value b'the-token'")))
    assert str(error) == "HTTPClientError: ValueError"


def test_failure_passes_other_exceptions_through() -> None:
    """An exception that is not the SDK's passes through."""
    assert failure(KeyError("x")) is None


async def test_failure_keeps_the_cause_when_no_row_fits() -> None:
    """A failure without a row raises StoreError with its cause."""
    error = answered("ValidationException")()
    dynamo = dynamo_on(Client(raising(error)))
    with pytest.raises(StoreError, match="ValidationException: said so") as caught:
        await DynamoStore(dynamo).get(FACTS, Key("p"))
    assert type(caught.value) is StoreError
    assert isinstance(caught.value.__cause__, DynamoError)
    assert caught.value.__cause__.__cause__ is error
    await dynamo.aclose()


@pytest.mark.thorough
def test_function_logs_what_the_environment_lacks() -> None:
    """A function that lacks credentials or a region answers 503 and logs what to set.

    In a process of its own, since the SDK reads the real environment.
    """
    account = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    region = {"AWS_DEFAULT_REGION": "us-east-1"}
    lacking = {
        "AWS_DEFAULT_REGION": account,
        "AWS_ACCESS_KEY_ID": region,
        "AWS_ENDPOINT_URL": account | region | {"AWS_ENDPOINT_URL": "nowhere"},
    }
    ran = python(
        """
import json, os, sys
from handlers import memos
from tests.events import LambdaContext, http_event

for environ in json.loads(sys.stdin.read()):
    os.environ.update(environ)
    function = memos.handler.with_environment({"AGENT_TALK_STORE": "dynamodb"})
    assert function(http_event("GET", "/api/v1/voices"), LambdaContext())["statusCode"] == 503
    for name in environ:
        del os.environ[name]
""",
        {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none"},
        given=json.dumps(list(lacking.values())),
    )
    assert ran.returncode == 0, ran.stderr
    errors = [line for line in (ran.stdout + ran.stderr).splitlines() if "cannot serve" in line]
    assert len(errors) == len(lacking)
    for name, line in zip(lacking, errors, strict=True):
        assert name in line


@pytest.mark.thorough
def test_boto3_is_not_imported_for_other_stores() -> None:
    modules = [
        f"handlers.{name}" for name in ("users", "keys", "memos", "mcp", "usage", "subscriptions", "admin", "health")
    ]
    ran = python(
        f"import sys, {', '.join(modules)}; from shared.services import build_services, Settings;"
        "build_services(Settings()); print({'boto3', 'botocore', 'shared.stores.dynamo.client'} & set(sys.modules))",
        {},
    )
    assert ran.stdout == "set()\n", ran.stderr


def test_open_store_says_that_boto3_is_missing() -> None:
    """Opening DynamoDB's store without boto3 raises an error that names boto3."""
    ran = python(
        "import sys; sys.modules['boto3'] = None\n"
        "from shared.services import build_services, Settings; from shared.core.settings import StoreChoice\n"
        "build_services(Settings(store=StoreChoice.DYNAMODB))",
        {},
    )
    assert "SettingsError: AGENT_TALK_STORE=dynamodb needs boto3" in ran.stderr


@pytest.mark.thorough
def test_engines_program_fails_when_an_engine_is_missing() -> None:
    """The engines' program fails with the reason if an engine cannot be fetched."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.engines", "dynamodb-local"],
        cwd=ROOT,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "java is not there" in ran.stdout
    assert "FAILED dynamodb-local" in ran.stdout


def python(code: str, environ: dict[str, str], *, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "", "HOME": "/none", **environ},
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
