"""Compare 100,000 keys and memos with 10: the same requests, and the same time."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.micro.store import MicroStore
from shared.stores.port import Store
from shared.tables import MEMOS
from tests.fakes.standin_network import Cost, Recorder
from tests.live.crowd import AT_ONCE, Owner, api_on, fill
from tests.live.people import PASSWORD
from tests.live.processes import Process, micro_server
from tests.live.wire import bulk_client, measured_client

USERS: Final = 1000
EACH: Final = 100
FEW: Final = 10
RUNS: Final = 300
WARM_UP: Final = 30
MOST: Final = 1.3
"""The greatest ratio of the large server's time to the small one's."""


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One server with its owners. Owners and their keys take turns, each for two calls in a row."""

    owners: list[Owner]
    services: Services
    api: httpx.AsyncClient
    recorder: Recorder
    turn: "count[int]" = field(default_factory=count)

    @property
    def secret(self) -> str:
        number = next(self.turn) // 2
        owner = self.owners[number * 7 % len(self.owners)]
        return owner.secrets[number % len(owner.secrets)]

    async def check_key(self) -> None:
        await self.services.api_keys.authenticate(self.secret)

    async def list_memos(self) -> None:
        assert len((await self._get(f"/api/v1/memos?limit={FEW}"))["memos"]) == FEW

    async def list_usage(self) -> None:
        assert len((await self._get(f"/api/v1/usage?limit={FEW}"))["logs"]) == FEW

    async def read_limits(self) -> None:
        assert (await self._get("/api/v1/usage/limits"))["daily"]["used"] >= FEW

    async def sign_up(self) -> None:
        account = {"email": f"new.{next(self.turn)}@example.org", "password": PASSWORD}
        answer = await self.api.post("/api/v1/auth/signup", json=account)
        assert answer.status_code == 201, answer.text
        self.api.cookies.clear()

    async def _get(self, path: str) -> Any:
        answer = await self.api.get(path, headers={"Authorization": f"Bearer {self.secret}"})
        assert answer.status_code == 200, answer.text
        return answer.json()


OPERATIONS: Final[dict[str, Callable[[_Side], Awaitable[None]]]] = {
    "key check": _Side.check_key,
    "page of memos": _Side.list_memos,
    "page of usage logs": _Side.list_usage,
    "usage limits": _Side.read_limits,
    "sign-up": _Side.sign_up,
}


async def run(checkout: Path) -> None:
    with micro_server(checkout) as one, micro_server(checkout) as other:
        await asyncio.gather(one.start(), other.start())
        few = await _filled(one, users=1, each=FEW)
        many = await _filled(other, users=USERS, each=EACH)
        async with _side(one, few) as small, _side(other, many) as large:
            print(f"  | operation | requests | {FEW} rows | {USERS * EACH:,} rows | ratio |\n  |---|---|---|---|---|")
            for name, operation in OPERATIONS.items():
                await _compare(name, operation, small, large)
        async with bulk_client(other.url) as client:
            await _check_all(MicroStore(client, timeout_s=600), many)


async def _filled(server: Process, *, users: int, each: int) -> list[Owner]:
    began = time.monotonic()
    async with bulk_client(server.url) as client:
        store = MicroStore(client, timeout_s=600)
        owners = await fill(store, users=users, keys=each, memos=each, told=lambda text: print(text, flush=True))
    print(f"  {users * each} keys and memos were written in {time.monotonic() - began:.0f} s", flush=True)
    return owners


@asynccontextmanager
async def _side(server: Process, owners: list[Owner]) -> AsyncIterator[_Side]:
    recorder = Recorder()
    async with measured_client(server.url, recorder) as client:
        store = MicroStore(client)
        async with api_on(store) as api:
            yield _Side(owners=owners, services=Services.on(store, Settings()), api=api, recorder=recorder)


async def _compare(name: str, operation: Callable[[_Side], Awaitable[None]], small: _Side, large: _Side) -> None:
    times: tuple[list[float], list[float]] = ([], [])
    costs: tuple[set[tuple[int, int]], set[tuple[int, int]]] = (set(), set())
    for number in range(WARM_UP + RUNS):
        for side, taken, seen in zip((small, large), times, costs, strict=True):
            await operation(side)  # now the container remembers the key, and reads concurrently with its check
            with side.recorder.measure() as cost:
                began = time.perf_counter()
                await operation(side)
                took_s = time.perf_counter() - began
            if number >= WARM_UP:
                taken.append(took_s)
                seen.add(_requests(cost))
    few_s, many_s = statistics.median(times[0]), statistics.median(times[1])
    told = ", ".join(f"{requests} ({depth} deep)" for requests, depth in sorted(costs[1]))
    print(
        f"  | {name} | {told} | {few_s * 1000:.2f} ms | {many_s * 1000:.2f} ms | {many_s / few_s:.2f} |",
        flush=True,
    )
    assert costs[0] == costs[1], costs
    assert many_s <= MOST * few_s, f"{name} takes {many_s / few_s:.2f} times as long"


def _requests(cost: Cost) -> tuple[int, int]:
    return cost.requests, cost.depth


async def _check_all(store: Store, owners: list[Owner]) -> None:
    """Check that every key is still valid and its owner's, and that every memo exists."""
    began, turns = time.monotonic(), asyncio.Semaphore(AT_ONCE)
    keys = Services.on(store, Settings()).api_keys

    async def good(owner: Owner) -> int:
        async with turns:
            return sum([(await keys.authenticate(secret)).user_id == owner.user.id for secret in owner.secrets])

    checked = sum(await asyncio.gather(*(good(owner) for owner in owners)))
    assert checked == sum(len(owner.secrets) for owner in owners), checked
    memos, after = 0, None
    while True:
        page = await store.scan(MEMOS, after=after)
        memos, after = memos + len(page.rows), page.after
        if after is None:
            break
    assert memos == USERS * EACH, memos
    print(f"  {checked} keys are good and {memos} memos there ({time.monotonic() - began:.0f} s)", flush=True)
