"""Repeats of one request with an Idempotency-Key, under a scheduler that decides everything.

Clients send the same request at once. Wherever something could happen, the scheduler chooses: it carries a call of the
store out, kills a client, loses an answer, or lets a minute pass, after which a run may be taken over. What a dead
client had under way may be carried out at any time later, or never. At the end newcomers repeat the request, before the
late calls and after them.

There must be one memo, which every answer is, with one log; and it must be charged once, and once more at most for each
client that died, each answer that was lost, and each run that stood still for a minute.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from shared.activity import UsageRecorder
from shared.audio.files import new_file
from shared.core.errors import Conflict
from shared.core.ids import Ids
from shared.memos.idempotency import RUN_S, Idempotent, KeyedAnswer, KeyedMemos, Turn
from shared.memos.requests import Draft
from shared.services import Services
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Document, Key, Store, StoreUnavailable
from shared.tables import MEMOS, IdempotencyKeys, Users
from shared.tables.idempotency_keys import KeyedRun
from shared.tables.issued_keys import IssuedKey
from shared.tables.schema import IDEMPOTENCY_KEYS, USAGE_LOGS
from tests.proofs.schedules import Choose, Option
from tests.support import FakeClock, Intercepted, a_key, a_user, services_on

DRAFT: Final = Draft(text="Hello", voice=VOICES["sam"], title="A greeting")
QUIET_TURNS: Final = 12
PATIENCE_STEPS: Final = 2_000

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """So many clients, and how often at most one dies, loses an answer, and a minute passes."""

    clients: int
    crashes: int = 0
    losses: int = 0
    minutes: int = 0


Protocol = Callable[[Services, Store], KeyedMemos]


def as_it_is(services: Services, store: Store) -> KeyedMemos:  # noqa: ARG001 the shape of those that are broken
    return services.keyed_memos


def without_a_decision(services: Services, store: Store) -> KeyedMemos:
    """Broken on purpose: a run that finds no memo writes the row over what others have written meanwhile."""
    return _keyed(KeyedMemos, services, _Undecided(store))


def with_a_new_id_on_take_over(services: Services, store: Store) -> KeyedMemos:
    """Broken on purpose: a run that takes over makes a memo of its own."""
    return _keyed(_Renaming, services, IdempotencyKeys(store))


class _Undecided(IdempotencyKeys):
    async def begin(self, api_key_id: str, digest: str, run: KeyedRun, *, after: KeyedRun | None) -> None:  # noqa: ARG002
        def write(_: Document | None) -> Document:
            return run.document()

        await self._store.update(IDEMPOTENCY_KEYS, Key(api_key_id, digest), write)


class _Renaming(KeyedMemos):
    def _turn(self, key: IssuedKey, draft: Draft, given: Idempotent, seen: KeyedRun | None, body: str) -> Turn:
        if seen is not None:
            at = self._clock()
            names = {"memo_id": self._ids.mint(at), "file": new_file(key.user_id), "created_at": at}
            seen = seen.model_copy(update=names)
        return super()._turn(key, draft, given, seen, body)


@dataclass(eq=False, kw_only=True)
class _Call:
    """A call of the store that waits for the scheduler."""

    client: "_Client"
    verb: str
    carry_out: Callable[[], Awaitable[Any]]
    turn: asyncio.Future[str]


class _Client(Intercepted):
    """A container. Its store's calls wait for the scheduler."""

    def __init__(self, number: int, world: "RepeatSchedule", store: Store) -> None:
        super().__init__(store)
        self.number = number
        self.is_dead = False
        self.task: asyncio.Task[None] | None = None
        self._world = world

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if self.is_dead:
            raise asyncio.CancelledError
        waiting = _Call(client=self, verb=verb, carry_out=call, turn=asyncio.get_running_loop().create_future())
        self._world.arrives(waiting)
        how = await waiting.turn
        if how == "unsent":
            raise StoreUnavailable(f"{verb} was not carried out")
        answer = await call()
        if how == "lost":
            raise StoreUnavailable(f"{verb} was not answered")
        return answer


@dataclass(kw_only=True)
class RepeatSchedule:
    """One run of some repeats. `taken` are the choices that were made."""

    repeats: Repeats
    choose: Choose
    protocol: Protocol = as_it_is
    taken: list[str] = field(default_factory=list)
    answers: list[KeyedAnswer] = field(default_factory=list)
    crashes: int = 0
    losses: int = 0
    minutes: int = 0

    def __post_init__(self) -> None:
        self._clock = FakeClock()
        self._store = MemoryStore(clock=self._clock)
        self._user = a_user()
        self._key = a_key(self._user.id)
        self._waiting: list[_Call] = []
        self._late: list[_Call] = []
        self._clients: list[_Client] = []
        self._arrived = 0
        self._last = 0
        self._is_over = False

    async def run(self) -> None:
        """Raises AssertionError, which names the schedule, when a promise is broken."""
        await Users(self._store).add(self._user)
        for number in range(self.repeats.clients):
            self._begin(number)
        while True:
            await self._settle()
            if not self._waiting:
                break
            options = self._options()
            chosen = options[self.choose(options, object)]
            self.taken.append(chosen.name)
            assert len(self.taken) < PATIENCE_STEPS, "it does not end"
            chosen.take()
        await self._end()

    def arrives(self, call: _Call) -> None:
        self._arrived += 1
        if self._is_over:
            call.turn.set_result("done")
        else:
            self._waiting.append(call)

    def _begin(self, number: int) -> _Client:
        client = _Client(number, self, self._store)
        keyed = self.protocol(services_on(client, self._clock), client)
        client.task = asyncio.create_task(self._ask(keyed))
        self._clients.append(client)
        return client

    async def _ask(self, keyed: KeyedMemos) -> None:
        try:
            self.answers.append(await keyed.make(self._key, DRAFT, Idempotent(name="one")))
        except (Conflict, StoreUnavailable):
            return

    def _options(self) -> Sequence[Option]:
        """The client that was let go last goes on, unless the scheduler turns to another. Faults are named last."""
        calls = sorted(self._waiting, key=lambda call: (call.client.number != self._last, call.client.number))
        options = [Option(name=f"{call.client.number} {call.verb}", take=self._let(call, "done")) for call in calls]
        options += [Option(name=f"late {call.verb}", take=self._land(call)) for call in self._late]
        if self.minutes < self.repeats.minutes:
            options.append(Option(name="a minute passes", take=self._pass_a_minute, fault=True))
        if self.losses < self.repeats.losses:
            for how in ("lost", "unsent"):
                options += [
                    Option(name=f"{call.client.number} {call.verb} {how}", take=self._let(call, how), fault=True)
                    for call in calls
                ]
        if self.crashes < self.repeats.crashes:
            alive = {call.client.number: call.client for call in calls}
            options += [Option(name=f"{n} dies", take=self._kill(client), fault=True) for n, client in alive.items()]
        return options

    def _let(self, call: _Call, how: str) -> Callable[[], None]:
        def take() -> None:
            self._waiting.remove(call)
            self._last = call.client.number
            self.losses += how != "done"
            call.turn.set_result(how)

        return take

    def _land(self, call: _Call) -> Callable[[], None]:
        def take() -> None:
            self._late.remove(call)
            self._landing = asyncio.create_task(self._carry_out(call))

        return take

    def _kill(self, client: _Client) -> Callable[[], None]:
        def take() -> None:
            self.crashes += 1
            client.is_dead = True
            self._late += [call for call in self._waiting if call.client is client and call.verb != "get"]
            self._waiting = [call for call in self._waiting if call.client is not client]
            assert client.task is not None
            client.task.cancel()

        return take

    def _pass_a_minute(self) -> None:
        self.minutes += 1
        self._clock.advance(RUN_S)

    async def _carry_out(self, call: _Call) -> None:
        try:
            await call.carry_out()
        except Exception as exc:  # noqa: BLE001 the client that it would be told is dead
            self.taken.append(f"({type(exc).__name__})")

    async def _settle(self) -> None:
        quiet = 0
        while quiet < QUIET_TURNS:
            before = self._arrived
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._arrived == before else 0

    async def _end(self) -> None:
        for client in self._clients:
            assert client.task is not None
            await asyncio.gather(client.task, return_exceptions=True)
        self._is_over = True
        self._check(await self._counted())
        await self._newcomer()
        for call in self._late:
            await self._carry_out(call)
        self._late.clear()
        await self._newcomer()

    async def _newcomer(self) -> None:
        """The next request gets the memo, after a minute at most."""
        before = len(self.answers)
        for _ in range(2):
            if len(self.answers) == before:
                client = self._begin(len(self._clients))
                assert client.task is not None
                await client.task
                self._clock.advance(RUN_S)
        assert len(self.answers) > before, self._broken("a newcomer is not answered")
        self._check(await self._counted())

    async def _counted(self) -> dict[str, int]:
        counters = await self._store.counters(f"{self._user.id}:")
        return {name.removeprefix(f"{self._user.id}:"): value for name, value in counters.items()}

    def _check(self, counted: dict[str, int]) -> None:
        memos = self._rows(MEMOS.name)
        assert len(memos) <= 1, self._broken("two memos")
        assert len({answer.memo.model_dump_json() for answer in self.answers}) <= 1, self._broken("two answers")
        for answer in self.answers:
            assert [answer.memo.document()] == memos, self._broken("an answer that is not there")
        assert sum(not answer.is_replay for answer in self.answers) <= 1 + self.minutes, self._broken("made twice")
        if self.answers:
            assert len(self._rows(USAGE_LOGS.name, "memo_created")) == 1, self._broken("not one log")
        most = len(memos) + self.crashes + self.losses + self.minutes
        for name, value in counted.items():
            if name.startswith(("calls", "uses")):
                assert len(memos) <= value <= most, self._broken(f"{name} is {value}")

    def _rows(self, table: str, action: str | None = None) -> list[Document]:
        with self._store._rows() as rows:
            documents = [json.loads(text) for text in rows.tables[table].values()]
        return [document for document in documents if action in (None, document.get("action"))]

    def _broken(self, what: str) -> str:
        return f"{what}: {' | '.join(self.taken)}"


def _keyed(kind: type[KeyedMemos], services: Services, keys: IdempotencyKeys) -> KeyedMemos:
    tables, ids = replace(services.tables, idempotency_keys=keys), Ids()
    return kind(
        services.memos,
        tables,
        quotas=services.quotas,
        recorder=UsageRecorder(tables.usage_logs, tables.active_owners, ids),
        clock=services.clock,
        ids=ids,
    )
