"""The wire client: its requests, and its results from answers."""

import asyncio
import json
import logging

import httpx
import pytest

from shared.micro import CounterValue, MicroClient, StoredDocument
from shared.micro_address import Direct, Platform
from shared.micro_errors import (
    DatabaseExists,
    DatabasesFull,
    DocumentExists,
    DocumentNotFound,
    ForeignServer,
    ServerFailed,
    UnsafeSegment,
)
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.micro_world import world
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import (
    CLOSED,
    HTML,
    StandInTransport,
    always,
    answer,
    nth,
)
from tests.fakes.standin_steps import Gate

pytestmark = pytest.mark.anyio


async def test_micro_creates_reads_replaces_and_deletes_documents() -> None:
    """Creating an existing document, and replacing or deleting an absent one, raise."""
    async with world() as w:
        await w.client.create("users", "u1", {"n": 1})
        assert await w.client.get("users", "u1") == {"n": 1}
        with pytest.raises(DocumentExists):
            await w.client.create("users", "u1", {"n": 2})
        await w.client.replace("users", "u1", {"n": 3})
        assert await w.client.get("users", "u1") == {"n": 3}
        await w.client.delete("users", "u1")
        assert await w.client.get("users", "u1") is None
        with pytest.raises(DocumentNotFound):
            await w.client.replace("users", "u1", {})
        with pytest.raises(DocumentNotFound):
            await w.client.delete("users", "u1")


async def test_query_reads_in_byte_order_and_continues() -> None:
    """A range is read in byte order and continued after its last key."""
    async with world() as w:
        for key in ("é", "a!2", "b", "a!1", "a!3", "\U0001f600", "\uffff"):
            await w.client.create("memos", key, {"k": key})
        page = await w.client.query("memos", start="a!", end='a"', limit=2)
        assert page == [StoredDocument(key="a!1", value={"k": "a!1"}), StoredDocument(key="a!2", value={"k": "a!2"})]
        rest = await w.client.query("memos", start="a!2\0")
        assert [document.key for document in rest] == ["a!3", "b", "é", "\uffff", "\U0001f600"]


async def test_query_in_reverse_includes_start_and_excludes_end() -> None:
    """A reverse range runs from its high start inclusive to its low end exclusive."""
    async with world() as w:
        for key in ("a", "b", "c", "d"):
            await w.client.create("memos", key, {})
        page = await w.client.query("memos", start="c", end="a", limit=5, reverse=True)
        assert [document.key for document in page] == ["c", "b"]


async def test_micro_increments_reads_lists_and_deletes_counters() -> None:
    """A counter is None before its first increment. A deletion returns whether there was one."""
    async with world() as w:
        assert await w.client.get_counter("users:x") is None
        assert await w.client.increment("users:x", 5) == 5
        assert await w.client.increment("users:x", -2) == 3
        assert await w.client.get_counter("users:x") == 3
        assert await w.client.counters(start="users:", end="users;") == [CounterValue(name="users:x", value=3)]
        assert await w.client.counters(reverse=True, limit=1) == [CounterValue(name="users:x", value=3)]
        assert await w.client.delete_counter("users:x")
        assert not await w.client.delete_counter("users:x")


async def test_create_database_raises_when_it_exists_or_none_fits() -> None:
    """An existing database raises DatabaseExists, and one more than fit DatabasesFull."""
    async with world() as w:
        for number in range(6):
            await w.client.create_database(f"d{number}")
        with pytest.raises(DatabaseExists):
            await w.client.create_database("d0")
        for full in (w.client.create_database("d6"), w.client.get("mistyped", "k"), w.client.create("d6", "k", {})):
            with pytest.raises(DatabasesFull):
                await full
        assert await w.client.databases() == ["d0", "d1", "d2", "d3", "d4", "d5"]


async def test_health_returns_the_version() -> None:
    async with world() as w:
        assert await w.client.health() == "1.0.0"


@pytest.mark.parametrize(
    "key", ["a/b", "a b", "a%2Fb", "%", "ü", "a?b#c", "x@y.z", "\U0001f600", "...", "+", "~", "\n"]
)
async def test_key_that_is_accepted_is_addressed_exactly(key: str) -> None:
    """Every key that is accepted reaches the server unchanged."""
    async with world() as w:
        await w.client.create("users", key, {"k": key})
        await w.client.replace("users", key, {"k": key, "n": 2})
        assert await w.client.get("users", key) == {"k": key, "n": 2}
        await w.client.delete("users", key)
        assert await w.client.increment(key) == 1
        assert await w.client.get_counter(key) == 1


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a\0b", "\ud800", "a" * 1025, "é" * 990, "a" * 1000 + "\U0001f600" * 13],
    ids=["empty", "dot", "dots", "NUL", "surrogate", "1025 characters", "1980 bytes", "1026 UTF-16 units"],
)
async def test_key_that_no_path_can_contain_is_never_sent(text: str) -> None:
    """A key that no path can contain raises UnsafeSegment, and nothing is sent."""
    async with world() as w:
        with w.recorder.measure() as cost:
            for call in (
                w.client.get("users", text),
                w.client.create("users", text, {}),
                w.client.replace("users", text, {}),
                w.client.delete("users", text),
                w.client.increment(text),
                w.client.query(text),
                w.client.create_database(text),
            ):
                with pytest.raises(UnsafeSegment):
                    await call
        assert cost.requests == 0


@pytest.mark.parametrize("value", [{"x": float("nan")}, {"x": "\ud800"}], ids=["NaN", "surrogate"])
async def test_value_that_json_cannot_contain_is_never_sent(value: dict[str, object]) -> None:
    """A value that is not JSON raises ValueError, and nothing is sent."""
    async with world() as w:
        with w.recorder.measure() as cost, pytest.raises(ValueError, match=r"JSON|surrogates"):
            await w.client.create("users", "k", value)
        assert cost.requests == 0


async def test_micro_sends_the_key_or_the_platforms_slug() -> None:
    """Direct mode sends the key, and platform mode the slug, under the proxy's path."""
    sent: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"value": 1})

    for origin, server in (
        ("https://micro:7070", Direct(url="https://micro:7070/base/", api_key=KEY)),
        ("https://platform", Platform(url="https://platform", app_slug="talk")),
    ):
        await MicroClient(HttpxWire(httpx.MockTransport(note), origin=origin), server).increment("a/b")
    direct, platform = sent
    assert str(direct.url) == "https://micro:7070/base/api/cache/a%2Fb/increment"
    assert (direct.headers["Authorization"], "X-App-Slug" in direct.headers) == (f"Bearer {KEY}", False)
    assert str(platform.url) == "https://platform/proxy/hypermicro/api/cache/a%2Fb/increment"
    assert (platform.headers["X-App-Slug"], "Authorization" in platform.headers) == ("talk", False)


async def test_micro_says_that_a_body_is_json() -> None:
    """A request without a body has no content type."""
    sent: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"ok": True, "value": {}})

    client = MicroClient(HttpxWire(httpx.MockTransport(note)), Direct(url="http://micro", api_key=KEY))
    await client.replace("users", "u1", {"text": "ÿ"})
    await client.get("users", "u1")
    assert [(each.headers.get("content-type"), each.content) for each in sent] == [
        ("application/json", '{"value": {"text": "ÿ"}}'.encode()),
        (None, b""),
    ]


async def test_micro_shows_its_key_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """The key stays out of logs, reprs and errors."""
    caplog.set_level(logging.DEBUG, logger="agent_talk.micro")
    async with world() as w:
        w.strike(always(answer(500, json.dumps({"error": f"you sent Authorization: Bearer {KEY}"}))))
        with pytest.raises(ServerFailed) as failed:
            await w.client.increment("c")
        w.strike(always(answer(200, f"you sent Authorization: Bearer {KEY}")))
        with pytest.raises(ForeignServer) as foreign:
            await w.client.increment("c")
        w.strike(always(HTML))
        with pytest.raises(ForeignServer):
            await w.client.increment("c")
        told = [repr(w.client), repr(Direct(url="http://micro", api_key=KEY)), caplog.text]
        told += [text for caught in (failed, foreign) for text in (str(caught.value), repr(caught.value))]
        assert not any(KEY in text for text in told)
        assert "[key]" in failed.value.said


async def test_micro_logs_each_request_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each sending is one debug line with its path and result."""
    async with world() as w:
        caplog.set_level(logging.DEBUG, logger="agent_talk.micro")
        caplog.clear()
        w.strike(nth(1, CLOSED))
        await w.client.get("users", "old")
        lines = [record.getMessage() for record in caplog.records if record.name == "agent_talk.micro"]
    assert lines == [
        "GET /api/dbs/users/docs/old: NoAnswer in 0.0 ms",
        "GET /api/dbs/users/docs/old: 200 in 0.0 ms",
    ]


async def test_micro_passes_a_cancellation_on() -> None:
    gate = Gate()
    wire = HttpxWire(StandInTransport(StandIn(schedule=gate)))
    write = asyncio.create_task(MicroClient(wire, Direct(url="http://micro", api_key=KEY)).increment("c"))
    await gate.settle()
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    await gate.open()
