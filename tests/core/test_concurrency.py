"""Concurrent awaitables: none is abandoned."""

import asyncio

import pytest

from shared.core.concurrency import AT_ONCE, gather_settled, in_batches

pytestmark = pytest.mark.anyio


class Calls:
    """Calls that fail by number, and record the most that ran concurrently."""

    def __init__(self, *failing: int) -> None:
        self.failing = failing
        self.ended: list[int] = []
        self.running = 0
        self.most = 0

    async def __call__(self, number: int, *, steps: int = 1) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        for _ in range(steps):
            await asyncio.sleep(0)
        self.running -= 1
        self.ended.append(number)
        if number in self.failing:
            raise LookupError(number)
        return number


async def test_gather_settled_returns_results_in_order() -> None:
    """Results are in the order of the awaitables, whichever ends first."""
    call = Calls()
    assert await gather_settled(call(1, steps=3), call(2)) == (1, 2)
    assert call.ended == [2, 1]


async def test_gather_settled_awaits_all_before_it_raises() -> None:
    """The first error in the order of the awaitables is raised once all have ended: no write is left in flight."""
    call = Calls(2, 3)
    with pytest.raises(LookupError, match="2"):
        await gather_settled(call(1, steps=5), call(2, steps=3), call(3))
    assert call.ended == [3, 2, 1]


async def test_in_batches_awaits_all_in_bounded_batches() -> None:
    """At most AT_ONCE run concurrently, as many as a container has connections."""
    call = Calls()
    await in_batches(call(number) for number in range(2 * AT_ONCE + 1))
    assert (call.ended, call.most) == ([*range(2 * AT_ONCE + 1)], AT_ONCE)


async def test_in_batches_begins_no_batch_after_an_error() -> None:
    """The batch with the error is awaited to its end."""
    call = Calls(1)
    with pytest.raises(LookupError):
        await in_batches(call(number) for number in range(2 * AT_ONCE))
    assert call.ended == [*range(AT_ONCE)]
