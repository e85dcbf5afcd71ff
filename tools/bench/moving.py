"""Measure a move of 100,000 memos and logs onto a real HYPR Micro server: `make bench-moving`.

A separate process moves each size twice: the second time nothing has changed. The floor is a move of 1,000.
"""

import argparse
import asyncio
import io
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from shared.api_keys.minting import digest
from shared.core.clock import iso, utc_now
from shared.speech.voices import VOICES
from shared.stores.micro.store import MicroStore
from shared.tables import TABLES
from tests.fakes.standin_network import Recorder
from tests.live.processes import add_checkout, checkout, micro_server
from tests.live.wire import measured_client
from tools.moving.findings import Findings
from tools.moving.mover import Mover
from tools.moving.planning import Planner
from tools.moving.sources import opened_source
from tools.moving.working_copy import working_copy

FEW: Final = 1_000
MANY: Final = 50_000
DAYS: Final = 365
OWNERS: Final = 20
"""Owners: half of the memos belong to one, and the rest are spread over the others."""

_SCHEMA: Final = """
CREATE TABLE users (id, email, password_hash, tier, role, created_at, updated_at);
CREATE TABLE api_keys (id, user_id, key_hash, prefix, name, usage_count, last_used_at, is_active, created_at);
CREATE TABLE memos (id, user_id, api_key_id, text, voice, audio_url, duration_seconds, character_count, created_at);
CREATE TABLE usage_logs (id, user_id, api_key_id, action, metadata, created_at);
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.moving", description=__doc__)
    add_checkout(parser)
    parser.add_argument("--memos", type=int, default=MANY, help="of the larger file (default: %(default)s)")
    parser.add_argument("--move", nargs=2, metavar=("FILE", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.move:
        print(json.dumps(asyncio.run(_move(*options.move))))
        return
    server_dir = checkout(parser, options)
    print("| memos, and as many logs | rows a second | requests a row | peak memory | again: s | requests |")
    print("|---|---|---|---|---|---|")
    for memos in (FEW, options.memos):
        told = _measured(server_dir, memos)
        again = told["again"]
        print(
            f"| {memos:,} | {told['rows'] / told['seconds']:,.0f} | {told['requests'] / told['rows']:.2f} "
            f"| {told['peak_mb']:.0f} MB | {again['seconds']:.1f} | {again['requests']:,} |",
            flush=True,
        )


def _measured(server_dir: Path, memos: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, micro_server(server_dir) as server:
        asyncio.run(server.start())
        path = Path(folder) / "old.sqlite"
        _write(path, memos)
        command = [sys.executable, "-m", "tools.bench.moving", "--move", str(path), server.url]
        moved = subprocess.run(command, capture_output=True, check=True, text=True)
        told: dict[str, Any] = json.loads(moved.stdout)
        return told


async def _move(path: str, url: str) -> dict[str, Any]:
    """Move twice. Returns the costs of each move, and the peak of memory in megabytes."""
    recorder = Recorder()
    async with measured_client(url, recorder) as client:
        store = MicroStore(client, timeout_s=600)
        await store.verify(TABLES)
        runs = [await _timed(path, store, recorder) for _ in range(2)]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**runs[0], "again": runs[1], "peak_mb": peak_mb}


async def _timed(path: str, store: MicroStore, recorder: Recorder) -> dict[str, float]:
    began, now, rows = time.monotonic(), utc_now(), 0

    def advance(done: int) -> None:
        nonlocal rows
        rows += done

    with recorder.measure() as cost, working_copy(now=now) as copy:
        findings = Findings(io.StringIO())
        async with opened_source(f"sqlite:{path}", {}) as source:
            await copy.fill(source, findings)
        await Mover(Planner(copy, findings, now=now), store, clock=utc_now).move(advance)
    return {"seconds": time.monotonic() - began, "requests": cost.requests, "rows": sum(findings.rows.values())}


def _write(path: Path, memos: int) -> None:
    now, random = utc_now(), Random(memos)
    with closing(sqlite3.connect(path)) as sql, sql:
        sql.executescript(_SCHEMA)
        for number in range(OWNERS):
            at, key = iso(now - timedelta(days=DAYS)), digest(f"key {number}")
            user = (f"user_{number}", f"user{number}@example.org", "$2b$12$" + 53 * "a", "pro", "user", at, at)
            sql.execute("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?)", user)
            row = (f"key_{number}", f"user_{number}", key, "at_live_", "build", memos, iso(now), 1, at)
            sql.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        sql.executemany("INSERT INTO memos VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _memos(memos, now, random))
        sql.execute(
            "INSERT INTO usage_logs SELECT 'log_' || id, user_id, api_key_id, 'memo_created',"
            " json_object('voice', voice, 'characterCount', character_count, 'duration', duration_seconds), created_at"
            " FROM memos"
        )


def _memos(count: int, now: datetime, random: Random) -> Iterator[tuple[object, ...]]:
    voices = list(VOICES)
    for number in range(count):
        owner, length = number % 2 * random.randrange(OWNERS), random.randrange(20, 200)
        at = now - timedelta(seconds=random.randrange(DAYS * 86_400), milliseconds=random.randrange(1000))
        text, url = "Word " * (length // 5), f"https://talk.example.org/audio/m{number}.mp3"
        words = text[:length].ljust(length, ".")
        keys = (f"memo_{number}", f"user_{owner}", f"key_{owner}")
        yield (*keys, words, random.choice(voices), url, length / 12, length, iso(at))


if __name__ == "__main__":
    main()
