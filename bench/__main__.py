"""Measure against floors of the same run, and print the ratios: `make bench`.

Times are medians. Each pair runs in turn, A B A B …, so that a machine whose speed drifts slows both.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from mangum import Mangum

from handlers import memos
from shared.api_keys import new_key
from shared.app import Function
from shared.clock import Ids, utc_now
from shared.memory import MemoryStore
from shared.plans import Tier
from shared.rows import Memo, Role, User
from shared.services import Services
from shared.settings import Settings
from shared.tables import ApiKeys, Memos, Users

FLOOR_IMPORT: Final = "import fastapi, mangum, httpx"
HANDLERS: Final = ("users", "keys", "memos", "usage", "subscriptions", "health")
_CONTEXT: Any = None
"""Mangum hands it on, and nobody reads it."""

QUIET: Final = {"LOG_LEVEL": "ERROR"}


def main() -> None:
    print("| what | median | floor | ratio |\n|---|---|---|---|")
    small, key = _memos_function(100)
    large, large_key = _memos_function(100_000)
    page = small(_event(key), _CONTEXT)
    assert len(json.loads(page["body"])["memos"]) == 20, page
    for what, bare in _bare(json.loads(page["body"])).items():
        ours, floor = _paired(partial(small, _event(key), _CONTEXT), partial(bare, _event(key), _CONTEXT), runs=400)
        _row(f"page of 20 memos, warm, against a bare route that answers it from {what}", ours, floor)
    many, few = _paired(partial(large, _event(large_key), _CONTEXT), partial(small, _event(key), _CONTEXT), runs=400)
    _row("page of 20 out of 100,000 memos, against out of 100", many, few)
    for name in HANDLERS:
        ours, floor = _paired(partial(_import, f"import handlers.{name}"), partial(_import, FLOOR_IMPORT), runs=5)
        _row(f"importing handlers.{name}, against fastapi, mangum and httpx", ours, floor)


def _row(what: str, ours_s: float, floor_s: float) -> None:
    print(f"| {what} | {ours_s * 1000:.2f} ms | {floor_s * 1000:.2f} ms | {ours_s / floor_s:.2f} |", flush=True)


def _paired(one: Callable[[], Any], other: Callable[[], Any], *, runs: int) -> tuple[float, float]:
    """The medians of both, in seconds, run in turn after a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + max(1, runs // 10)):
        for taken, call in zip(times, (one, other), strict=True):
            began = time.perf_counter()
            call()
            if run >= max(1, runs // 10):
                taken.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def _import(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], check=True)


def _memos_function(count: int) -> tuple[Function, str]:
    """The memos function on a store with so many memos of one owner, and the owner's key."""
    store = MemoryStore()
    secret = asyncio.run(_fill(store, count))
    return memos.handler.with_environment(QUIET, lambda settings: _services(store, settings)), secret


def _services(store: MemoryStore, settings: Settings) -> Services:
    return Services.on(store, settings)


async def _fill(store: MemoryStore, count: int) -> str:
    now, ids = utc_now(), Ids()
    user = User(
        id=ids.mint(now),
        email="bench@example.org",
        password_hash="",
        tier=Tier.ENTERPRISE,
        role=Role.USER,
        email_verified=True,
        session_version=1,
        created_at=now,
        updated_at=now,
    )
    key = new_key(user.id, name="bench", at=now)
    await Users(store).add(user)
    await ApiKeys(store).begin_ring(key.key)
    rows = Memos(store)
    for number in range(count):
        at = now - timedelta(seconds=count - number)
        await rows.add(
            Memo(
                id=ids.mint(at),
                user_id=user.id,
                text=f"Memo {number}: the build is green, and the release notes are ready to read.",
                audio_url="/audio/simulated-60.mp3",
                duration_seconds=6.0,
                voice="rachel",
                character_count=75,
                title=None,
                created_at=at,
            )
        )
    return key.secret


def _bare(page: dict[str, Any]) -> dict[str, Mangum]:
    """FastAPI and Mangum alone, answering the same page: as one writes it first, and the two ways that are faster."""
    plain, model, annotated = FastAPI(), FastAPI(), FastAPI()

    @plain.get("/api/v1/memos")
    async def from_dict():  # type: ignore[no-untyped-def] # noqa: ANN202 the annotation is what makes the difference
        return page

    @model.get("/api/v1/memos", response_model=memos.MemoPage)
    async def from_dict_by_model() -> dict[str, Any]:
        return page

    @annotated.get("/api/v1/memos")
    async def from_annotated_dict() -> dict[str, Any]:
        return page

    return {
        "a dict": Mangum(plain, lifespan="off"),
        "a dict, by our answer model": Mangum(model, lifespan="off"),
        "a dict annotated as such": Mangum(annotated, lifespan="off"),
    }


def _event(key: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": "/api/v1/memos",
        "rawQueryString": "",
        "headers": {"authorization": f"Bearer {key}", "host": "localhost"},
        "requestContext": {
            "stage": "$default",
            "http": {"method": "GET", "path": "/api/v1/memos", "sourceIp": "192.0.2.1"},
        },
        "isBase64Encoded": False,
    }


if __name__ == "__main__":
    main()
