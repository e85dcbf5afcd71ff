"""Repeats of one request with an Idempotency-Key, under a scheduler that decides every step.

Clients send the same request concurrently. At each step the scheduler chooses: it carries out a call of the store,
kills a client, loses an answer, or lets a minute pass, after which a run may be taken over. Calls of a dead client may
take effect at any time later, or never. At the end newcomers repeat the request, before the late calls and after them.

There must be one memo, which is every answer, with one log; and it must be charged once, plus at most once for each
client that died, each lost answer, and each run that paused for a minute.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

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
from tests.proofs.turns import Client, Turns
from tests.support import FakeClock, a_key, a_user, services_on

DRAFT: Final = Draft(text="Hello", voice=VOICES["sam"], title="A greeting")


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """The number of clients, and the most deaths, lost answers and passing minutes."""

    clients: int
    crashes: int = 0
    losses: int = 0
    minutes: int = 0


Protocol = Callable[[Services, Store], KeyedMemos]


def as_it_is(services: Services, store: Store) -> KeyedMemos:  # noqa: ARG001 the signature of the broken ones
    return services.keyed_memos


def without_a_decision(services: Services, store: Store) -> KeyedMemos:
    """Broken on purpose: a run that finds no memo overwrites the row, whatever other runs wrote meanwhile."""
    return _keyed(KeyedMemos, services, _Undecided(store))


def with_a_new_id_on_take_over(services: Services, store: Store) -> KeyedMemos:
    """Broken on purpose: a run that takes over makes another memo."""
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


@dataclass(kw_only=True)
class RepeatSchedule:
    """One run of some repeats."""

    repeats: Repeats
    choose: Choose
    protocol: Protocol = as_it_is
    answers: list[KeyedAnswer] = field(default_factory=list)
    minutes: int = 0

    def __post_init__(self) -> None:
        self.turns = Turns(choose=self.choose, most_crashes=self.repeats.crashes, most_losses=self.repeats.losses)
        self._clock = FakeClock()
        self._store = MemoryStore(clock=self._clock)
        self._user = a_user()
        self._key = a_key(self._user.id)
        self._tasks: list[asyncio.Task[bool]] = []

    @property
    def taken(self) -> list[str]:
        return self.turns.taken

    async def run(self) -> None:
        """Run the repeats. Raises AssertionError, which names the schedule, if a promise is broken."""
        await Users(self._store).add(self._user)
        for _ in range(self.repeats.clients):
            self._begin()
        await self.turns.run(self._passing)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.turns.end()
        self._check(await self._counted())
        await self._newcomer()
        await self.turns.land_late()
        await self._newcomer()

    def _begin(self) -> asyncio.Task[bool]:
        client = Client(len(self._tasks), self.turns, self._store)
        keyed = self.protocol(services_on(client, self._clock), client)
        client.task = asyncio.create_task(self._ask(keyed))
        self._tasks.append(client.task)
        return client.task

    async def _ask(self, keyed: KeyedMemos) -> bool:
        """Send the request. Returns whether the answer was a memo."""
        try:
            self.answers.append(await keyed.make(self._key, DRAFT, Idempotent(name="one")))
        except (Conflict, StoreUnavailable):
            return False
        return True

    def _passing(self) -> Sequence[Option]:
        if self.minutes == self.repeats.minutes:
            return []
        return [Option(name="a minute passes", take=self._pass_a_minute, fault=True)]

    def _pass_a_minute(self) -> None:
        self.minutes += 1
        self._clock.advance(RUN_S)

    async def _newcomer(self) -> None:
        """Check that the next request gets the memo, after a minute at most."""
        before = len(self.answers)
        for _ in range(2):
            if len(self.answers) == before:
                await self._begin()
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
        most = len(memos) + self.turns.crashes + self.turns.losses + self.minutes
        for name, value in counted.items():
            if name.startswith(("calls", "uses")):
                assert len(memos) <= value <= most, self._broken(f"{name} is {value}")

    def _rows(self, table: str, action: str | None = None) -> list[Document]:
        with self._store._rows() as rows:
            documents = [json.loads(text) for text in rows.tables[table].values()]
        return [document for document in documents if action in (None, document.get("action"))]

    def _broken(self, what: str) -> str:
        return f"{what}: {' | '.join(self.turns.taken)}"


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
