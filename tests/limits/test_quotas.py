import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.errors import DailyLimitExceeded, KeyLimitExceeded, MonthlyLimitExceeded
from shared.limits.quotas import Quota, Quotas
from shared.limits.reservation import Reservation
from shared.plans import TEST_MEMOS_PER_DAY, Tier
from shared.stores.port import Bound, Store, StoreUnavailable
from shared.tables.issued_keys import IssuedKey
from shared.tables.users import Role, User
from tests.limits.gateways import stores
from tests.support import NOON, CountingStore, FailingStore, HurriedStore, a_key, a_user, outcomes, request_that_has

pytestmark = pytest.mark.anyio


async def spend(store: Store, user: User, key: IssuedKey, at: datetime = NOON) -> Quota:
    """Reserve and keep the places of a memo."""
    return await spend_by(Quotas(store), Reservation(store), user, key, at)


async def spend_by(quotas: Quotas, reservation: Reservation, user: User, key: IssuedKey, at: datetime = NOON) -> Quota:
    async def owner() -> User:
        await asyncio.sleep(0)
        return user

    admission = await quotas.admit(reservation, key, owner(), at, characters=5)
    await quotas.count_month(reservation, admission)
    return admission.quota


async def spent(store: Store, user: User, times: int, at: datetime = NOON) -> None:
    await store.increment(f"{user.id}:calls:{at:%Y-%m-%d}", times)
    await store.increment(f"{user.id}:calls:{at:%Y-%m}", times)


class TestQuotas:
    @pytest.mark.parametrize("seed", range(5))
    async def test_memos_at_once_never_pass_the_day(self, store: Store) -> None:
        user = a_user()
        await spent(store, user, 60)
        returned, raised = await outcomes(spend(store, user, a_key(user.id)) for _ in range(200))
        assert {type(error) for error in raised} == {DailyLimitExceeded}
        assert len(returned) <= 40
        quota = await Quotas(store).used(user, NOON)
        assert quota.day.used == 60 + len(returned)

    async def test_each_of_the_last_memos_is_admitted(self, store: Store) -> None:
        user = a_user()
        await spent(store, user, 60)
        returned, _ = await outcomes(spend(store, user, a_key(user.id)) for _ in range(40))
        assert sorted(quota.day.used for quota in returned) == list(range(61, 101))

    async def test_a_refusal_tells_limit_use_and_when_to_come_back(self, store: Store) -> None:
        user = a_user()
        await spent(store, user, 100)
        with pytest.raises(DailyLimitExceeded) as caught:
            await spend(store, user, a_key(user.id))
        assert caught.value.details == {"limit": 100, "used": 100, "resetAt": "2026-11-24T00:00:00.000Z"}
        assert caught.value.headers == {
            "X-RateLimit-Limit": "100",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(datetime(2026, 11, 24, tzinfo=UTC).timestamp())),
            "RateLimit-Policy": '"day";q=100;w=86400',
            "RateLimit": '"day";r=0;t=43200',
            "Retry-After": str(12 * 3600),
        }

    async def test_the_limit_is_the_owners_over_all_keys(self, store: Store) -> None:
        user = a_user()
        await spent(store, user, 98)
        for key in (a_key(user.id), a_key(user.id)):
            await spend(store, user, key)
        with pytest.raises(DailyLimitExceeded):
            await spend(store, user, a_key(user.id))

    async def test_one_owners_use_is_not_anothers(self, store: Store) -> None:
        ada, bob = a_user(), a_user("bob@example.org")
        await spent(store, ada, 100)
        assert (await spend(store, bob, a_key(bob.id))).day.used == 1

    async def test_a_new_utc_day_begins_at_midnight_with_nothing_used(self, store: Store) -> None:
        user = a_user()
        last = datetime(2026, 11, 23, 23, 59, 59, 999_000, UTC)
        await spent(store, user, 100, last)
        with pytest.raises(DailyLimitExceeded) as caught:
            await spend(store, user, a_key(user.id), last)
        assert caught.value.headers["Retry-After"] == "1"
        quota = await spend(store, user, a_key(user.id), last + timedelta(milliseconds=1))
        assert (quota.day.used, quota.month.used) == (1, 101)

    async def test_a_new_month_begins_with_nothing_used(self, store: Store) -> None:
        user = a_user()
        last = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
        await store.increment(f"{user.id}:calls:2026-11", 3000)
        with pytest.raises(MonthlyLimitExceeded) as caught:
            await spend(store, user, a_key(user.id), last)
        assert caught.value.details == {"limit": 3000, "used": 3000, "resetAt": "2026-12-01T00:00:00.000Z"}
        assert (await spend(store, user, a_key(user.id), last + timedelta(seconds=1))).month.used == 1

    async def test_who_is_out_of_both_is_told_of_the_month(self, store: Store) -> None:
        user = a_user()
        await spent(store, user, 3000)
        with pytest.raises(MonthlyLimitExceeded):
            await spend(store, user, a_key(user.id))

    @pytest.mark.parametrize("unlimited", [{"tier": Tier.ENTERPRISE}, {"role": Role.ADMIN}])
    async def test_enterprise_and_admins_have_no_limit(self, store: Store, unlimited: dict[str, str]) -> None:
        user = a_user().model_copy(update=unlimited)
        await spent(store, user, 1_000_000)
        quota = await spend(store, user, a_key(user.id))
        assert (quota.day.remaining, quota.month.remaining) == (None, None)
        assert quota.day.headers(NOON)["X-RateLimit-Limit"] == "unlimited"
        assert quota.day.headers(NOON)["X-RateLimit-Remaining"] == "unlimited"
        assert "RateLimit" not in quota.day.headers(NOON)
        assert "RateLimit-Policy" not in quota.day.headers(NOON)
        assert await Quotas(store).left(user, a_key(user.id), NOON) is None

    async def test_pro_has_its_own_limit(self, store: Store) -> None:
        user = a_user().model_copy(update={"tier": Tier.PRO})
        await spent(store, user, 999)
        assert (await spend(store, user, a_key(user.id))).day.remaining == 0
        with pytest.raises(DailyLimitExceeded):
            await spend(store, user, a_key(user.id))

    async def test_quota_of_test_keys_is_apart_from_the_owners(self, store: Store) -> None:
        """Test keys have a limit of their own and spend none of the owner's."""
        user = a_user()
        test = a_key(user.id, prefix="at_test_")
        await spent(store, user, 100)
        await store.increment(f"{user.id}:testcalls:2026-11-23", TEST_MEMOS_PER_DAY - 1)
        assert await Quotas(store).left(user, test, NOON) == 1
        assert (await spend(store, user, test)).day.remaining == 0
        assert await Quotas(store).left(user, test, NOON) == 0
        with pytest.raises(DailyLimitExceeded):
            await spend(store, user, test)
        assert (await Quotas(store).used(user, NOON)).day.used == 100

    async def test_what_is_left_is_the_lesser_of_day_and_month(self, store: Store) -> None:
        user = a_user()
        key = a_key(user.id)
        assert await Quotas(store).left(user, key, NOON) == 100
        await spent(store, user, 30)
        assert await Quotas(store).left(user, key, NOON) == 70
        await store.increment(f"{user.id}:calls:2026-11", 2950)
        assert await Quotas(store).left(user, key, NOON) == 20

    async def test_more_used_than_the_limit_admits_leaves_nothing(self, store: Store) -> None:
        user = a_user()
        await spent(store, user, 500)  # before a downgrade
        quota = await Quotas(store).used(user, NOON)
        assert quota.day.limit is not None
        assert (quota.day.used, quota.day.remaining) == (quota.day.limit, 0)

    async def test_what_is_given_back_is_given_back_once(self, store: Store) -> None:
        """Places of other reservations on the same counters stay."""
        reservation = Reservation(store)
        for counter in ("c", "d"):
            await Reservation(store).take(counter)
            await reservation.take(counter)
        await reservation.give_back()
        await reservation.give_back()
        assert [await store.increment(counter, 0) for counter in ("c", "d")] == [1, 1]

    async def test_reservation_says_what_would_be_given_back(self, store: Store) -> None:
        """`taken` has the windows' ends, since a long memo keeps its places until its outcome is known."""
        reservation, day = Reservation(store), Bound(counter="d", most=1, ends_at=NOON + timedelta(days=1))
        await reservation.take("c", ends_at=day.ends_at)
        await reservation.reserve([day])
        assert (await reservation.reserve([day])).refused == ("d",)
        assert reservation.taken == (Bound(counter="c", ends_at=day.ends_at), day)
        await reservation.give_back()
        assert not reservation.taken

    async def test_giving_back_to_a_store_that_is_down_raises_nothing(self, store: Store) -> None:
        reservation = Reservation(FailingStore(store, at=1, for_good=True))
        await reservation.take("c")
        await reservation.give_back()
        assert await store.increment("c", 0) == 1

    async def test_places_are_given_back_when_the_time_is_up(self, store: Store) -> None:
        """Giving back has time of its own. Without it the places of slow requests would stay counted."""
        reservation = Reservation(HurriedStore(store))
        await reservation.take("c")
        with request_that_has(0):
            await reservation.give_back()
        assert await store.increment("c", 0) == 0

    async def test_what_was_not_taken_is_not_given_back(self, store: Store) -> None:
        reservation = Reservation(FailingStore(store, at=0))
        with pytest.raises(StoreUnavailable):
            await reservation.take("c")
        await reservation.give_back()
        assert await store.increment("c", 0) == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("window", "used", "refusal"), [("%Y-%m-%d", 100, DailyLimitExceeded), ("%Y-%m", 3000, MonthlyLimitExceeded)]
    )
    async def test_refused_key_is_refused_again_while_spent(
        self, store: Store, window: str, used: int, refusal: type[DailyLimitExceeded]
    ) -> None:
        """This holds for the day's limit and for the month's, and takes no place."""
        quotas, user = Quotas(store), a_user()
        key, counter = a_key(user.id), f"{user.id}:calls:{NOON:{window}}"
        await store.increment(counter, used)
        await quotas.refused(key, NOON, await refusal_of(quotas, user, key))
        with pytest.raises(DailyLimitExceeded) as caught:
            await quotas.refuse_again(key, ready(user), NOON, characters=5)
        assert type(caught.value) is refusal
        assert await store.increment(counter, 0) == used

    async def test_refused_key_costs_nothing_the_next_day(self, store: Store) -> None:
        """A refusal is remembered for its UTC day. On the next one it costs no request."""
        counting = CountingStore(store)
        quotas, user = Quotas(counting), a_user()
        key = a_key(user.id)
        await spent(store, user, 100)
        await quotas.refused(key, NOON, await refusal_of(quotas, user, key))
        counting.calls.clear()
        owner = asyncio.ensure_future(ready(user))
        await quotas.refuse_again(key, owner, NOON + timedelta(days=1), characters=5)
        assert counting.calls == {}

    async def test_refusals_are_counted_apart_by_kind_of_key(self, store: Store) -> None:
        """Refusals of live keys and of test keys have separate counts."""
        quotas, user = Quotas(store), a_user()
        refusal = (await quotas.used(user, NOON)).refusal(NOON)
        keys = (a_key(user.id, prefix="at_test_"), a_key(user.id))
        assert [await quotas.refused(key, NOON, refusal) for key in (*keys, *keys)] == [1, 1, 2, 2]

    async def test_refusals_of_a_keys_month_are_counted_by_the_month(self, store: Store) -> None:
        """A refusal on another day of the month is the second one, and in the next month the first."""
        quotas, key = Quotas(store), a_key(a_user().id)
        refusal = KeyLimitExceeded(
            limit=1, used=1, unit="characters", is_monthly=True, resets_at="2026-12-01T00:00:00.000Z", headers={}
        )
        days = (NOON, NOON + timedelta(days=1), NOON + timedelta(days=8))
        assert [await quotas.refused(key, at, refusal) for at in days] == [1, 2, 1]


class TestInOrder:
    """On a store that counts before it refuses, the month is reserved after the day, unless it cannot refuse today."""

    @pytest.mark.parametrize(("used", "is_reserved"), [(2800, False), (2801, True)])
    async def test_month_is_reserved_within_two_days_of_its_limit(self, used: int, *, is_reserved: bool) -> None:
        """Farther from its limit it is counted concurrently with the memo's writes, which saves a round trip."""
        async with stores("micro", 1, seed=1) as (store,):
            user = a_user()
            await store.increment(f"{user.id}:calls:2026-11", used)
            quotas = Quotas(store)
            admitted = await quotas.admit(quotas.reservation(), a_key(user.id), ready(user), NOON, characters=5)
            assert (admitted.month is None) == is_reserved
            assert await store.increment(f"{user.id}:calls:2026-11", 0) == used + is_reserved

    async def test_refusal_by_the_month_takes_no_place_of_the_day(self) -> None:
        """The answer contains the rest of the day, which is all of it."""
        async with stores("micro", 1, seed=1) as (store,):
            user = a_user()
            await store.increment(f"{user.id}:calls:2026-11", 3000)
            refusal = await refusal_of(Quotas(store), user, a_key(user.id))
            assert (type(refusal), refusal.headers["X-RateLimit-Remaining"]) == (MonthlyLimitExceeded, "100")
            assert await store.increment(f"{user.id}:calls:2026-11-23", 0) == 0


async def ready(user: User) -> User:
    return user


async def refusal_of(quotas: Quotas, user: User, key: IssuedKey) -> DailyLimitExceeded:
    """Return the refusal of a memo with this key."""
    with pytest.raises(DailyLimitExceeded) as caught:
        await quotas.admit(quotas.reservation(), key, ready(user), NOON, characters=5)
    return caught.value
