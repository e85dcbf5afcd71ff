"""Long memos under workers that are killed at each step, raced, and failing: each ends once, and counts exactly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.accounts.accounts import SignedUp
from shared.activity import UsageRecorder
from shared.audio.files import Presence, audio, close_owner, erase_owner, look, owner_digest
from shared.audio.mp3 import read_mp3
from shared.core.clock import DAY
from shared.core.errors import DailyLimitExceeded, SpeechFailed
from shared.jobs.worked import Worked
from shared.memos.endings import LongMemoEndings
from shared.memos.requests import Draft
from shared.memos.speaking import SENDINGS, TRIES, NotYet
from shared.plans import Tier
from shared.services import Services
from shared.speech.english import in_english
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.stores.port import StoreUnavailable
from shared.tables import Window
from shared.tables.issued_keys import KeyLimit
from shared.tables.long_memos import MemoEnd, Outcome
from shared.tables.memos import AudioStatus, Memo
from shared.tables.usage_logs import Action
from shared.usage.counts import Counts
from shared.usage.history import History
from shared.usage.rollups import Rollups
from tests.fakes.long_memos import TEXT, Killed, LongMemoWorld, Steps
from tests.fakes.micro_store_world import MicroStoreWorld, micro_store_world
from tests.support import IDS, FakeClock, services_on, signed_up

pytestmark = pytest.mark.anyio

DRAFT = Draft(text=TEXT, voice=VOICES["adam"])


@pytest.fixture
def world(store: MemoryStore, clock: FakeClock, tmp_path: Path) -> LongMemoWorld:
    return LongMemoWorld(store, tmp_path / "audio", clock)


@pytest.fixture
def process(world: LongMemoWorld) -> Services:
    return world.process()


@pytest.fixture
async def ada(process: Services) -> SignedUp:
    return await signed_up(process)


async def begin(process: Services, ada: SignedUp, draft: Draft = DRAFT) -> Memo:
    memo, _ = await process.memos.make(ada.api_key.key, draft)
    assert memo.status is AudioStatus.PROCESSING
    return memo


def endings_of(process: Services) -> LongMemoEndings:
    tables = process.tables
    recorder = UsageRecorder(tables.usage_logs, tables.active_owners, IDS)
    return LongMemoEndings(process.store, tables, quotas=process.quotas, recorder=recorder, clock=process.clock)


async def counted(process: Services, ada: SignedUp) -> Counts:
    history = History(logs=process.tables.usage_logs, rollups=Rollups(process.store), clock=process.clock)
    return (await history.all_time(ada.user.id, errors=True)).total.total


async def used(process: Services, ada: SignedUp) -> tuple[int, int, int]:
    """Return the used places of the day, of the month, and of the key."""
    quota = await process.quotas.used(ada.user, process.clock())
    (key,) = await process.tables.api_keys.of(ada.user.id, process.clock())
    return quota.day.used, quota.month.used, key.usage_count


async def actions(process: Services, ada: SignedUp) -> list[str]:
    page = await process.tables.usage_logs.page(ada.user.id, Window(limit=100))
    return sorted(log.action for log in page.rows if "key" not in log.action and "user" not in log.action)


async def assert_ready(world: LongMemoWorld, ada: SignedUp, memo: Memo) -> None:
    """Check that there is one file, its exact length in memo and counts, one taken place, and nothing left over."""
    process = world.process()
    ready = await process.tables.memos.load(ada.user.id, memo.id)
    assert ready.status is AudioStatus.READY
    file = memo.audio_url.removeprefix("/audio/")
    assert world.kept() == [audio(file)]
    content = await world.files.read(audio(file))
    assert content is not None
    assert read_mp3(content).seconds == pytest.approx(ready.audio_seconds, abs=1e-6)
    assert await counted(process, ada) == Counts(1, len(TEXT), round(1000 * ready.audio_seconds))
    assert await used(process, ada) == (1, 1, 1)
    assert await actions(process, ada) == ["memo_created"]
    assert [row async for row in process.tables.long_memos.every()] == []


class TestEnds:
    async def test_long_text_is_ready_after_its_work(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """It counts with its estimate, and after the speech with its exact length. Each piece is bought once."""
        memo = await begin(process, ada)
        assert memo.audio_seconds == 7.6
        assert await counted(process, ada) == Counts(1, len(TEXT), 7600)
        file = memo.audio_url.removeprefix("/audio/")
        assert await look(world.files, file) is Presence.MAKING
        assert world.queue.sent == [memo.id]
        assert await process.speaker.say(memo.id, 1)
        await assert_ready(world, ada, memo)
        assert set(world.voices.bought.values()) == {1}
        assert len(world.voices.bought) == 3

    async def test_quick_text_is_ready_at_once(self, world: LongMemoWorld, process: Services, ada: SignedUp) -> None:
        memo, _ = await process.memos.make(ada.api_key.key, Draft(text="Short.", voice=VOICES["adam"]))
        assert (memo.status, world.queue.sent) == (AudioStatus.READY, [])

    async def test_handed_over_again_costs_one_read(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """No worker speaks a memo again that has an outcome."""
        memo = await begin(process, ada)
        await process.speaker.say(memo.id, 1)
        steps = Steps()
        assert await world.process(steps).speaker.say(memo.id, 2)
        assert steps.names == ["store.get"]

    async def test_failure_is_given_back_after_the_last_try(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """Earlier failures are raised; then the memo has failed: no call, no place, and a log of the failure."""
        memo = await begin(process, ada)
        world.voices.fails = lambda text: "Three" in text
        for tries in range(1, TRIES):
            with pytest.raises(SpeechFailed):
                await process.speaker.say(memo.id, tries)
        assert await used(process, ada) == (1, 1, 1)
        assert await process.speaker.say(memo.id, TRIES)
        failed = await process.tables.memos.load(ada.user.id, memo.id)
        assert (failed.status, failed.audio_seconds) == (AudioStatus.FAILED, 7.6)
        assert await used(process, ada) == (0, 0, 0)
        assert await counted(process, ada) == Counts(errors=1)
        assert await actions(process, ada) == ["error_tts", "memo_created", "memo_failed"]
        assert await look(world.files, memo.audio_url.removeprefix("/audio/")) is Presence.ABSENT
        assert world.kept() == []
        assert max(world.voices.bought.values()) == 1

    async def test_failure_is_recorded_as_of_its_time(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """A worker that writes it days later corrects that day's sums; its logs have the failure, and its time."""
        memo = await begin(process, ada)
        world.clock.advance(DAY)
        failed_at = world.clock.at
        outcome = Outcome(end=MemoEnd.FAILED, at=failed_at, code="TTS_SERVICE_ERROR")
        await process.tables.long_memos.decide(memo.id, outcome)
        world.clock.advance(2 * DAY)
        await counted(process, ada)
        assert await process.speaker.say(memo.id, 1)
        assert await counted(process, ada) == Counts(errors=1)
        for action in (Action.MEMO_FAILED, Action.ERROR_TTS):
            (log,) = (await process.tables.usage_logs.page(ada.user.id, Window(), action=action)).rows
            assert (log.created_at, log.api_key_id) == (failed_at, ada.api_key.key.id)
            assert log.metadata == {
                "code": "TTS_SERVICE_ERROR",
                "voice": "adam",
                "characters": len(TEXT),
                "test": False,
                "memoId": memo.id,
            }

    async def test_failed_piece_is_bought_by_the_next_try(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """The failed piece's lease was given back, and the bought pieces are stored."""
        memo = await begin(process, ada)
        world.voices.fails = lambda text: "Three" in text
        with pytest.raises(SpeechFailed):
            await process.speaker.say(memo.id, 1)
        world.voices.fails = lambda _: False
        assert await process.speaker.say(memo.id, 2)
        await assert_ready(world, ada, memo)
        assert set(world.voices.bought.values()) == {1}

    async def test_key_limits_of_a_failed_memo_are_free_again(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """The key's own limits, of memos and of characters, have room for the next one."""
        limits = {KeyLimit.MEMOS_PER_DAY: 1, KeyLimit.CHARACTERS_PER_MONTH: len(TEXT)}
        key = await process.api_keys.change(ada.user, ada.api_key.key.id, limits=limits)
        memo, _ = await process.memos.make(key, DRAFT)
        with pytest.raises(DailyLimitExceeded):
            await process.memos.make(key, DRAFT)
        world.voices.fails = lambda _: True
        await process.speaker.say(memo.id, TRIES)
        await process.memos.make(key, DRAFT)

    async def test_places_of_ended_windows_are_not_given_back(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """A memo that fails the next day frees its place of the month and of the key: the day has ended."""
        memo = await begin(process, ada)
        world.voices.fails = lambda _: True
        world.clock.advance(DAY)
        await process.speaker.say(memo.id, TRIES)
        assert await used(process, ada) == (0, 0, 0)
        day = await process.store.counters(f"{ada.user.id}:calls:{memo.created_at:%Y-%m-%d}")
        assert list(day.values()) == [1]

    @pytest.mark.parametrize("fails", [False, True])
    @pytest.mark.parametrize("days", [0, 1, 40])
    async def test_summed_day_is_counted_again(
        self, world: LongMemoWorld, process: Services, ada: SignedUp, *, fails: bool, days: int
    ) -> None:
        """A memo that ends hours, a day or a month after sums were made corrects them."""
        memo = await begin(process, ada)
        world.clock.advance(timedelta(days=days, hours=2))
        assert (await counted(process, ada)).audio_ms == 7600
        world.voices.fails = lambda _: fails
        await process.speaker.say(memo.id, TRIES)
        ended = await process.tables.memos.load(ada.user.id, memo.id)
        seconds = round(1000 * ended.audio_seconds)
        assert await counted(process, ada) == (Counts(errors=1) if fails else Counts(1, len(TEXT), seconds))


class TestDeletion:
    async def test_deleted_memo_is_not_said(self, world: LongMemoWorld, process: Services, ada: SignedUp) -> None:
        """Only its counts stay, with the estimated seconds; a later worker finds nothing."""
        memo = await begin(process, ada)
        await process.memos.delete(ada.user.id, memo.id)
        assert await process.tables.memos.get(ada.user.id, memo.id) is None
        assert await process.speaker.say(memo.id, 1)
        assert (world.kept(), world.voices.bought) == ([], {})
        assert await counted(process, ada) == Counts(1, len(TEXT), 7600)
        assert await used(process, ada) == (1, 1, 1)

    async def test_processing_memo_is_deleted_where_audio_was_unset(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """A container without an audio place deletes the memo alone. A worker drops the rest."""
        memo = await begin(process, ada)
        await services_on(world.store, world.clock).memos.delete(ada.user.id, memo.id)
        assert await process.tables.memos.get(ada.user.id, memo.id) is None
        world.clock.advance(timedelta(minutes=2))
        assert await process.speaker.say(memo.id, 1)
        assert world.kept() == []

    @pytest.mark.parametrize("url", ["https://talk.example.org/a.mp3", "/audio/simulated-4.mp3", "/audio/../x"])
    async def test_memo_whose_audio_is_not_ours_is_deleted(
        self, world: LongMemoWorld, process: Services, ada: SignedUp, url: str
    ) -> None:
        """Audio of the predecessor and of the simulation is no file of ours: only the memo is deleted."""
        memo = (await begin(process, ada)).model_copy(update={"id": IDS.mint(world.clock()), "audio_url": url})
        memo = memo.model_copy(update={"is_long": False})
        await process.tables.memos.add(memo)
        before = world.kept()
        await process.memos.delete(ada.user.id, memo.id)
        assert await process.tables.memos.get(ada.user.id, memo.id) is None
        assert world.kept() == before

    async def test_memo_deleted_while_it_is_said_is_gone(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """Its worker stores no audio of it, and buys no further piece once it notices the deletion."""
        memo = await begin(process, ada)

        async def delete() -> None:
            world.voices.before = None
            await world.process().memos.delete(ada.user.id, memo.id)

        world.voices.before = delete
        assert await process.speaker.say(memo.id, 1)
        assert world.kept() == []
        assert sum(world.voices.bought.values()) <= 2
        assert await process.tables.memos.get(ada.user.id, memo.id) is None

    async def test_closed_owners_memo_is_dropped(self, world: LongMemoWorld, process: Services, ada: SignedUp) -> None:
        memo = await begin(process, ada)
        await close_owner(world.files, ada.user.id)
        assert await process.speaker.say(memo.id, 1)
        assert world.voices.bought == {}
        assert [name for name in world.kept() if not name.startswith("closed/")] == []

    async def test_deleted_at_each_step_of_its_worker(self, world: LongMemoWorld) -> None:
        """Whenever its owner deletes it, neither memo, row, audio nor part of it is left; it stays one call."""
        process, at = world.process(), 0
        while True:
            ada = await signed_up(process, f"deleter{at}@example.org")
            memo = await begin(process, ada)
            steps = Steps(before=(at, partial(process.memos.delete, ada.user.id, memo.id)))
            await self.ended(world, memo, steps)
            if len(steps.names) <= at:
                break
            assert await process.tables.memos.get(ada.user.id, memo.id) is None
            assert [row async for row in process.tables.long_memos.every()] == []
            assert world.kept() == []
            counts = await counted(process, ada)
            assert (counts.calls, await used(process, ada)) == (1, (1, 1, 1))
            at += 1
        assert at > 25

    async def test_failed_at_each_step_of_its_worker(self, world: LongMemoWorld) -> None:
        """Whenever another process decides that it failed, it is failed without audio and place, or ready with both."""
        process, at = world.process(), 0
        ends = endings_of(process)
        while True:
            ada = await signed_up(process, f"failer{at}@example.org")
            memo = await begin(process, ada)
            steps = Steps(before=(at, partial(ends.decide, world.files, memo.id, MemoEnd.FAILED, code="BROKEN")))
            await self.ended(world, memo, steps)
            if len(steps.names) <= at:
                break
            status = (await process.tables.memos.load(ada.user.id, memo.id)).status
            made = status is AudioStatus.READY
            assert made or status is AudioStatus.FAILED
            file = audio(memo.audio_url.removeprefix("/audio/"))
            assert world.kept() == ([file] if made else [])
            assert await used(process, ada) == ((1, 1, 1) if made else (0, 0, 0))
            if made:
                await world.files.delete([file])
            at += 1
        assert at > 25

    async def test_memo_that_has_ended_is_not_ended_as_deleted(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """An end that was decided or written before is not the deletion's: the caller deletes the row."""
        memo = await begin(process, ada)
        await process.tables.long_memos.decide(memo.id, Outcome(end=MemoEnd.READY, at=world.clock(), seconds=1.0))
        assert not await endings_of(process).delete(world.files, memo.id)
        assert await endings_of(process).decide(world.files, memo.id, MemoEnd.FAILED) is not None
        assert not await endings_of(process).delete(world.files, memo.id)
        assert await endings_of(process).decide(world.files, memo.id, MemoEnd.FAILED) is None
        assert (await process.tables.memos.load(ada.user.id, memo.id)).audio_seconds == 1.0

    async def test_owner_closed_at_each_step_of_the_worker(self, world: LongMemoWorld) -> None:
        """Whenever the account is closed and erased, no audio of it is left that was put afterwards."""
        process, at = world.process(), 0
        while True:
            ada = await signed_up(process, f"closer{at}@example.org")
            memo = await begin(process, ada)

            async def close(owner: str = ada.user.id) -> None:
                await close_owner(world.files, owner)
                await erase_owner(world.files, owner)

            steps = Steps(before=(at, close))
            await self.ended(world, memo, steps)
            if len(steps.names) <= at:
                break
            assert [name for name in world.kept() if not name.startswith("closed/")] == []
            at += 1
        assert at > 25

    async def ended(self, world: LongMemoWorld, memo: Memo, steps: Steps) -> None:
        """Deliver a memo to a worker with these steps, and then to others, until it has an outcome."""
        process = world.process(steps)
        for _ in range(5):
            try:
                if await process.speaker.say(memo.id, 1):
                    return
            except NotYet:
                process = world.process()
        raise AssertionError("the memo has no end")


class TestTwoWorkers:
    @pytest.mark.parametrize(("seed", "workers"), [(0, 2), (1, 2), (2, 2), (3, 5), (4, 5), (5, 5)])
    async def test_workers_at_once_buy_each_piece_once(
        self, world: LongMemoWorld, process: Services, ada: SignedUp, workers: int
    ) -> None:
        """Concurrent workers wait for one another's pieces, and make one file of one length."""
        memo = await begin(process, ada)
        said = await asyncio.gather(
            *(world.process().speaker.say(memo.id, 1) for _ in range(workers)), return_exceptions=True
        )
        assert True in said
        assert all(answer is True or isinstance(answer, NotYet) for answer in said), said
        await assert_ready(world, ada, memo)
        assert set(world.voices.bought.values()) == {1}

    async def test_worker_without_time_leaves_the_rest(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """The finished pieces are stored, and False means that the memo must be queued again."""
        memo = await begin(process, ada)
        left = iter([30.0, 30.0])
        assert not await process.speaker.say(memo.id, 1, time_left_s=lambda: next(left, 0.0))
        with pytest.raises(NotYet):
            await process.speaker.say(memo.id, TRIES, time_left_s=lambda: 0.0)
        assert await process.speaker.say(memo.id, 1)
        await assert_ready(world, ada, memo)
        assert set(world.voices.bought.values()) == {1}

    async def test_fifty_memos_at_once_are_all_ready(self, world: LongMemoWorld) -> None:
        """Fifty of sixty memos succeed, with a place and a file each. The ten that fail free their places."""
        process = world.process()
        ada = await signed_up(process, "fifty@example.org")
        drafts = [Draft(text=f"{TEXT} {number} {'fails' * (number < 10)}", voice=VOICES["sam"]) for number in range(60)]
        world.voices.fails = lambda text: "fails" in text
        memos = await asyncio.gather(*(begin(process, ada, draft) for draft in drafts))
        assert await used(process, ada) == (60, 60, 60)
        await asyncio.gather(*(world.process().speaker.say(memo.id, TRIES) for memo in memos))
        page = await process.tables.memos.page(ada.user.id, Window(limit=100))
        assert sorted(memo.status for memo in page.rows) == ["failed"] * 10 + ["ready"] * 50
        assert await used(process, ada) == (50, 50, 50)
        assert len(world.kept()) == 50


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        "word and then some " * 5_263,
        "7 " * 50_000,
        "Hi \N{GRINNING FACE} " * 20_000,
        "<b>&amp;</b>\0 there " * 5_000,
        "مرحبا hello שלום " * 5_000,
        "你好 hello。" * 10_000,
    ],
    ids=["letters", "unpunctuated", "digits", "emoji", "markup", "mixed", "chinese"],
)
@pytest.mark.thorough
async def test_longest_texts_are_ready(world: LongMemoWorld, text: str) -> None:
    """Any text of 100,000 characters is cut into pieces that our own voices accept, and all of it is spoken."""
    world.voices.read, world.voices.quick_characters, world.voices.max_characters = in_english, 2_000, 2_000
    process = world.process()
    ada = await signed_up(process, "longest@example.org")
    await process.tables.users.change(ada.user.id, lambda user: user.model_copy(update={"tier": Tier.ENTERPRISE}))
    memo = await begin(process, ada, Draft(text=text, voice=VOICES["sam"]))
    assert await process.speaker.say(memo.id, 1)
    ready = await process.tables.memos.load(ada.user.id, memo.id)
    assert (ready.status, ready.text) == (AudioStatus.READY, text)
    assert all(len(piece) <= 2_000 for piece in world.voices.bought)


class TestStopped:
    async def test_unfinished_memos_are_queued_at_a_start(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """Memos that were queued long enough ago are queued again; one that stops its workers each time has failed."""
        memo = await begin(process, ada)
        assert (await process.speaker.send_stopped(world.queue, idle=timedelta(hours=1))).done == 0
        for _ in range(SENDINGS - 1):
            world.clock.advance(timedelta(hours=2))
            assert (await process.speaker.send_stopped(world.queue, idle=timedelta(hours=1))).done == 1
        assert world.queue.sent == [memo.id] * SENDINGS
        world.clock.advance(timedelta(hours=2))
        assert (await process.speaker.send_stopped(world.queue, idle=timedelta(hours=1))).done == 1
        assert len(world.queue.sent) == SENDINGS
        assert (await process.tables.memos.load(ada.user.id, memo.id)).status is AudioStatus.FAILED
        assert await used(process, ada) == (0, 0, 0)

    async def test_unfinished_memo_says_since_when_it_is_due(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """A memo that is not yet due waits; later the run returns its age, if it is queued, waits again, or is left."""
        began, idle = world.clock(), timedelta(hours=1)
        await begin(process, ada)

        async def after(minutes: int, **how: Any) -> Worked:
            world.clock.advance(began + timedelta(minutes=minutes) - world.clock())
            return await process.speaker.send_stopped(world.queue, idle=idle, **how)

        assert await after(59) == Worked(waiting=1)
        assert await after(60) == Worked(done=1, due_since=began + idle)
        assert await after(119) == Worked(waiting=1, due_since=began + idle)
        assert await after(120, can_go_on=lambda: False) == Worked(is_done=False, due_since=began + idle)
        assert len(world.queue.sent) == 2

    async def test_empty_list_costs_one_request(self, world: LongMemoWorld) -> None:
        steps = Steps()
        await world.process(steps).speaker.send_stopped(world.queue, idle=timedelta())
        assert steps.names == ["store.page"]

    async def test_row_without_a_memo_is_dropped_in_time(
        self, world: LongMemoWorld, process: Services, ada: SignedUp
    ) -> None:
        """If a request died before it wrote its memo, its row stays only while the request may still be alive."""
        memo = await begin(process, ada)
        await process.tables.memos.remove(ada.user.id, memo.id)
        with pytest.raises(NotYet):
            await process.speaker.say(memo.id, TRIES)
        world.clock.advance(timedelta(minutes=2))
        assert await process.speaker.say(memo.id, TRIES)
        assert world.kept() == []
        assert [row async for row in process.tables.long_memos.every()] == []


@pytest.fixture
async def micro() -> AsyncIterator[MicroStoreWorld]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(micro_store_world())


async def test_long_memo_costs_few_requests(micro: MicroStoreWorld, clock: FakeClock, tmp_path: Path) -> None:
    """HYPR Micro gets 7 requests to make one, 4 in sequence, and 16 to speak one, 13 in sequence."""
    container = await micro.container()
    world = LongMemoWorld(container.store, tmp_path / "audio", clock)
    process = world.process()
    ada = await signed_up(process)
    await begin(process, ada)
    container.clock.advance(5)
    with micro.recorder.measure() as made:
        memo = await begin(process, ada)
    container.clock.advance(5)
    with micro.recorder.measure() as said:
        await process.speaker.say(memo.id, 1)
    assert ((made.requests, made.depth), (said.requests, said.depth)) == ((7, 4), (16, 13))


class TestKilled:
    """A worker that is killed at each of its steps, before the step or after it."""

    async def finished(self, world: LongMemoWorld, at: int, *, after: bool, fails: bool) -> bool:
        """Kill a worker at a step, and let another one finish. Returns False if the work has fewer steps."""
        process = world.process()
        ada = await signed_up(process, f"user{at}{after}@example.org")
        memo = await begin(process, ada)
        world.voices.bought.clear()
        world.voices.fails = lambda text: fails and "Seven" in text
        steps = Steps(at=at, after=after)
        try:
            await world.process(steps).speaker.say(memo.id, TRIES)
        except (Killed, BaseExceptionGroup):
            pass
        else:
            return False
        world.lease_ends()
        while not await world.process().speaker.say(memo.id, TRIES):
            pass
        if fails:
            await self.assert_failed(process, ada, memo)
        else:
            await self.assert_finished(world, process, ada, memo, steps)
        return True

    async def assert_finished(
        self, world: LongMemoWorld, process: Services, ada: SignedUp, memo: Memo, steps: Steps
    ) -> None:
        ready = await process.tables.memos.load(ada.user.id, memo.id)
        assert ready.status is AudioStatus.READY
        assert await counted(process, ada) == Counts(1, len(TEXT), round(1000 * ready.audio_seconds))
        assert await used(process, ada) == (1, 1, 1)
        twice = [text for text, times in world.voices.bought.items() if times > 1]
        assert max(world.voices.bought.values()) <= 2
        assert len(twice) <= (2 if "speak" in steps.names else 0), "of the pieces under way, two at once"
        assert [row async for row in process.tables.long_memos.every()] == []
        own = memo.audio_url.removeprefix("/audio/")
        assert [name for name in world.kept() if own in name] == [audio(own)]

    async def assert_failed(self, process: Services, ada: SignedUp, memo: Memo) -> None:
        failed = await process.tables.memos.load(ada.user.id, memo.id)
        assert failed.status is AudioStatus.FAILED
        assert await counted(process, ada) == Counts(errors=1)
        day, month, key = await used(process, ada)
        assert (day, month, key) in ((0, 0, 0), (1, 1, 1)) or max(day, month, key) <= 1, "never given back twice"
        assert await actions(process, ada) == ["error_tts", "memo_created", "memo_failed"]

    @pytest.mark.parametrize("after", [False, True])
    async def test_request_killed_at_each_step(self, world: LongMemoWorld, *, after: bool) -> None:
        """No memo exists then, or one that the next start continues; nothing else is left."""
        process, at = world.process(), 0
        while True:
            ada = await signed_up(process, f"request{at}@example.org")
            try:
                await world.process(Steps(at=at, after=after)).memos.make(ada.api_key.key, DRAFT)
            except (Killed, BaseExceptionGroup):
                at += 1
            else:
                break
            world.clock.advance(timedelta(minutes=2))
            world.queue.sent.clear()
            await process.speaker.send_stopped(world.queue, idle=timedelta())
            for memo_id in world.queue.sent:
                assert await process.speaker.say(memo_id, 1)
            memos = (await process.tables.memos.page(ada.user.id, Window())).rows
            assert [memo.status for memo in memos] == [AudioStatus.READY] * len(memos)
            assert [row async for row in process.tables.long_memos.every()] == []
            own = [name for name in world.kept() if name.startswith(f"audio/{owner_digest(ada.user.id)}")]
            assert own == [audio(memo.audio_url.removeprefix("/audio/")) for memo in memos]
        assert at > 8

    async def test_request_that_fails_at_each_step_leaves_nothing(self, world: LongMemoWorld) -> None:
        """Either the memo is made, or its caller gets an error and no memo, place, row or audio is left."""
        process, at = world.process(), 0

        async def fail() -> None:
            raise StoreUnavailable("once")

        while True:
            ada = await signed_up(process, f"refused{at}@example.org")
            steps = Steps(before=(at, fail))
            made = True
            try:
                await world.process(steps).memos.make(ada.api_key.key, DRAFT)
            except StoreUnavailable:
                made = False
            assert len((await process.tables.memos.page(ada.user.id, Window())).rows) == made
            assert await used(process, ada) == (made, made, made)
            rows = [row async for row in process.tables.long_memos.every() if row.user_id == ada.user.id]
            assert len(rows) == made, steps.names
            own = [name for name in world.kept() if owner_digest(ada.user.id) in name]
            assert len(own) == made, steps.names
            if len(steps.names) <= at:
                break
            at += 1
        assert at > 8

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("fails", [False, True])
    @pytest.mark.thorough
    async def test_worker_killed_at_each_step(self, world: LongMemoWorld, *, after: bool, fails: bool) -> None:
        """The next worker finishes: one file, one length, one charge, each piece bought at most twice."""
        at = 0
        while await self.finished(world, at, after=after, fails=fails):
            at += 1
        assert at > 25

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("fails", [False, True])
    @pytest.mark.thorough
    async def test_killed_at_each_step_on_hypr_micro(
        self, micro: MicroStoreWorld, clock: FakeClock, tmp_path: Path, *, after: bool, fails: bool
    ) -> None:
        """The same holds on the stand-in of HYPR Micro, verb by verb."""
        world = LongMemoWorld((await micro.container()).store, tmp_path / "audio", clock)
        at = 0
        while await self.finished(world, at, after=after, fails=fails):
            at += 1
        assert at > 25
