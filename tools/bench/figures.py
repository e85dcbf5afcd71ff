"""Measure an owner's first figures after a long past that was never summed: `make bench-figures`.

The logs of two years are on a stand-in of HYPR Micro, or on the real server with `--server-dir`. A separate process
requests the figures of all time, with a request's 12 s, until it gets an answer, and reports calls, requests, CPU and
the peak of its memory. The floor, in another process, reads the same documents in pages of 10,000 and parses them as
JSON.

With `--function-mb 512` each of these processes gets the part of a core that a function of 512 MB has: it is stopped
for the rest of every 20 ms.
"""

import argparse
import asyncio
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from shared.core.clock import to_the_millisecond, utc_now
from shared.core.ids import Ids
from shared.core.request import REQUEST_S, ends_at, time_left_s
from shared.micro import MicroClient
from shared.speech.voices import VOICES
from shared.stores.micro.store import MicroStore
from shared.stores.port import StoreUnavailable
from shared.tables import TABLES, UsageLogs
from shared.tables.schema import USAGE_LOGS
from shared.tables.usage_logs import Action, UsageLog
from shared.usage.history import History
from shared.usage.rollups import Rollups
from tests.fakes.standin_network import Recorder
from tests.live.processes import MICRO_KEY, checkout, micro_server, stand_in
from tests.live.wire import bulk_client, measured_client

MEMOS: Final = 100_000
DAYS: Final = 730
KEYS: Final = 3
AT_ONCE: Final = 16
A_PAGE: Final = 10_000
MOST_CALLS: Final = 10
ONE_CORE_MB: Final = 1769
"""The memory of a function that gets one core; CPU is proportional to memory ("Configure Lambda function memory" in
Lambda's guide)."""

PERIOD_S: Final = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.figures", description=__doc__)
    parser.add_argument("--server-dir", help="a checkout of HYPR Micro (default: a stand-in)")
    parser.add_argument("--memos", type=int, default=MEMOS, help="default: %(default)s")
    parser.add_argument("--days", type=int, default=DAYS, help="over which they are spread (default: %(default)s)")
    parser.add_argument(
        "--request-s", type=float, default=REQUEST_S, help="seconds that a call has (default: %(default)s)"
    )
    parser.add_argument(
        "--function-mb",
        type=int,
        default=ONE_CORE_MB,
        help="memory of a function whose part of a core the figures get (default: %(default)s, which is one core)",
    )
    parser.add_argument("--ask", nargs=3, metavar=("WHAT", "URL", "OWNER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        what, url, owner = options.ask
        told = asyncio.run(_first_figures(url, owner, options.request_s) if what == "figures" else _parsed(url, owner))
        print(json.dumps(told | {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}))
        return
    with _server(checkout(parser, options) if options.server_dir else None) as url:
        owner = asyncio.run(_fill(url, options.memos, options.days))
        part = min(1.0, options.function_mb / ONE_CORE_MB)
        floor, first, again = (
            _asked(what, url, owner, options.request_s, part) for what in ("json", "figures", "figures")
        )
    assert first["memos"] == again["memos"] == floor["memos"] == options.memos, (first, again, floor)
    print(f"{options.memos:,} memos of {options.days} days, at {part:.2f} of a core\n")
    print("| what | calls | requests | wall | CPU | x floor | memory peak |\n|---|---|---|---|---|---|---|")
    for name, told in (("floor: the documents, parsed", floor), ("first figures", first), ("again", again)):
        print(
            f"| {name} | {told['calls']} | {told['requests']} | {told['wall_s']:.1f} s | {told['cpu_s']:.2f} s"
            f" | {told['cpu_s'] / floor['cpu_s']:.2f} | {told['memory_mb']:.0f} MB |"
        )


@contextmanager
def _server(directory: Path | None) -> Iterator[str]:
    if directory is None:
        with stand_in(MICRO_KEY) as url:
            yield url
        return
    with micro_server(directory) as server:
        asyncio.run(server.start())
        yield server.url


def _asked(what: str, url: str, owner: str, request_s: float, part: float) -> dict[str, Any]:
    """Return the report of a separate process: this one's memory includes the filling."""
    command = [sys.executable, "-m", "tools.bench.figures", "--request-s", f"{request_s}"]
    command += ["--ask", what, url, owner]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            while part < 1 and process.poll() is None:
                process.send_signal(signal.SIGSTOP)
                time.sleep(PERIOD_S * (1 - part))
                process.send_signal(signal.SIGCONT)
                time.sleep(PERIOD_S * part)
            printed, _ = process.communicate()
        except BaseException:
            process.kill()  # a stopped process would outlive an interrupted bench
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    told: dict[str, Any] = json.loads(printed)
    return told


async def _first_figures(url: str, owner: str, request_s: float) -> dict[str, Any]:
    """Request the figures of all time until there is an answer."""
    async with _measured(url) as (client, recorder):
        store, calls = MicroStore(client, time_left_s=time_left_s), 0
        began, cpu_began = time.perf_counter(), time.process_time()
        history = History(logs=UsageLogs(store), rollups=Rollups(store), clock=utc_now)
        with recorder.measure() as cost:
            while calls < MOST_CALLS:
                calls += 1
                ends_at.set(time.monotonic() + request_s)
                try:
                    memos = (await history.all_time(owner)).total.total.calls
                except StoreUnavailable as exc:
                    print(f"503 after {time.perf_counter() - began:.1f} s: {exc}", file=sys.stderr)
                else:
                    used = _used_since(began, cpu_began)
                    return {"memos": memos, "calls": calls, "requests": cost.requests} | used
    raise StoreUnavailable(f"no answer in {calls} calls")


async def _parsed(url: str, owner: str) -> dict[str, Any]:
    """Read the documents of the same logs, and parse them."""
    async with _measured(url) as (client, recorder):
        began, cpu_began = time.perf_counter(), time.process_time()
        memos, start = 0, f"usage_logs!{owner}.memos!"
        end = start + "\x7f"
        with recorder.measure() as cost:
            while documents := await client.query(USAGE_LOGS.database, start=start, end=end, limit=A_PAGE):
                memos += sum(json.loads(document.value["doc"])["metadata"]["characters"] > 0 for document in documents)
                start = documents[-1].key + "\0"
    return {"memos": memos, "calls": 1, "requests": cost.requests} | _used_since(began, cpu_began)


def _used_since(began: float, cpu_began: float) -> dict[str, float]:
    return {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu_began}


@asynccontextmanager
async def _measured(url: str) -> AsyncIterator[tuple[MicroClient, Recorder]]:
    recorder = Recorder()
    async with measured_client(url, recorder) as client:
        yield client, recorder


async def _fill(url: str, memos: int, days: int) -> str:
    """Write an owner who signed up `days` ago and has made memos at an even pace since. Returns the owner's id."""
    random, ids, now = Random(memos), Ids(), utc_now()
    owner, keys = ids.mint(now - timedelta(days=days)), [f"{number:032x}" for number in range(KEYS)]
    async with bulk_client(url) as bulk:
        store = MicroStore(bulk, timeout_s=600)
        await store.verify(TABLES)
        for start in range(0, memos, AT_ONCE):
            numbers = range(start, min(memos, start + AT_ONCE))
            ages = (timedelta(days=days) * ((memos - number) / (memos + 1)) for number in numbers)
            logs = [_log(owner, ids, to_the_millisecond(now - age), random, keys) for age in ages]
            await asyncio.gather(*(UsageLogs(store).add(log) for log in logs))
    return owner


def _log(owner: str, ids: Ids, at: datetime, random: Random, keys: list[str]) -> UsageLog:
    memo_id = ids.mint(at)
    metadata = {"memoId": memo_id, "voice": random.choice(list(VOICES)), "characters": random.randrange(1, 2000)}
    return UsageLog(
        id=memo_id,
        user_id=owner,
        api_key_id=random.choice(keys),
        api_key_name="Default Key",
        api_key_prefix="at_live_",
        action=Action.MEMO_CREATED,
        metadata=metadata | {"audioSeconds": 6.04, "test": False},
        created_at=at,
    )


if __name__ == "__main__":
    main()
