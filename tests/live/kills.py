"""Kill the server, and a gateway, by SIGKILL during a mixed load."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from shared.core.request import REQUEST_S
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.micro_connections import MicroConnections
from shared.stores.micro.store import MicroStore
from shared.stores.port import Store
from tests.live.agreement import check_agreement, reconcile
from tests.live.ledger import BLOCKED_S, Ledger, check, settle, until
from tests.live.load import ACTORS, Load
from tests.live.people import MEMO, Front, Person, Reply, sign_up, somebody
from tests.live.processes import MICRO_KEY, Process, gateway, micro_server
from tests.support import seeded

SERVER_KILLS: Final = 20
GATEWAY_KILLS: Final = 5
LOAD_S: Final = (2.0, 4.0)
DOWN_S: Final = 1.0
BUSY_S: Final = 10.0
"""The most seconds that the server stays down to wait for requests: a busy machine hashes passwords first."""
AFTER_S: Final = 1.0
SLACK_S: Final = 2.0
RECOVERY_S: Final = 10.0

T = TypeVar("T")


async def run(checkout: Path) -> None:
    with micro_server(checkout) as server, gateway(server.url) as one, gateway(server.url) as two:
        await server.start()
        await asyncio.gather(one.start(), two.start())
        front = Front(one.url, two.url)
        async with MicroConnections(server.url) as wire:
            store = MicroStore(MicroClient(wire, Direct(url=server.url, api_key=MICRO_KEY)))
            site = _Site(
                server=server,
                gateways=(one, two),
                front=front,
                store=store,
                random=seeded(3),
                spent=await _spent(front),
            )
            everybody = [*await site.kill_server_often(), *await site.kill_gateways_often()]
            began = time.monotonic()
            await _each(everybody, lambda ledger: check(front, ledger, store))
            writes = sum(ledger.writes for ledger in everybody)
            took_s = time.monotonic() - began
            print(
                f"  in the end: all {writes} writes of {len(everybody)} people are there ({took_s:.0f} s)", flush=True
            )
            missing, too_many = await reconcile(store)
            await _each(everybody, lambda ledger: check_agreement(front, ledger))
            print(
                f"  {missing} logs were missing and {too_many} too many; lists, logs and figures agree now", flush=True
            )
        await front.close()


@dataclass(frozen=True, kw_only=True)
class _Site:
    server: Process
    gateways: tuple[Process, Process]
    front: Front
    store: Store
    random: Random
    spent: Person

    async def kill_server_often(self) -> list[Ledger]:
        load = Load(self.front, self.random, spent=self.spent)
        for number in range(SERVER_KILLS):
            print(f"  server, {number + 1}: {await self._kill_server(load)}", flush=True)
        return load.idle

    async def kill_gateways_often(self) -> list[Ledger]:
        """Kill the two gateways in turn."""
        people = list[Ledger]()
        for number in range(GATEWAY_KILLS):
            killed, other = self.gateways[:: 1 if number % 2 else -1]
            load = Load(self.front, self.random, spent=self.spent, killed={killed.url})
            print(f"  gateway, {number + 1}: {await self._kill_gateway(load, killed, other)}", flush=True)
            people += load.idle
        return people

    async def _kill_server(self, load: Load) -> str:
        self.front.replies.clear()
        async with _under(load):
            await asyncio.sleep(self.random.uniform(*LOAD_S))
            self.server.kill()
            killed_at = time.monotonic()
            await asyncio.sleep(DOWN_S)
            while len(self._down(killed_at)) <= len(self.gateways) and time.monotonic() < killed_at + BUSY_S:  # noqa: ASYNC110
                await asyncio.sleep(DOWN_S / 10)
            down = self._down(killed_at)
            await self.server.start()
            recovery_s = await self._recovery_s()
            await asyncio.sleep(AFTER_S)
        replies = self.front.replies
        assert len(down) > len(self.gateways), "nobody asked while the server was down"
        assert {reply.status for reply in down} == {503}, _told(down)
        longest_s = max(reply.took_s for reply in replies)
        assert longest_s < REQUEST_S + SLACK_S, f"an answer took {longest_s:.1f} s"
        told = _told(replies)
        return (
            f"{told}; {len(down)} x 503 while it was down; longest answer {longest_s:.1f} s; served again after"
            f" {recovery_s:.2f} s; {await self._settle(load, self.front)}"
        )

    def _down(self, killed_at: float) -> list[Reply]:
        """Return the requests that were sent and answered since then."""
        return [reply for reply in self.front.replies if reply.began >= killed_at]

    async def _kill_gateway(self, load: Load, killed: Process, other: Process) -> str:
        self.front.replies.clear()
        async with _under(load):
            await asyncio.sleep(self.random.uniform(*LOAD_S))
            killed.kill()
            await asyncio.sleep(DOWN_S + AFTER_S)
        replies = [reply for reply in self.front.replies if reply.at == other.url]
        assert 503 not in {reply.status for reply in replies}, _told(replies)
        longest_s = max(reply.took_s for reply in replies)
        front = Front(other.url)
        settled = await self._settle(load, front)
        await front.close()
        await killed.start()
        return f"the other answered {_told(replies)}; longest answer {longest_s:.1f} s; {settled}"

    async def _recovery_s(self) -> float:
        """Return the seconds from the server's start until all gateways serve again."""
        began = time.monotonic()
        for each in self.gateways:
            front = Front(each.url)
            await until(partial(front.send, "GET", "/api/v1/memos", token=self.spent.key), 200)
            await front.close()
        took_s = time.monotonic() - began
        assert took_s < RECOVERY_S, f"the gateways were back after {took_s:.1f} s"
        return took_s

    async def _settle(self, load: Load, front: Front) -> str:
        """Check each person of the load, and finish interrupted writes."""
        unanswered = sum(ledger.unanswered for ledger in load.acted)
        took_s = max(await _each(load.acted, lambda ledger: settle(front, ledger, self.store)))
        assert took_s < BLOCKED_S, f"something was blocked for {took_s:.1f} s"
        load.idle += load.acted
        return f"{unanswered} unanswered writes were settled, each within {took_s:.1f} s"


@asynccontextmanager
async def _under(load: Load) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(stop))
        try:
            yield
        finally:
            stop.set()


async def _spent(front: Front) -> Person:
    """Return a person who has used up the day's limit."""
    person = somebody()
    assert (await sign_up(front, person)).status == 201
    for status in (*[201] * 100, 429):
        reply = await front.send("POST", "/api/v1/memo", token=person.key, json=MEMO)
        assert reply.status == status, reply
    return person


async def _each(ledgers: list[Ledger], work: Callable[[Ledger], Awaitable[T]]) -> list[T]:
    turns = asyncio.Semaphore(ACTORS)

    async def one(ledger: Ledger) -> T:
        async with turns:
            return await work(ledger)

    return await asyncio.gather(*(one(ledger) for ledger in ledgers))


def _told(replies: list[Reply]) -> str:
    counts = Counter(reply.status for reply in replies)
    return ", ".join(f"{count} x {status or 'no answer'}" for status, count in sorted(counts.items()))
