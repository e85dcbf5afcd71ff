"""Clients whose calls wait for a scheduler, which decides every step: shared by the proofs of whole operations.

A client is a container: the scheduler carries out its store's calls, and other gated calls, one by one. It may also
kill a client, and lose an answer or a request. Calls of a dead client may take effect later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from shared.stores.port import Store, StoreUnavailable
from tests.proofs.schedules import Choose, Option
from tests.support import Intercepted

QUIET_TURNS: Final = 12
PATIENCE_STEPS: Final = 2_000

T = TypeVar("T")


@dataclass(eq=False, kw_only=True)
class Call:
    """A call that waits for the scheduler, which decides its outcome: "done", "lost" or "unsent"."""

    client: "Client"
    verb: str
    carry_out: Callable[[], Awaitable[Any]]
    turn: asyncio.Future[str]


class Client(Intercepted):
    """A container. Its store's calls wait for the scheduler. `task` is its work."""

    def __init__(self, number: int, turns: "Turns", store: Store) -> None:
        super().__init__(store)
        self.number = number
        self.is_dead = False
        self.task: asyncio.Task[bool] | None = None
        self._turns = turns

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if self.is_dead:
            raise asyncio.CancelledError
        how = await self._turns.turn_of(self, verb, call)
        if how == "unsent":
            raise StoreUnavailable(f"{verb} was not carried out")
        answer = await call()
        if how == "lost":
            raise StoreUnavailable(f"{verb} was not answered")
        return answer


@dataclass(kw_only=True)
class Turns:
    """One run of some clients, with a bounded number of faults. `taken` are its choices."""

    choose: Choose
    most_crashes: int = 0
    most_losses: int = 0
    taken: list[str] = field(default_factory=list)
    late: list[Call] = field(default_factory=list)
    crashes: int = 0
    losses: int = 0

    def __post_init__(self) -> None:
        self._waiting: list[Call] = []
        self._arrived = 0
        self._last = 0
        self._is_over = False

    async def run(self, more: Callable[[], Sequence[Option]]) -> None:
        """Release calls until none waits, and `more` has only faults left; late calls may be left."""
        while True:
            await self._settle()
            besides = more()
            if not self._waiting and all(option.fault for option in besides):
                return
            options = [*self._calls(), *besides, *self._faults()]
            chosen = options[self.choose(options, object)]
            self.taken.append(chosen.name)
            assert len(self.taken) < PATIENCE_STEPS, "it does not end"
            chosen.take()

    def turn_to(self, client: Client) -> None:
        """Make this client, which has just begun, the default of the next choice."""
        self._last = client.number

    def end(self) -> None:
        """Let all calls pass without waiting from now on."""
        self._is_over = True

    async def land_late(self) -> None:
        """Carry out all pending calls of dead clients."""
        while self.late:
            await self._land_one(self.late.pop(0))

    async def turn_of(self, client: Client, verb: str, call: Callable[[], Awaitable[Any]]) -> str:
        """Wait for the scheduler. Returns the call's outcome."""
        self._arrived += 1
        if self._is_over:
            return "done"
        waiting = Call(client=client, verb=verb, carry_out=call, turn=asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        return await waiting.turn

    def _calls(self) -> list[Option]:
        """Return the options, with the client that ran last first: it is the default."""
        self._waiting.sort(key=lambda call: (call.client.number != self._last, call.client.number))
        options = [self._option(call, "done") for call in self._waiting]
        return options + [Option(name=f"late {call.verb}", take=self._land(call)) for call in self.late]

    def _faults(self) -> list[Option]:
        options = []
        if self.losses < self.most_losses:
            options += [self._option(call, how) for how in ("lost", "unsent") for call in self._waiting]
        if self.crashes < self.most_crashes:
            alive = {call.client.number: call.client for call in self._waiting}
            options += [Option(name=f"{n} dies", take=self._kill(client), fault=True) for n, client in alive.items()]
        return options

    def _option(self, call: Call, how: str) -> Option:
        def take() -> None:
            self._waiting.remove(call)
            self._last = call.client.number
            self.losses += how != "done"
            call.turn.set_result(how)

        name = f"{call.client.number} {call.verb}"
        return Option(name=name if how == "done" else f"{name} {how}", take=take, fault=how != "done")

    def _land(self, call: Call) -> Callable[[], None]:
        def take() -> None:
            self.late.remove(call)
            self._landing = asyncio.create_task(self._land_one(call))

        return take

    async def _land_one(self, call: Call) -> None:
        try:
            await call.carry_out()
        except Exception as exc:  # noqa: BLE001 the client that would handle it is dead
            self.taken.append(f"({type(exc).__name__})")

    def _kill(self, client: Client) -> Callable[[], None]:
        def take() -> None:
            self.crashes += 1
            client.is_dead = True
            self.late += [call for call in self._waiting if call.client is client and call.verb != "get"]
            self._waiting = [call for call in self._waiting if call.client is not client]
            assert client.task is not None
            client.task.cancel()

        return take

    async def _settle(self) -> None:
        quiet = 0
        while quiet < QUIET_TURNS:
            before = self._arrived
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._arrived == before else 0
