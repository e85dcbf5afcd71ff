"""The network between a client and the stand-in: it counts, and fails on demand, without sockets or real time.

clock = ManualClock()
server = StandIn(wall=clock.wall)
recorder = Recorder()
network = StandInTransport(server, recorder=recorder, faults=nth(2, LOST), clock=clock, sender="A")
wire = HttpxWire(network)
client = MicroClient(wire, Direct(url="http://micro", api_key=KEY), monotonic=clock.monotonic, sleep=clock.sleep)
with recorder.measure() as cost:
    await client.get("users", "u1")
assert (cost.requests, cost.depth) == (1, 1)
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import httpx

from tests.fakes.standin import StandIn
from tests.fakes.standin_steps import Seen, identify


class ManualClock:
    """A clock that passes when the test advances it, and when code sleeps on it."""

    def __init__(self, *, monotonic_s: float = 1000.0, wall_s: float = 1_800_000_000.0) -> None:
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self._monotonic_s

    def wall(self) -> float:
        return self._wall_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._monotonic_s += seconds
        self._wall_s += seconds

    def freeze(self, seconds: float) -> None:
        """Freeze the container: only the wall clock advances."""
        self._wall_s += seconds


@dataclass(kw_only=True)
class Cost:
    """The requests during a measurement. Measure one operation at a time.

    `depth` is the length of the longest chain of requests, each sent after the answer to the one before it; `received`
    is the bytes of all answers.
    """

    routes: Counter[str] = field(default_factory=Counter)
    depth: int = 0
    received: int = 0
    _answered_depth: int = 0

    @property
    def requests(self) -> int:
        return self.routes.total()

    def sent(self, route: str) -> int:
        self.routes[route] += 1
        depth = self._answered_depth + 1
        self.depth = max(self.depth, depth)
        return depth

    def answered(self, depth: int) -> None:
        self._answered_depth = max(self._answered_depth, depth)


class Recorder:
    """Records every request of its transports, repeats included; `total` counts since the beginning."""

    def __init__(self) -> None:
        self.total = Cost()
        self._costs = [self.total]

    @contextmanager
    def measure(self) -> Iterator[Cost]:
        cost = Cost()
        self._costs.append(cost)
        try:
            yield cost
        finally:
            self._costs.remove(cost)

    def received(self, size: int) -> None:
        for cost in self._costs:
            cost.received += size

    @contextmanager
    def request(self, route: str) -> Iterator[None]:
        sent = [(cost, cost.sent(route)) for cost in self._costs]
        try:
            yield
        finally:
            for cost, depth in sent:
                cost.answered(depth)


class Way(StrEnum):
    REFUSES = "no connection"
    CLOSES = "the connection closes without an answer"
    HANGS = "no answer until the client gives up"
    SLOWS = "the answer takes a time"
    ANSWERS = "another answer takes the place of the server's"
    CUTS = "the answer breaks off in the middle"
    LATE = "the client gives up at once, and the server carries it out when its schedule allows"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A failure of a request. `processed`: the server carries the request out first."""

    way: Way
    processed: bool = False
    delay_s: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


def answer(status: int, body: str = "", *, processed: bool = False, **headers: str) -> Fault:
    """Return a fault that is an answer, as in `answer(503, retry_after="1")`."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(way=Way.ANSWERS, status=status, body=body, headers=fields, processed=processed)


def slow(delay_s: float) -> Fault:
    return Fault(way=Way.SLOWS, delay_s=delay_s, processed=True)


REFUSED: Final = Fault(way=Way.REFUSES)
CLOSED: Final = Fault(way=Way.CLOSES)
LOST: Final = Fault(way=Way.CLOSES, processed=True)
HANGS: Final = Fault(way=Way.HANGS)
HANGS_AFTER: Final = Fault(way=Way.HANGS, processed=True)
LATE: Final = Fault(way=Way.LATE, processed=True)
CUT: Final = Fault(way=Way.CUTS, processed=True)
FAILED: Final = answer(500, '{"ok": false, "error": "disk trouble"}')
FAILED_AFTER: Final = answer(502, "<html>Bad Gateway</html>", processed=True)
UNAVAILABLE: Final = answer(503, '{"error": "Service Unavailable"}')
BUSY: Final = answer(503, retry_after="1")
LIMITED: Final = answer(429, '{"error": "Too Many Requests"}', retry_after="1")
HTML: Final = answer(200, "<!doctype html><title>Welcome</title>", content_type="text/html")

EVERY_FAULT: Final[Mapping[str, Fault]] = {
    "refused": REFUSED,
    "closed before": CLOSED,
    "closed after": LOST,
    "hangs": HANGS,
    "hangs after": HANGS_AFTER,
    "late": LATE,
    "cut short": CUT,
    "slow": slow(1.0),
    "500": FAILED,
    "502 after": FAILED_AFTER,
    "503": UNAVAILABLE,
    "503 with Retry-After": BUSY,
    "429": LIMITED,
    "HTML": HTML,
}

Faults = Callable[[Seen], Fault | None]
"""Returns the fault of a request; called once per request, in the order of sending."""


def none(_: Seen) -> Fault | None:
    return None


def always(fault: Fault) -> Faults:
    return lambda _: fault


def nth(number: int, fault: Fault, *, route: str | None = None) -> Faults:
    """Return faults that fail the `number`th request (from 1), of all routes or of one."""
    count = 0

    def strike(seen: Seen) -> Fault | None:
        nonlocal count
        count += route in (None, seen.route)
        return fault if count == number and route in (None, seen.route) else None

    return strike


class StandInTransport(httpx.AsyncBaseTransport):
    """Raises httpx's exceptions for chosen faults. `sender` names the client to schedules."""

    def __init__(
        self,
        server: StandIn,
        *,
        faults: Faults = none,
        recorder: Recorder | None = None,
        clock: ManualClock | None = None,
        sender: str = "client",
    ) -> None:
        self.faults = faults
        self._server = httpx.ASGITransport(server, client=(sender, 0))
        self._recorder = recorder or Recorder()
        self._clock = clock or ManualClock()
        self._late: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        seen = identify(request.method, request.url.raw_path.partition(b"?")[0].decode())
        with self._recorder.request(seen.route):
            fault = self.faults(seen)
            if fault is None:
                answer = await self._server.handle_async_request(request)
                self._recorder.received(len(await answer.aread()))
                return answer
            return await self._fail(request, fault)

    async def _fail(self, request: httpx.Request, fault: Fault) -> httpx.Response:
        patience_s: float = request.extensions["timeout"]["read"]
        if fault.way is Way.REFUSES:
            raise httpx.ConnectError("connection refused", request=request)
        if fault.way is Way.LATE:
            task = asyncio.create_task(self._server.handle_async_request(request))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        real = None
        if fault.processed and fault.way is not Way.LATE:
            real = await self._server.handle_async_request(request)
        delay_s = fault.delay_s if fault.way is Way.SLOWS else patience_s
        if fault.way in (Way.HANGS, Way.LATE, Way.SLOWS):
            self._clock.advance(min(delay_s, patience_s))
            if delay_s >= patience_s:
                raise httpx.ReadTimeout("no answer", request=request)
        if fault.way is Way.CLOSES:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        if fault.way is Way.ANSWERS:
            return httpx.Response(fault.status, headers=fault.headers, text=fault.body)
        assert real is not None
        if fault.way is Way.CUTS:
            content = await real.aread()
            return httpx.Response(real.status_code, headers=real.headers, stream=_Cut(content, request))
        return real


class _Cut(httpx.AsyncByteStream):
    def __init__(self, content: bytes, request: httpx.Request) -> None:
        self._content = content
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content[: len(self._content) // 2]
        raise httpx.RemoteProtocolError("peer closed connection", request=self._request)
