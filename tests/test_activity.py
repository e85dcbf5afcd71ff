"""An answered memo is in every count, a revocation is logged, and memos and logs can be reconciled."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import pytest

from shared.accounts.accounts import SignedUp
from shared.activity import log_of_memo
from shared.core.clock import DAY
from shared.memos.requests import Draft
from shared.services import Services
from shared.speech.voices import VOICES
from shared.stores.memory.file import shared_rows
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Document, Key, Store, StoreUnavailable, Table
from shared.tables import MEMOS, Window
from shared.tables.memos import Memo
from shared.tables.schema import USAGE_LOGS
from shared.tables.usage_logs import Action, UsageLog
from shared.usage.history import History
from shared.usage.reports import Summary, UsageReports
from shared.usage.rollups import Rollups
from tests.support import IDS, NOON, FakeClock, Intercepted, a_key, services_on, signed_up
from tools.maintain.__main__ import main

pytestmark = pytest.mark.anyio

T = TypeVar("T")

DRAFT: Final = Draft(text="Hello", voice=VOICES["sam"])
LATER: Final = timedelta(minutes=11)
"""More than the grace of a request, ten minutes."""


class FailingAdds(Intercepted):
    """Fails the next `failures` adds to a table. With `lost` they take effect, and only their answers are lost."""

    def __init__(self, store: Store, table: Table, failures: int, *, lost: bool = False) -> None:
        super().__init__(store)
        self.failures = failures
        self._table = table
        self._lost = lost

    async def add(self, table: Table, key: Key, document: Document) -> None:
        if table != self._table or self.failures == 0:
            await super().add(table, key, document)
            return
        self.failures -= 1
        if self._lost:
            await super().add(table, key, document)
        raise StoreUnavailable(f"the add to {table.name} was not answered")


async def made(services: Services, account: SignedUp) -> Memo:
    memo, _ = await services.memos.make(account.api_key.key, DRAFT)
    return memo


async def summary(services: Services, account: SignedUp) -> Summary:
    history = History(logs=services.tables.usage_logs, rollups=Rollups(services.store), clock=services.clock)
    return await UsageReports(history, services.clock).summary(account.user.id)


async def logged(services: Services, account: SignedUp, action: Action) -> list[str]:
    page = await services.tables.usage_logs.page(account.user.id, Window(limit=100), action=action)
    return [log.id for log in page.rows]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("failures", [1, 2])
async def test_memo_is_counted_once_when_its_log_fails(store: MemoryStore, failures: int, *, lost: bool) -> None:
    """A memo that was answered is in every count, once, though its log had to be sent again (issue 12, row 8)."""
    ada = await signed_up(services_on(store))
    services = services_on(FailingAdds(store, USAGE_LOGS, failures, lost=lost))
    memo = await made(services, ada)
    assert await logged(services, ada, Action.MEMO_CREATED) == [memo.id]
    assert (await summary(services, ada)).total.calls == 1


async def test_memo_fails_when_its_log_cannot_be_stored(store: MemoryStore) -> None:
    """A memo whose log stays out is not answered, not listed, not charged and not counted (row 21)."""
    ada = await signed_up(services_on(store))
    services = services_on(FailingAdds(store, USAGE_LOGS, 3))
    with pytest.raises(StoreUnavailable):
        await made(services, ada)
    assert (await services.tables.memos.page(ada.user.id, Window())).rows == []
    assert (await services.quotas.used(ada.user, NOON)).day.used == 0
    assert (await summary(services, ada)).total.calls == 0


async def test_revocation_is_logged_once_by_its_repeat(store: MemoryStore) -> None:
    """A revocation whose log could not be stored is answered 503, and logged by the repeat, once (row 9)."""
    clock = FakeClock()
    ada = await signed_up(services_on(store, clock))
    services = services_on(FailingAdds(store, USAGE_LOGS, 3), clock)
    with pytest.raises(StoreUnavailable):
        await services.api_keys.revoke(ada.user, ada.api_key.key.id)
    assert await logged(services, ada, Action.KEY_REVOKED) == []
    for _ in range(2):
        clock.advance(timedelta(hours=1))
        await services.api_keys.revoke(ada.user, ada.api_key.key.id)
    page = await services.tables.usage_logs.page(ada.user.id, Window(), action=Action.KEY_REVOKED)
    assert [(log.created_at, log.api_key_id) for log in page.rows] == [(NOON, ada.api_key.key.id)]


async def test_sign_up_stands_when_its_log_fails(store: MemoryStore) -> None:
    """A key's secret, which its owner sees only once, is answered even if the log fails."""
    services = services_on(FailingAdds(store, USAGE_LOGS, 6))
    ada = await signed_up(services)
    assert await services.api_keys.authenticate(ada.api_key.secret)


@pytest.mark.parametrize("prefix", ["at_live_", "at_test_", None])
def test_log_of_a_memo_has_its_key(prefix: str | None) -> None:
    """It contains the key's id, and whether it is a test key; if the key is no longer known, it has no id."""
    key = None if prefix is None else a_key("ada", prefix=prefix)
    memo = Memo(
        id=IDS.mint(NOON),
        user_id="ada",
        text="Hello",
        audio_url="/audio/simulated-4.mp3",
        duration_seconds=0.4,
        voice="adam",
        character_count=5,
        title=None,
        created_at=NOON,
    )
    assert log_of_memo(memo, key) == UsageLog(
        id=memo.id,
        user_id="ada",
        api_key_id=None if key is None else key.id,
        api_key_name=None if key is None else "Key",
        api_key_prefix=prefix,
        action=Action.MEMO_CREATED,
        metadata={
            "memoId": memo.id,
            "voice": "adam",
            "characters": 5,
            "audioSeconds": 0.4,
            "test": prefix == "at_test_",
        },
        created_at=NOON,
    )


async def test_active_owners_are_listed_before_their_memo(store: MemoryStore) -> None:
    """An owner is on the day's list though the memo itself was never stored: a crash leaves no memo off the list."""
    ada = await signed_up(services_on(store))
    services = services_on(FailingAdds(store, MEMOS, 1))
    with pytest.raises(StoreUnavailable):
        await made(services, ada)
    assert [user_id async for user_id in services.tables.active_owners.of(NOON.date())] == [ada.user.id]


async def test_active_owners_are_listed_once_a_day(store: MemoryStore) -> None:
    """A container writes the list at an owner's first memo of a UTC day, and on the next day again."""
    clock = FakeClock()
    services = services_on(store, clock)
    ada = await signed_up(services)
    for _ in range(3):
        await made(services, ada)
        clock.advance(DAY)
        await made(services, ada)
    days = [NOON.date() + number * DAY for number in range(5)]
    listed = [[user_id async for user_id in services.tables.active_owners.of(day)] for day in days]
    assert listed == [[ada.user.id]] * 4 + [[]]


class Deployment:
    """A memory store in a file, one account, and the command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.services = services_on(MemoryStore(rows=shared_rows(path)), self.clock)

    async def reconcile(self, *options: str) -> int:
        """Run the command in another thread, since it runs an event loop. Returns its exit status."""
        environ = {"AGENT_TALK_MEMORY_FILE": str(self.path)}
        return await asyncio.to_thread(main, ["reconcile-memos", *options], environ=environ, clock=self.clock)

    async def listed_and_counted(self, account: SignedUp) -> tuple[int, int]:
        page = await self.services.tables.memos.page(account.user.id, Window(limit=100))
        return len(page.rows), (await summary(self.services, account)).total.calls


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path / "memory.json")


Crash = Callable[[Services, Memo], Awaitable[None]]


async def lose_log(services: Services, memo: Memo) -> None:
    """Delete a memo's log, as if a container was killed before it wrote the log."""
    await services.tables.usage_logs.delete_memo(memo.user_id, memo.id)


async def lose_memo(services: Services, memo: Memo) -> None:
    """Delete a memo, as if a container was killed before it wrote the memo."""
    await services.tables.memos.delete(memo)


@pytest.mark.parametrize("days_later", [0, 1, 40])
@pytest.mark.parametrize(("crash", "left"), [(lose_log, 2), (lose_memo, 1)])
async def test_reconciliation_mends_what_a_crash_left(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], crash: Crash, left: int, days_later: int
) -> None:
    """After the command the list and the counts agree, on the same day or after the day was summed (row 18)."""
    ada = await signed_up(deployment.services)
    await made(deployment.services, ada)
    memo = await made(deployment.services, ada)
    await crash(deployment.services, memo)
    deployment.clock.advance(LATER + days_later * DAY)
    assert len(set(await deployment.listed_and_counted(ada))) == 2
    day = f"{NOON:%Y-%m-%d}"
    assert await deployment.reconcile("--from", day, "--to", day, "--check") == 1
    assert len(set(await deployment.listed_and_counted(ada))) == 2
    assert await deployment.reconcile("--from", day, "--to", day) == 1
    assert memo.id in capsys.readouterr().out
    assert await deployment.listed_and_counted(ada) == (left, left)
    assert await deployment.reconcile("--from", day) == 0
    assert "memos and logs agree" in capsys.readouterr().out


async def test_reconciliation_writes_the_log_that_was_lost(deployment: Deployment) -> None:
    """The log that is written from a memo is the one that was lost."""
    ada = await signed_up(deployment.services)
    memo = await made(deployment.services, ada)
    before = await deployment.services.tables.usage_logs.get(ada.user.id, memo.id)
    await lose_log(deployment.services, memo)
    deployment.clock.advance(LATER)
    assert await deployment.reconcile() == 1
    assert await deployment.services.tables.usage_logs.get(ada.user.id, memo.id) == before


async def test_reconciliation_says_which_days_it_cannot_compare(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Housekeeping erases a day's list of owners: that memos and logs agree would then be no finding."""
    ada = await signed_up(deployment.services)
    await lose_log(deployment.services, await made(deployment.services, ada))
    deployment.clock.advance(3 * DAY)
    assert await deployment.services.tables.active_owners.erase(NOON.date())
    assert await deployment.reconcile("--from", f"{NOON - DAY:%Y-%m-%d}") == 0
    assert "3 days were not compared" in capsys.readouterr().out


async def test_reconciliation_leaves_requests_under_way_alone(deployment: Deployment) -> None:
    """A memo of the last ten minutes may still get its log."""
    ada = await signed_up(deployment.services)
    await lose_log(deployment.services, await made(deployment.services, ada))
    assert await deployment.reconcile() == 0


async def test_reconciliation_keeps_logs_of_deleted_memos(deployment: Deployment) -> None:
    """A memo that its owner deleted stays in every count."""
    ada = await signed_up(deployment.services)
    memo = await made(deployment.services, ada)
    await deployment.services.tables.usage_logs.mark_memo_deleted(ada.user.id, memo.id, memo.audio_url, is_long=False)
    await deployment.services.tables.memos.delete(memo)
    deployment.clock.advance(LATER)
    assert await deployment.reconcile() == 0
    assert await deployment.listed_and_counted(ada) == (0, 1)
