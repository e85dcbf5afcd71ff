"""The bundle's twin under Lambda's own runtime client.

`make test-runtime` runs this, and so does `make check`; it is not in the default run, since it needs the bundle.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from deploy import bundle
from tests.events import http_event
from tests.fakes.standin import StandIn
from tests.live.processes import free_port
from tests.runtime.api import Answer, FailedToStart, Runtime, RuntimeApi, TimedOut, lambdas_own_packages
from tests.support import BY_SES, SECRET

KEY = "a-key-for-the-runtime-tests"
SERVER_KEEPS_S = 5
"""Seconds for which HYPR Micro keeps an idle connection."""

FUNCTIONS = ("users", "keys", "memos", "mcp", "usage", "subscriptions", "admin", "health")
VOICES = http_event("GET", "/api/v1/voices")
SCHEDULE = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-03-02T12:00:00Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:events:eu-central-1:123456789012:rule/every-five-minutes"],
    "detail": {},
}


class Micro:
    """The stand-in as a server, which counts the connections of requests, and may be slow."""

    def __init__(self) -> None:
        self.connections: set[tuple[str, int]] = set()
        self.requests = 0
        self.delay_s = 0.0
        self._standin = StandIn(keys=[KEY])

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.requests += 1
            self.connections.add(tuple(scope["client"]))
            await asyncio.sleep(self.delay_s)
        await self._standin(scope, receive, send)


@contextmanager
def served(micro: Micro, port: int | None = None) -> Iterator[str]:
    port = port or free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            micro,
            port=port,
            lifespan="off",
            log_level="critical",
            timeout_keep_alive=SERVER_KEEPS_S,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def twin() -> Path:
    """Return the folder that `make bundle TARGET=local` unpacked."""
    folder = bundle.TARGETS["local"].folder
    if not folder.is_dir():
        pytest.fail("there is no bundle: make bundle TARGET=local")
    return folder


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lambdas_own_packages(tmp_path_factory.mktemp("runtime"))


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        yield api


def runtime(api: RuntimeApi, twin: Path, own: Path, function: str = "memos", **env: str) -> Runtime:
    chosen = {"AGENT_TALK_STORE": "memory", "SESSION_SECRET": SECRET, "SPEECH": "simulated", **BY_SES} | env
    return Runtime(api, bundle=twin, own=own, handler=f"handlers/{function}.handler", env=chosen)


def on_micro(api: RuntimeApi, twin: Path, own: Path, url: str, function: str = "users") -> Runtime:
    return runtime(api, twin, own, function, AGENT_TALK_STORE="micro", HYPR_URL=url, HYPERMICRO_API_KEY=KEY)


def sign_up(name: str = "ada") -> Any:
    return http_event(
        "POST", "/api/v1/auth/signup", body=f'{{"email": "{name}@example.org", "password": "correct horse"}}'
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_starts_cold_and_answers(api: RuntimeApi, twin: Path, own: Path, function: str) -> None:
    with runtime(api, twin, own, function) as one:
        assert one.ready().init_s < 10  # Lambda's limit
        answer = api.invoke(http_event("GET", "/nothing"))
        assert (answer.status, answer.body["error"]["code"]) == (404, "NOT_FOUND")
        assert one.memory_mb() < 256


def test_nothing_is_logged_or_asked_for_before_the_first_event(api: RuntimeApi, twin: Path, own: Path) -> None:
    micro = Micro()
    with served(micro) as url, on_micro(api, twin, own, url) as one:
        one.ready()
        time.sleep(0.2)
        assert (micro.requests, one.log) == (0, [])


def test_warm_calls_answer_like_the_first_and_keep_no_memory(api: RuntimeApi, twin: Path, own: Path) -> None:
    with runtime(api, twin, own) as one:
        one.ready()
        first = api.invoke(VOICES)
        assert first.status == 200
        assert {json.dumps(api.invoke(VOICES).body) for _ in range(50)} == {json.dumps(first.body)}
        after_50 = one.memory_mb()
        for _ in range(500):
            api.invoke(VOICES)
        assert one.memory_mb() < after_50 + 2


def test_two_events_go_over_one_connection(api: RuntimeApi, twin: Path, own: Path) -> None:
    micro = Micro()
    with served(micro) as url, on_micro(api, twin, own, url) as one:
        one.ready()
        token = api.invoke(sign_up()).body["token"]
        me = http_event("GET", "/api/v1/auth/me", headers={"authorization": f"Bearer {token}"})
        micro.connections.clear()
        assert [api.invoke(me).status for _ in range(10)] == [200] * 10
        assert len(micro.connections) == 1


@pytest.mark.parametrize("frozen_s", [SERVER_KEEPS_S + 1, 2.5, 0.5])
def test_a_connection_that_a_freeze_left_dead_fails_no_event(
    api: RuntimeApi, twin: Path, own: Path, frozen_s: float
) -> None:
    micro = Micro()
    with served(micro) as url, on_micro(api, twin, own, url) as one:
        one.ready()
        account = api.invoke(sign_up()).body
        me = http_event("GET", "/api/v1/auth/me", headers={"authorization": f"Bearer {account['token']}"})
        assert api.invoke(me).status == 200
        one.freeze()
        time.sleep(frozen_s)
        one.thaw()
        assert api.invoke(me).status == 200
        assert api.invoke(sign_up("grace")).status == 201


def test_event_succeeds_when_the_server_restarted_during_freeze(api: RuntimeApi, twin: Path, own: Path) -> None:
    """All connections of the pool are dead together, long before they would count as old."""
    micro = Micro()
    port = free_port()
    with on_micro(api, twin, own, f"http://127.0.0.1:{port}") as one:
        one.ready()
        with served(micro, port):
            token = api.invoke(sign_up()).body["token"]
            me = http_event("GET", "/api/v1/auth/me", headers={"authorization": f"Bearer {token}"})
            assert api.invoke(me).status == 200
            one.freeze()
        down_s = time.monotonic()
        with served(micro, port):
            one.thaw()
            assert api.invoke(me).status == 200
            assert time.monotonic() - down_s < 10


def test_an_outage_is_answered_within_the_time_of_a_request(api: RuntimeApi, twin: Path, own: Path) -> None:
    """A server that answers too late is 503 at 12 s, below the functions' 15 s."""
    micro = Micro()
    micro.delay_s = 20
    with served(micro) as url, on_micro(api, twin, own, url) as one:
        one.ready()
        answer = api.invoke(sign_up(), timeout_s=15)
        assert (answer.status, answer.body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        micro.delay_s = 0
        assert api.invoke(sign_up()).status == 201


def test_after_a_timeout_the_next_process_serves(api: RuntimeApi, twin: Path, own: Path) -> None:
    """Lambda kills a process that exceeds its time, and starts another; incomplete rows are replaced or refused."""
    micro = Micro()
    with served(micro) as url, on_micro(api, twin, own, url) as one:
        one.ready()
        micro.delay_s = 1.5
        with pytest.raises(TimedOut):
            api.invoke(sign_up(), timeout_s=4)
        one.kill()
        micro.delay_s = 0
        one.start()
        one.ready()
        assert api.invoke(sign_up()).status in (201, 409)
        assert api.invoke(sign_up("grace")).status == 201


class RuntimeTransport(httpx2.AsyncBaseTransport):
    """Sends the official client's requests to a function as API Gateway's events, one at a time, as Lambda does.

    A request that the client gives up is still answered, so that its answer is not taken for the next one's.
    """

    def __init__(self, api: RuntimeApi, turn: asyncio.Lock) -> None:
        self._api = api
        self._turn = turn

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name.decode().lower(): value.decode() for name, value in request.headers.raw}
        body = (await request.aread()).decode()
        event = http_event(request.method, request.url.path, headers=headers, body=body)
        answer = await asyncio.shield(asyncio.ensure_future(self._invoked(event)))
        content_type = answer.value["headers"].get("content-type", "")
        return httpx2.Response(answer.status, headers={"content-type": content_type}, text=answer.value["body"])

    async def _invoked(self, event: Any) -> Answer:
        async with self._turn:
            return await asyncio.to_thread(self._api.invoke, event)


async def agent(api: RuntimeApi, turn: asyncio.Lock, key: str, name: str, *, mode: str) -> list[str]:
    """Make memos by one client over warm calls. Returns their ids in the order of the tool's list."""
    http = httpx2.AsyncClient(transport=RuntimeTransport(api, turn), headers={"authorization": f"Bearer {key}"})
    async with http, Client(streamable_http_client("https://api.example.org/mcp", http_client=http), mode=mode) as mcp:
        assert len((await mcp.list_tools()).tools) == 6
        made = []
        for number in range(5):
            said = {"text": f"{name} {number}", "voice": "sam", "idempotencyKey": f"{name}-{number}"}
            memo = (await mcp.call_tool("create_memo", said)).structured_content
            again = (await mcp.call_tool("create_memo", said)).structured_content
            assert memo is not None
            assert again is not None
            assert (again["id"], again["replayed"]) == (memo["id"], True)
            made.append(str(memo["id"]))
        assert (await mcp.call_tool("get_memo", {"id": made[0]})).structured_content is not None
        assert not (await mcp.call_tool("delete_memo", {"id": made[0]})).is_error
        return made[1:]


def test_official_clients_drive_the_tools_over_warm_calls(api: RuntimeApi, twin: Path, own: Path) -> None:
    """Two concurrent clients of two revisions, each with its own memos, use one container of the mcp function."""
    with served(Micro()) as url:
        with RuntimeApi() as users_api, on_micro(users_api, twin, own, url) as users:
            users.ready()
            keys = [users_api.invoke(sign_up(name)).body["apiKey"]["key"] for name in ("ada", "grace")]
        with on_micro(api, twin, own, url, "mcp") as one:
            one.ready()

            async def both() -> list[list[str]]:
                turn = asyncio.Lock()
                ada = agent(api, turn, keys[0], "ada", mode="auto")
                grace = agent(api, turn, keys[1], "grace", mode="legacy")
                return list(await asyncio.gather(ada, grace))

            ada, grace = asyncio.run(both())
        assert len({*ada, *grace}) == 8


def test_handler_is_an_initialisation_error_when_not_importable(api: RuntimeApi, twin: Path, own: Path) -> None:
    with runtime(api, twin, own, "nothing") as one, pytest.raises(FailedToStart) as caught:
        one.ready()
    assert caught.value.report["errorType"] == "Runtime.ImportModuleError"
    assert "handlers.nothing" in caught.value.report["errorMessage"]


def test_a_module_that_fails_is_an_initialisation_error_and_told(api: RuntimeApi, own: Path, tmp_path: Path) -> None:
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "memos.py").write_text('raise RuntimeError("broken at its import")')
    with runtime(api, tmp_path, own) as one, pytest.raises(FailedToStart, match="broken at its import"):
        one.ready()


def test_wrong_settings_answer_503_and_are_logged(api: RuntimeApi, twin: Path, own: Path) -> None:
    """Wrong settings are no initialisation error but 503 and a line that names them."""
    with runtime(api, twin, own, AGENT_TALK_STORE="", AGENT_TALK_ENV="production", SESSION_SECRET="") as one:
        one.ready()
        assert [api.invoke(VOICES).status for _ in range(2)] == [503, 503]
    told = [line for line in one.lines() if "cannot serve" in line["message"]]
    assert {"SESSION_SECRET", "PUBLIC_URL"} <= {problem.split()[0] for problem in told[0]["problems"]}


@pytest.mark.parametrize("event", [SCHEDULE, {}, [], "warm", None, 7, {"Records": [{"eventSource": "aws:sqs"}]}])
@pytest.mark.parametrize("function", ["memos", "health"])
def test_event_is_answered_and_the_next_served_when_not_http(
    api: RuntimeApi, twin: Path, own: Path, function: str, event: Any
) -> None:
    """The event's answer is 400, and a line is logged."""
    with runtime(api, twin, own, function) as one:
        one.ready()
        answer = api.invoke(event)
        assert answer.error is None
        assert (answer.status, answer.body["error"]["code"]) == (400, "VALIDATION_ERROR")
        assert api.invoke(http_event("GET", "/nothing")).status == 404
    assert [line for line in one.lines() if line["message"] == "refused an event"]
