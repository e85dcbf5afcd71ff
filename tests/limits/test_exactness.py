"""Limits are exact under any concurrency: through two gateways on one store, on seeded schedules."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import pytest

from shared.accounts.accounts import SignedUp
from shared.core.errors import DailyLimitExceeded, MonthlyLimitExceeded, ValidationFailed
from shared.memos.requests import Draft
from shared.services import Services
from shared.speech.voices import VOICES
from shared.stores.port import Document, Key, Store, StoreUnavailable, Table
from shared.tables import MEMOS, Window
from shared.tables.memos import Memo
from shared.tables.schema import USAGE_LOGS
from shared.tables.usage_logs import Action
from tests.limits.gateways import STORES, TimedStore, gateways, stores
from tests.support import NOON, Intercepted, one_quickly, outcomes, request_that_has, seeded, services_on, signed_up

pytestmark = pytest.mark.anyio

GOOD: Final = Draft(text="Hello", voice=VOICES["adam"])
TOO_LONG: Final = Draft(text="x" * 5001, voice=VOICES["adam"])

on_both: Final = pytest.mark.parametrize("kind", STORES)
seeds: Final = pytest.mark.parametrize("seed", one_quickly(0, 1, 2))


async def spend(store: Store, ada: SignedUp, *, day: int, month: int) -> None:
    await store.increment(f"{ada.user.id}:calls:{NOON:%Y-%m-%d}", day)
    await store.increment(f"{ada.user.id}:calls:{NOON:%Y-%m}", month)


async def at_once(
    made: Sequence[Services], ada: SignedUp, drafts: Iterable[Draft], seed: int
) -> tuple[list[Memo], list[Exception]]:
    """Request all memos concurrently, in a seeded order, through the gateways in turn."""
    order = list(drafts)
    seeded(seed).shuffle(order)
    returned, raised = await outcomes(
        made[number % len(made)].memos.make(ada.api_key.key, draft) for number, draft in enumerate(order)
    )
    return [memo for memo, _ in returned], raised


async def used(services: Services, ada: SignedUp) -> tuple[int, int]:
    quota = await services.quotas.used(ada.user, NOON)
    return quota.day.used, quota.month.used


def kinds(raised: Iterable[Exception]) -> Counter[type[Exception]]:
    return Counter(type(error) for error in raised)


@on_both
@seeds
async def test_an_invalid_text_takes_no_valid_ones_place(kind: str, seed: int) -> None:
    """Ten places are left; of thirty texts that are too long and a valid one, concurrently, the valid one is made."""
    async with stores(kind, 2, seed=seed) as made:
        both = gateways(made)
        ada = await signed_up(both[0])
        await spend(made[0], ada, day=90, month=90)
        memos, raised = await at_once(both, ada, [GOOD, *[TOO_LONG] * 30], seed)
        assert (len(memos), kinds(raised)) == (1, {ValidationFailed: 30})
        assert await used(both[1], ada) == (91, 91)


@on_both
@seeds
@pytest.mark.thorough
async def test_exactly_the_limit_gets_through_among_invalid(kind: str, seed: int) -> None:
    """With a hundred places, 140 valid and 40 invalid concurrent texts make exactly a hundred memos."""
    async with stores(kind, 2, seed=seed) as made:
        both = gateways(made)
        ada = await signed_up(both[0])
        memos, raised = await at_once(both, ada, [GOOD] * 140 + [TOO_LONG] * 40, seed)
        assert (len(memos), kinds(raised)) == (100, {ValidationFailed: 40, DailyLimitExceeded: 40})
        assert await used(both[1], ada) == (100, 100)


@on_both
@seeds
@pytest.mark.parametrize(("day", "month"), [(5, 5), (5, 3), (3, 5), (100, 1), (5, 150)])
async def test_day_and_month_are_exact_near_both_ends(kind: str, seed: int, day: int, month: int) -> None:
    """With so many left of the day and of the month, exactly the lesser number gets through."""
    async with stores(kind, 2, seed=seed) as made:
        both = gateways(made)
        ada = await signed_up(both[0])
        await spend(made[0], ada, day=100 - day, month=3000 - month)
        memos, raised = await at_once(both, ada, [GOOD] * 40, seed)
        assert len(memos) == min(day, month, 40)
        assert kinds(raised).keys() <= {DailyLimitExceeded, MonthlyLimitExceeded}
        assert await used(both[1], ada) == (100 - day + len(memos), 3000 - month + len(memos))
        assert len((await both[0].tables.memos.page(ada.user.id, Window(limit=100))).rows) == len(memos)


@on_both
@seeds
@pytest.mark.thorough
async def test_a_refusal_never_tells_more_used_than_the_limit(kind: str, seed: int) -> None:
    """None of 90 concurrent refusals has a `used` above its `limit`."""
    async with stores(kind, 2, seed=seed) as made:
        both = gateways(made)
        ada = await signed_up(both[0])
        await spend(made[0], ada, day=90, month=90)
        _, raised = await at_once(both, ada, [GOOD] * 100, seed)
        told = [error.details for error in raised if isinstance(error, DailyLimitExceeded)]
        assert len(told) == 90
        assert {details["limit"] for details in told} == {100}
        assert max(int(str(details["used"])) for details in told) <= 100


@on_both
async def test_a_text_too_long_is_invalid_when_the_limit_is_spent(kind: str) -> None:
    """A text that is always invalid is 400, not 429."""
    async with stores(kind, 1, seed=1) as made:
        (one,) = gateways(made)
        ada = await signed_up(one)
        await spend(made[0], ada, day=100, month=100)
        with pytest.raises(ValidationFailed):
            await one.memos.make(ada.api_key.key, TOO_LONG)
        assert await used(one, ada) == (100, 100)


@on_both
async def test_a_month_far_from_its_limit_is_counted_once(kind: str) -> None:
    """The month is counted concurrently with the writes: it counts every memo, and no refusal."""
    async with stores(kind, 1, seed=1) as made:
        (one,) = gateways(made)
        ada = await signed_up(one)
        await spend(made[0], ada, day=98, month=1000)
        memos, _ = await at_once([one], ada, [GOOD] * 20, 1)
        assert (len(memos), await used(one, ada)) == (2, (100, 1002))


@on_both
@pytest.mark.parametrize("carried_out", [False, True])
async def test_a_memo_whose_write_hangs_is_not_charged(kind: str, *, carried_out: bool) -> None:
    """The memo's write takes all the request's time: giving back has time of its own, and so has the removal."""
    async with stores(kind, 1, seed=1) as made:
        (one,) = gateways(made)
        ada = await signed_up(one)
        timed = services_on(TimedStore(made[0], hangs_on=MEMOS, carried_out=carried_out))
        with request_that_has(0), pytest.raises(StoreUnavailable):
            await timed.memos.make(ada.api_key.key, GOOD)
        assert await used(one, ada) == (0, 0)
        (key,) = await one.tables.api_keys.of(ada.user.id, NOON)
        assert key.usage_count == 0
        assert (await one.tables.memos.page(ada.user.id, Window())).rows == []


@on_both
@seeds
@pytest.mark.thorough
async def test_as_many_are_used_as_made_when_the_time_is_up(kind: str, seed: int) -> None:
    """One of 200 concurrent requests uses up the time of all: exactly the made memos are charged."""
    async with stores(kind, 1, seed=seed) as made:
        (one,) = gateways(made)
        ada = await signed_up(one)
        timed = services_on(TimedStore(made[0], hangs_on=USAGE_LOGS))
        with request_that_has(0):
            memos, raised = await at_once([timed], ada, [GOOD] * 200, seed)
        assert len(memos) + len(raised) == 200
        assert await used(one, ada) == (len(memos), len(memos))


class _LogsFail(Intercepted):
    """Fails the first `times` writes of memos' logs; with `lost`, they still take effect."""

    def __init__(self, store: Store, times: int, *, lost: bool) -> None:
        super().__init__(store)
        self._times = times
        self._lost = lost

    async def add(self, table: Table, key: Key, document: Document) -> None:
        failing = table is USAGE_LOGS and self._times > 0
        self._times -= failing
        if not failing or self._lost:
            await super().add(table, key, document)
        if failing:
            raise StoreUnavailable("the log was not acknowledged")


@on_both
@pytest.mark.parametrize("lost", [False, True])
async def test_a_memo_answered_is_logged_when_its_log_fails_once(kind: str, *, lost: bool) -> None:
    """The log is sent again under the memo's id: it exists once, also if the first one took effect."""
    async with stores(kind, 1, seed=1) as made:
        (one,) = gateways(made)
        ada = await signed_up(one)
        memo, _ = await services_on(_LogsFail(made[0], 1, lost=lost)).memos.make(ada.api_key.key, GOOD)
        logs = await one.tables.usage_logs.page(ada.user.id, Window(), action=Action.MEMO_CREATED)
        assert [log.id for log in logs.rows] == [memo.id]


@on_both
async def test_a_memo_whose_log_cannot_be_written_is_not_made(kind: str) -> None:
    """201 means memo, log and use: without its log a memo is neither there nor charged."""
    async with stores(kind, 1, seed=1) as made:
        (one,) = gateways(made)
        ada = await signed_up(one)
        with pytest.raises(StoreUnavailable):
            await services_on(_LogsFail(made[0], 99, lost=False)).memos.make(ada.api_key.key, GOOD)
        assert await used(one, ada) == (0, 0)
        assert (await one.tables.memos.page(ada.user.id, Window())).rows == []
