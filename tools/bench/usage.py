"""Measure usage figures on a real HYPR Micro server, at 10 memos and at 100,000 over two years: `make bench-usage`.

At the first call nothing is summed, at the second all days but today. Counts are compared with a recount of the written
memos. The floor is one bare round trip of the same run.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import httpx

from shared.api_keys.api_keys import NewKey
from shared.core.clock import midnight, to_the_millisecond, utc_now
from shared.core.ids import Ids
from shared.micro import MicroClient
from shared.speech.voices import VOICES
from shared.stores.micro.store import MicroStore
from shared.stores.port import Store
from shared.tables import TABLES, USAGE_DAYS, USAGE_MONTHS, UsageLogs
from shared.tables.usage_logs import Action, UsageLog
from shared.usage.counts import GroupedCounts
from tests.fakes.standin_network import Recorder
from tests.live.crowd import api_on, keep_memo, open_account
from tests.live.processes import add_checkout, checkout, micro_server
from tests.live.wire import bulk_client, measured_client

DAYS: Final = 730
FEW: Final = 10
MANY: Final = 100_000
KEYS: Final = 3
RUNS: Final = 15
AT_ONCE: Final = 16
FAILED: Final = 0.01

PATHS: Final = (
    "/api/v1/analytics/charts?days=30",
    "/api/v1/analytics/charts?days=366",
    "/api/v1/analytics/summary",
    "/api/v1/analytics/voices",
    "/api/v1/analytics/errors",
    "/api/v1/analytics/usage",
    "/api/v1/usage/series?startTime={year_ago}&endTime={today}&groupBy=voice",
    "/api/v1/usage/series?bucket=1h&groupBy=key",
    "/api/v1/dashboard/stats",
    "/api/v1/analytics/export?days=7",
)


@dataclass(kw_only=True)
class Owner:
    """The owner of the memos. `figures` is the recount, `memos` the number of memos of the last seven days."""

    id: str
    secret: str = field(repr=False)
    figures: GroupedCounts = field(default_factory=GroupedCounts)
    voices: Counter[str] = field(default_factory=Counter)
    daily: Counter[str] = field(default_factory=Counter)
    memos: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.usage", description=__doc__)
    add_checkout(parser)
    parser.add_argument("--memos", type=int, default=MANY, help="of the owner who has many (default: %(default)s)")
    options = parser.parse_args()
    asyncio.run(_measure(checkout(parser, options), options.memos))


async def _measure(server_dir: Path, many: int) -> None:
    with micro_server(server_dir) as server:
        await server.start()
        async with bulk_client(server.url) as bulk:
            store = MicroStore(bulk, timeout_s=600)
            await store.verify(TABLES)
            owners = [await _fill(store, count) for count in (FEW, many)]
        recorder = Recorder()
        async with measured_client(server.url, recorder) as client, api_on(MicroStore(client)) as api:
            floor_s = await _floor_s(client)
            print(f"{FEW} and {many:,} memos of {DAYS} days; a bare round trip takes {floor_s * 1000:.2f} ms\n")
            print("| answer | first call | requests | second call | requests | with 10 memos | requests | ratio |")
            print("|---|---|---|---|---|---|---|---|")
            for path in PATHS:
                await _row(path, api, recorder, server.url, owners)


async def _row(path: str, api: httpx.AsyncClient, recorder: Recorder, url: str, owners: list[Owner]) -> None:
    today = utc_now().date()
    asked = path.format(today=today, year_ago=today - timedelta(days=365))
    few, many = owners
    for owner in owners:
        await _forget(url, owner)
    first_s, first_requests = await _timed(asked, api, recorder, many)
    await _timed(asked, api, recorder, few)
    times: list[list[tuple[float, int]]] = [[], []]
    for _ in range(RUNS):
        for owner, taken in zip(owners, times, strict=True):
            taken.append(await _timed(asked, api, recorder, owner))
    (few_s, few_requests), (many_s, many_requests) = (
        (statistics.median(seconds for seconds, _ in taken), max(requests for _, requests in taken)) for taken in times
    )
    print(
        f"| {path.partition('/api/v1/')[2]} | {first_s * 1000:.0f} ms | {first_requests} "
        f"| {many_s * 1000:.1f} ms | {many_requests} | {few_s * 1000:.1f} ms | {few_requests} "
        f"| {many_s / few_s:.2f} |",
        flush=True,
    )


async def _timed(path: str, api: httpx.AsyncClient, recorder: Recorder, owner: Owner) -> tuple[float, int]:
    with recorder.measure() as cost:
        began = time.perf_counter()
        answer = await api.get(path, headers={"Authorization": f"Bearer {owner.secret}"})
        took_s = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    _check(path, answer, owner)
    return took_s, cost.requests


def _check(path: str, answer: httpx.Response, owner: Owner) -> None:
    """Compare an answer with the recount."""
    total = owner.figures.total
    if path.endswith("/summary"):
        data = answer.json()["data"]
        assert (data["totalCalls"], data["totalCharacters"]) == (total.calls, total.characters), data
    elif path.endswith("/voices"):
        assert {each["voiceId"]: each["callCount"] for each in answer.json()["data"]} == owner.voices
    elif "/charts" in path:
        daily = answer.json()["data"]["daily"]
        assert {day["date"]: day["calls"] for day in daily} == {day["date"]: owner.daily[day["date"]] for day in daily}
    elif "groupBy=voice" in path:
        for bucket in answer.json()["buckets"]:
            assert sum(each["calls"] for each in bucket["results"]) == owner.daily[bucket["startTime"][:10]], bucket
    elif path.endswith("/stats"):
        assert answer.json()["stats"]["usage"]["total"] == total.calls
    elif "/export" in path:
        assert answer.text.count("/audio/") == owner.memos


async def _floor_s(client: MicroClient) -> float:
    times = []
    for _ in range(100):
        began = time.perf_counter()
        await client.health()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _fill(store: Store, count: int) -> Owner:
    """Write an owner who signed up two years ago and has made memos since; one in a hundred failed."""
    random, ids, now = Random(count), Ids(), utc_now()
    user, keys = await open_account(store, count, keys=KEYS, at=now - timedelta(days=DAYS))
    owner = Owner(id=user.id, secret=keys[0].secret)
    week = midnight(now.date() - timedelta(days=6))
    began = time.monotonic()
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(count, start + AT_ONCE))
        ages = [timedelta(days=DAYS) * ((count - number) / (count + 1)) for number in numbers]
        times = [to_the_millisecond(now - age) for age in ages]
        made = [_happens(store, ids, random, random.choice(keys), at) for at in times]
        for log in await asyncio.gather(*made):
            owner.figures.add_log(log.document())
            if log.action is Action.MEMO_CREATED:
                owner.voices[log.metadata["voice"]] += 1
                owner.daily[f"{log.created_at:%Y-%m-%d}"] += 1
                owner.memos += log.created_at >= week
        if time.monotonic() > began + 10:
            began = time.monotonic()
            print(f"  {numbers.stop} of {count} memos are there", file=sys.stderr)
    return owner


async def _happens(store: Store, ids: Ids, random: Random, key: NewKey, at: datetime) -> UsageLog:
    voice = random.choice(list(VOICES))
    if random.random() > FAILED:
        return await keep_memo(store, ids.mint(at), key, at, voice=voice)
    log = UsageLog(
        id=ids.mint(at),
        user_id=key.key.user_id,
        api_key_id=key.key.id,
        action=Action.ERROR_TTS,
        metadata={"voice": voice},
        created_at=at,
    )
    await UsageLogs(store).add(log)
    return log


async def _forget(url: str, owner: Owner) -> None:
    """Delete all sums."""
    async with bulk_client(url) as bulk:
        for table in (USAGE_DAYS, USAGE_MONTHS):
            begin = f"{table.name}!{owner.id}!"
            for document in await bulk.query(table.database, start=begin, end=begin + "\x7f", limit=10_000):
                await bulk.delete(table.database, document.key)


if __name__ == "__main__":
    main()
