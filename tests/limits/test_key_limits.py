"""A key's own limits are exact beside the owner's, on every store and through two gateways."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest

from shared.accounts.accounts import SignedUp
from shared.core.clock import iso
from shared.core.errors import DailyLimitExceeded, KeyLimitExceeded
from shared.limits.key_limits import LOOKS, KeyLimits
from shared.limits.reservation import Reservation
from shared.memos.requests import Draft
from shared.services import Services
from shared.speech.voices import VOICES
from shared.stores.port import Bound, Reserved, Store, StoreUnavailable
from shared.tables.issued_keys import ApiKey, IssuedKey, KeyLimit
from tests.limits.gateways import ALL_STORES, STORES, gateways, stores
from tests.support import NOON, CountingStore, FailingStore, Intercepted, one_quickly, outcomes, services_on, signed_up

pytestmark = pytest.mark.anyio

SHORT: Final = Draft(text="Hello", voice=VOICES["adam"])
ALL: Final = {KeyLimit.MEMOS_PER_DAY: 10, KeyLimit.CHARACTERS_PER_DAY: 1000, KeyLimit.CHARACTERS_PER_MONTH: 1000}

CUTS: Final = {"dynamodb": range(0, 14, 4)}
"""The calls at which a memo is interrupted; on other stores at every call. A call of moto takes 30 ms."""

on_all: Final = pytest.mark.parametrize("kind", ALL_STORES)
on_both: Final = pytest.mark.parametrize("kind", STORES)
seeds: Final = pytest.mark.parametrize("seed", one_quickly(0, 1, 2))


@asynccontextmanager
async def limited(
    kind: str, limits: Mapping[KeyLimit, int], *, count: int = 2, seed: int = 1
) -> AsyncIterator[tuple[list[Store], list[Services], SignedUp, IssuedKey]]:
    """Yield gateways on one store, an owner, and the owner's key with these limits."""
    async with stores(kind, count, seed=seed) as made:
        services = gateways(made)
        ada, key = await an_owner(services[0], limits)
        yield made, services, ada, key


async def an_owner(services: Services, limits: Mapping[KeyLimit, int], number: int = 0) -> tuple[SignedUp, IssuedKey]:
    """Return a new owner, whose key has these limits."""
    ada = await signed_up(services, f"ada{number}@example.org")
    return ada, await services.api_keys.change(ada.user, ada.api_key.key.id, limits=limits)


async def make(services: list[Services], key: IssuedKey, drafts: list[Draft]) -> tuple[int, list[Exception]]:
    returned, raised = await outcomes(
        services[number % len(services)].memos.make(key, draft) for number, draft in enumerate(drafts)
    )
    return len(returned), raised


async def state(services: Services, ada: SignedUp) -> tuple[ApiKey, int, int]:
    quota = await services.quotas.used(ada.user, NOON)
    return await services.api_keys.load(ada.user, ada.api_key.key.id), quota.day.used, quota.month.used


@on_all
@pytest.mark.thorough
async def test_of_forty_at_once_exactly_ten_get_through(kind: str) -> None:
    """A key with ten memos a day makes ten of forty concurrent ones; the owner is charged for these ten alone."""
    async with limited(kind, {KeyLimit.MEMOS_PER_DAY: 10}) as (_, services, ada, key):
        made, raised = await make(services, key, [SHORT] * 40)
        assert made == 10
        assert {type(error) for error in raised} == {KeyLimitExceeded}
        after, day, month = await state(services[1], ada)
        assert (after.used, after.usage_count, day, month) == ({KeyLimit.MEMOS_PER_DAY: 10}, 10, 10, 10)


@on_both
@seeds
@pytest.mark.parametrize(("key_left", "owner_left"), [(10, 10), (10, 4), (4, 10)])
@pytest.mark.thorough
async def test_the_lesser_of_both_limits_gets_through(kind: str, seed: int, key_left: int, owner_left: int) -> None:
    """Near both limits, as many memos are made as the lesser one has room for, and both counts agree."""
    async with limited(kind, ALL | {KeyLimit.MEMOS_PER_DAY: key_left}, seed=seed) as (store, services, ada, key):
        for window in ("%Y-%m-%d", "%Y-%m"):
            await store[0].increment(f"{ada.user.id}:calls:{NOON:{window}}", 100 - owner_left)
        made, raised = await make(services, key, [SHORT] * 30)
        assert made == min(key_left, owner_left)
        assert all(isinstance(error, DailyLimitExceeded) for error in raised)
        after, day, _ = await state(services[1], ada)
        assert after.used[KeyLimit.MEMOS_PER_DAY] == made
        assert after.used[KeyLimit.CHARACTERS_PER_MONTH] == 5 * made
        assert day == 100 - owner_left + made


@on_all
@pytest.mark.parametrize("limit", [KeyLimit.CHARACTERS_PER_DAY, KeyLimit.CHARACTERS_PER_MONTH])
@pytest.mark.thorough
async def test_characters_are_exact_and_never_above(kind: str, limit: KeyLimit) -> None:
    """With 100 characters left three texts of 30 are made; then only texts that still fit, to the last character."""
    async with limited(kind, {limit: 100}) as (_, services, ada, key):
        made, raised = await make(services, key, [Draft(text="x" * 30, voice=VOICES["adam"])] * 12)
        assert (made, {type(error) for error in raised}) == (3, {KeyLimitExceeded})
        with pytest.raises(KeyLimitExceeded) as caught:
            await services[0].memos.make(key, Draft(text="x" * 11, voice=VOICES["adam"]))
        assert (caught.value.details["limit"], caught.value.details["used"]) == (100, 90)
        await services[0].memos.make(key, Draft(text="x" * 10, voice=VOICES["adam"]))
        after, day, _ = await state(services[1], ada)
        assert (after.used, day) == ({limit: 100}, 4)


@on_all
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.thorough
async def test_a_failed_memo_gives_the_keys_places_back(kind: str, *, lost: bool) -> None:
    """If any call of the store fails, exactly the made memos are counted; one unanswered call may count once more."""
    async with stores(kind, 1, seed=1) as (store,):
        services = services_on(store)
        for at in CUTS.get(kind, range(14)):
            ada, key = await an_owner(services, ALL, at)
            failing = services_on(FailingStore(store, at=at, lost=lost))
            made, raised = await make([failing], key, [SHORT])
            assert {type(error) for error in raised} <= {StoreUnavailable}
            after, day, _ = await state(services, ada)
            counted = (after.used[KeyLimit.MEMOS_PER_DAY], after.used[KeyLimit.CHARACTERS_PER_DAY] // 5, day)
            assert all(made <= count <= made + lost for count in counted), (at, counted)


@on_all
@pytest.mark.thorough
async def test_a_killed_memo_leaves_at_most_its_places(kind: str) -> None:
    """Killed at any call, a memo leaves at most its own places counted, and the limit stays exact for other memos."""
    async with stores(kind, 1, seed=1) as (store,):
        services = services_on(store)
        for at in CUTS.get(kind, range(14)):
            ada, key = await an_owner(services, {KeyLimit.MEMOS_PER_DAY: 3}, at)
            await make([services_on(FailingStore(store, at=at, for_good=True))], key, [SHORT])
            left = 3 - (await state(services, ada))[0].used[KeyLimit.MEMOS_PER_DAY]
            assert left in (2, 3)
            made, _ = await make([services], key, [SHORT] * 5)
            assert made == left
            assert (await state(services, ada))[0].used == {KeyLimit.MEMOS_PER_DAY: 3}


@on_all
@pytest.mark.parametrize("limits", [{}, {KeyLimit.CHARACTERS_PER_MONTH: 100}, ALL])
async def test_a_limit_costs_at_most_one_call_each(kind: str, limits: Mapping[KeyLimit, int]) -> None:
    """A key without limits costs no call more; one with them one more, which is a request for each on HYPR Micro."""
    async with limited(kind, limits, count=1) as (store, _, ada, key):
        plain = services_on(calls := CountingStore(store[0]))
        await plain.memos.make(ada.api_key.key, SHORT)
        before = calls.calls.total()
        await plain.memos.make(ada.api_key.key, SHORT)
        without = calls.calls.total() - before
        await plain.memos.make(key, SHORT)
        assert calls.calls.total() - before - 2 * without == (1 if limits else 0)


class _FullAtFirst(Intercepted):
    """Fills a counter at its first reservations, as by a memo that fails and gives its places back immediately."""

    def __init__(self, store: Store, *, of: str = ":calls:", times: int = 1) -> None:
        super().__init__(store)
        self._of = of
        self._times = times
        self.reserves = 0

    async def reserve(self, bounds: Sequence[Bound]) -> Reserved:
        counter = bounds[0].counter
        if self._of not in counter or bounds[0].by < 0:
            return await super().reserve(bounds)
        self.reserves += 1
        if self.reserves > self._times:
            return await super().reserve(bounds)
        await self._store.increment(counter, 100)
        reserved = await super().reserve(bounds)
        await self._store.increment(counter, -100)
        return reserved


@on_both
async def test_a_place_looked_for_again_counts_once(kind: str) -> None:
    """If the owner's place is free only at the second attempt, the key's places are not taken twice."""
    async with limited(kind, ALL, count=1) as (store, services, ada, key):
        made, _ = await make([services_on(_FullAtFirst(store[0]))], key, [SHORT])
        assert made == (kind == "micro"), "a store that reserves at once refuses for good"
        after, day, month = await state(services[0], ada)
        assert (after.used[KeyLimit.MEMOS_PER_DAY], day, month) == (made, made, made)


@pytest.mark.parametrize("of", [":calls:", ":uses:"])
@pytest.mark.parametrize("times", [LOOKS - 1, LOOKS])
async def test_last_place_is_looked_for_as_often_as_said(of: str, times: int) -> None:
    """The last place of the owner or of the key, if other requests take and give it back, is tried LOOKS times."""
    async with limited("micro", {KeyLimit.MEMOS_PER_DAY: 1}, count=1) as (store, services, ada, key):
        await store[0].increment(f"{ada.user.id}:calls:{NOON:%Y-%m-%d}", 99)
        made, raised = await make([services_on(full := _FullAtFirst(store[0], of=of, times=times))], key, [SHORT])
        assert (made, full.reserves) == (times < LOOKS, LOOKS)
        refusal = KeyLimitExceeded if of == ":uses:" else DailyLimitExceeded
        assert [type(error) for error in raised] == [refusal] * (times == LOOKS)
        after, day, _ = await state(services[0], ada)
        assert (after.used[KeyLimit.MEMOS_PER_DAY], day) == (made, 99 + made)


@on_both
@pytest.mark.parametrize("spent", KeyLimit)
async def test_refusal_names_the_limit_that_is_spent(kind: str, spent: KeyLimit) -> None:
    """A key with every limit is refused by the spent one, and the error contains its used part."""
    limits = dict.fromkeys(KeyLimit, 1000) | {spent: 5 if spent.unit == "characters" else 1}
    async with limited(kind, limits, count=1) as (_, services, _, key):
        made, raised = await make(services, key, [SHORT])
        assert (made, raised) == (1, [])
        _, (error,) = await make(services, key, [SHORT])
        assert isinstance(error, KeyLimitExceeded)
        told = error.details
        assert (told["limit"], told["used"], told["resetAt"]) == (
            limits[spent],
            limits[spent],
            iso(spent.resets_at(NOON)),
        )


@on_both
async def test_refusal_names_the_first_limit_when_all_are_spent(kind: str) -> None:
    """The memos of a day come first: the message then states that a shorter text would not help."""
    limits = {limit: 5 if limit.unit == "characters" else 1 for limit in KeyLimit}
    async with limited(kind, limits, count=1) as (_, services, _, key):
        _, (error,) = await make(services, key, [SHORT] * 2)
        assert isinstance(error, KeyLimitExceeded)
        assert error.message == "This API key's limit of 1 memos a day is reached"


@on_both
async def test_other_keys_of_the_owner_are_not_limited(kind: str) -> None:
    """If a key's limit is spent, another key of the owner still works."""
    async with limited(kind, {KeyLimit.MEMOS_PER_DAY: 1}) as (_, services, ada, key):
        other = await services[0].api_keys.create(ada.user, name="Other", test=False, expires_at=None)
        assert (await make(services, key, [SHORT] * 3))[0] == 1
        assert (await make(services, other.key, [SHORT] * 3))[0] == 3


@on_both
async def test_a_text_that_does_not_fit_costs_one_look(kind: str) -> None:
    """It costs a reservation, and on a store that raises counts first a read, which proves that none is left."""
    async with limited(kind, {KeyLimit.CHARACTERS_PER_DAY: 7}, count=1) as (store, services, _, key):
        await services[0].memos.make(key, SHORT)
        counting = CountingStore(store[0])
        with pytest.raises(KeyLimitExceeded):
            await KeyLimits(counting).reserve(Reservation(counting), key, 3, NOON)
        assert counting.calls == {"reserve": 1} | ({} if counting.reserves_at_once else {"counters": 1})


async def test_refuse_spent_refuses_a_text_that_does_not_fit() -> None:
    """With 5 of 7 characters a day used, a text of 2 has a place, and one of 3 has none."""
    async with limited("memory", {KeyLimit.CHARACTERS_PER_DAY: 7}, count=1) as (store, services, _, key):
        await services[0].memos.make(key, SHORT)
        await KeyLimits(store[0]).refuse_spent(key, 2, NOON)
        with pytest.raises(KeyLimitExceeded):
            await KeyLimits(store[0]).refuse_spent(key, 3, NOON)


async def test_refusal_after_a_lower_limit_names_no_more_used_than_it() -> None:
    """Two memos were made when the key's limit became one: one of one is used."""
    async with limited("memory", {KeyLimit.MEMOS_PER_DAY: 2}, count=1) as (_, services, ada, key):
        await make(services, key, [SHORT] * 2)
        lower = await services[0].api_keys.change(ada.user, key.id, limits={KeyLimit.MEMOS_PER_DAY: 1})
        _, raised = await make(services, lower, [SHORT])
        refusals = [error.details for error in raised if isinstance(error, KeyLimitExceeded)]
        assert [(details["limit"], details["used"]) for details in refusals] == [(1, 1)]
