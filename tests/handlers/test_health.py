"""Health through whole events, and the answer to unknown paths."""

import asyncio
from collections.abc import Callable

import pytest

from shared import VERSION
from shared.stores.port import StoreError
from shared.tables import TABLES
from tests.handlers.world import World

NewWorld = Callable[..., World]
NOTHING_HERE = (404, "NOT_FOUND", "The requested resource was not found")


def test_health_answers_version_mode_and_time(world: World) -> None:
    """Credentials are ignored."""
    answer = world.get("/health", token="garbage")
    assert answer.status == 200
    assert answer.json == {
        "status": "ok",
        "service": "Agent Talk API",
        "version": VERSION,
        "timestamp": answer.json["timestamp"],
        "ttsMode": "simulation",
        "database": {"status": "ok", "mode": "memory"},
    }
    assert answer.json["timestamp"].endswith("Z")


def test_health_is_503_with_the_same_fields_in_an_outage(world: World) -> None:
    """The body has the fields of health, and not the error envelope."""
    healthy = world.get("/health").json
    world.is_down = True
    world.later(seconds=5)
    answer = world.get("/health")
    assert answer.status == 503
    assert answer.json == healthy | {
        "status": "error",
        "timestamp": answer.json["timestamp"],
        "database": {"status": "error", "mode": "memory"},
    }


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/detailed"])
def test_health_is_503_when_the_store_refuses(world: World, path: str, *, started: bool) -> None:
    """A store that refuses a request is as unusable as one that is down."""

    async def refuses() -> None:
        raise StoreError("the store does not take this request")

    if started:
        assert world.get(path).status == 200
        world.later(seconds=5)
    world.disturb(refuses)
    assert world.get(path).status == 503


def test_health_recovers_with_the_store(world: World) -> None:
    """After an outage, requests are 200 once the last result is five seconds old."""
    world.is_down = True
    assert world.get("/health").status == 503
    world.is_down = False
    world.later(seconds=5)
    assert world.get("/health").status == 200


@pytest.mark.parametrize("is_down", [False, True])
def test_liveness_ignores_the_store(world: World, is_down: bool) -> None:  # noqa: FBT001
    """The process answers 200 with its uptime, also during an outage."""
    world.is_down = is_down
    answer = world.get("/health/live")
    assert answer.status == 200
    assert answer.json.keys() == {"status", "timestamp", "uptime"}
    assert answer.json["status"] == "alive"
    assert answer.json["uptime"] >= 0


def test_readiness_follows_the_store(world: World) -> None:
    """503 with a reason during an outage, 200 afterwards."""
    world.is_down = True
    refused = world.get("/health/ready")
    assert refused.status == 503
    assert refused.json.keys() == {"status", "reason"}
    assert refused.json["status"] == "not_ready"
    world.is_down = False
    world.later(seconds=5)
    answer = world.get("/health/ready")
    assert answer.status == 200
    assert answer.json.keys() == {"status", "timestamp"}
    assert answer.json["status"] == "ready"


def test_details_have_database_and_audio(world: World) -> None:
    """Tables, latency and status are answered."""
    answer = world.get("/health/detailed")
    assert answer.status == 200
    assert answer.json.keys() == {"status", "service", "version", "timestamp", "ttsMode", "database", "checks"}
    database = answer.json["checks"]["database"]
    assert database.keys() == {"status", "latency", "tables"}
    assert (database["status"], database["tables"]) == ("ok", [table.name for table in TABLES])
    assert 0 < database["latency"] < 60_000, "milliseconds of a read in memory"
    assert answer.json["checks"]["audio"]["status"] == "ok"


def test_details_are_503_in_an_outage(world: World) -> None:
    """In an outage the details are 503, without a latency."""
    world.is_down = True
    answer = world.get("/health/detailed")
    assert (answer.status, answer.json["status"]) == (503, "error")
    assert (answer.json["checks"]["database"]["status"], answer.json["checks"]["database"]["latency"]) == (
        "error",
        None,
    )


def test_health_answers_without_usable_settings(new_world: NewWorld) -> None:
    """With unusable settings health is 503, and liveness 200."""
    world = new_world({"AGENT_TALK_STORE": "micro", "SESSION_SECRET": "short"})
    answer = world.get("/health")
    assert (answer.status, answer.json["database"]) == (503, {"status": "error", "mode": "micro"})
    assert world.get("/health/live").status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/index.html", "/api/v1/nothing", "/health/", "//health", "/Health", "/%F0%9F%98%80", "/a/../b"]
)
def test_unknown_paths_are_404_in_the_envelope(world: World, method: str, path: str) -> None:
    """The health function has all paths that no other function has."""
    answer = world.send(method, path)
    assert answer.refusal == NOTHING_HERE
    assert "details" not in answer.error


def test_unknown_paths_are_404_in_an_outage(world: World) -> None:
    world.is_down = True
    assert world.get("/nothing").refusal == NOTHING_HERE


@pytest.mark.parametrize("rest", [False, True])
def test_health_takes_both_payloads(world: World, rest: bool) -> None:  # noqa: FBT001
    for path in ("/health", "/health/live", "/health/ready", "/health/detailed"):
        assert world.get(path, rest=rest).status == 200
    assert world.get("/nothing", rest=rest).refusal == NOTHING_HERE


@pytest.mark.parametrize("is_down", [False, True])
def test_health_asks_the_store_once_in_five_seconds(world: World, *, is_down: bool) -> None:
    """Requests by any path share one read in five seconds, failed or not: callers cannot make health expensive."""
    calls: list[int] = []

    async def count() -> None:
        calls.append(1)
        if is_down:
            raise StoreError("the store does not take this request")

    assert world.get("/health").status == 200
    world.later(seconds=5)
    world.disturb(count)
    for path in ("/health", "/health/ready", "/health/detailed") * 5:
        assert world.get(path).status == (503 if is_down else 200)
    assert len(calls) == 1
    assert world.store.verified == 1
    world.later(seconds=5)
    world.get("/health")
    assert len(calls) == 2


@pytest.mark.anyio
async def test_health_asks_the_store_once_for_a_crowd(world: World) -> None:
    """Concurrent requests share one read of the store."""
    calls: list[int] = []

    async def count() -> None:
        calls.append(1)

    async with world.http("health") as client:
        await client.get("/health/live")
        world.disturb(count)
        answers = await asyncio.gather(*(client.get("/health") for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(calls) == 2  # the start's verification, and one read
