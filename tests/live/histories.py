"""Record histories of up to eight clients over HTTP through two gateways, and check that they are linearizable.

Meanwhile the network is slow, or breaks connections, or the server or a gateway is killed. A call without an answer, or
answered 503, may have taken effect or not; every other answer must fit one order of all calls.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

from shared.stores.port import Store
from tests.live.limits import PER_DAY, newcomer, spend
from tests.live.network import Network
from tests.live.people import MEMO, PASSWORD, Front, Person, Reply, memos_on, somebody
from tests.live.processes import Process, gateway, micro_environ, micro_server
from tests.proofs import models
from tests.proofs.linearizability import UNANSWERED, Call, is_linearizable
from tests.proofs.models import ACTIVE, Places, memos_at, shown, with_moments
from tests.support import seeded
from tools.maintain.opened import maintenance_settings, opened_store

ROUNDS: Final = 20
CLIENTS: Final = 8
LEFT: Final = 10
"""The memos that remain to an owner of a history."""

RUNNING_S: Final = 0.6
DOWN_S: Final = 0.5
OUTAGE_S: Final = 90.0
"""Seconds after a fault within which a read must be answered again, on a busy machine too."""

Answered = Callable[[Reply], Any]


@dataclass(kw_only=True)
class History:
    """Calls of one kind on one object, in the order of their answers."""

    front: Front
    calls: list[Call] = field(default_factory=list)

    async def write(self, what: str, reply: Awaitable[Reply], answer: Answered, *, given: Any = None) -> None:
        """Record a call that changes the object, whether it was answered or not."""
        self._record(what, await reply, answer, given)

    async def read(self, what: str, reply: Awaitable[Reply], answer: Answered) -> bool:
        """Record a call that changes nothing. Returns False if it was not answered: it then proves nothing."""
        replied = await reply
        if _answered(replied):
            self._record(what, replied, answer, None)
        return _answered(replied)

    def _record(self, what: str, reply: Reply, answer: Answered, given: Any) -> None:
        answered = answer(reply) if _answered(reply) else UNANSWERED
        self.calls.append(Call(what=what, given=given, answer=answered, began=reply.began, ended=reply.ended))


def _answered(reply: Reply) -> bool:
    return reply.status not in {0, 503}


def _status(*expected: int) -> Answered:
    def answer(reply: Reply) -> int:
        assert reply.status in expected, reply
        return reply.status

    return answer


class Kind:
    """The random calls of clients on one object, and the reads that end its history."""

    def __init__(self, front: Front, random: Random) -> None:
        self.history = History(front=front)
        self.front = front
        self.random = random

    async def prepare(self, store: Store) -> None:
        """Make the shared object of the clients, before any fault."""

    async def step(self, number: int) -> None:
        """Make one call of a client."""
        raise NotImplementedError

    async def reads(self) -> bool:
        """Make each read once. Returns whether all of them were answered."""
        raise NotImplementedError

    def holds(self) -> bool:
        """Return whether the history is linearizable."""
        raise NotImplementedError


class MemosOfOwner(Kind):
    async def prepare(self, store: Store) -> None:
        self.person = await newcomer(self.front)
        await spend(store, self.person, day_left=LEFT)

    async def step(self, number: int) -> None:
        choice = self.random.random()
        if choice < 0.6:
            text = f"Memo {number}"
            sent = self.front.send("POST", "/api/v1/memo", token=self.person.key, json=MEMO | {"text": text})
            await self.history.write("memo", sent, _status(201, 429), given=text)
        elif choice < 0.8:
            await self._list()
        else:
            await self._used()

    async def reads(self) -> bool:
        return await self._list() and await self._used()

    def holds(self) -> bool:
        return is_linearizable(with_moments(self.history.calls), memos_at(LEFT), Places())

    async def _list(self) -> bool:
        sent = self.front.send("GET", "/api/v1/memos?limit=100", token=self.person.session)
        return await self.history.read("list", sent, lambda reply: frozenset(memos_on(reply).values()))

    async def _used(self) -> bool:
        sent = self.front.send("GET", "/api/v1/usage/limits", token=self.person.session)
        return await self.history.read("used", sent, lambda reply: reply.body["daily"]["used"] - PER_DAY + LEFT)


class KeyOfOwner(Kind):
    async def prepare(self, store: Store) -> None:  # noqa: ARG002 only memos have a limit
        self.person = await newcomer(self.front)

    async def step(self, number: int) -> None:
        if number in {15, 25, 35}:
            sent = self.front.send("DELETE", f"/api/keys/{self.person.key_id}", token=self.person.session)
            await self.history.write("revoke", sent, _status(200))
        else:
            await self.random.choice([self._use, self._memo, self._listed, self._verified])()

    async def reads(self) -> bool:
        return await self._use() and await self._listed() and await self._verified()

    def holds(self) -> bool:
        return is_linearizable(self.history.calls, models.key, ACTIVE)

    async def _use(self) -> bool:
        sent = self.front.send("GET", "/api/v1/memos?limit=1", token=self.person.key)
        return await self.history.read("use", sent, _status(200, 403))

    async def _memo(self) -> bool:
        sent = self.front.send("POST", "/api/v1/memo", token=self.person.key, json=MEMO)
        return await self.history.read("use", sent, _status(201, 403))

    async def _listed(self) -> bool:
        def active(reply: Reply) -> bool:
            (one,) = (each["isActive"] for each in reply.body["keys"] if each["id"] == self.person.key_id)
            return bool(one)

        return await self.history.read("listed", self.front.send("GET", "/api/keys", token=self.person.session), active)

    async def _verified(self) -> bool:
        body = {"key": self.person.key}
        sent = self.front.send("POST", "/api/keys/verify", token=self.person.session, json=body)
        return await self.history.read("verified", sent, lambda reply: bool(reply.body["valid"]))


class Address(Kind):
    async def prepare(self, store: Store) -> None:  # noqa: ARG002 only memos have a limit
        self.account = {"email": somebody().email, "password": PASSWORD}

    async def step(self, number: int) -> None:
        if number < CLIENTS:
            await self._sign_up()
        elif number < 2 * CLIENTS:  # checking a password is slow, so this kind makes fewer calls
            await self.random.choice([self._sign_up, self.reads])()

    async def reads(self) -> bool:
        def user(reply: Reply) -> Any:
            return reply.body["user"]["id"] if reply.status == 200 else _status(401)(reply)

        return await self.history.read("log-in", self.front.send("POST", "/api/v1/auth/login", json=self.account), user)

    def holds(self) -> bool:
        return is_linearizable(self.history.calls, models.address, None)

    async def _sign_up(self) -> None:
        def user(reply: Reply) -> Any:
            return reply.body["user"]["id"] if reply.status == 201 else _status(409)(reply)

        await self.history.write("sign-up", self.front.send("POST", "/api/v1/auth/signup", json=self.account), user)


class Title(Kind):
    async def prepare(self, store: Store) -> None:  # noqa: ARG002 only memos have a limit
        self.person: Person = await newcomer(self.front)
        made = await self.front.send("POST", "/api/v1/memo", token=self.person.key, json=MEMO)
        self.path = f"/api/v1/memo/{made.body['id']}"

    async def step(self, number: int) -> None:
        if self.random.random() < 0.4:
            title = f"Title {number}"
            sent = self.front.send("PATCH", self.path, token=self.person.session, json={"title": title})
            await self.history.write("write", sent, _status(200), given=title)
        else:
            await self.random.choice([self._get, self._list])()

    async def reads(self) -> bool:
        return await self._get() and await self._list()

    def holds(self) -> bool:
        return is_linearizable(self.history.calls, models.title, None)

    async def _get(self) -> bool:
        sent = self.front.send("GET", self.path, token=self.person.session)
        return await self.history.read("read", sent, lambda reply: shown(reply.body["title"]))

    async def _list(self) -> bool:
        sent = self.front.send("GET", "/api/v1/memos", token=self.person.session)
        return await self.history.read("read", sent, lambda reply: shown(reply.body["memos"][0]["title"]))


KINDS: Final = (MemosOfOwner, KeyOfOwner, Address, Title)


@dataclass(frozen=True, kw_only=True)
class Site:
    server: Process
    gateways: tuple[Process, Process]
    network: Network
    random: Random

    async def nothing(self) -> None:
        """Inject no fault."""

    async def slow(self) -> None:
        self.network.delay_s = 0.5

    async def broken(self) -> None:
        self.network.delay_s, self.network.breaks = 0.02, 0.05

    async def kill_server(self) -> None:
        await asyncio.sleep(self.random.uniform(0, RUNNING_S))
        self.server.kill()
        await asyncio.sleep(DOWN_S)
        await self.server.start()

    async def kill_gateway(self) -> None:
        killed = self.random.choice(self.gateways)
        await asyncio.sleep(self.random.uniform(0, RUNNING_S))
        killed.kill()
        await asyncio.sleep(DOWN_S)
        await killed.start()

    def heal(self) -> None:
        self.network.delay_s = self.network.breaks = 0.0


FAULTS: Final[Mapping[str, Callable[[Site], Coroutine[Any, Any, None]]]] = {
    "all works": Site.nothing,
    "a slow network": Site.slow,
    "broken connections": Site.broken,
    "kill -9 of the server": Site.kill_server,
    "kill -9 of a gateway": Site.kill_gateway,
}


async def run(checkout: Path) -> None:
    random = seeded(11)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(micro_server(checkout))
        await server.start()
        network = await stack.enter_async_context(Network(random).to(server.url))
        one, two = stack.enter_context(gateway(network.url)), stack.enter_context(gateway(network.url))
        await asyncio.gather(one.start(), two.start())
        store = await stack.enter_async_context(opened_store(maintenance_settings(micro_environ(server.url))))
        front = Front(one.url, two.url)
        stack.push_async_callback(front.close)
        site = Site(server=server, gateways=(one, two), network=network, random=random)
        wrong, checked = Counter[str](), 0
        for number in range(ROUNDS):
            for fault, strike in FAULTS.items():
                kinds = [kind(front, random) for kind in KINDS]
                print(f"  {number + 1}, {fault}: {await _recorded(site, store, kinds, strike)}", flush=True)
                for kind in kinds:
                    checked += 1
                    if not kind.holds():
                        wrong[f"{type(kind).__name__}, {fault}"] += 1
                        print("\n".join(f"    {call}" for call in sorted(kind.history.calls, key=_began)), flush=True)
    print(f"  {checked} histories, {wrong.total()} of them not linearizable", flush=True)
    assert not wrong, dict(wrong)


async def _recorded(
    site: Site, store: Store, kinds: Sequence[Kind], strike: Callable[[Site], Coroutine[Any, Any, None]]
) -> str:
    for kind in kinds:
        await kind.prepare(store)
    async with asyncio.TaskGroup() as group:
        group.create_task(strike(site))
        for kind in kinds:
            numbers = count()
            for _ in range(CLIENTS):
                group.create_task(_client(kind, numbers))
    site.heal()
    async with asyncio.timeout(OUTAGE_S):
        for kind in kinds:
            while not await kind.reads():  # noqa: ASYNC110 only a repeated read shows that it is served again
                await asyncio.sleep(0.2)
    calls = [call for kind in kinds for call in kind.history.calls]
    return f"{len(calls)} calls, {sum(call.answer is UNANSWERED for call in calls)} writes without an answer"


async def _client(kind: Kind, numbers: "count[int]") -> None:
    """Make calls one after another until the clients of a history have made five each on average."""
    while (number := next(numbers)) < 5 * CLIENTS:
        await kind.step(number)


def _began(call: Call) -> float:
    return call.began
