"""Memos of an idempotency key on every store: failures at each call, failed speech, existing audio."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from shared.accounts.accounts import SignedUp
from shared.audio.opening import open_audio
from shared.core.errors import Conflict, FirstStillRunning, SpeechFailed
from shared.core.settings import Settings
from shared.core.speech_settings import AudioChoice, AudioSettings, SpeechChoice
from shared.memos.idempotency import RUN_S, Idempotent, KeyedAnswer, body_digest
from shared.memos.requests import Draft
from shared.plans import Tier
from shared.services import Services
from shared.speech.opening import Speakers
from shared.speech.simulated import simulated_audio
from shared.speech.spoken import Spoken
from shared.speech.voices import VOICES, Voice
from shared.stores.port import Document, Key, Store, StoreUnavailable, Table
from shared.tables import MEMOS, Window
from shared.tables.schema import USAGE_LOGS
from shared.tables.usage_logs import Action
from tests.handlers.stores import STORES
from tests.support import (
    SECRET,
    CountingStore,
    FailingStore,
    FakeClock,
    Intercepted,
    cheap_passwords,
    outcomes,
    services_on,
    signed_up,
)

DRAFT: Final = Draft(text="Hello", voice=VOICES["adam"], title="A greeting")
OTHER: Final = Draft(text="Goodbye", voice=VOICES["adam"])

CALLS: Final = 13
"""More calls of the store than a run makes."""


async def no_pause() -> None:
    """Return immediately."""


async def ask(services: Services, ada: SignedUp, draft: Draft = DRAFT) -> KeyedAnswer:
    return await services.keyed_memos.make(ada.api_key.key, draft, Idempotent(name="one"))


def on(store: str, play: Callable[[Store, FakeClock], Coroutine[Any, Any, None]]) -> None:
    clock = FakeClock()
    with STORES[store](no_pause, clock) as opened:
        asyncio.run(play(opened, clock))


@dataclass(kw_only=True)
class Trial:
    """Requests with one key on one store, and the number of interrupted ones."""

    store: Store
    clock: FakeClock
    ada: SignedUp
    cut_short: int = 0
    answers: list[KeyedAnswer] = field(default_factory=list)

    async def run(self, store: Store) -> None:
        returned, raised = await outcomes([ask(services_on(store, self.clock), self.ada)])
        assert all(isinstance(error, StoreUnavailable | FirstStillRunning) for error in raised), raised
        self.answers += returned

    async def cut(self, at: int, *, lost: bool, for_good: bool) -> None:
        """Send the request to a container whose call number `at` is not answered."""
        failing = FailingStore(self.store, at=at, lost=lost, for_good=for_good)
        await self.run(failing)
        self.cut_short += failing.failed

    async def check(self) -> None:
        """Check that there is at most one memo, which is every answer, with its log, and at most the allowed counts."""
        services = services_on(self.store, self.clock)
        made = (await services.tables.memos.page(self.ada.user.id, Window(limit=100))).rows
        assert len(made) <= 1
        assert [answer.memo for answer in self.answers] == [*made] * len(self.answers)
        quota = await services.quotas.used(self.ada.user, self.clock.at)
        (key,) = await services.tables.api_keys.of(self.ada.user.id, self.clock.at)
        for count in (quota.day.used, quota.month.used, key.usage_count):
            assert len(made) <= count <= len(made) + self.cut_short
        if self.answers:
            window = Window(limit=100)
            logs = await services.tables.usage_logs.page(self.ada.user.id, window, action=Action.MEMO_CREATED)
            assert [log.id for log in logs.rows] == [memo.id for memo in made]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(("lost", "for_good"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.thorough
def test_a_run_cut_short_at_any_call_is_repeated(store: str, *, lost: bool, for_good: bool) -> None:
    """If any calls of two successive runs are not answered, or their containers die, there is one memo and one answer.

    With `lost` the call takes effect, with `for_good` no later call does. On moto, which is slow, each of the four
    takes another quarter of the calls.
    """
    firsts = range(2 * lost + for_good, CALLS, 4) if store == "dynamodb" else range(CALLS)

    async def play(opened: Store, clock: FakeClock) -> None:
        for first in firsts:
            ada = await signed_up(services_on(opened, clock), f"ada{first}@example.org")
            trial = Trial(store=opened, clock=clock, ada=ada)
            await trial.cut(first, lost=lost, for_good=for_good)
            await trial.check()
            clock.advance(RUN_S)
            await trial.cut((5 * first + 3) % CALLS, lost=not lost, for_good=for_good)
            await trial.check()
            clock.advance(RUN_S)
            for _ in range(2):
                before = len(trial.answers)
                await trial.run(opened)
                assert len(trial.answers) == before + 1
                await trial.check()

    on(store, play)


@pytest.mark.parametrize("store", STORES)
def test_a_keyed_memo_takes_two_calls_more(store: str) -> None:
    """Its row is read and claimed. Where the verbs are one request each, those are two requests more."""

    async def play(opened: Store, clock: FakeClock) -> None:
        counting = CountingStore(opened)
        services = services_on(counting, clock)
        ada = await signed_up(services)
        await services.memos.make(ada.api_key.key, DRAFT)
        counting.calls.clear()
        await services.memos.make(ada.api_key.key, DRAFT)
        plain = counting.calls.copy()
        counting.calls.clear()
        await ask(services, ada)
        assert counting.calls - plain == {"get": 1, "claim": 1}
        assert plain - counting.calls == {}

    on(store, play)


class _Voices:
    """Speaks each text differently and longer at each call, by a second. `failures` are raised first."""

    formats = frozenset({"mp3"})
    max_characters = 1_000
    quick_characters = 200

    def __init__(self, *failures: Exception) -> None:
        self.calls = 0
        self._failures = list(failures)

    def reading(self, cleaned: str) -> str:
        return cleaned

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:  # noqa: ARG002 silence has none
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        mp3 = simulated_audio(f"simulated-{10 * self.calls}.mp3")
        assert mp3 is not None
        return Spoken(audio=mp3, seconds=float(self.calls), marks=None)


def speaking(store: Store, clock: FakeClock, folder: Path, voices: _Voices) -> Services:
    async def close() -> None:
        """Close nothing: nothing was opened."""

    audio = open_audio(AudioSettings(place=AudioChoice.FOLDER, folder=folder))
    choices = dict.fromkeys(Tier, SpeechChoice.LOCAL)
    speakers = Speakers(choices, adapters={SpeechChoice.LOCAL: lambda: (voices, close)}, audio=audio)
    settings = Settings(session_secret=SECRET)
    return Services.on(
        store, settings, passwords=cheap_passwords(), clock=clock, audio=audio, speakers=speakers, close=close
    )


def kept(folder: Path) -> list[str]:
    return sorted(f"/audio/{path.name}" for path in (folder / "audio").iterdir())


class _Unanswered(Intercepted):
    """A store that does not answer the write of a memo. With `carried_out` the write takes effect."""

    def __init__(self, store: Store, *, carried_out: bool) -> None:
        super().__init__(store)
        self._carried_out = carried_out

    async def add(self, table: Table, key: Key, document: Document) -> None:
        if table is not MEMOS or self._carried_out:
            await super().add(table, key, document)
        if table is MEMOS:
            raise StoreUnavailable("the memo's write was not answered")


@pytest.mark.anyio
@pytest.mark.parametrize("carried_out", [False, True])
async def test_audio_of_a_failed_run_is_kept_and_used(
    store: Store, clock: FakeClock, tmp_path: Path, *, carried_out: bool
) -> None:
    """A run that fails while it writes its memo removes nothing. The next finds its audio, and takes its length.

    It begins immediately, buys no speech again, and its memo is the one that may have been written.
    """
    voices = _Voices()
    broken = speaking(_Unanswered(store, carried_out=carried_out), clock, tmp_path, voices)
    ada = await signed_up(broken)
    with pytest.raises(StoreUnavailable):
        await ask(broken, ada)
    (file,) = kept(tmp_path)
    whole = speaking(store, clock, tmp_path, voices)
    answer = await ask(whole, ada)
    assert (answer.is_replay, voices.calls) == (carried_out, 1)
    assert (answer.memo.audio_url, answer.memo.duration_seconds) == (file, 1.008)
    assert kept(tmp_path) == [file]
    assert await whole.tables.memos.get(ada.user.id, answer.memo.id) == answer.memo


@pytest.mark.anyio
async def test_speech_that_fails_frees_the_key_at_once(store: Store, clock: FakeClock, tmp_path: Path) -> None:
    """A failed run is given back and not stored, so another body may have the key, and then it alone."""
    voices = _Voices(SpeechFailed("the provider is down", details={"provider": "tests"}))
    services = speaking(store, clock, tmp_path, voices)
    ada = await signed_up(services)
    with pytest.raises(SpeechFailed):
        await ask(services, ada)
    assert (await services.quotas.used(ada.user, clock.at)).day.used == 0
    made = await ask(services, ada, OTHER)
    assert (made.is_replay, made.memo.text) == (False, "Goodbye")
    assert (await ask(services, ada, OTHER)).memo == made.memo
    with pytest.raises(Conflict, match="another body"):
        await ask(services, ada)
    assert voices.calls == 2


@pytest.mark.anyio
async def test_a_frozen_run_wakes_to_another_runs_audio(store: Store, clock: FakeClock, tmp_path: Path) -> None:
    """A run freezes while it speaks, and another takes over: both use the audio that was put first, which stays.

    The first finds the memo, is not charged, and returns it too.
    """
    asleep, awake = asyncio.Event(), asyncio.Event()

    class Sleepy(_Voices):
        async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
            if self.calls == 0:
                self.calls += 1
                asleep.set()
                await awake.wait()
            return await super().speak(text, voice, form=form)

    voices = Sleepy()
    one, other = (speaking(store, clock, tmp_path, voices) for _ in range(2))
    ada = await signed_up(one)
    first = asyncio.create_task(ask(one, ada))
    await asleep.wait()
    with pytest.raises(FirstStillRunning):
        await ask(other, ada)
    with pytest.raises(Conflict, match="another body"):
        await ask(other, ada, OTHER)
    clock.advance(RUN_S)
    second = await ask(other, ada)
    awake.set()
    woken = await first
    assert woken.memo == second.memo
    assert (second.is_replay, woken.is_replay) == (False, True)
    assert kept(tmp_path) == [second.memo.audio_url]
    assert (await one.quotas.used(ada.user, clock.at)).day.used == 1
    assert (await ask(one, ada)).memo == second.memo


@pytest.mark.anyio
async def test_a_memo_without_its_log_gets_it_by_a_repeat(store: Store, clock: FakeClock) -> None:
    """If a run died between memo and log, the repeat writes the log. No figure would count the memo otherwise."""
    services = services_on(store, clock)
    ada = await signed_up(services)
    first = await ask(services, ada)
    await services.tables.usage_logs.delete_memo(ada.user.id, first.memo.id)
    assert (await ask(services, ada)).memo == first.memo
    log = await services.tables.usage_logs.get(ada.user.id, first.memo.id)
    assert log is not None
    assert log.metadata["audioSeconds"] == first.memo.duration_seconds


class _DeletedBetween(Intercepted):
    """A store where a memo is deleted between the reads of its log and of the memo."""

    def __init__(self, store: Store, delete: Callable[[], Awaitable[None]]) -> None:
        super().__init__(store)
        self._delete = delete
        self._log_was_read = asyncio.Event()

    async def get(self, table: Table, key: Key) -> Document | None:
        if table is MEMOS:
            await self._log_was_read.wait()
            await self._delete()
        document = await super().get(table, key)
        if table is USAGE_LOGS:
            self._log_was_read.set()
        return document


@pytest.mark.anyio
async def test_memo_deleted_while_a_repeat_looks_stays_deleted(store: Store, clock: FakeClock) -> None:
    """Deleting marks the log first, so the repeat reads it again: a new run would restore the memo."""
    services = services_on(store, clock)
    ada = await signed_up(services)
    first = await ask(services, ada)
    clock.advance(RUN_S)
    between = _DeletedBetween(store, lambda: services.memos.delete(ada.user.id, first.memo.id))
    again = await ask(services_on(between, clock), ada)
    assert (again.memo, again.is_deleted) == (first.memo, True)
    assert (await services.tables.memos.page(ada.user.id, Window())).rows == []


class _Hanging(_Voices):
    """Never finishes a text. `begun` is set when one begins."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
        self.begun.set()
        await asyncio.Event().wait()
        return await super().speak(text, voice, form=form)


@pytest.mark.anyio
async def test_run_that_took_over_has_a_minute_of_its_own(store: Store, clock: FakeClock, tmp_path: Path) -> None:
    """A third request within that minute raises FirstStillRunning."""
    runs = []
    ada = await signed_up(services_on(store, clock))
    for _ in range(2):
        voices = _Hanging()
        runs.append(asyncio.create_task(ask(speaking(store, clock, tmp_path, voices), ada)))
        await voices.begun.wait()
        clock.advance(RUN_S)
    clock.advance(-timedelta(seconds=1))
    with pytest.raises(FirstStillRunning):
        await ask(services_on(store, clock), ada)
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)


def test_a_body_digest_stays_what_it_is() -> None:
    """The digest is stored: another one would refuse repeats of requests from before a deployment."""
    plain = body_digest(Draft(text="Hello", voice=VOICES["adam"]))
    assert plain == "7376057e85d533dea8b7cb981a66d744ecc351e332c36d8e577222463aef0751"
    assert body_digest(Draft(text="Hello", voice=VOICES["adam"], title=None, format="mp3")) == plain
    assert len({plain, body_digest(DRAFT), body_digest(OTHER), body_digest(Draft(text="", voice=VOICES["sam"]))}) == 4
