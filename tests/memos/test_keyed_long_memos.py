"""Long memos with an idempotency key: repeats while the memo is being spoken, and runs killed at each step."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from shared.accounts.accounts import SignedUp
from shared.memos.idempotency import RUN_S, Idempotent, KeyedAnswer
from shared.memos.requests import Draft
from shared.services import Services
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.tables import Window
from shared.tables.memos import AudioStatus
from tests.fakes.long_memos import TEXT, Killed, LongMemoWorld, Steps
from tests.support import FakeClock, signed_up

pytestmark = pytest.mark.anyio

DRAFT = Draft(text=TEXT, voice=VOICES["adam"], title="A greeting")


@pytest.fixture
def world(store: MemoryStore, clock: FakeClock, tmp_path: Path) -> LongMemoWorld:
    return LongMemoWorld(store, tmp_path / "audio", clock)


@pytest.fixture
def process(world: LongMemoWorld) -> Services:
    return world.process()


@pytest.fixture
async def ada(process: Services) -> SignedUp:
    return await signed_up(process)


async def ask(process: Services, ada: SignedUp) -> KeyedAnswer:
    return await process.keyed_memos.make(ada.api_key.key, DRAFT, Idempotent(name="one"))


async def killed(world: LongMemoWorld, ada: SignedUp, at: int, *, after: bool) -> bool:
    """Run a process that is killed at this step. Returns whether it died before it answered."""
    try:
        await ask(world.process(Steps(at=at, after=after)), ada)
    except Killed:
        return True
    return False


async def check(process: Services, ada: SignedUp, answers: list[KeyedAnswer], *, deaths: int) -> None:
    """Check that all answers are one memo, which exists, and is charged once, plus at most once for each death."""
    memos = (await process.tables.memos.page(ada.user.id, Window(limit=100))).rows
    first = [memo.model_copy(update={"ended": None}) for memo in memos]
    assert [answer.memo for answer in answers] == [*first] * len(answers)
    quota = await process.quotas.used(ada.user, process.clock())
    (key,) = await process.tables.api_keys.of(ada.user.id, process.clock())
    for count in (quota.day.used, quota.month.used, key.usage_count):
        assert len(memos) <= count <= len(memos) + deaths


async def test_repeats_of_a_long_memo_answer_processing(world: LongMemoWorld, process: Services, ada: SignedUp) -> None:
    """Repeats before and after the speech, and after a deletion, return the first result. It is queued once."""
    first = await ask(process, ada)
    assert (first.memo.status, first.memo.audio_seconds, first.is_replay) == (AudioStatus.PROCESSING, 7.6, False)
    answers = [first, await ask(world.process(), ada)]
    assert await process.speaker.say(first.memo.id, 1)
    assert (await process.tables.memos.load(ada.user.id, first.memo.id)).status is AudioStatus.READY
    answers.append(await ask(process, ada))
    await check(process, ada, answers, deaths=0)
    await process.memos.delete(ada.user.id, first.memo.id)
    assert (await ask(process, ada)).memo == first.memo
    assert world.queue.sent == [first.memo.id]


async def test_a_memo_deleted_while_it_is_said_is_repeated(world: LongMemoWorld, process: Services) -> None:
    """The repeat returns the first result, and makes no memo."""
    ada = await signed_up(process)
    first = await ask(process, ada)
    await process.memos.delete(ada.user.id, first.memo.id)
    world.clock.advance(2 * RUN_S)
    again = await ask(process, ada)
    assert (again.memo, again.is_replay) == (first.memo, True)
    assert (await process.tables.memos.page(ada.user.id, Window())).rows == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("is_dropped", [False, True])
async def test_a_killed_run_of_a_long_memo_is_repeated(
    world: LongMemoWorld, process: Services, *, after: bool, is_dropped: bool
) -> None:
    """If a run dies anywhere, one repeat after a minute makes or returns the memo, and the memo is spoken completely.

    With `is_dropped` a worker reads the list first, and drops the row of a memo that was never written.
    """
    step, deaths = 0, 1
    while deaths:
        ada = await signed_up(process, f"ada{step}@example.org")
        deaths = int(await killed(world, ada, step, after=after))
        world.clock.advance(2 * RUN_S)
        if is_dropped:
            await _work(world)
        answer = await ask(process, ada)
        await check(process, ada, [answer, await ask(process, ada)], deaths=deaths)
        await _work(world)
        memo = await process.tables.memos.load(ada.user.id, answer.memo.id)
        assert memo.status is AudioStatus.READY
        await check(process, ada, [answer, await ask(process, ada)], deaths=deaths)
        assert [row async for row in process.tables.long_memos.every()] == []
        step += 1
    assert step > 10


async def test_two_deaths_of_a_long_memo_are_repeated(world: LongMemoWorld, process: Services) -> None:
    """A run dies, and the run that takes over dies at another step; the third finishes, and the memo is spoken."""
    for step in range(14):
        ada = await signed_up(process, f"ada{step}@example.org")
        deaths = 0
        for at in (step, (5 * step + 2) % 14):
            deaths += await killed(world, ada, at, after=step % 2 == 0)
            world.clock.advance(2 * RUN_S)
        answer = await ask(process, ada)
        await _work(world)
        assert (await process.tables.memos.load(ada.user.id, answer.memo.id)).status is AudioStatus.READY
        await check(process, ada, [answer, await ask(process, ada)], deaths=deaths)


async def test_repeats_of_a_long_memo_at_once_make_one(world: LongMemoWorld, process: Services, ada: SignedUp) -> None:
    processes = [world.process() for _ in range(10)]
    answers = await asyncio.gather(*(ask(each, ada) for each in processes), return_exceptions=True)
    made = [answer for answer in answers if isinstance(answer, KeyedAnswer)]
    assert sum(not answer.is_replay for answer in made) == 1
    await check(process, ada, made, deaths=0)
    assert len(world.queue.sent) == 1


async def _work(world: LongMemoWorld) -> None:
    """Speak all memos of the list, as housekeeping and the workers do."""
    process = world.process()
    await process.speaker.send_stopped(world.queue, idle=timedelta())
    for memo_id in sorted(set(world.queue.sent)):
        await process.speaker.say(memo_id, 1)
    world.queue.sent.clear()
