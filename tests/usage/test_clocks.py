"""Containers whose clocks are a day apart: no count is lost, and the sums of a clock ahead can be corrected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Final

import pytest

from shared.core.checked_clock import CheckedClock
from shared.core.clock import DAY, HOUR, Clock
from shared.core.settings import AttemptLimits, Settings
from shared.memos.requests import Draft
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.services import Services
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.stores.micro.store import MicroStore
from shared.stores.port import Key, Store, Table
from shared.tables import TABLES, UsageLogs
from shared.usage.history import History
from shared.usage.periods import GRACE
from shared.usage.rebuilding import UsageRebuild
from shared.usage.rollups import Rollups
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import StandInTransport
from tests.fakes.usage_world import MEMO, Owner
from tests.support import NOON, SECRET, FakeClock, cheap_passwords, signed_up

pytestmark = pytest.mark.anyio

DRAFT: Final = Draft(text="Hello", voice=VOICES["sam"])


def history_on(store: Store, clock: Clock, *, hourly_from: int = 1000) -> History:
    return History(logs=UsageLogs(store), rollups=Rollups(store), clock=clock, hourly_from=hourly_from)


async def calls(history: History, user_id: str) -> int:
    return (await history.all_time(user_id)).total.total.calls


async def log_memos(owner: Owner, count: int) -> None:
    for _ in range(count):
        await owner.log(MEMO)


async def rebuilt(owner: Owner, *, last: date = date.max, repair: bool = True) -> list[str]:
    """Rebuild. Returns the names of the wrong sums, which are corrected if `repair`."""
    rebuild = UsageRebuild(logs=owner.logs, rollups=owner.rollups, clock=owner.clock, repair=repair)
    days = rebuild.rebuild(owner.id, NOON.date() - 30 * DAY, last)
    return [name async for month in days for name in month.wrong]


@pytest.mark.parametrize("ahead", [DAY, 8 * DAY, 400 * DAY])
async def test_history_ignores_sums_of_a_clock_ahead(store: MemoryStore, ahead: timedelta) -> None:
    """Sums of days that have not ended come from a clock ahead: answers count the logs (issue 12, row 15)."""
    owner = Owner(store, FakeClock(NOON))
    await log_memos(owner, 3)
    assert await calls(history_on(store, FakeClock(NOON + ahead)), owner.id) == 3
    await log_memos(owner, 4)
    assert await calls(owner.history, owner.id) == 7


@pytest.mark.parametrize("ahead", [DAY, 8 * DAY, 400 * DAY])
@pytest.mark.parametrize("hourly_from", [2, 1000])
async def test_rebuild_mends_today_what_a_clock_ahead_summed(
    store: MemoryStore, ahead: timedelta, hourly_from: int
) -> None:
    """A rebuild on the same day deletes sums of days that have not ended. They are summed again in time (row 15)."""
    owner = Owner(store, FakeClock(NOON))
    await log_memos(owner, 3)
    await calls(history_on(store, FakeClock(NOON + 2 * HOUR), hourly_from=hourly_from), owner.id)
    await calls(history_on(store, FakeClock(NOON + ahead)), owner.id)
    await log_memos(owner, 4)
    wrong = await rebuilt(owner)
    assert f"{NOON:%Y-%m-%d}" in wrong or ahead > DAY
    assert wrong != []
    assert await rebuilt(owner) == []
    for _ in range(3):
        assert await calls(owner.history, owner.id) == len(owner.written)
        owner.clock.advance(DAY)
        await log_memos(owner, 1)
    assert await rebuilt(owner) == []


@pytest.mark.parametrize(
    ("ahead", "wrong"),
    [(2 * HOUR, ["2026-11-23.12"]), (2 * DAY, ["2026-11-24"]), (40 * DAY, ["2026-11", "2026-12"])],
)
async def test_rebuild_without_repair_mends_nothing(store: MemoryStore, ahead: timedelta, wrong: list[str]) -> None:
    """The rebuild names an hour's wrong sums, and those of times that have not ended, and changes none."""
    owner = Owner(store, FakeClock(NOON))
    await log_memos(owner, 3)
    await history_on(store, FakeClock(NOON + ahead), hourly_from=2).hours(owner.id, NOON, NOON + HOUR)
    await log_memos(owner, 4)
    owner.clock.advance(2 * HOUR)
    for repair in (False, False, True):
        found = await rebuilt(owner, repair=repair)
        assert set(wrong) <= set(found)
    assert await rebuilt(owner, repair=False) == []


async def test_rebuild_of_days_before_leaves_today(store: MemoryStore) -> None:
    """The sum of today by a clock ahead is checked only if today is requested."""
    owner = Owner(store, FakeClock(NOON))
    await log_memos(owner, 3)
    await calls(history_on(store, FakeClock(NOON + 2 * DAY)), owner.id)
    assert await rebuilt(owner, last=NOON.date() - DAY) == []
    assert await rebuilt(owner) != []


async def test_rebuild_deletes_early_sums_the_newest_first() -> None:
    """A rebuild that dies leaves no mark, and no later month, that claims a deleted sum."""
    deleted: list[str] = []

    class Noting(MemoryStore):
        async def delete(self, table: Table, key: Key) -> None:
            deleted.append(key.sort)
            await super().delete(table, key)

    store = Noting()
    owner = Owner(store, FakeClock(NOON))
    for number in range(3):
        owner.clock.at = NOON + number * DAY
        await log_memos(owner, 3)
    owner.clock.at = NOON
    for ahead in (5, 70):
        await calls(history_on(store, FakeClock(NOON + ahead * DAY)), owner.id)
    await rebuilt(owner)
    assert deleted == ["2027-01", "2026-12", "2026-11", "2026-11-27", "2026-11-25", "2026-11-24", "2026-11-23"]


async def test_rebuild_checks_every_hour_of_today(store: MemoryStore) -> None:
    """Hours are checked up to the last one that has sums, those without activity too."""
    owner = Owner(store, FakeClock(NOON))
    for later in (0, 1, 3):
        owner.clock.at = NOON + later * HOUR
        await log_memos(owner, 3)
    owner.clock.at = NOON + 4 * HOUR + GRACE
    await history_on(store, owner.clock, hourly_from=2).hours(owner.id, NOON, NOON + 4 * HOUR)
    now = owner.clock.at
    for late in (1, 2, 3):
        owner.clock.at = NOON + late * HOUR
        await log_memos(owner, 1)
    owner.clock.at = now
    assert await rebuilt(owner) == [f"{NOON:%Y-%m-%d}.{hour}" for hour in (13, 14, 15)]
    assert await rebuilt(owner) == []


async def test_rebuild_mends_an_hour_that_was_summed_early(store: MemoryStore) -> None:
    """An hour's sums that a clock ahead wrote before its end are corrected once it has ended."""
    owner = Owner(store, FakeClock(NOON))
    await log_memos(owner, 3)
    ahead = history_on(store, FakeClock(NOON + 2 * HOUR), hourly_from=2)
    await ahead.hours(owner.id, NOON, NOON + HOUR)
    await log_memos(owner, 4)
    owner.clock.advance(2 * HOUR)
    assert await rebuilt(owner) == [f"{NOON:%Y-%m-%d}.12"]
    assert await calls(owner.history, owner.id) == 7
    owner.clock.advance(DAY)
    assert await calls(owner.history, owner.id) == 7
    assert await rebuilt(owner) == []


@pytest.mark.parametrize("later", [timedelta(0), DAY, 2 * DAY, 40 * DAY])
async def test_history_counts_memos_dated_before_the_sign_up(store: MemoryStore, later: timedelta) -> None:
    """A clock a day ahead signed the owner up, a right one dates the memos: they stay counted (row 16)."""
    owner = Owner(store, FakeClock(NOON + DAY))
    owner.clock.at = NOON
    await log_memos(owner, 5)
    owner.clock.advance(later)
    assert await calls(owner.history, owner.id) == 5
    assert await rebuilt(owner) == []


@asynccontextmanager
async def gateway(server: StandIn, machine: FakeClock) -> AsyncIterator[Services]:
    """Yield a container on this server, on a machine with this clock."""
    clock = CheckedClock(machine)
    wire = HttpxWire(StandInTransport(server))
    store = MicroStore(MicroClient(wire, Direct(url="http://micro", api_key=KEY), checked_clock=clock))
    await store.verify(TABLES)
    settings = Settings(session_secret=SECRET, attempts=AttemptLimits(signups_per_address=1000))
    yield Services.on(store, settings, passwords=cheap_passwords(), clock=clock)


async def test_gateway_ahead_works_by_the_stores_time(caplog: pytest.LogCaptureFixture) -> None:
    """A gateway whose clock is a day ahead of the server's `Date` signs up, dates, charges and sums by the server's.

    Rows 15 and 16 on the wire: it closes no day that is still open, and it logs that its clock is wrong.
    """
    true = FakeClock(NOON)
    server = StandIn(wall=lambda: true().timestamp())
    async with gateway(server, FakeClock(NOON + DAY)) as ahead, gateway(server, true) as right:
        ada = await signed_up(ahead)
        assert ada.user.created_at == NOON
        for services in (ahead, right, right):
            await services.memos.make(ada.api_key.key, DRAFT)
        assert await calls(history_on(ahead.store, ahead.clock), ada.user.id) == 3
        assert await Rollups(right.store).days(ada.user.id, NOON.date()) == []
        for _ in range(4):
            await right.memos.make(ada.api_key.key, DRAFT)
        for services in (ahead, right):
            assert await calls(history_on(services.store, services.clock), ada.user.id) == 7
            assert (await services.quotas.used(ada.user, services.clock())).day.used == 7
    assert "this machine's clock is ahead of the store's: set it" in [record.message for record in caplog.records]
