"""Counting logs: each log's counts, the rest when counting stops, and no needless reads."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any

import pytest

from shared.core.clock import DAY, HOUR, midnight
from shared.stores.memory.store import MemoryStore
from shared.tables import UsageLogs
from shared.usage.counts import Counts, counts_of
from shared.usage.recount import LogCounter, collector_at_rest
from tests.fakes.usage_world import MEMO, Owner
from tests.support import NOON, CountingStore, FakeClock, Intercepted, T

MADE = {"characters": 7, "audioSeconds": 1.5}


@pytest.mark.parametrize(
    ("log", "counts"),
    [
        ({"action": "memo_created", "metadata": MADE}, Counts(1, 7, 1500)),
        ({"action": "memo_created", "metadata": {**MADE, "test": True}}, None),
        ({"action": "memo_created", "metadata": {**MADE, "test": False}}, Counts(1, 7, 1500)),
        ({"action": "memo_created", "metadata": MADE, "ended": {"seconds": 2.0004}}, Counts(1, 7, 2000)),
        ({"action": "memo_created", "metadata": MADE, "ended": {"seconds": 0}}, Counts(1, 7, 0)),
        ({"action": "memo_created", "metadata": MADE, "ended": {"seconds": None}}, None),
        ({"action": "error_tts", "metadata": {}}, Counts(errors=1)),
        ({"action": "error_api", "metadata": {"test": True}}, Counts(errors=1)),
        ({"action": "user_login", "metadata": {}}, None),
    ],
)
def test_log_adds_its_counts(log: dict[str, Any], counts: Counts | None) -> None:
    """A live memo counts, with its exact seconds once known; a failed memo, a test's and an event do not."""
    assert counts_of(log) == counts


@pytest.mark.parametrize("was_enabled", [True, False])
def test_collector_is_afterwards_as_it_was(*, was_enabled: bool) -> None:
    """The garbage collector is off while logs are counted, and afterwards as before, also after a failure."""
    enabled = gc.isenabled()
    (gc.enable if was_enabled else gc.disable)()
    try:
        with suppress(LookupError), collector_at_rest():
            assert not gc.isenabled()
            raise LookupError
        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if enabled else gc.disable)()


@pytest.mark.anyio
async def test_counting_that_stops_waits_for_no_page() -> None:
    """A caller that leaves after a step ends the page that is being read for the next one."""

    class Hangs(Intercepted):
        pages = 0

        async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
            self.pages += verb == "page"
            if self.pages > 2:
                await asyncio.Event().wait()
            return await super()._carry_out(verb, call)

    owner = Owner(MemoryStore(), FakeClock(NOON - 3 * DAY))
    for _ in range(3):
        await owner.log(MEMO)
        owner.clock.advance(DAY)
    store = owner.logs._store
    counter = LogCounter(UsageLogs(Hangs(store)), logs_read=2)
    async with asyncio.timeout(5):
        steps = counter.count_in_steps(owner.id, midnight((NOON - 3 * DAY).date()), midnight(NOON.date()), DAY)
        async with aclosing(steps):
            async for end, _ in steps:
                assert end == midnight((NOON - 2 * DAY).date())
                break


@pytest.mark.anyio
@pytest.mark.parametrize("later", [timedelta(0), HOUR])
async def test_no_time_to_count_costs_no_request(later: timedelta) -> None:
    """Steps from a moment to itself, or to an earlier one, are none."""
    store = CountingStore(MemoryStore())
    steps = LogCounter(UsageLogs(store)).count_in_steps("0" * 32, NOON + later, NOON, HOUR)
    assert [step async for step in steps] == []
    assert store.calls == {}
