"""Unusual and broken answers of servers and proxies, byte by byte, and random ones."""

import os
from collections.abc import Sequence
from random import Random
from typing import Final

import pytest

from shared.micro_connections import MAX_HEAD_BYTES, MicroConnections
from shared.micro_errors import NoAnswer
from shared.micro_wire import Answer
from tests.fakes.raw_server import Script, Then, answer, raw_server
from tests.support import seeded

pytestmark = pytest.mark.anyio

CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS: Final = b"5;name=value\r\nhello\r\nD\r\n, chunked way\r\n0\r\nTrailer: yes\r\n\r\n"
EARLY: Final = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"

ANSWERS: Final[Sequence[tuple[str, bytes, bytes]]] = (
    ("length", answer(b"hello"), b"hello"),
    ("empty", answer(b""), b""),
    ("no content", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ("chunked", CHUNKED + CHUNKS, b"hello, chunked way"),
    ("no chunk", CHUNKED + b"0\r\n\r\n", b""),
    ("early hints", EARLY + answer(b"hello"), b"hello"),
    ("bare line ends", answer(b"hello").replace(b"\r\n", b"\n"), b"hello"),
    ("no reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ("many headers", answer(b"hello", head=b"X-Header: value\r\n" * 200), b"hello"),
    ("long body", answer(b"x" * 300_000), b"x" * 300_000),
)
"""Name, bytes, and the body in them. The connection is reused."""

ENDING: Final[Sequence[tuple[str, Script, bytes]]] = (
    ("until the end", [b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", Then.CLOSE], b"hello"),
    ("close", [answer(b"hello", head=b"Connection: close\r\n")], b"hello"),
    ("1.0", [b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", Then.CLOSE], b"hello"),
    ("one more answer", [answer(b"hello") + answer(b"smuggled")], b"hello"),
    ("more than its length", [answer(b"hello") + b"more"], b"hello"),
)
"""The same, but the connection is not reused."""

BROKEN: Final[Sequence[tuple[str, Script]]] = (
    ("nothing", [Then.CLOSE]),
    ("a reset", [Then.RESET]),
    ("half a head", [b"HTTP/1.1 200 OK\r\nContent-Le", Then.CLOSE]),
    ("half a body", [answer(b"hello")[:-2], Then.CLOSE]),
    ("half a chunk", [CHUNKED + CHUNKS[:15], Then.CLOSE]),
    ("no last chunk", [CHUNKED + b"5\r\nhello\r\n", Then.CLOSE]),
    ("only early hints", [EARLY, Then.CLOSE]),
    ("a head without end", [b"HTTP/1.1 200 OK\r\n" + b"X-Header: value\r\n" * (MAX_HEAD_BYTES // 16)]),
    ("a line without end", [b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD_BYTES + 1)]),
    ("a chunk's line without end", [CHUNKED + b"5;" + b"x" * (MAX_HEAD_BYTES + 1)]),
    ("another protocol", [b"220 mail.example.org ESMTP\r\n\r\n"]),
    ("HTTP/2", [b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"]),
    ("a status that is none", [b"HTTP/1.1 two OK\r\nContent-Length: 0\r\n\r\n"]),
    ("two lengths", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhey"]),
    ("a negative length", [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"]),
    ("a length of words", [b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"]),
    ("a chunk of words", [CHUNKED + b"five\r\nhello\r\n0\r\n\r\n"]),
    ("another coding", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"]),
    ("a header without colon", [answer(b"hello", head=b"no colon\r\n")]),
    ("a switch of protocols", [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]),
)


FUZZED: Final = int(os.environ.get("FUZZED_ANSWERS", "120"))
"""The number of random answers, each of its own seed: more of them find more, and take longer."""

WORDS: Final = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b":",
        b"\xff",
        b"0\r\n\r\n",
        b"Content-Length: 3\r\n",
        b"99999999999999999999",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.0 ",
        b"-1",
    ),
)


def split(sent: bytes, *, at_least: int) -> list[bytes]:
    """Return at most a thousand pieces."""
    size = max(at_least, len(sent) // 1000)
    return [sent[at : at + size] for at in range(0, len(sent), size)]


def spoilt(random: Random) -> bytes:
    """Return an answer in which up to four places were cut, doubled, overwritten or filled."""
    sent = random.choice([sent for _, sent, _ in ANSWERS if len(sent) < 1000])
    for _ in range(random.randint(1, 4)):
        at, end = sorted((random.randint(0, len(sent)), random.randint(0, len(sent))))
        end = min(end, at + 20)
        put = random.choice((b"", sent[at:end] * 2, random.choice(WORDS), random.randbytes(3)))
        sent = sent[:at] + put + sent[random.choice((at, end)) :]
    return sent


async def ask(wire: MicroConnections, target: str = "/") -> Answer:
    return await wire.send("GET", target, headers=[], content=None, within_s=30.0)


@pytest.mark.parametrize(("sent", "body"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
@pytest.mark.parametrize("size", [1, 7, 1_000_000])
async def test_answer_is_read_however_it_is_split(sent: bytes, body: bytes, size: int) -> None:
    """An answer in pieces of any size equals the complete answer, and its connection is reused."""
    async with (
        raw_server(split(sent, at_least=size), [answer(b"next")]) as server,
        MicroConnections(server.url) as wire,
    ):
        assert (await ask(wire)).content == body
        assert (await ask(wire)).content == b"next"
        assert server.accepted == 1


@pytest.mark.parametrize(("script", "body"), [row[1:] for row in ENDING], ids=[row[0] for row in ENDING])
async def test_answer_that_ends_its_connection_is_whole(script: Script, body: bytes) -> None:
    """An answer may end with its connection, or be followed by other bytes: the next has a new connection."""
    async with raw_server(script, [answer(b"next")]) as server, MicroConnections(server.url) as wire:
        assert (await ask(wire)).content == body
        assert (await ask(wire)).content == b"next"
        assert server.accepted == 2


@pytest.mark.parametrize("script", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
async def test_answer_that_is_none_has_an_unknown_outcome(script: Script) -> None:
    """An incomplete or invalid answer raises NoAnswer, with the reason; the next request has a new connection."""
    async with raw_server(script, [answer(b"next")]) as server, MicroConnections(server.url) as wire:
        with pytest.raises(NoAnswer) as caught:
            await ask(wire)
        assert str(caught.value)
        assert (await ask(wire)).content == b"next"
        assert server.accepted == 2


async def outcome(*pieces: bytes) -> object:
    """Return the result of a request with this answer, and check the answer to the next request."""
    async with raw_server([*pieces, Then.CLOSE], [answer(b"next")]) as server, MicroConnections(server.url) as wire:
        try:
            got = await ask(wire)
            became: object = (got.status, got.headers, got.content)
        except NoAnswer:
            became = NoAnswer
        await server.until(ended=1)
        assert (await ask(wire)).content == b"next", pieces
    return became


@pytest.mark.parametrize("seed", range(FUZZED))
async def test_answer_by_chance_is_whole_or_unknown(seed: int) -> None:
    """An answer with random faults is an answer or NoAnswer, the same however it is split, and spoils no later one."""
    random = seeded(seed)
    sent = spoilt(random)
    assert await outcome(*split(sent, at_least=random.randint(1, 9))) == await outcome(sent), sent
