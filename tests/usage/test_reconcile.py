"""Memos and their logs are compared and corrected: over pages, with unknown keys, and with outcomes of long memos."""

import tracemalloc
from datetime import date, timedelta
from typing import Final

import pytest

from shared.activity import log_of_memo
from shared.core.clock import DAY
from shared.stores.memory.store import MemoryStore
from shared.tables import LogKind, Tables, Window
from shared.tables.memos import Ended, Memo
from shared.usage.counts import Counts, counts_of
from shared.usage.reconcile import MemoReconciliation
from tests.support import IDS, NOON, FakeClock, a_key

pytestmark = pytest.mark.anyio

TODAY: Final = NOON.date()
OWNER: Final = IDS.mint(NOON)
LONG: Final = "x" * 100_000
"""A text of which sixty rows exceed a page of the store."""


class World:
    def __init__(self, *, repair: bool) -> None:
        self.tables = Tables.on(MemoryStore())
        self.clock = FakeClock(NOON + timedelta(hours=1))
        self.reconciliation = MemoReconciliation(
            active_owners=self.tables.active_owners,
            memos=self.tables.memos,
            logs=self.tables.usage_logs,
            keys=self.tables.api_keys,
            clock=self.clock,
            repair=repair,
        )

    async def of(self, day: date = TODAY) -> tuple[list[str], list[str]]:
        """Return the ids of memos without a log, and of logs without a memo."""
        found = await self.reconciliation.of_owner(OWNER, day)
        assert (found.user_id, found.day) == (OWNER, day)
        return list(found.without_log), list(found.without_memo)


def a_memo(
    *, ago: timedelta = timedelta(0), text: str = "Hello", key: str | None = None, ended: Ended | None = None
) -> Memo:
    return Memo(
        id=IDS.mint(NOON - ago),
        user_id=OWNER,
        api_key_id=key,
        text=text,
        audio_url="/api/v1/audio/x",
        duration_seconds=1.5,
        voice="sam",
        character_count=len(text),
        title=None,
        created_at=NOON - ago,
        is_long=ended is not None,
        ended=ended,
    )


async def test_days_of_several_pages_agree() -> None:
    """No memo of an earlier page is missed, and no log."""
    world = World(repair=True)
    for number in range(60):
        memo = a_memo(ago=timedelta(seconds=number), text=LONG)
        await world.tables.memos.add(memo)
        await world.tables.usage_logs.add(log_of_memo(memo, None).model_copy(update={"api_key_name": LONG}))
    assert await world.of() == ([], [])


async def test_long_day_needs_little_memory() -> None:
    """Ids are kept, and no texts and no logs: an owner may make 100,000 memos in a day, of any length."""
    world, memos, text = World(repair=True), 600, "x" * 20_000
    for number in range(memos):
        memo = a_memo(ago=timedelta(seconds=number), text=text)
        await world.tables.memos.add(memo)
        await world.tables.usage_logs.add(log_of_memo(memo, None))
    tracemalloc.start()
    try:
        assert await world.of() == ([], [])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < memos * len(text) / 2


@pytest.mark.parametrize("repair", [False, True])
async def test_differences_are_named_and_repaired_if_asked(*, repair: bool) -> None:
    """The memo gets its log, and the log without a memo is deleted; without `repair` both stay unchanged."""
    world = World(repair=repair)
    unlogged, unmade = a_memo(ago=timedelta(seconds=1)), a_memo()
    await world.tables.memos.add(unlogged)
    await world.tables.usage_logs.add(log_of_memo(unmade, None))
    differs = [unlogged.id], [unmade.id]
    assert await world.of() == differs
    assert await world.of() == (([], []) if repair else differs)


async def test_memo_that_its_owner_deleted_keeps_its_log() -> None:
    """The call was made, so it counts."""
    world, memo = World(repair=True), a_memo()
    await world.tables.usage_logs.add(log_of_memo(memo, None))
    await world.tables.usage_logs.mark_memo_deleted(OWNER, memo.id, memo.audio_url, is_long=False)
    for _ in range(2):
        assert await world.of() == ([], [])


@pytest.mark.parametrize("is_known", [True, False])
async def test_repaired_log_names_its_key_and_how_the_memo_ended(*, is_known: bool) -> None:
    """The log equals the one that a crash lost. An unknown key is left out, and exact seconds count."""
    world, key = World(repair=True), a_key(OWNER)
    if is_known:
        await world.tables.api_keys.create(key, max_active=1)
    memo = a_memo(key=key.id, ended=Ended(seconds=2.5))
    await world.tables.memos.add(memo)
    await world.tables.memos.end(OWNER, memo.id, Ended(seconds=2.5))
    await world.of()
    (log,) = (await world.tables.usage_logs.rows(OWNER, LogKind.MEMOS, Window(limit=2))).rows
    assert counts_of(log.document) == Counts(1, 5, 2500)
    assert log.document["api_key_id"] == (key.id if is_known else None)


@pytest.mark.parametrize(
    ("ago", "compared"),
    [(timedelta(0), True), (timedelta(hours=12), True), (timedelta(hours=12, milliseconds=1), False)],
)
async def test_day_is_compared_from_its_midnight(ago: timedelta, *, compared: bool) -> None:
    """A day is compared from its midnight, without memos of the day before."""
    world = World(repair=False)
    memo = a_memo(ago=ago)
    await world.tables.memos.add(memo)
    assert await world.of() == ([memo.id] if compared else [], [])
    assert await world.of(TODAY - DAY) == ([] if compared else [memo.id], [])


@pytest.mark.parametrize(
    ("later", "compared"), [(timedelta(minutes=10), False), (timedelta(minutes=10, milliseconds=1), True)]
)
async def test_last_ten_minutes_are_left_out(later: timedelta, *, compared: bool) -> None:
    """A memo of the last ten minutes may lack its log: its request is in progress."""
    world, memo = World(repair=False), a_memo()
    await world.tables.memos.add(memo)
    world.clock.at = NOON + later
    assert await world.of() == ([memo.id] if compared else [], [])
