"""DynamoDB on the wire, with the SDK itself: truncated, garbled, foreign and endlessly slow answers.

`make test-sdk` runs these on the oldest and the newest supported SDK: Lambda chooses the version.
"""

import asyncio
import json
import ssl
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, Final, Self

import boto3
import pytest
from botocore.config import Config

from shared.core.concurrency import gather_settled
from shared.stores.dynamo.client import AT_ONCE, Dynamo, config, prepared
from shared.stores.dynamo.store import DynamoStore
from shared.stores.port import AlreadyExists, Key, StoreNotReady, StoreUnavailable
from tests.certificates import self_signed
from tests.fakes.dynamo_world import CHANGING, FACTS, FakeTime
from tests.support import one_quickly

pytestmark = pytest.mark.anyio

MODES: Final = ("legacy", "standard", "adaptive")
"""Retry modes of the SDK, which the environment may name."""

ROW: Final = Key("p", "s")
ITEM: Final = {
    "pk": {"S": "facts#p"},
    "sk": {"S": "s!"},
    "doc": {"S": '{"a":1}'},
    "ext": {"M": {}},
    "v": {"N": "1"},
    "t": {"L": [{"S": "x"}]},
}

Answer = Callable[[Any], None]
"""Writes an answer to a connection, which stays open afterwards."""


def whole(body: bytes, status: str = "200 OK", *, witness: str = "both", sent: bytes | None = None) -> bytes:
    """Return an answer; `sent` is the part of its body that arrives."""
    witnesses = {
        "length": f"content-length: {len(body)}\r\n",
        "checksum": f"x-amz-crc32: {zlib.crc32(body)}\r\n",
        "none": "",
    }
    named = witnesses["length"] + witnesses["checksum"] if witness == "both" else witnesses[witness]
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\n{named}\r\n"
    return head.encode() + (body if sent is None else sent)


def document(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


class Endpoint:
    """Answers each request by the next of `answers`; the last one repeats.

    An answer is bytes, after which the connection closes if they are incomplete, or a call that writes them.
    """

    def __init__(self, *answers: bytes | Answer, keeps: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.stopped = threading.Event()
        endpoint = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    while endpoint._answer(self) and keeps:
                        pass

        class Server(ThreadingTCPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                sock, address = super().get_request()
                return (tls.wrap_socket(sock, server_side=True) if tls else sock), address

            def handle_error(self, *_: object) -> None:
                """Ignore the error: in some tests the client closes first."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"{'https' if tls else 'http'}://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: StreamRequestHandler) -> bool:
        headers = {}
        while (line := handler.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if not headers:
            return False
        handler.rfile.read(int(headers["content-length"]))
        self.asked.append(headers["x-amz-target"].partition(".")[2])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, bytes):
            handler.wfile.write(answer)
        else:
            answer(handler)
        return True


def client_on(url: str, *, mode: str = "standard", **more: Any) -> Any:
    retries: Any = {"mode": mode, "total_max_attempts": 1}
    where: Any = {"region_name": "us-east-1", "endpoint_url": url, **more}
    client = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test").client(
        "dynamodb", config=config().merge(Config(retries=retries)), **where
    )
    return prepared(client)


@asynccontextmanager
async def store_on(client: Any, *, timeout_s: float = 5.0, **how: Any) -> AsyncIterator[DynamoStore]:
    """Yield a store whose waits advance its clock without real time."""
    time = FakeTime()
    dynamo = Dynamo(lambda: client, table="t", monotonic=time.monotonic, sleep=time.sleep, jitter=lambda: 1.0, **how)
    yield DynamoStore(dynamo, timeout_s=timeout_s)
    await dynamo.aclose()


Verb = Callable[[DynamoStore], Awaitable[object]]


async def _listed(store: DynamoStore) -> object:
    return [row.document for row in (await store.page(FACTS, "p")).rows]


READS: Final[dict[str, tuple[Verb, bytes, object]]] = {
    "get": (lambda store: store.get(FACTS, ROW), document(Item=ITEM), {"a": 1}),
    "page": (_listed, document(Items=[ITEM], Count=1), [{"a": 1}]),
    "counters": (
        lambda store: store.counters("u:"),
        document(Items=[{"pk": {"S": "counter#u"}, "sk": {"S": "u:c"}, "n": {"N": "7"}}]),
        {"u:c": 7},
    ),
    "increment": (lambda store: store.increment("u:c"), document(Attributes={"n": {"N": "7"}}), 7),
    "add": (lambda store: store.add(FACTS, ROW, {"a": 1}), b"{}", None),
}


def cuts(body: bytes) -> Iterator[bytes]:
    """Yield truncations of an answer, some of which the SDK reads as an answer without fields."""
    yield from (b"", body[:1], body[: len(body) // 2], body[:-1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("witness", ["both", "length", "checksum"])
@pytest.mark.parametrize("name", READS)
@pytest.mark.thorough
async def test_cut_answer_is_repeated(name: str, witness: str, mode: str) -> None:
    """If an answer is cut anywhere in its body, the call is sent again, and the whole answer counts."""
    verb, body, expected = READS[name]
    torn = [whole(body, witness=witness, sent=sent) for sent in cuts(body)]
    with Endpoint(*torn, whole(body, witness=witness)) as endpoint:
        async with store_on(client_on(endpoint.url, mode=mode)) as store:
            assert await verb(store) == expected
        assert len(endpoint.asked) == len(torn) + 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", READS)
@pytest.mark.thorough
async def test_cut_answers_are_unavailable(name: str, mode: str) -> None:
    """If each answer is cut, the verb raises StoreUnavailable."""
    verb, body, _ = READS[name]
    with Endpoint(whole(body, sent=body[:-1])) as endpoint:
        async with store_on(client_on(endpoint.url, mode=mode)) as store:
            with pytest.raises(StoreUnavailable):
                await verb(store)


@pytest.mark.parametrize(
    "unbelievable",
    [
        whole(document(Item=ITEM), sent=document(Item=ITEM).replace(b"a", b"b")),
        whole(b"{}", witness="none"),
        whole(b"", witness="both"),
        whole(b"", witness="length"),
        whole(b"<html></html>"),
        whole(document(Item=ITEM), "204 No Content", sent=b""),
    ],
    ids=["garbled", "no witness", "empty", "empty with a length", "not JSON", "204"],
)
async def test_answer_is_not_believed_without_proof(unbelievable: bytes) -> None:
    """A request is repeated if its answer is garbled, empty, or without proof of completeness."""
    with Endpoint(unbelievable, whole(document(Item=ITEM))) as endpoint:
        async with store_on(client_on(endpoint.url)) as store:
            assert await store.get(FACTS, ROW) == {"a": 1}
        assert len(endpoint.asked) == 2


@pytest.mark.parametrize("mode", one_quickly(*MODES))
async def test_cut_error_answer_is_repeated(mode: str) -> None:
    """A cut error answer is taken neither for a refusal nor for an unknown error: the call is sent again."""
    failed = document(__type="com.amazonaws#ConditionalCheckFailedException", message="no", Item=ITEM)
    torn = [whole(failed, "400 Bad Request", sent=sent) for sent in cuts(failed)]
    with Endpoint(*torn, whole(failed, "400 Bad Request")) as endpoint:
        async with store_on(client_on(endpoint.url, mode=mode)) as store:
            with pytest.raises(AlreadyExists):
                await store.claim(CHANGING, ROW, {"a": 1})
        assert len(endpoint.asked) == len(torn) + 1
    with Endpoint(whole(failed, "400 Bad Request", sent=failed[:-2])) as endpoint:
        async with store_on(client_on(endpoint.url, mode=mode)) as store:
            with pytest.raises(StoreUnavailable):
                await store.claim(CHANGING, ROW, {"a": 1})


FOREIGN: Final = {
    "301": whole(b"<html>moved</html>", "301 Moved Permanently"),
    "302": whole(b"", "302 Found"),
    "404 HTML": whole(b"<html>not here</html>", "404 Not Found"),
    "403 HTML": whole(b"<html>no</html>", "403 Forbidden"),
    "400 of another kind": whole(document(error="no"), "400 Bad Request"),
    "400 of a list": whole(b"[]", "400 Bad Request"),
    "SerializationException": whole(document(__type="SerializationException"), "400 Bad Request"),
    "UnknownOperation": whole(document(__type="com.amazon.coral#UnknownOperationException"), "400 Bad Request"),
}


@pytest.mark.parametrize("name", one_quickly(*FOREIGN))
async def test_foreign_answer_names_the_endpoint(name: str) -> None:
    """A server that does not answer as DynamoDB does is a store that is not ready, and the error names the endpoint."""
    with Endpoint(FOREIGN[name]) as endpoint:
        async with store_on(client_on(endpoint.url)) as store:
            with pytest.raises(StoreNotReady, match=endpoint.url) as caught:
                await store.get(FACTS, ROW)
        assert "AWS_ENDPOINT_URL" in str(caught.value)


@pytest.mark.parametrize("status", ["408 Request Timeout", "429 Too Many Requests", "502 Bad Gateway", "503 Slow"])
async def test_gateway_error_is_repeated(status: str) -> None:
    """An error page of a gateway in between, which may pass, is sent again."""
    with Endpoint(whole(b"<html></html>", status), whole(document(Item=ITEM))) as endpoint:
        async with store_on(client_on(endpoint.url)) as store:
            assert await store.get(FACTS, ROW) == {"a": 1}


@contextmanager
def trickling(endpoint: Endpoint) -> Iterator[tuple[Answer, Answer]]:
    """Yield two answers that never end: one in its headers, one in its body."""

    def drip(handler: Any, begin: bytes) -> None:
        handler.wfile.write(begin)
        while not endpoint.stopped.wait(0.005):
            handler.wfile.write(b" ")

    yield (
        lambda handler: drip(handler, b"HTTP/1.1 200 OK\r\nx-long: "),
        lambda handler: drip(handler, b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"),
    )


@pytest.mark.parametrize("part", [0, 1], ids=["headers", "body"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.thorough
async def test_trickling_answers_free_their_threads(tmp_path: Path, part: int, *, secure: bool) -> None:
    """Calls with endless answers are given up at their deadline, and their threads serve the next calls immediately."""
    certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with Endpoint(whole(document(Item=ITEM)), tls=tls if secure else None) as endpoint:
        client = client_on(endpoint.url, verify=str(certificate) if secure else None)
        async with store_on(client, timeout_s=1.5) as store:
            with trickling(endpoint) as answers:
                endpoint.answers.insert(0, answers[part])
                endpoint.answers[1:] = [answers[part]] * (AT_ONCE - 1) + endpoint.answers[1:]
                with pytest.raises(StoreUnavailable):
                    await gather_settled(*(store.get(FACTS, ROW) for _ in range(AT_ONCE)))
            assert len(endpoint.asked) == AT_ONCE
        async with store_on(client, timeout_s=5) as store:
            assert await store.get(FACTS, ROW) == {"a": 1}


async def test_call_that_is_given_up_is_not_sent_later() -> None:
    """A request that was not sent yet when its caller gave up is never sent: it would take effect late."""
    reached, go_on = threading.Event(), threading.Event()

    def hold(**_: object) -> None:
        reached.set()
        go_on.wait(10)

    with Endpoint(whole(document(Item=ITEM))) as endpoint:
        client = client_on(endpoint.url)
        client.meta.events.register_first("before-send.dynamodb.PutItem", hold)
        async with store_on(client, at_once=1) as store:
            write = asyncio.ensure_future(store.add(FACTS, ROW, {"a": 1}))
            await asyncio.to_thread(reached.wait, 10)
            write.cancel()
            with pytest.raises(asyncio.CancelledError):
                await write
            go_on.set()
            assert await store.get(FACTS, ROW) == {"a": 1}
        assert endpoint.asked == ["GetItem"]
