"""The stand-in answers as HYPR Micro does, and makes its races and faults on demand."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import (
    CLOSED,
    CUT,
    HANGS,
    HTML,
    LATE,
    LOST,
    REFUSED,
    Fault,
    ManualClock,
    Recorder,
    StandInTransport,
    always,
    answer,
    nth,
    slow,
)
from tests.fakes.standin_steps import Gate, Moment

pytestmark = pytest.mark.anyio

TRANSCRIPT = Path(__file__).parent / "data" / "hypr-micro-transcript.json"
DOCS = "/api/dbs/users/docs"
BEARER = {"Authorization": f"Bearer {KEY}"}


def client_of(server: StandIn, transport: StandInTransport | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport or StandInTransport(server), base_url="http://micro", headers=BEARER)


async def test_standin_answers_recorded_requests_as_the_server_did() -> None:
    steps: list[dict[str, Any]] = json.loads(TRANSCRIPT.read_text())
    clock = ManualClock()
    server = StandIn(wall=clock.wall)
    differing = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://micro") as http:
        for step in steps:
            clock.advance(step.get("wait_s", 0))
            told: Mapping[str, str] = step.get("headers", {"Authorization": "Bearer $KEY"})
            headers = {name: value.replace("$KEY", KEY) for name, value in told.items()}
            content = step["raw"] if "raw" in step else json.dumps(step["json"]) if "json" in step else None
            got = await http.request(step["method"], step["path"], headers=headers, content=content)
            if (got.status_code, got.json()) != (step["status"], step["body"]):
                differing.append((step["name"], got.status_code, got.text))
    assert len(steps) == 167
    assert differing == []


async def test_standin_acknowledges_both_creates_that_checked_first() -> None:
    """Two creates that both checked first are both acknowledged, and the last one stays."""
    gate = Gate()
    async with client_of(StandIn(schedule=gate)) as http:
        writes = [asyncio.create_task(http.post(DOCS, json={"key": "k", "value": {"by": by}})) for by in "ab"]
        for step in await gate.settle():
            await gate.let(step)
        first, second = await gate.settle()
        assert {first.moment, second.moment} == {Moment.ACTS}
        await gate.let(second)
        await gate.let(first)
        assert [(await write).status_code for write in writes] == [201, 201]
        await gate.open()
        assert (await http.get(f"{DOCS}/k")).json()["value"] == {"by": "a"}


async def test_standin_delete_is_undone_by_a_put_that_checked_before() -> None:
    gate = Gate()
    async with client_of(StandIn(schedule=gate)) as http:
        create = asyncio.create_task(http.post(DOCS, json={"key": "k", "value": {"n": 1}}))
        await gate.let((await gate.settle())[0])
        await gate.let((await gate.settle())[0])
        assert (await create).status_code == 201
        put = asyncio.create_task(http.put(f"{DOCS}/k", json={"value": {"n": 2}}))
        (put_acts,) = await gate.let((await gate.settle())[0])
        delete = asyncio.create_task(http.delete(f"{DOCS}/k"))
        await gate.let((await gate.settle())[-1])
        await gate.let((await gate.settle())[-1])
        assert (await delete).status_code == 200
        await gate.let(put_acts)
        assert (await put).status_code == 200
        await gate.open()
        assert (await http.get(f"{DOCS}/k")).json()["value"] == {"n": 2}


@pytest.mark.parametrize("moment", Moment)
async def test_a_write_is_carried_out_after_its_sender_is_gone(moment: Moment) -> None:
    gate = Gate()
    server = StandIn(schedule=gate)
    async with client_of(server) as http:
        write = asyncio.create_task(http.post(DOCS, json={"key": "k", "value": {"n": 1}}))
        (held,) = await gate.settle()
        if moment is Moment.ACTS:
            (held,) = await gate.let(held)
        assert held.moment is moment
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        await gate.open()
        assert (await http.get(f"{DOCS}/k")).json()["value"] == {"n": 1}


async def test_concurrent_increments_give_every_number_once() -> None:
    async with client_of(StandIn()) as http:
        answers = await asyncio.gather(*(http.post("/api/cache/c/increment") for _ in range(50)))
    assert sorted(answer.json()["value"] for answer in answers) == list(range(1, 51))


async def test_a_step_says_who_sent_what() -> None:
    gate = Gate()
    server = StandIn(schedule=gate)
    async with client_of(server, StandInTransport(server, sender="B")) as http:
        read = asyncio.create_task(http.get(f"{DOCS}/a%2Fb"))
        (step,) = await gate.settle()
        seen = step.seen
        assert (seen.sender, seen.route, seen.database, seen.key) == ("B", "GET /api/dbs/:db/docs/:key", "users", "a/b")
        await gate.open()
        assert (await read).status_code == 404


async def test_depth_counts_the_requests_that_wait_for_one_another() -> None:
    server, recorder = StandIn(), Recorder()
    async with client_of(server, StandInTransport(server, recorder=recorder)) as http:
        with recorder.measure() as cost:
            await http.get("/api/dbs")
            await asyncio.gather(*(http.get(f"{DOCS}/{n}") for n in range(5)))
            await http.get("/health")
    assert (cost.requests, cost.depth) == (7, 3)
    assert cost.routes["GET /api/dbs/:db/docs/:key"] == 5


@pytest.mark.parametrize(
    ("fault", "raised", "written"),
    [
        (REFUSED, httpx.ConnectError, False),
        (CLOSED, httpx.RemoteProtocolError, False),
        (LOST, httpx.RemoteProtocolError, True),
        (HANGS, httpx.ReadTimeout, False),
        (CUT, httpx.RemoteProtocolError, True),
        (slow(60), httpx.ReadTimeout, True),
        (LATE, httpx.ReadTimeout, True),
    ],
)
async def test_fault_fails_as_the_network_does(fault: Fault, raised: type[Exception], *, written: bool) -> None:
    """A fault raises the network's error, with or without the request taking effect."""
    server = StandIn()
    async with client_of(server, StandInTransport(server, faults=nth(1, fault))) as http:
        with pytest.raises(raised):
            await http.post(DOCS, json={"key": "k", "value": {}})
        await Gate().settle()
        assert ((await http.get(f"{DOCS}/k")).status_code == 200) is written


async def test_an_answer_can_be_replaced() -> None:
    server = StandIn()
    network = StandInTransport(server, faults=always(HTML))
    async with client_of(server, network) as http:
        got = await http.get("/api/dbs")
        assert (got.status_code, got.text[:15]) == (200, "<!doctype html>")
        network.faults = always(answer(503, retry_after="7"))
        got = await http.get("/api/dbs")
        assert (got.status_code, got.headers["Retry-After"]) == (503, "7")
    assert server.served.total() == 0


async def test_a_fault_can_wait_for_the_nth_request_of_a_route() -> None:
    server = StandIn()
    network = StandInTransport(server, faults=nth(2, CLOSED, route="GET /health"))
    async with client_of(server, network) as http:
        for _ in range(2):
            await http.get("/api/dbs")
        await http.get("/health")
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/health")
        await http.get("/health")


async def test_slow_answers_take_the_time_of_the_injected_clock() -> None:
    server, clock = StandIn(), ManualClock()
    async with client_of(server, StandInTransport(server, faults=always(slow(2)), clock=clock)) as http:
        began = clock.monotonic()
        assert (await http.get("/health")).status_code == 200
    assert clock.monotonic() - began == 2


async def test_numbers_become_doubles_as_in_the_real_server() -> None:
    async with client_of(StandIn()) as http:
        await http.post(DOCS, content='{"key": "k", "value": {"big": 9007199254740993, "one": 1.0}}')
        assert '{"big": 9007199254740992, "one": 1}' in (await http.get(f"{DOCS}/k")).text
