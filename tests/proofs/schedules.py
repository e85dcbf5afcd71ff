"""Stores under a scheduler that decides every step: the proof that changing rows keep their promises.

Real stores, each a container, work on one row of a stand-in. At each step the scheduler chooses: it permits one step of
one request, wakes a client, kills one, or loses an answer. Requests of a client that died or gave up stay pending, and
take effect when the scheduler chooses, or never. At the end a newcomer must find the row usable, before the late
requests and after them.

Then the clients' observations are checked: there must be one order of all acknowledged operations, each taking effect
once between its beginning and its end, that explains every answer. Unacknowledged ones may have taken effect once, or
not.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from starlette.types import Message

from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.micro_errors import NoAnswer
from shared.micro_wire import Answer, Headers
from shared.stores.micro.ballots import Ballots
from shared.stores.micro.store import MicroStore
from shared.stores.port import AlreadyExists, Document, Key, StoreUnavailable
from tests.fakes.micro_store_world import CHANGING
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import ManualClock
from tests.fakes.standin_steps import Step

ROW: Final = Key("row")
NEWCOMER: Final = 99
PATIENCE_TURNS: Final = 10_000

State = tuple[str, ...] | None
"""The row's state for the operations: its writers, in order. None: absent."""

Script = Sequence[str]
"""A client's operations, in order: `claim`, `append`, `delete`, `read`."""


class Missing(Exception):
    """The row of an append is missing."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A scenario. `there`: the row exists at the beginning. `crashes` and `losses` are the most of each."""

    scripts: Sequence[Script]
    there: bool = False
    crashes: int = 0
    losses: int = 0


@dataclass(frozen=True, kw_only=True)
class Option:
    """A possible next step. Options of lower `rank` are listed first."""

    name: str
    take: Callable[[], None]
    rank: float = 0
    fault: bool = False


@dataclass(kw_only=True)
class Done:
    """An operation as its client observed it. `answer` is meaningless until it has ended."""

    name: str
    token: str
    began: int
    ended: int | None = None
    answer: object = None


class Pruned(Exception):
    """The search has visited this state before."""


Choose = Callable[[Sequence[Option], Callable[[], object]], int]
"""Returns the index of the chosen option, given the options and a digest of the state. Raises Pruned."""


@dataclass(eq=False)
class _Request:
    sender: int
    answer: asyncio.Future[Answer]
    step: Step | None = None
    held: asyncio.Future[None] | None = None


class _Wire:
    """Sends to the stand-in, without timeouts or failures of a network."""

    def __init__(self, world: "Schedules", sender: int) -> None:
        self._world = world
        self._sender = sender

    async def send(
        self,
        method: str,
        target: str,
        *,
        headers: Headers,
        content: bytes | None,
        within_s: float,  # noqa: ARG002 no request takes time
    ) -> Answer:
        return await self._world.sent(self._sender, method, target, content, headers)


@dataclass(eq=False)
class _Client:
    store: MicroStore
    script: Script
    task: asyncio.Task[None] | None = None
    requests: set[_Request] = field(default_factory=set)
    sleeping: asyncio.Future[None] | None = None
    answers: list[object] = field(default_factory=list)
    slept_s: float = 0

    @property
    def is_done(self) -> bool:
        return self.task is None or self.task.done()

    @property
    def is_settled(self) -> bool:
        if self.is_done or (self.sleeping is not None and not self.sleeping.done()):
            return True
        return bool(self.requests) and all(
            request.held is not None and not request.held.done() for request in self.requests
        )


class Schedules:
    """One run of a scenario. It is also the stand-in's schedule."""

    def __init__(self, scenario: Scenario, choose: Choose, *, ballots: type[Ballots] = Ballots) -> None:
        self._scenario = scenario
        self._choose = choose
        self._ballots = ballots
        self._server = StandIn(schedule=self)
        self._clients: dict[int, _Client] = {}
        self._alive: dict[_Request, None] = {}  # in the order of sending
        self._open = True
        self._last = 0
        self._now = 0
        self._events: list[tuple[int, int, str]] = []
        self._crashes = scenario.crashes
        self._losses = scenario.losses
        self.taken: list[str] = []
        self.history: list[Done] = []

    async def run(self) -> None:
        """Run the scenario. Raises AssertionError if a promise was broken, Pruned if the state was visited before."""
        if self._scenario.there:
            await self._alone(["claim"])
        self._open = False
        for number, script in enumerate(self._scenario.scripts):
            self._begin(number, script)
        try:
            await self._settle()
            while not all(client.is_done for client in self._clients.values()):
                options = self._options()
                chosen = self._choose(options, self._digest)
                self.taken.append(options[chosen].name)
                options[chosen].take()
                await self._settle()
            await self._alone(["append", "read"])
            if self._alive:
                self._let_all()
                await self._settle()
                await self._alone(["append", "read"])
        finally:
            await self._abandon()
        assert explains(self.history), f"no order explains {self.history} after {self.taken}"

    async def pause(self, step: Step) -> None:
        known = [each for each in self._alive if each.step is not None and each.step.number == step.number]
        arrived = [each for each in self._alive if each.step is None and str(each.sender) == step.seen.sender]
        request = (known or arrived)[0]
        request.step = step
        if not self._open:
            request.held = asyncio.get_running_loop().create_future()
            await request.held

    async def sent(self, sender: int, method: str, path: str, content: bytes | None, headers: Headers) -> Answer:
        client = self._clients[sender]
        request = _Request(sender=sender, answer=asyncio.get_running_loop().create_future())
        client.requests.add(request)
        carrying_out = asyncio.create_task(self._carry_out(request, method, path, content, headers))
        try:
            answer = await request.answer
        finally:
            client.requests.discard(request)
            del carrying_out
        client.answers.append((answer.status, answer.content))
        return answer

    async def _carry_out(
        self, request: _Request, method: str, path: str, content: bytes | None, headers: Headers
    ) -> None:
        self._alive[request] = None
        answer: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": content or b""}

        async def send(message: Message) -> None:
            answer.append(message)

        scope: dict[str, Any] = {"type": "http", "method": method, "raw_path": path.encode(), "query_string": b""}
        await self._server({**scope, "headers": [*headers], "client": (str(request.sender), 0)}, receive, send)
        del self._alive[request]
        if not request.answer.done():
            request.answer.set_result(
                Answer(status=answer[0]["status"], headers=answer[0]["headers"], content=answer[1]["body"])
            )

    def _begin(self, number: int, script: Script) -> _Client:
        clock = ManualClock()

        async def sleep(seconds: float) -> None:
            clock.advance(seconds)
            if not self._open:
                client.sleeping = asyncio.get_running_loop().create_future()
                await client.sleeping
                client.sleeping = None
                client.slept_s += seconds
                client.answers.append("slept")

        wire = MicroClient(
            _Wire(self, number), Direct(url="http://micro", api_key=KEY), monotonic=clock.monotonic, sleep=sleep
        )
        store = MicroStore(
            wire,
            clock=lambda: datetime.fromtimestamp(clock.wall(), UTC),
            sleep=sleep,
            node=f"{number:016x}",
            ballots=self._ballots,
        )
        client = self._clients[number] = _Client(store, script)
        client.task = asyncio.create_task(self._act(number, client))
        return client

    async def _act(self, number: int, client: _Client) -> None:
        for at, name in enumerate(client.script):
            done = Done(name=name, token=f"{number}.{at}", began=self._tick(number, name))
            self.history.append(done)
            try:
                done.answer = await _carry_out(client.store, done)
            except StoreUnavailable:
                if number >= NEWCOMER:
                    raise
                continue
            done.ended = self._tick(number, f"{name} {done.answer}")

    async def _alone(self, script: Script) -> None:
        """Run a client whose steps are never held. Raises if the row blocks it."""
        self._open = True
        newcomer = self._begin(NEWCOMER + len(self._clients), script)
        assert newcomer.task is not None
        await newcomer.task
        self._open = False

    def _options(self) -> list[Option]:
        options = []
        for request in self._held():
            client = self._clients[request.sender]
            live = request in client.requests and not client.is_done
            name = f"{request.sender}{'' if live else ' late'} {_told(request.step)}"
            options.append(
                Option(
                    name=name,
                    take=self._letting(request),
                    rank=0 if live and request.sender == self._last else 2 - live,
                )
            )
        for number, client in self._clients.items():
            if client.is_done:
                continue
            if client.sleeping is not None:
                options.append(
                    Option(name=f"{number} wakes", take=self._waking(number, client), rank=2 + client.slept_s)
                )
            if self._crashes:
                options.append(Option(name=f"{number} dies", take=self._killing(client), fault=True))
            if self._losses:
                options += [
                    Option(name=f"{number} loses {_told(request.step)}", take=self._losing(request), fault=True)
                    for request in sorted(client.requests, key=_number)
                ]
        return sorted(options, key=lambda option: (option.fault, option.rank))

    def _held(self) -> list[_Request]:
        return sorted((each for each in self._alive if each.held and not each.held.done()), key=_number)

    def _letting(self, request: _Request) -> Callable[[], None]:
        def take() -> None:
            self._last = request.sender
            assert request.held is not None
            request.held.set_result(None)

        return take

    def _waking(self, number: int, client: _Client) -> Callable[[], None]:
        def take() -> None:
            self._last = number
            assert client.sleeping is not None
            client.sleeping.set_result(None)

        return take

    def _killing(self, client: _Client) -> Callable[[], None]:
        def take() -> None:
            self._crashes -= 1
            assert client.task is not None
            client.task.cancel()

        return take

    def _losing(self, request: _Request) -> Callable[[], None]:
        def take() -> None:
            self._losses -= 1
            self._clients[request.sender].answers.append("lost")
            request.answer.set_exception(NoAnswer("lost"))

        return take

    def _let_all(self) -> None:
        self._open = True
        for request in self._held():
            self._letting(request)()

    async def _settle(self) -> None:
        for _ in range(PATIENCE_TURNS):
            await asyncio.sleep(0)
            if all(client.is_settled for client in self._clients.values()) and all(
                each.held is not None and not each.held.done() for each in self._alive
            ):
                for client in self._clients.values():
                    _raise_failure(client.task)
                return
        raise AssertionError(f"something hangs after {self.taken}")

    async def _abandon(self) -> None:
        """End the tasks that are still running."""
        for client in self._clients.values():
            if client.task is not None:
                client.task.cancel()
        self._let_all()
        await self._settle()

    def _tick(self, number: int, event: str) -> int:
        self._now += 1
        self._events.append((self._now, number, event))
        return self._now

    def _digest(self) -> object:
        """Return a digest that is equal for runs with equal futures, for the server, the clients and the check."""
        rows = self._server._rows
        return hash(
            (
                repr([list(rows[name].items()) for name in ("users", "__cache") if name in rows]),
                tuple((repr(client.answers), client.is_done) for client in self._clients.values()),
                tuple(self._events),
                tuple(sorted((each.sender, _told(each.step)) for each in self._held())),
                (self._crashes, self._losses, self._last),
            )
        )


async def _carry_out(store: MicroStore, done: Done) -> object:
    def appended(row: Document | None) -> Document:
        if row is None:
            raise Missing
        return {"log": [*row["log"], done.token]}

    try:
        match done.name:
            case "claim":
                await store.claim(CHANGING, ROW, {"log": [done.token]})
                return None
            case "append":
                updated = await store.update(CHANGING, ROW, appended)
                assert updated.after == appended(updated.before)
                return _state(updated.after)
            case "delete":
                await store.delete(CHANGING, ROW)
                return None
            case _:
                return _state(await store.get(CHANGING, ROW))
    except (AlreadyExists, Missing) as error:
        return type(error).__name__


def _raise_failure(task: asyncio.Task[None] | None) -> None:
    if task is not None and task.done() and not task.cancelled():
        task.result()


def _state(row: Document | None) -> State:
    return None if row is None else tuple(row["log"])


def _told(step: Step | None) -> str:
    return "" if step is None else f"{step.seen.route} {step.seen.key or ''} {step.moment}"


def _number(request: _Request) -> int:
    return 0 if request.step is None else request.step.number


def _applied(state: State, done: Done) -> tuple[State, object]:
    """Return the row's state after an operation, and the operation's answer."""
    match done.name:
        case "claim":
            return ((done.token,), None) if state is None else (state, "AlreadyExists")
        case "append":
            return (None, "Missing") if state is None else ((*state, done.token), (*state, done.token))
        case "delete":
            return None, None
        case _:
            return state, state


def explains(history: Sequence[Done]) -> bool:
    """Return whether some order of the operations explains all answers (linearizability, by search)."""

    @cache
    def ordered(left: frozenset[int], state: State) -> bool:
        acknowledged = [at for at in left if history[at].ended is not None]
        if not acknowledged:
            return True
        first_end = min(ended for at in acknowledged if (ended := history[at].ended) is not None)
        for at in left:
            if history[at].began > first_end:
                continue
            after, answer = _applied(state, history[at])
            if (history[at].ended is None or history[at].answer == answer) and ordered(left - {at}, after):
                return True
        return False

    return ordered(frozenset(range(len(history))), None)
