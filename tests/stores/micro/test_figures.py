"""Lists, logs, figures and limits agree with one another after a fault at any request of an operation, and its repeat.

With EVERY_COMBINATION set, every fault is tried at every request; otherwise a seeded sample.
"""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from tests.fakes.standin_network import EVERY_FAULT, nth
from tests.stores.micro.test_operations import (
    EVERY,
    OPERATIONS,
    OVERCOME,
    Ask,
    Findings,
    Scene,
    Trial,
    get,
    scene,
    survives,
)
from tests.support import seeded

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

CHANGING: Final = (
    *("make memo", "make simulated memo", "delete memo", "retitle memo"),
    *("create key", "rename key", "revoke key"),
)
SAMPLE: Final = 6
"""Faults for each operation. More take longer, and find more in one run."""


@pytest.mark.parametrize("name", CHANGING)
async def test_figures_agree_after_a_fault_and_its_repeat(name: str) -> None:
    """After a fault and a repeat, lists, logs, verification, figures and limits agree with one another."""
    findings = Findings()
    async with scene(OPERATIONS[name]) as played:
        for number, kind in _sampled(name, played.requests):
            await findings.note(f"{kind} at request {number}", _agree_after(played, number, kind))
    findings.conclude()


def _sampled(name: str, requests: int) -> Sequence[tuple[int, str]]:
    every = [(number, kind) for number in range(1, requests + 1) for kind in EVERY_FAULT]
    return every if EVERY else seeded(CHANGING.index(name)).sample(every, min(SAMPLE, len(every)))


async def _agree_after(scene: Scene, number: int, kind: str) -> None:
    trial = scene.trial()
    await survives(scene, nth(number, EVERY_FAULT[kind]), overcome=kind in OVERCOME, trial=trial)
    await _figures_agree(trial)


async def _figures_agree(trial: Trial) -> None:
    owner, reader = trial.owner, trial.reader

    async def load(path: str) -> Any:
        return await reader.load(get(path, owner.session))

    logs = [log for log in (await load("/api/v1/usage?limit=100"))["logs"] if log["action"] == "memo_created"]
    live = [log for log in logs if not log["metadata"]["test"]]
    logged, listed = {log["metadata"]["memoId"] for log in logs}, set(await trial.memos())
    assert listed <= logged, "a memo is listed that no log has"
    assert logged <= listed | {owner.memos[0]["id"]}, "a log has a memo that is neither listed nor deleted"
    stats, summary = (await load("/api/v1/dashboard/stats"))["stats"], (await load("/api/v1/analytics/summary"))["data"]
    series = (await load("/api/v1/usage/series"))["buckets"]
    calls = {
        "summary": summary["totalCalls"],
        "summary's today": summary["callsToday"],
        "charts": sum(day["calls"] for day in (await load("/api/v1/analytics/charts"))["data"]["daily"]),
        "voices": sum(voice["callCount"] for voice in (await load("/api/v1/analytics/voices"))["data"]),
        "series": sum(result["calls"] for bucket in series for result in bucket["results"]),
        "stats": stats["usage"]["total"],
        "stats' memos": stats["memos"]["total"],
    }
    assert calls == dict.fromkeys(calls, len(live)), "figures differ from logs"
    limits = await load("/api/v1/usage/limits")
    assert stats["rateLimit"]["used"] == limits["daily"]["used"]
    for used in (limits["daily"]["used"], limits["monthly"]["used"]):
        assert len(live) <= used <= len(live) + trial.unanswered, "more places are used than lost answers explain"
    await _keys_agree(trial, stats["apiKeys"])


async def _keys_agree(trial: Trial, counted: Any) -> None:
    """Check that the list, its count, the check and a use of a key agree."""
    owner, keys = trial.owner, await trial.keys()
    assert (counted["total"], counted["active"]) == (len(keys), sum(key["isActive"] for key in keys))
    (listed,) = (key for key in keys if key["id"] == owner.key_id)
    verified = await trial.reader.load(
        Ask(method="POST", path="/api/keys/verify", token=owner.session, json={"key": owner.key})
    )
    assert verified["valid"] == listed["isActive"] == (await trial.works(owner.key) == 200)
