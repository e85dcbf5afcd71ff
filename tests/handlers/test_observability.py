"""The records of a request: one log line, one line of metrics if they are collected, and a propagated trace."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest

from shared.core.settings import Settings
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.observability.metrics import NAMESPACE, VALUES, Served, emit, emit_run, kind_of_error
from shared.observability.request_stats import RequestStats
from shared.services import Services
from shared.stores.micro.store import MicroStore
from tests.events import schedule_event
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.permitted import PermittedStore
from tests.fakes.standin import KEY, StandIn
from tests.handlers.world import PASSWORD, Account, Logs, World
from tests.support import BY_SES, SECRET, cheap_passwords

NewWorld = Callable[..., World]

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01", "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"}
COUNTED = {"METRICS": "1"}


def requests(logs: Logs) -> list[Any]:
    return [line for line in logs.lines if line["message"] in ("request", "the request failed")]


def written(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """Return the lines of metrics since the last call."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def named(line: Any) -> set[str]:
    """Return the metrics that a line declares, and check that it has a value for each."""
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE
    assert directive["Dimensions"] == [["function"]]
    names = {metric["Name"] for metric in directive["Metrics"]}
    assert names <= line.keys()
    return names


class Wire(httpx.AsyncBaseTransport):
    """A stand-in behind ASGI that records the headers of each request."""

    def __init__(self) -> None:
        self._inner = httpx.ASGITransport(StandIn())
        self.seen: list[httpx.Headers] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request.headers)
        return await self._inner.handle_async_request(request)


class MicroWorld(World):
    """All functions on a wire to a stand-in of HYPR Micro."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        self.wire = Wire()
        super().__init__(environ)

    def _build(self, function: str, settings: Settings) -> Services:
        client = MicroClient(HttpxWire(self.wire), Direct(url="http://micro", api_key=KEY))
        return Services.on(PermittedStore(MicroStore(client), function), settings, passwords=cheap_passwords())


@pytest.fixture
def micro() -> Iterator[MicroWorld]:
    world = MicroWorld(COUNTED)
    yield world
    world.close()


class TestLogLine:
    def test_request_is_one_line(self, world: World, ada: Account, logs: Logs) -> None:
        """The line has method, route, status and error code."""
        world.memo(ada.key)
        world.get("/api/v1/memos", token=ada.key)
        world.get("/api/v1/memos")
        world.get("/nowhere")
        seen = [(line["method"], line.get("route"), line["status"], line.get("error")) for line in requests(logs)]
        assert seen == [
            ("POST", "/api/v1/memo", 201, None),
            ("GET", "/api/v1/memos", 200, None),
            ("GET", "/api/v1/memos", 401, "MISSING_API_KEY"),
            ("GET", None, 404, "NOT_FOUND"),
        ]

    def test_cold_start_is_the_first_request(self, world: World, logs: Logs) -> None:
        """Each container has one, and events that are no requests do not count."""
        world.handle("memos", schedule_event())
        for _ in range(3):
            world.get("/api/v1/voices")
        world.get("/health/live")
        assert [line["cold_start"] for line in requests(logs)] == [True, False, False, True]

    def test_request_line_has_the_key_id_when_refused(self, world: World, ada: Account, logs: Logs) -> None:
        """No line contains the key itself."""
        world.get("/api/v1/usage", token=ada.key)
        world.delete(f"/api/keys/{ada.key_id}", token=ada.session)
        world.get("/api/v1/usage", token=ada.key)
        world.get("/api/v1/usage", token=ada.session)
        assert [(line.get("key_id"), line.get("error")) for line in requests(logs)] == [
            (ada.key_id, None),
            (None, None),
            (ada.key_id, "REVOKED_KEY"),
            (None, None),
        ]
        assert ada.key not in logs.text

    def test_request_line_has_client_user_and_key(self, world: World, ada: Account, logs: Logs) -> None:
        """An attack leaves a trace: a pseudonym of the address, and the ids of the user and the key that called."""
        here, there = {"source_ip": "2001:db8::1"}, {"source_ip": "203.0.113.9"}
        world.get("/api/v1/memos", token=ada.key, **here)
        world.get("/api/v1/memos", token=ada.session, **there)
        world.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD}, source_ip="2001:db8::2")
        world.post("/api/v1/auth/login", json={"email": ada.email, "password": "wrong"}, **there)
        lines = requests(logs)
        assert [line.get("user_id") for line in lines] == [ada.id, ada.id, ada.id, None]
        assert [line.get("key_id") for line in lines] == [ada.key_id, None, None, None]
        of_here, of_there, of_neighbour, again = (line["client"] for line in lines)
        assert of_here == of_neighbour != of_there == again
        assert not any(personal in logs.text for personal in ("2001:db8", "203.0.113.9", ada.email))

    def test_security_events_are_lines(self, world: World, ada: Account, logs: Logs) -> None:
        """Changed passwords, ended sessions and refused attempts are lines that an operator finds by their text."""
        change = {"currentPassword": PASSWORD, "newPassword": "another one"}
        world.post("/api/v1/auth/change-password", token=ada.session, json=change)
        world.post("/api/v1/auth/logout", token=ada.session)
        for _ in range(11):
            world.post("/api/v1/auth/login", json={"email": ada.email, "password": "wrong"})
        others = ("request", "mail was sent")
        lines = [line for line in logs.lines if not any(word in line["message"] for word in others)]
        seen = [(line["level"], line["message"]) for line in lines]
        assert seen == [
            ("INFO", "password changed; all other sessions ended"),
            ("INFO", "session ended"),
            ("WARNING", "attempts refused"),
        ]
        assert all(word not in logs.text for word in ("another one", PASSWORD, "/api/v1/auth/login?"))

    def test_request_line_names_head_and_its_route(self, world: World, logs: Logs) -> None:
        """HEAD is logged as HEAD."""
        world.send("HEAD", "/api/v1/voices")
        (line,) = requests(logs)
        assert (line["method"], line["route"]) == ("HEAD", "/api/v1/voices")

    def test_request_line_names_outages_and_defects(self, world: World, ada: Account, logs: Logs) -> None:
        """Outages and defects are in the line by the codes of their answers."""
        world.get("/api/v1/usage", token=ada.key)

        async def fail() -> None:
            await asyncio.sleep(0)
            raise RuntimeError("a defect")

        world.is_down = True
        world.get("/api/v1/usage", token=ada.key)
        world.is_down = False
        world.disturb(fail)
        world.get("/api/v1/usage", token=ada.key)
        codes = [(line["status"], line.get("error")) for line in requests(logs)]
        assert codes == [(200, None), (503, "SERVICE_UNAVAILABLE"), (500, "INTERNAL_ERROR")]

    def test_request_line_counts_store_requests(self, micro: MicroWorld, logs: Logs) -> None:
        """The first event's include the verification."""
        account = micro.sign_up()
        micro.get("/api/v1/memos", token=account.key)
        micro.get("/api/v1/memos", token=account.key)
        micro.get("/api/v1/voices")
        signed_up, first, second, voices = requests(logs)
        assert signed_up["store_requests"] > 14
        assert first["store_requests"] == 1 + second["store_requests"], "a first event verifies the tables"
        assert (second["store_requests"], voices["store_requests"], voices["store_ms"]) == (2, 0, 0)
        assert second["store_ms"] > 0

    def test_request_line_counts_none_for_memory(self, new_world: NewWorld, logs: Logs, store_choice: str) -> None:
        """The memory store makes no requests."""
        if store_choice != "memory":
            pytest.skip("this is about memory")
        new_world().sign_up()
        assert [line["store_requests"] for line in requests(logs)] == [0]


ON_A_NETWORK: Final = {"StoreLatency"}
"""Metrics that only stores on a network have."""


class TestMetrics:
    def test_metrics_are_not_written_outside_lambda(
        self, new_world: NewWorld, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """No metrics are written outside Lambda, in an emulation of it, or with METRICS=0."""
        for environ in ({}, {"METRICS": "0"}, {"METRICS": "0", "AWS_LAMBDA_FUNCTION_NAME": "memos"}):
            new_world(environ).get("/api/v1/voices")
        new_world({"AWS_LAMBDA_FUNCTION_NAME": "memos", "IS_LOCAL": "true"}).get("/api/v1/voices")
        assert written(capsys) == []

    def test_metrics_are_written_in_lambda(self, new_world: NewWorld, capsys: pytest.CaptureFixture[str]) -> None:
        """The line has the function's name."""
        env = {
            "AWS_LAMBDA_FUNCTION_NAME": "agent-talk-dev-memos",
            "SESSION_SECRET": SECRET,
            "SPEECH": "simulated",
            **BY_SES,
        }
        new_world(env).get("/api/v1/voices")
        (line,) = written(capsys)
        assert line["function"] == "agent-talk-dev-memos"
        assert named(line) - ON_A_NETWORK == {"Duration", "StoreRequests", "ColdStarts"}

    def test_metrics_count_a_failed_start(self, new_world: NewWorld, capsys: pytest.CaptureFixture[str]) -> None:
        """A failed start is counted in StoreErrors."""
        new_world({"AWS_LAMBDA_FUNCTION_NAME": "memos", "LOG_LEVEL": "LOUD"}).get("/api/v1/voices")
        (line,) = written(capsys)
        assert line["StoreErrors"] == [1]

    def test_metrics_count_memos_and_refusals(self, new_world: NewWorld, capsys: pytest.CaptureFixture[str]) -> None:
        """A memo counts once, a refused one as LimitRefusals."""
        world = new_world(COUNTED)
        account = world.sign_up()
        world.memo(account.key)
        world.spend(account, 1000)
        world.post("/api/v1/memo", token=account.key, json={"text": "Hi", "voice": "sam"})
        world.post("/api/v1/memo", token=account.key, json={"voice": "sam"})
        signed_up, made, refused, invalid = written(capsys)
        assert "Memos" not in named(signed_up)
        assert (made["Memos"], len(made["SpeechLatency"]), made["route"]) == ([1], 1, "/api/v1/memo")
        assert named(refused) - ON_A_NETWORK == {"Duration", "StoreRequests", "LimitRefusals"}
        assert (refused["LimitRefusals"], refused["error"]) == ([1], "DAILY_LIMIT_EXCEEDED")
        assert named(invalid) - ON_A_NETWORK == {"Duration", "StoreRequests", "ClientErrors"}

    def test_metrics_time_store_requests(self, micro: MicroWorld, capsys: pytest.CaptureFixture[str]) -> None:
        """Each request to the store has its latency."""
        account = micro.sign_up()
        for _ in range(2):
            micro.get("/api/v1/memos", token=account.key)
        line = written(capsys)[-1]
        assert (line["StoreRequests"], len(line["StoreLatency"])) == ([2], 2)

    def test_metrics_of_an_event_are_its_own(
        self, micro: MicroWorld, capsys: pytest.CaptureFixture[str], logs: Logs
    ) -> None:
        """Nothing carries over to the next event."""
        account = micro.sign_up()
        micro.memo(account.key)
        micro.get("/api/v1/memos", headers=TRACE)
        micro.get("/api/v1/voices")
        *_, refused, after = written(capsys)
        assert (refused["error"], refused["trace_id"]) == ("MISSING_API_KEY", TRACE_ID)
        assert named(after) - ON_A_NETWORK == {"Duration", "StoreRequests"}
        assert after.keys() & {"error", "trace_id", "Memos"} == set()
        assert requests(logs)[-1].keys() & {"error", "trace_id", "key_id"} == set()

    @pytest.mark.anyio
    async def test_metrics_of_concurrent_requests_are_separate(
        self, micro: MicroWorld, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Each line counts its own request alone."""
        async with micro.http("users") as client:
            account = (
                await client.post("/api/v1/auth/signup", json={"email": "a@b.co", "password": "long enough"})
            ).json()
        async with micro.http("memos", account["apiKey"]["key"]) as client:
            await client.get("/api/v1/voices")
            written(capsys)
            ids = [f"{kind}-{number}" for number in range(8) for kind in ("memo", "page", "voices", "nowhere")]

            async def send(request_id: str) -> httpx.Response:
                headers = {"x-request-id": request_id}
                match request_id.split("-", maxsplit=1)[0]:
                    case "memo":
                        body = {"text": "Hi", "voice": "sam"}
                        return await client.post("/api/v1/memo", json=body, headers=headers)
                    case "page":
                        return await client.get("/api/v1/memos", headers=headers)
                    case "voices":
                        return await client.get("/api/v1/voices", headers=headers)
                    case _:
                        return await client.get("/nowhere", headers=headers)

            await asyncio.gather(*map(send, ids))
        lines = {line["request_id"]: line for line in written(capsys)}
        assert lines.keys() == set(ids)
        told = {
            kind: {
                (line["StoreRequests"][0], "Memos" in line, line.get("error"))
                for request_id, line in lines.items()
                if request_id.startswith(kind)
            }
            for kind in ("memo", "page", "voices", "nowhere")
        }
        assert {made for _, made, _ in told["memo"]} == {True}
        assert {count for count, _, _ in told["memo"]} <= {7, 8, 9, 10, 11, 12}, (
            "once a day the owner is listed as active and the month is read, once a minute a use is kept"
        )
        assert told["page"] == {(2, False, None)}
        assert told["voices"] == {(0, False, None)}
        assert told["nowhere"] == {(0, False, "NOT_FOUND")}

    def test_metrics_contain_no_secret_and_no_path(self, micro: MicroWorld, capsys: pytest.CaptureFixture[str]) -> None:
        """A line has the route's template, and not the path."""
        account = micro.sign_up("canary@example.org", "canary-password")
        memo = micro.memo(account.key, "canary text", title="canary")
        micro.get(f"/api/v1/memo/{memo['id']}", token=account.key)
        micro.get("/canary")
        text = capsys.readouterr().out
        for secret in ("canary", account.key, account.session, memo["id"]):
            assert secret not in text

    def test_metrics_are_one_line_for_any_number_of_requests(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Latencies beyond the format's bound are counted and not timed."""
        spent = RequestStats(store_ms=[1.0] * 250)
        emit(served(spent=spent), function="memos")
        (line,) = written(capsys)
        assert (line["StoreRequests"], len(line["StoreLatency"])) == ([250], VALUES)

    def test_metrics_of_a_run_have_no_oldest_work_as_zero(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A missing value raises the alarm, so a run that leaves no work writes 0. Its line is bounded too."""
        spent = RequestStats(store_ms=[1.0] * 250)
        emit_run(function="housekeeping", done=0, failed=0, oldest_s=0.0, spent=spent, duration_ms=1.0)
        (line,) = written(capsys)
        assert (line["OldestWork"], line["StoreRequests"], len(line["StoreLatency"])) == ([0.0], [250], VALUES)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (200, None),
            (304, None),
            (None, None),
            (400, "ClientErrors"),
            (416, "ClientErrors"),
            (429, "LimitRefusals"),
            (499, "ClientErrors"),
            (500, "InternalErrors"),
            (501, "InternalErrors"),
            (504, "InternalErrors"),
            (502, "SpeechErrors"),
            (503, "StoreErrors"),
        ],
    )
    def test_kind_of_error_follows_from_the_status(self, status: int | None, kind: str | None) -> None:
        """Each status counts under one metric at most."""
        assert kind_of_error(status) == kind

    def test_audio_that_is_being_made_is_no_error_of_the_store(self) -> None:
        """AUDIO_NOT_READY has its own metric, which the alarm of failures subtracts."""
        assert kind_of_error(503, "AUDIO_NOT_READY") == "AudioNotReady"


class TestTrace:
    def test_trace_continues_in_every_store_request(self, micro: MicroWorld, logs: Logs) -> None:
        """Each request to the store has its own span."""
        account = micro.sign_up()
        micro.get("/api/v1/memos", token=account.key)
        micro.wire.seen.clear()
        micro.get("/api/v1/memos", token=account.key, headers=TRACE)
        sent = [headers["traceparent"].split("-") for headers in micro.wire.seen]
        assert {(version, trace_id, flags) for version, trace_id, _, flags in sent} == {("00", TRACE_ID, "01")}
        assert len({span for _, _, span, _ in sent} - {"00f067aa0ba902b7"}) == len(sent) == 2
        assert {headers["tracestate"] for headers in micro.wire.seen} == {TRACE["tracestate"]}
        assert requests(logs)[-1]["trace_id"] == TRACE_ID

    @pytest.mark.parametrize("rest", [False, True])
    def test_trace_is_ignored_when_invalid(self, micro: MicroWorld, logs: Logs, *, rest: bool) -> None:
        """Its state is ignored too, and no trace is generated."""
        account = micro.sign_up()
        for headers in ({}, TRACE | {"traceparent": "00-nothing"}, {"tracestate": "a=1"}):
            assert micro.get("/api/v1/memos", token=account.key, headers=headers, rest=rest).status == 200
        assert [headers for headers in micro.wire.seen if headers.keys() & {"traceparent", "tracestate"}] == []
        assert [line for line in logs.lines if "trace_id" in line] == []

    def test_trace_state_is_dropped_when_no_header_can_carry_it(self, micro: MicroWorld) -> None:
        """The request succeeds, and the trace continues."""
        account = micro.sign_up()
        answer = micro.get("/api/v1/memos", token=account.key, headers=TRACE | {"tracestate": "a=\xe9"})
        assert answer.status == 200
        assert "tracestate" not in micro.wire.seen[-1]
        assert TRACE_ID in micro.wire.seen[-1]["traceparent"]


def served(spent: RequestStats) -> Served:
    return Served(
        client=None,
        request_id="r",
        method="GET",
        route="/api/v1/memos",
        status=200,
        duration_ms=1.0,
        cold_start=False,
        spent=spent,
    )
