"""Measure HYPR Micro behind 20 ms of network, beside list-and-filter on the same server: `make bench-micro`.

The floor is one bare round trip. Times are medians of runs in turn: floor, ours, baseline, floor, … Ours is the whole
request, key check included; the baseline is only what its store would send, and parses no more than it must.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from shared.api_keys.minting import digest
from shared.core.clock import iso, utc_now
from shared.core.ids import Ids
from shared.core.settings import Settings
from shared.micro import Json, MicroClient
from shared.services import Services
from shared.stores.micro.store import MicroStore
from tests.fakes.standin_network import Recorder
from tests.live.crowd import Owner, api_on, fill
from tests.live.people import MEMO
from tests.live.processes import MICRO_KEY, add_checkout, checkout, micro_server
from tests.live.wire import MeasuredWire, bulk_client, measured_client

LATENCY_S: Final = 0.02
USERS: Final = 100
KEYS: Final = 10
MEMOS: Final = 100
RUNS: Final = 40
WARM_UP: Final = 4
ALL: Final = 10_000
"""The server answers no more documents at once."""


@dataclass(kw_only=True)
class Baseline:
    """What an earlier system did: list whole tables, filter in the client, one request after the other.

    It writes over documents of its own, so that the tables stay as large as they are.
    """

    wire: MeasuredWire = field(repr=False)
    ids: Ids = field(default_factory=Ids)

    async def begin(self) -> None:
        for database in ("memos", "usage_logs"):
            value = _value({"id": "baseline", "user_id": "", "created_at": "", **MEMO})
            await self._send("POST", f"{database}/docs", {"key": "baseline", "value": value})

    async def check_key(self, secret: str) -> Json:
        key_hash = digest(secret)
        return next(json.loads(text) for text in await self._list("api_keys") if key_hash in text)

    async def make_memo(self, secret: str) -> None:
        key = await self.check_key(secret)
        user_id, now = key["user_id"], utc_now()
        await self._send("GET", f"users/docs/users!all!{user_id}!v000000000000")
        logs = [text for text in await self._list("usage_logs") if user_id in text]
        today = sum(json.loads(text)["created_at"].startswith(f"{now:%Y-%m-%d}") for text in logs)
        assert today >= 0, "the limit is by this sum"
        memo = {"id": self.ids.mint(now), "user_id": user_id, "created_at": iso(now), **MEMO}
        await self._send("PUT", "memos/docs/baseline", {"value": _value(memo)})
        await self._send("PUT", "usage_logs/docs/baseline", {"value": _value(memo)})
        await self._send("PUT", f"api_keys/docs/api_keys!{key['id']}!!v000000000000", {"value": _value(key)})

    async def list_memos(self, secret: str) -> None:
        user_id = (await self.check_key(secret))["user_id"]
        mine = [json.loads(text) for text in await self._list("memos") if user_id in text]
        mine.sort(key=lambda memo: str(memo["created_at"]), reverse=True)
        assert len(mine[:20]) == 20

    async def _list(self, database: str) -> list[str]:
        found = await self._send("GET", f"{database}/docs?limit={ALL}")
        return [document["value"]["doc"] for document in found["docs"]]

    async def _send(self, method: str, path: str, body: Json | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        headers = [(b"authorization", f"Bearer {MICRO_KEY}".encode()), (b"content-type", b"application/json")]
        answer = await self.wire.send(method, f"/api/dbs/{path}", headers=headers, content=content, within_s=30)
        assert answer.status < 300, answer
        return json.loads(answer.content)


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
            baseline = Baseline(wire=wire)
            await baseline.begin()
            ours = Ours(services=Services.on(MicroStore(client), Settings()), api=api)
            await _table(client, recorder, ours, baseline, owners)


async def _table(client: MicroClient, recorder: Recorder, ours: Ours, baseline: Baseline, owners: list[Owner]) -> None:
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
    """Medians of each, run in turn after a warm-up."""
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
    """Filling is not what is measured."""


def _with(call: Callable[[str], Awaitable[Any]], secret: str) -> Callable[[], Awaitable[Any]]:
    return lambda: call(secret)


def _value(row: Json) -> Json:
    return {"final": True, "doc": json.dumps(row), "at": "0" * 32}


if __name__ == "__main__":
    main()
