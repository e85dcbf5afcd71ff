"""The queue as tasks of a process."""

import asyncio

import pytest

from shared.jobs.process import AGAIN_S, ProcessQueue

pytestmark = pytest.mark.anyio


class Works:
    """Fails the first `failures` deliveries of a memo."""

    def __init__(self, failures: int = 0) -> None:
        self.calls: list[tuple[str, int]] = []
        self.most_at_once = 0
        self.waits: list[float] = []
        self._failures = failures
        self._under_way = 0

    async def work(self, memo_id: str, times: int) -> None:
        self.calls.append((memo_id, times))
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        await asyncio.sleep(0)
        self._under_way -= 1
        if times <= self._failures:
            raise RuntimeError(memo_id)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


async def test_queue_hands_over_until_the_work_is_done() -> None:
    """Each delivery contains its number, and the wait doubles, up to a minute."""
    works = Works(failures=8)
    queue = ProcessQueue(works.work, sleep=works.sleep)
    await queue.send("a")
    await queue.drained()
    assert works.calls == [("a", times) for times in range(1, 10)]
    assert works.waits[:3] == [2.0, 4.0, 8.0]
    assert works.waits[-1] == AGAIN_S[1]


async def test_queue_says_few_memos_at_once() -> None:
    """Waiting memos take no turn, and all are handed over."""
    works = Works(failures=1)
    queue = ProcessQueue(works.work, at_once=2, sleep=works.sleep)
    for number in range(20):
        await queue.send(str(number))
    await queue.drained()
    assert len(works.calls) == 40
    assert works.most_at_once == 2


async def test_closed_queue_hands_over_nothing_any_more() -> None:
    """Work in progress is cancelled, and a waiting memo is not handed over."""
    begun, works, handed = asyncio.Event(), Works(), list[str]()

    async def work(memo_id: str, _: int) -> None:
        handed.append(memo_id)
        begun.set()
        await asyncio.Event().wait()

    queue = ProcessQueue(work, at_once=1, sleep=works.sleep)
    await queue.send("a")
    await queue.send("b")
    await begun.wait()
    await queue.close()
    await queue.drained()
    assert handed == ["a"]
