"""Measure HYPR Micro behind 20 ms of network, against list-and-filter on the same server: `make bench-micro`.

The floor is one bare round trip. Times are medians of alternating runs: floor, ours, baseline, floor, … Ours is the
complete request, key check included; the baseline is only its store's requests, with the least parsing.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from shared.core.settings import Settings
from shared.micro import MicroClient
from shared.services import Services
from shared.stores.micro.store import MicroStore
from tests.fakes.standin_network import Recorder
from tests.live.crowd import Owner, api_on, fill
from tests.live.people import MEMO
from tests.live.processes import MICRO_KEY, add_checkout, checkout, micro_server
from tests.live.wire import MeasuredWire, bulk_client, measured_client
from tools.bench.listing import Listing

LATENCY_S: Final = 0.02
USERS: Final = 100
KEYS: Final = 10
MEMOS: Final = 100
RUNS: Final = 40
WARM_UP: Final = 4


@dataclass(frozen=True, kw_only=True)
class Ours:
    services: Services
    api: httpx.AsyncClient

    async def check_key(self, secret: str) -> None:
        await self.services.api_keys.authenticate(secret)

    async def make_memo(self, secret: str) -> None:
        answer = await self.api.post("/api/v1/memo", json=MEMO, headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 201, answer.text

    async def list_memos(self, secret: str) -> None:
        answer = await self.api.get("/api/v1/memos", headers={"Authorization": f"Bearer {secret}"})
        assert len(answer.json()["memos"]) == 20, answer.text


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.micro", description="Measure HYPR Micro behind a network."
    )
    add_checkout(parser)
    asyncio.run(_measure(checkout(parser, parser.parse_args())))


async def _measure(server_dir: Path) -> None:
    with micro_server(server_dir) as server:
        await server.start()
        async with bulk_client(server.url) as filling:
            owners = await fill(MicroStore(filling, timeout_s=600), users=USERS, keys=KEYS, memos=MEMOS, told=_untold)
        recorder = Recorder()
        async with (
            measured_client(server.url, recorder, latency_s=LATENCY_S) as client,
            MeasuredWire(server.url, recorder, latency_s=LATENCY_S) as wire,
            api_on(MicroStore(client)) as api,
        ):
            baseline = Listing(wire=wire, key=MICRO_KEY)
            await baseline.begin()
            ours = Ours(services=Services.on(MicroStore(client), Settings()), api=api)
            await _table(client, recorder, ours, baseline, owners)


async def _table(client: MicroClient, recorder: Recorder, ours: Ours, baseline: Listing, owners: list[Owner]) -> None:
    secret = owners[-1].secrets[-1]
    print(f"{USERS * KEYS:,} keys, {USERS * MEMOS:,} memos, {LATENCY_S * 1000:.0f} ms of latency\n")
    columns = ("requests", "in a row", "x floor")
    print("|", " | ".join(("operation", "ours", *columns, "list and filter", *columns, "ours is faster")), "|")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, one, other in (
        ("key check", ours.check_key, baseline.check_key),
        ("memo creation", ours.make_memo, baseline.make_memo),
        ("page of 20 memos", ours.list_memos, baseline.list_memos),
    ):
        floor, mine, theirs = await _in_turn(recorder, client.health, _with(one, secret), _with(other, secret))
        print(
            f"| {name} | {mine.told(floor)} | {theirs.told(floor)} | {theirs.time_s / mine.time_s:.1f} x |", flush=True
        )
        floor_s = floor.time_s
    print(f"\nFloor, one bare round trip: {floor_s * 1000:.1f} ms")


@dataclass(frozen=True, kw_only=True)
class _Timing:
    time_s: float
    requests: int
    depth: int

    def told(self, floor: "_Timing") -> str:
        return f"{self.time_s * 1000:.1f} ms | {self.requests} | {self.depth} | {self.time_s / floor.time_s:.2f}"


async def _in_turn(recorder: Recorder, *calls: Callable[[], Awaitable[Any]]) -> list[_Timing]:
    """Return the medians of each call, run in turn after a warm-up."""
    times: list[list[float]] = [[] for _ in calls]
    costs: list[list[tuple[int, int]]] = [[] for _ in calls]
    for run in range(WARM_UP + RUNS):
        for call, taken, seen in zip(calls, times, costs, strict=True):
            with recorder.measure() as cost:
                began = time.perf_counter()
                await call()
                took_s = time.perf_counter() - began
            if run >= WARM_UP:
                taken.append(took_s)
                seen.append((cost.requests, cost.depth))
    return [
        _Timing(time_s=statistics.median(taken), requests=statistics.mode(seen)[0], depth=statistics.mode(seen)[1])
        for taken, seen in zip(times, costs, strict=True)
    ]


def _untold(_: str) -> None:
    """Discard the record of a request: filling is not measured."""


def _with(call: Callable[[str], Awaitable[Any]], secret: str) -> Callable[[], Awaitable[Any]]:
    return lambda: call(secret)


if __name__ == "__main__":
    main()
