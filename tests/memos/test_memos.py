import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.accounts.accounts import SignedUp
from shared.activity import UsageRecorder
from shared.api_keys.api_keys import KeyState
from shared.api_keys.minting import digest
from shared.audio.opening import AudioPlace, open_audio
from shared.core.derived import Pseudonyms
from shared.core.errors import (
    AgentTalkError,
    DailyLimitExceeded,
    InvalidCredential,
    MonthlyLimitExceeded,
    SpeechFailed,
    TooManyAttempts,
    ValidationFailed,
)
from shared.core.ids import Ids
from shared.core.settings import AttemptLimits
from shared.core.speech_settings import AudioChoice, AudioSettings, SpeechChoice
from shared.jobs.process import ProcessQueue
from shared.limits.attempts import Attempts
from shared.limits.quotas import Allowance, Quotas
from shared.memos.endings import LongMemoEndings
from shared.memos.last_uses import LastUses
from shared.memos.memos import MemoService
from shared.memos.requests import Draft
from shared.memos.speaking import LongMemoSpeaker
from shared.observability import request_stats
from shared.plans import Tier
from shared.services import Services
from shared.speech.opening import Speakers
from shared.speech.spoken import Spoken
from shared.speech.voices import VOICES, Voice
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Document, Key, Store, StoreUnavailable, Table
from shared.tables import MEMOS, ApiKeys, Tables, Window
from shared.tables.issued_keys import IssuedKey, key_id
from shared.tables.memos import Memo
from shared.tables.schema import KEY_USES
from shared.tables.usage_logs import Action
from shared.tables.users import User
from tests.support import (
    NOON,
    SECRET,
    CountingStore,
    FailingStore,
    FakeClock,
    Intercepted,
    outcomes,
    services_on,
    signed_up,
)

pytestmark = pytest.mark.anyio

DRAFT = Draft(text="Hello", voice=VOICES["adam"])

MAKE_CALLS = 8
"""More calls of the store than making a memo takes."""


@pytest.fixture
async def ada(services: Services) -> SignedUp:
    return await signed_up(services)


async def make(services: Services, ada: SignedUp, draft: Draft = DRAFT) -> tuple[Memo, Allowance]:
    return await services.memos.make(ada.api_key.key, draft)


async def spend(store: Store, user: User, *, day: int = 0, month: int = 0) -> None:
    await store.increment(f"{user.id}:calls:{NOON:%Y-%m-%d}", day)
    await store.increment(f"{user.id}:calls:{NOON:%Y-%m}", month)


async def assert_made(services: Services, ada: SignedUp, memos: list[Memo]) -> None:
    """Check that these memos exist, and that each is charged and logged once."""
    made = (await services.tables.memos.page(ada.user.id, Window(limit=100))).rows
    assert sorted(memo.id for memo in made) == sorted(memo.id for memo in memos)
    quota = await services.quotas.used(ada.user, NOON)
    assert (quota.day.used, quota.month.used) == (len(memos), len(memos))
    (key,) = await services.tables.api_keys.of(ada.user.id, NOON)
    assert key.usage_count == len(memos)


async def recorded(services: Services, ada: SignedUp, action: Action) -> list[str]:
    return [
        log.id for log in (await services.tables.usage_logs.page(ada.user.id, Window(limit=100), action=action)).rows
    ]


class _BrokenVoices:
    formats = frozenset({"mp3"})
    max_characters = 1_000
    quick_characters = 1_000

    def reading(self, cleaned: str) -> str:
        return cleaned

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:  # noqa: ARG002 it never speaks
        raise SpeechFailed("the provider is down", details={"provider": "tests"})


def broken_speakers(audio: AudioPlace) -> Speakers:
    async def close() -> None:
        """Close nothing: nothing was opened."""

    adapters = {SpeechChoice.LOCAL: lambda: (_BrokenVoices(), close)}
    return Speakers(dict.fromkeys(Tier, SpeechChoice.LOCAL), adapters=adapters, audio=audio)


def memos_with_broken_speech(store: Store, clock: FakeClock) -> MemoService:
    ids = Ids()
    audio = open_audio(AudioSettings(place=AudioChoice.FOLDER, folder=Path(os.devnull)))
    tables, quotas = Tables.on(store), Quotas(store)
    recorder = UsageRecorder(tables.usage_logs, tables.active_owners, ids)
    speakers = broken_speakers(audio)
    endings = LongMemoEndings(store, tables, quotas=quotas, recorder=recorder, clock=clock)
    speaker = LongMemoSpeaker(tables, endings=endings, speakers=speakers, audio=audio, clock=clock)
    return MemoService(
        tables,
        quotas=quotas,
        attempts=Attempts(store, AttemptLimits(), pseudonyms=Pseudonyms(SECRET), clock=clock),
        recorder=recorder,
        speakers=speakers,
        audio=audio,
        endings=endings,
        queue=ProcessQueue(speaker.work),
        clock=clock,
        ids=ids,
    )


async def test_a_memo_is_kept_charged_and_recorded_once(services: Services, ada: SignedUp) -> None:
    memo, day = await make(services, ada)
    assert (day.used, day.remaining) == (1, 99)
    await assert_made(services, ada, [memo])
    assert await services.tables.memos.load(ada.user.id, memo.id) == memo
    assert await recorded(services, ada, Action.MEMO_CREATED) == [memo.id]


async def test_make_takes_six_calls_and_seven_once_a_minute(store: MemoryStore, ada: SignedUp) -> None:
    """The key's check is one of the six. The first memo of a day takes one more than the first of a minute."""
    counting = CountingStore(store)
    counted = services_on(counting)
    calls = []
    for _ in range(2):
        counting.calls.clear()
        key = await counted.api_keys.authenticate(ada.api_key.secret)
        await counted.memos.make(key, DRAFT)
        calls.append(counting.calls.total())
    assert calls == [8, 6]


@pytest.mark.parametrize("seed", range(4))
async def test_concurrent_memos_never_exceed_the_limit(store: MemoryStore, services: Services, ada: SignedUp) -> None:
    """Concurrent memos never exceed the limit, and all remaining ones can be made."""
    await spend(store, ada.user, day=80, month=80)
    returned, raised = await outcomes(make(services, ada) for _ in range(60))
    assert {type(error) for error in raised} == {DailyLimitExceeded}
    made = [memo for memo, _ in returned]
    while len(made) < 20:  # a reservation that was given back may have caused another refusal
        made.append((await make(services, ada))[0])
    with pytest.raises(DailyLimitExceeded):
        await make(services, ada)
    quota = await services.quotas.used(ada.user, NOON)
    assert (quota.day.used, quota.month.used) == (100, 100)
    assert len((await services.tables.memos.page(ada.user.id, Window(limit=100))).rows) == 20


@pytest.mark.parametrize("at", range(MAKE_CALLS))
async def test_memo_is_made_or_costs_nothing_when_a_call_is_refused(
    store: MemoryStore, services: Services, ada: SignedUp, at: int
) -> None:
    """If any call is refused, a memo is made or costs nothing, and a repeat makes it."""
    failing = services_on(FailingStore(store, at=at))
    returned, raised = await outcomes([make(failing, ada)])
    assert [type(error) for error in raised] == ([] if returned else [StoreUnavailable])
    await assert_made(services, ada, [memo for memo, _ in returned])
    if not returned:
        assert await recorded(services, ada, Action.MEMO_CREATED) == []
        memo, day = await make(failing, ada)
        assert day.used == 1
        await assert_made(services, ada, [memo])


@pytest.mark.parametrize("at", range(MAKE_CALLS))
async def test_failed_memo_keeps_one_count_at_most_when_answer_is_lost(
    store: MemoryStore, services: Services, ada: SignedUp, at: int
) -> None:
    """If any answer is lost, a failed memo leaves no row, and at most the counts of one call."""
    returned, _ = await outcomes([make(services_on(FailingStore(store, at=at, lost=True)), ada)])
    made = (await services.tables.memos.page(ada.user.id, Window())).rows
    assert [memo.id for memo in made] == [memo.id for memo, _ in returned]
    quota = await services.quotas.used(ada.user, NOON)
    (key,) = await services.tables.api_keys.of(ada.user.id, NOON)
    too_many = [count - len(returned) for count in (quota.day.used, quota.month.used, key.usage_count)]
    assert sorted(too_many) in ([0, 0, 0], [0, 0, 1], [0, 1, 1])  # day and month are one call


@pytest.mark.parametrize("at", range(MAKE_CALLS))
async def test_memo_is_never_uncharged_when_the_function_crashes(
    store: MemoryStore, services: Services, ada: SignedUp, at: int
) -> None:
    """If the function crashes anywhere, no memo exists uncharged."""
    await outcomes([make(services_on(FailingStore(store, at=at, for_good=True)), ada)])
    made = (await services.tables.memos.page(ada.user.id, Window())).rows
    quota = await services.quotas.used(ada.user, NOON)
    assert len(made) <= min(quota.day.used, quota.month.used) <= 1


async def test_speech_that_fails_costs_nothing_and_keeps_nothing(
    store: MemoryStore, services: Services, ada: SignedUp, clock: FakeClock
) -> None:
    with pytest.raises(SpeechFailed):
        await memos_with_broken_speech(store, clock).make(ada.api_key.key, DRAFT)
    await assert_made(services, ada, [])


async def test_test_keys_and_demos_do_without_the_provider(
    store: MemoryStore, services: Services, ada: SignedUp, clock: FakeClock
) -> None:
    broken = memos_with_broken_speech(store, clock)
    test = await services.api_keys.create(ada.user, name="Test", test=True, expires_at=None)
    memo, day = await broken.make(test.key, DRAFT)
    assert (memo.audio_url, day.limit) == ("/audio/simulated-4.mp3", 1000)
    assert (await broken.demo(DRAFT, address="1.2.3.4")).audio_url == "/audio/simulated-4.mp3"
    assert (await services.quotas.used(ada.user, NOON)).day.used == 0


async def test_a_text_too_long_for_the_plan_costs_nothing(services: Services, ada: SignedUp) -> None:
    with pytest.raises(ValidationFailed) as caught:
        await make(services, ada, Draft(text="go" + "go" + "👩" * 2499, voice=VOICES["adam"]))
    assert caught.value.details == {"field": "text", "limit": 5000, "provided": 5002, "tier": "hobby"}
    await assert_made(services, ada, [])
    memo, _ = await make(services, ada, Draft(text="go" + "👩" * 2499, voice=VOICES["adam"]))
    assert memo.character_count == 5000


async def test_key_is_no_credential_when_its_owner_is_deleted(
    store: MemoryStore, services: Services, ada: SignedUp
) -> None:
    """A key whose owner was deleted is no credential and costs nothing."""
    await services.tables.users.delete(ada.user)
    with pytest.raises(InvalidCredential):
        await make(services, ada)
    await assert_made(services, ada, [])
    assert (await store.scan(MEMOS)).rows == []


@pytest.mark.parametrize(
    ("spent", "refusal", "code"),
    [
        ({"day": 100, "month": 100}, DailyLimitExceeded, "DAILY_LIMIT_EXCEEDED"),
        ({"day": 1, "month": 3000}, MonthlyLimitExceeded, "MONTHLY_LIMIT_EXCEEDED"),
    ],
)
async def test_the_first_refusal_of_a_window_is_recorded_and_no_other(
    store: MemoryStore,
    services: Services,
    ada: SignedUp,
    clock: FakeClock,
    spent: dict[str, int],
    refusal: type[AgentTalkError],
    code: str,
) -> None:
    await spend(store, ada.user, **spent)
    for _ in range(3):
        with pytest.raises(refusal):
            await make(services, ada)
        clock.advance(timedelta(minutes=1))
    logs = (await services.tables.usage_logs.page(ada.user.id, Window(), action=Action.ERROR_RATE_LIMIT)).rows
    assert [log.metadata for log in logs] == [{"code": code, "voice": "adam", "characters": 5, "test": False}]


async def test_speech_is_timed_in_milliseconds_for_live_keys(services: Services, ada: SignedUp) -> None:
    """Speech of test keys is simulated, and proves nothing about a provider."""
    test = await services.api_keys.create(ada.user, name="Test", test=True, expires_at=None)
    with request_stats.collected() as spent:
        await services.memos.make(test.key, DRAFT)
        assert spent.speech_ms == []
        await make(services, ada)
    (took_ms,) = spent.speech_ms
    assert 0 < took_ms < 10_000
    assert spent.memos == 2


class _RefusalsUncounted(Intercepted):
    """Fails the counts of refusals."""

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:
        if ":refused:" in counter:
            raise StoreUnavailable("no capacity")
        return await super().increment(counter, by, ends_at=ends_at)


async def test_refusal_that_cannot_be_counted_is_a_refusal(store: MemoryStore, ada: SignedUp) -> None:
    """The caller gets the refusal by the limit, and no outage."""
    await spend(store, ada.user, day=100, month=100)
    with pytest.raises(DailyLimitExceeded):
        await make(services_on(_RefusalsUncounted(store)), ada)


async def test_a_window_of_a_month_has_one_first_refusal(
    store: MemoryStore, services: Services, ada: SignedUp, clock: FakeClock
) -> None:
    await spend(store, ada.user, month=3000)
    for _ in range(3):
        with pytest.raises(MonthlyLimitExceeded):
            await make(services, ada)
        clock.advance(timedelta(days=1))
    assert len(await recorded(services, ada, Action.ERROR_RATE_LIMIT)) == 1


async def test_refusals_of_live_and_test_keys_have_separate_windows(
    store: MemoryStore, services: Services, ada: SignedUp
) -> None:
    test = await services.api_keys.create(ada.user, name="Test", test=True, expires_at=None)
    await spend(store, ada.user, day=100, month=100)
    await store.increment(f"{ada.user.id}:testcalls:{NOON:%Y-%m-%d}", 1000)
    for key in (test.key, ada.api_key.key):
        with pytest.raises(DailyLimitExceeded):
            await services.memos.make(key, DRAFT)
    assert len(await recorded(services, ada, Action.ERROR_RATE_LIMIT)) == 2


async def test_the_last_use_is_kept_to_the_minute_and_once_a_minute(
    store: MemoryStore, ada: SignedUp, clock: FakeClock
) -> None:
    counting = CountingStore(store)
    services = services_on(counting, clock)
    puts = []
    for _ in range(4):
        clock.advance(timedelta(seconds=30))
        await make(services, ada)
        puts.append(counting.calls["put"])
    assert puts == [2, 3, 3, 4]  # the first is the list of the day's active owners
    (key,) = await services.tables.api_keys.of(ada.user.id, NOON)
    assert key.last_used_at == NOON + timedelta(minutes=2)


class _MemosFailTwice(Intercepted):
    """Stores a memo without an answer, and fails its first two deletions."""

    deletions = 0

    async def add(self, table: Table, key: Key, document: Document) -> None:
        await super().add(table, key, document)
        if table is MEMOS:
            raise StoreUnavailable("the memo was not answered")

    async def delete(self, table: Table, key: Key) -> None:
        if table is MEMOS:
            self.deletions += 1
            if self.deletions < 3:
                raise StoreUnavailable("the deletion was not answered")
        await super().delete(table, key)


async def test_failed_memo_is_deleted_though_deletions_fail(store: MemoryStore, ada: SignedUp) -> None:
    """The place is given back, so a memo that stayed would be one more than the limit."""
    with pytest.raises(StoreUnavailable):
        await make(services_on(_MemosFailTwice(store)), ada)
    await assert_made(services_on(store), ada, [])


class _UseFails(Intercepted):
    """Fails the first `failures` writes of keys' last uses. Counts all of them."""

    def __init__(self, store: Store, *, failures: int = 0) -> None:
        super().__init__(store)
        self._failures = failures
        self.marked = 0

    async def put(self, table: Table, key: Key, document: Document) -> None:
        if table is KEY_USES:
            self.marked += 1
            if self.marked <= self._failures:
                raise StoreUnavailable("the last use was not stored")
        await super().put(table, key, document)


async def test_last_use_that_failed_is_sent_again_in_its_minute(
    store: MemoryStore, ada: SignedUp, clock: FakeClock
) -> None:
    """The memo succeeds without it, the next memo of the minute sends it, and the third sends none."""
    failing = _UseFails(store, failures=1)
    services = services_on(failing, clock)
    for marked in (1, 2, 2):
        await make(services, ada)
        assert failing.marked == marked
    (key,) = await services.tables.api_keys.of(ada.user.id, NOON)
    assert key.last_used_at == NOON
    assert key.usage_count == 3


async def test_marked_key_is_forgotten_when_1024_came_after(store: MemoryStore, ada: SignedUp) -> None:
    """A container remembers the minutes of 1,024 keys; of more it forgets the one that was marked first."""
    counting = _UseFails(store)
    uses, key = LastUses(ApiKeys(counting)), ada.api_key.key
    others = [key.model_copy(update={"id": key_id(digest(f"at_live_{number}"))}) for number in range(1024)]
    for used in (key, *others[:1023], key):
        await uses.mark(used, NOON)
    assert counting.marked == 1024  # the second use of `key` sends nothing
    for used in (others[1023], *others[1:3], key):
        await uses.mark(used, NOON)
    assert counting.marked == 1026  # the 1,025th key, and `key`, which was dropped for it


async def test_a_demo_keeps_nothing_and_is_limited_by_address(store: MemoryStore, services: Services) -> None:
    for _ in range(60):
        await services.memos.demo(DRAFT, address="1.2.3.4")
    with pytest.raises(TooManyAttempts):
        await services.memos.demo(DRAFT, address="1.2.3.4")
    await services.memos.demo(DRAFT, address="1.2.3.5")
    assert (await store.scan(MEMOS)).rows == []


async def test_verify_spends_nothing_and_answers_as_a_memo_would(
    store: MemoryStore, services: Services, ada: SignedUp
) -> None:
    """A verification spends nothing, and returns whether a memo would be admitted."""
    for _ in range(3):
        assert (await services.api_keys.verify(ada.user, ada.api_key.secret)).state is KeyState.VALID
    await assert_made(services, ada, [])
    await spend(store, ada.user, day=100, month=100)
    assert (await services.api_keys.verify(ada.user, ada.api_key.secret)).state is KeyState.LIMIT_EXCEEDED
    await services.tables.users.change(ada.user.id, lambda row: row.model_copy(update={"tier": Tier.PRO}))
    pro = await services.tables.users.load(ada.user.id)
    assert (await services.api_keys.verify(pro, ada.api_key.secret)).state is KeyState.VALID
    await services.api_keys.revoke(ada.user, ada.api_key.key.id)
    assert (await services.api_keys.verify(ada.user, ada.api_key.secret)).state is KeyState.REVOKED


async def test_a_key_of_another_owner_verifies_as_an_unknown_one(services: Services, ada: SignedUp) -> None:
    bob = await signed_up(services, "bob@example.org")
    foreign = await services.api_keys.verify(bob.user, ada.api_key.secret)
    assert foreign == await services.api_keys.verify(bob.user, "at_live_" + "a" * 43)
    assert foreign.state is KeyState.NOT_FOUND


async def test_an_expired_key_makes_no_memo_and_says_that_it_expired(
    services: Services, ada: SignedUp, clock: FakeClock
) -> None:
    new = await services.api_keys.create(ada.user, name="Short", test=False, expires_at=NOON + timedelta(seconds=1))
    expiring: IssuedKey = await services.api_keys.authenticate(new.secret)
    assert expiring.expires_at == NOON + timedelta(seconds=1)
    clock.advance(timedelta(seconds=1))
    with pytest.raises(InvalidCredential, match="API key has expired"):
        await services.api_keys.authenticate(new.secret)
    assert (await services.api_keys.verify(ada.user, new.secret)).state is KeyState.EXPIRED
