import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.api_keys.minting import digest
from shared.core.clock import iso
from shared.core.errors import Conflict, MemoNotFound, NotFound, SessionExpired, ValidationFailed
from shared.core.ids import Ids
from shared.plans import Tier
from shared.stores.port import Key, Page, Row, Store, Table
from shared.tables import (
    API_KEYS,
    ENDED_KEPT,
    ENDED_MOST,
    KEY_RINGS,
    TABLES,
    USERS,
    ApiKeys,
    Memos,
    Subscriptions,
    UsageLogs,
    Users,
    Window,
    uses_counter,
)
from shared.tables.key_rings import BesideRing, entry_of, revocations_counter
from shared.tables.memos import Memo
from shared.tables.schema import STRIPE_IDS
from shared.tables.subscriptions import Subscription, SubscriptionStatus
from shared.tables.usage_logs import Action, UsageLog
from shared.tables.users import Role, User, tier_counter
from tests.fakes.micro_store_world import micro_store_world
from tests.support import IDS, NOON, CountingStore, FailingStore, Intercepted, a_key, a_user, outcomes

pytestmark = pytest.mark.anyio

ODD_IDS = ["", ".", "..", "../all", "a/b", "x" * 129, "é", "\x00", "0" * 31, "0" * 33, "A" * 32, "none\n"]


class _OneRowPages(Intercepted):
    """Limits every page to one row, as a store's pages of big rows."""

    async def page(
        self,
        table: Table,
        partition: str,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = False,
        between: tuple[str, str] | None = None,
    ) -> Page[Row]:
        one = min(limit, 1)
        return await super().page(table, partition, after=after, limit=one, newest_first=newest_first, between=between)


def a_memo(user_id: str, *, minutes: float = 0, voice: str = "adam", text: str = "Hello") -> Memo:
    at = NOON + timedelta(minutes=minutes)
    return Memo(
        id=IDS.mint(at),
        user_id=user_id,
        text=text,
        audio_url="/audio/simulated-4.mp3",
        duration_seconds=0.4,
        voice=voice,
        character_count=5,
        title=None,
        created_at=at,
    )


def a_log(user_id: str, action: Action = Action.USER_LOGIN, *, minutes: float = 0) -> UsageLog:
    at = NOON + timedelta(minutes=minutes)
    return UsageLog(id=IDS.mint(at), user_id=user_id, action=action, metadata={"n": minutes}, created_at=at)


def a_subscription(user_id: str, *, customer: str | None = "cus_1", subscription: str | None = "sub_1") -> Subscription:
    return Subscription(
        id=IDS.mint(NOON),
        user_id=user_id,
        stripe_customer_id=customer,
        stripe_subscription_id=subscription,
        tier=Tier.PRO,
        status=SubscriptionStatus.ACTIVE,
        current_period_start=NOON,
        current_period_end=NOON + timedelta(days=30),
        created_at=NOON,
        updated_at=NOON,
    )


async def signed_up(store: Store, user: User) -> User:
    users = Users(store)
    await users.add(user)
    await users.claim_email(user)
    await users.counted(user)
    return user


async def all_pages(read: Callable[[str | None], Any], *, most: int = 100) -> list[Any]:
    """Return the rows of all pages, in order."""
    rows: list[Any] = []
    after: str | None = None
    for _ in range(most):
        page: Page[Any] = await read(after)
        rows, after = [*rows, *page.rows], page.after
        if after is None:
            return rows
    raise AssertionError("the pages do not end")


def test_every_table_has_a_name_of_its_own() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES)


class TestUsers:
    async def test_a_user_is_found_by_id_and_by_email(self, store: Store) -> None:
        user = await signed_up(store, a_user())
        assert await Users(store).get(user.id) == user
        assert await Users(store).load(user.id) == user
        assert await Users(store).by_email(user.email) == user
        assert await Users(store).id_by_email(user.email) == user.id

    async def test_every_field_of_a_user_is_kept(self, store: Store) -> None:
        user = a_user().model_copy(
            update={
                "tier": Tier.PRO,
                "role": Role.ADMIN,
                "email_verified": True,
                "session_version": 7,
                "moved_in": True,
                "keys_distrusted_until": NOON,
                "closing_at": NOON + timedelta(hours=1),
            }
        )
        await Users(store).add(user)
        assert await Users(store).get(user.id) == user

    @pytest.mark.parametrize("user_id", [*ODD_IDS, "0" * 32])
    async def test_a_foreign_or_odd_id_is_an_absent_user(self, store: Store, user_id: str) -> None:
        assert await Users(store).get(user_id) is None
        with pytest.raises(NotFound):
            await Users(store).load(user_id)

    async def test_an_unknown_email_finds_nobody(self, store: Store) -> None:
        await signed_up(store, a_user())
        assert await Users(store).by_email("Ada@example.org") is None
        assert await Users(store).by_email("ada@example.org\udcff".encode(errors="replace").decode()) is None

    async def test_a_user_without_a_claimed_email_is_not_found_by_it(self, store: Store) -> None:
        user = a_user()
        await Users(store).add(user)
        assert await Users(store).by_email(user.email) is None

    async def test_a_claim_without_its_user_finds_nobody(self, store: Store) -> None:
        user = a_user()
        await Users(store).claim_email(user)
        assert await Users(store).by_email(user.email) is None

    @pytest.mark.parametrize("seed", range(3))
    async def test_an_email_claimed_at_once_by_many_belongs_to_one(self, store: Store) -> None:
        users = [a_user() for _ in range(30)]
        for user in users:
            await Users(store).add(user)
        returned, raised = await outcomes(Users(store).claim_email(user) for user in users)
        assert (len(returned), {type(error) for error in raised}) == (1, {Conflict})
        assert await Users(store).by_email("ada@example.org") in users

    async def test_a_claim_may_be_repeated_by_its_owner(self, store: Store) -> None:
        user = await signed_up(store, a_user())
        await Users(store).claim_email(user)
        assert await Users(store).by_email(user.email) == user

    async def test_a_void_claim_may_be_replaced_and_no_other(self, store: Store) -> None:
        interrupted, late, third = a_user(), a_user(), a_user()
        await Users(store).claim_email(interrupted)
        await Users(store).add(late)
        await Users(store).claim_email(late, void=interrupted.id)
        assert await Users(store).by_email(late.email) == late
        with pytest.raises(Conflict):
            await Users(store).claim_email(third, void=interrupted.id)

    async def test_all_users_are_paged_newest_first(self, store: Store) -> None:
        users = [await signed_up(store, a_user(f"u{n}@example.org", minutes=n)) for n in range(7)]
        found = await all_pages(lambda after: Users(store).page(Window(limit=3, after=after)))
        assert found == users[::-1]

    async def test_the_users_page_skips_incomplete_sign_ups(self, store: Store) -> None:
        whole = await signed_up(store, a_user("a@example.org", minutes=1))
        await Users(store).add(a_user("b@example.org", minutes=2))  # never claimed
        await Users(store).add(a_user("a@example.org", minutes=3))  # lost the race
        assert (await Users(store).page(Window())).rows == [whole]

    async def test_the_users_page_is_bounded_by_time(self, store: Store) -> None:
        users = [await signed_up(store, a_user(f"u{n}@example.org", minutes=n)) for n in range(5)]
        window = Window(since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=3))
        assert (await Users(store).page(window)).rows == [users[2], users[1]]

    async def test_users_are_counted_as_they_come_and_go(self, store: Store) -> None:
        assert await Users(store).count() == 0
        users = [await signed_up(store, a_user(f"u{n}@example.org")) for n in range(3)]
        assert await Users(store).count() == 3
        await Users(store).delete(users[0])
        await Users(store).delete(users[0])
        assert await Users(store).count() == 2

    async def test_a_deleted_user_is_gone_and_the_email_free(self, store: Store) -> None:
        user = await signed_up(store, a_user())
        await Users(store).delete(user)
        assert await Users(store).get(user.id) is None
        assert await Users(store).by_email(user.email) is None
        successor = await signed_up(store, a_user())
        await Users(store).delete(user)
        assert await Users(store).by_email(user.email) == successor

    async def test_a_change_returns_and_keeps_the_user_as_it_is_now(self, store: Store) -> None:
        user = await signed_up(store, a_user())
        changed = await Users(store).change(user.id, lambda row: row.model_copy(update={"tier": Tier.PRO}))
        assert changed.tier is Tier.PRO
        assert await Users(store).get(user.id) == changed

    async def test_changing_an_absent_user_raises_not_found(self, store: Store) -> None:
        user = a_user()
        with pytest.raises(NotFound):
            await Users(store).change(user.id, lambda row: row)
        assert await Users(store).get(user.id) is None

    @pytest.mark.parametrize("seed", range(3))
    async def test_changes_at_once_lose_none(self, store: Store) -> None:
        user = await signed_up(store, a_user())

        def raised(row: User) -> User:
            return row.model_copy(update={"session_version": row.session_version + 1})

        await asyncio.gather(*(Users(store).change(user.id, raised) for _ in range(20)))
        assert (await Users(store).load(user.id)).session_version == 21

    async def test_an_ended_session_is_beside_its_user(self, store: Store) -> None:
        user = await signed_up(store, a_user())
        await Users(store).end_session(user, "s1", ends_at=200, now=100)
        assert (await Users(store).load(user.id)).ended_sessions == {"s1": 200}

    async def test_change_keeps_ended_sessions_of_the_same_version(self, store: Store) -> None:
        """Changing a user keeps its ended sessions. A new session version drops them: it ends all sessions."""
        user = await signed_up(store, a_user())
        await Users(store).end_session(user, "s1", ends_at=200, now=100)
        kept = await Users(store).change(user.id, lambda row: row.model_copy(update={"tier": Tier.PRO}))
        assert kept.ended_sessions == {"s1": 200}
        dropped = await Users(store).change(user.id, lambda row: row.model_copy(update={"session_version": 2}))
        assert dropped.ended_sessions == {}

    async def test_end_session_drops_expired_ones_once_they_are_many(self, store: Store) -> None:
        """Sessions that have expired are dropped from the row once there are ENDED_KEPT of them."""
        user = await signed_up(store, a_user())
        for number in range(ENDED_KEPT):
            user = await Users(store).load(user.id)
            await Users(store).end_session(user, f"old{number}", ends_at=200, now=100)
        user = await Users(store).load(user.id)
        assert len(user.ended_sessions) == ENDED_KEPT
        await Users(store).end_session(user, "new", ends_at=900, now=300)
        assert (await Users(store).load(user.id)).ended_sessions == {"new": 900}

    async def test_end_session_of_a_deleted_user_brings_nothing_back(self, store: Store) -> None:
        """A request that read the user before it was deleted ends its session without a failure."""
        user = await signed_up(store, a_user())
        for number in range(ENDED_KEPT):
            await Users(store).end_session(user, f"old{number}", ends_at=200, now=100)
        read = await Users(store).load(user.id)
        await Users(store).delete(read)
        await Users(store).end_session(read, "new", ends_at=900, now=300)
        assert await Users(store).get(user.id) is None

    async def test_end_session_keeps_those_that_have_not_expired(self, store: Store) -> None:
        """A session that was ended and has not expired stays ended: it is never dropped from the row."""
        user = await signed_up(store, a_user())
        for number in range(2 * ENDED_KEPT):
            user = await Users(store).load(user.id)
            await Users(store).end_session(user, f"s{number}", ends_at=900, now=100)
        assert len((await Users(store).load(user.id)).ended_sessions) == 2 * ENDED_KEPT

    async def test_who_ended_too_many_sessions_to_keep_ends_all_of_them(self, store: Store) -> None:
        await self._ends_too_many(store)

    @pytest.mark.thorough
    async def test_end_session_on_hypr_micro_drops_expired_ones(self) -> None:
        """On HYPR Micro, where each ended session is a document of the row, the expired ones are dropped too."""
        async with micro_store_world() as world:
            container = await world.container()
            await container.store.verify(TABLES)
            await self._ends_too_many(container.store)

    async def _ends_too_many(self, store: Store) -> None:
        user = await signed_up(store, a_user())
        for number in range(ENDED_MOST):
            await store.extend(USERS, Key("all", user.id), f"ended_s{number}", 900)
        many = await Users(store).load(user.id)
        await asyncio.gather(*(Users(store).end_session(many, f"last{n}", ends_at=900, now=100) for n in range(3)))
        now = await Users(store).load(user.id)
        assert (now.session_version, now.ended_sessions) == (user.session_version + 1, {})

    async def test_expired_sessions_do_not_end_the_others(self, store: Store) -> None:
        """Any number of expired sessions in a row are dropped, and one logout ends one session."""
        user = await signed_up(store, a_user())
        for number in range(ENDED_MOST):
            await store.extend(USERS, Key("all", user.id), f"ended_s{number}", 900)
        many = await Users(store).load(user.id)
        await Users(store).end_session(many, "last", ends_at=2000, now=1000)
        now = await Users(store).load(user.id)
        assert (now.session_version, now.ended_sessions) == (user.session_version, {"last": 2000})

    async def test_email_leads_to_a_user_of_that_email_alone(self, store: Store) -> None:
        """A claim of a user whose row has another address is void."""
        user = await signed_up(store, a_user())
        await Users(store).claim_email(user.model_copy(update={"email": "other@example.org"}))
        assert await Users(store).by_email("other@example.org") is None

    async def test_users_from_before_the_days_are_counted(self, store: Store) -> None:
        """A counter without a day counts users who signed up before there were days, all on Hobby."""
        await store.increment("users", 3)
        await Users(store).counted(a_user())
        counts = await Users(store).counts(NOON.date())
        assert (await Users(store).count(), counts.total, counts.by_tier[Tier.HOBBY]) == (4, 4, 4)

    async def test_change_of_plan_holds_if_it_cannot_be_counted(self, store: Store) -> None:
        """The count is only a figure for admins, so the change is acknowledged without it."""
        user = await signed_up(store, a_user())
        failing = FailingStore(store, at=1)
        changed = await Users(failing).change(user.id, lambda row: row.model_copy(update={"tier": Tier.PRO}))
        assert (changed.tier, failing.failed) == (Tier.PRO, True)

    def test_account_is_closed_once(self) -> None:
        """A second closing keeps the time of the first, since when the account is due to be erased."""
        closed = a_user().closed(NOON)
        assert closed.closed(NOON + timedelta(hours=1)) == closed

    @pytest.mark.parametrize("seed", range(3))
    async def test_sessions_ended_among_changes_stay_ended(self, store: Store) -> None:
        user = await signed_up(store, a_user())

        def change(row: User) -> User:
            return row.model_copy(update={"updated_at": row.updated_at + timedelta(seconds=1)})

        await asyncio.gather(
            *(Users(store).change(user.id, change) for _ in range(10)),
            *(Users(store).end_session(user, f"s{n}", ends_at=900, now=100) for n in range(10)),
        )
        now = await Users(store).load(user.id)
        assert (now.updated_at, len(now.ended_sessions)) == (NOON + timedelta(seconds=10), 10)

    async def test_a_row_holds_no_session_of_its_own_among_its_fields(self, store: Store) -> None:
        user = await signed_up(store, a_user())
        await Users(store).end_session(user, "s1", ends_at=200, now=100)
        document = await store.get(USERS, Key("all", user.id))
        assert document is not None
        assert "ended_sessions" not in document


class TestApiKeys:
    async def test_a_check_is_one_read(self, store: Store) -> None:
        key = a_key("u")
        await ApiKeys(store).create(key, max_active=2)
        counting = CountingStore(store)
        assert await ApiKeys(counting).get_by_hash(key.key_hash) == key
        assert counting.calls == {"get": 1}

    async def test_an_unknown_key_is_absent(self, store: Store) -> None:
        assert await ApiKeys(store).get_by_hash(digest("unknown")) is None

    async def test_an_owners_keys_are_newest_first(self, store: Store) -> None:
        keys = [a_key("u", name=f"k{n}") for n in range(4)]
        await ApiKeys(store).begin_ring(keys[0])
        for key in keys[1:]:
            await ApiKeys(store).create(key, max_active=10)
        assert [key.name for key in await ApiKeys(store).of("u", NOON)] == ["k3", "k2", "k1", "k0"]
        assert await ApiKeys(store).of("other", NOON) == []

    @pytest.mark.parametrize("api_key_id", ODD_IDS)
    async def test_a_foreign_or_odd_id_is_an_absent_key(self, store: Store, api_key_id: str) -> None:
        foreign = a_key("other")
        await ApiKeys(store).create(a_key("u"), max_active=2)
        await ApiKeys(store).create(foreign, max_active=2)
        for absent in (api_key_id, foreign.id):
            assert await ApiKeys(store).get("u", absent, NOON) is None
            with pytest.raises(NotFound):
                await ApiKeys(store).revoke("u", absent, NOON)
            with pytest.raises(NotFound):
                await ApiKeys(store).rename("u", absent, "mine", NOON)
        untouched = await ApiKeys(store).get_by_hash(foreign.key_hash)
        assert untouched == foreign

    @pytest.mark.parametrize("seed", range(5))
    async def test_keys_created_at_once_never_pass_the_limit(self, store: Store) -> None:
        keys = [a_key("u") for _ in range(20)]
        returned, raised = await outcomes(ApiKeys(store).create(key, max_active=3) for key in keys)
        assert (len(returned), {type(error) for error in raised}) == (3, {ValidationFailed})
        made = {key.id for key in await ApiKeys(store).of("u", NOON)}
        checked = [await ApiKeys(store).get_by_hash(key.key_hash) for key in keys]
        assert {key.id for key in checked if key} == made  # no refused key is valid

    async def test_the_limit_is_told(self, store: Store) -> None:
        await ApiKeys(store).create(a_key("u"), max_active=1)
        with pytest.raises(ValidationFailed, match=r"Maximum number of API keys \(1\) reached") as caught:
            await ApiKeys(store).create(a_key("u"), max_active=1)
        assert caught.value.details == {"limit": 1}

    async def test_revoked_and_expired_keys_do_not_count(self, store: Store) -> None:
        revoked, expired = a_key("u"), a_key("u", expires_in=timedelta())
        await ApiKeys(store).create(revoked, max_active=1)
        await ApiKeys(store).revoke("u", revoked.id, NOON)
        await ApiKeys(store).create(expired, max_active=1)
        await ApiKeys(store).create(a_key("u"), max_active=1)
        assert [key.is_active(NOON) for key in await ApiKeys(store).ring("u")] == [False, False, True]
        assert len(await ApiKeys(store).of("u", NOON)) == 3

    async def test_a_revoked_key_is_revoked_for_checks_and_for_its_owner(self, store: Store) -> None:
        key = a_key("u")
        await ApiKeys(store).create(key, max_active=2)
        assert await ApiKeys(store).revoke("u", key.id, NOON) == key.model_copy(update={"revoked_at": NOON})
        checked, shown = await ApiKeys(store).get_by_hash(key.key_hash), await ApiKeys(store).get("u", key.id, NOON)
        assert checked is not None
        assert shown is not None
        assert (checked.revoked_at, shown.revoked_at, shown.updated_at) == (NOON, NOON, NOON)

    @pytest.mark.parametrize("seed", range(5))
    async def test_revoke_returns_one_time_to_all_who_race(self, store: Store) -> None:
        """One of several concurrent revocations counts, and all callers get its time, so they write one log."""
        key = a_key("u")
        await ApiKeys(store).create(key, max_active=2)
        times = [NOON + timedelta(seconds=number) for number in range(10)]
        revoked = await asyncio.gather(*(ApiKeys(store).revoke("u", key.id, at) for at in times))
        shown = await ApiKeys(store).load("u", key.id, NOON)
        assert {returned.revoked_at for returned in revoked} == {shown.revoked_at}

    @pytest.mark.parametrize("seed", range(5))
    async def test_a_revocation_racing_with_everything_else_holds(self, store: Store) -> None:
        keys = ApiKeys(store)
        key = a_key("u")
        await keys.create(key, max_active=50)
        await asyncio.gather(
            *(keys.create(a_key("u"), max_active=50) for _ in range(8)),
            *(keys.rename("u", key.id, f"name {n}", NOON) for n in range(8)),
            *(keys.mark_used("u", key.id, NOON) for _ in range(8)),
            *(store.increment(uses_counter(key)) for _ in range(100)),
            keys.revoke("u", key.id, NOON),
        )
        checked, shown = await keys.get_by_hash(key.key_hash), await keys.get("u", key.id, NOON)
        assert checked is not None
        assert shown is not None
        assert (checked.revoked_at, shown.revoked_at, shown.usage_count) == (NOON, NOON, 100)
        assert len(await keys.of("u", NOON)) == 9

    async def test_a_half_done_revocation_is_in_force_and_can_be_repeated(self, store: Store) -> None:
        key = a_key("u")
        await ApiKeys(store).create(key, max_active=2)
        await store.extend(TABLES[2], Key(key.id), "revoked_at", iso(NOON))  # and then the function crashed
        checked = await ApiKeys(store).get_by_hash(key.key_hash)
        assert checked is not None
        assert not checked.is_active(NOON)
        revoked = key.model_copy(update={"revoked_at": NOON})
        assert await ApiKeys(store).revoke("u", key.id, NOON) == revoked
        assert await ApiKeys(store).revoke("u", key.id, NOON + timedelta(days=1)) == revoked

    async def test_uses_and_last_use_are_shown_with_the_key(self, store: Store) -> None:
        used, unused = a_key("u"), a_key("u")
        for key in (used, unused):
            await ApiKeys(store).create(key, max_active=2)
        await store.increment(uses_counter(used), 5)
        await ApiKeys(store).mark_used("u", used.id, NOON)
        assert [(key.usage_count, key.last_used_at) for key in await ApiKeys(store).of("u", NOON)] == [
            (0, None),
            (5, NOON),
        ]

    async def test_last_use_on_a_second_page_is_shown(self, store: Store) -> None:
        """A store ends pages early when their rows are big: every page's last uses are shown."""
        keys = [a_key("u") for _ in range(3)]
        for minutes, key in enumerate(keys):
            await ApiKeys(store).create(key, max_active=3)
            await ApiKeys(store).mark_used("u", key.id, NOON + timedelta(minutes=minutes))
        listed = await ApiKeys(_OneRowPages(store)).of("u", NOON)
        assert {key.id: key.last_used_at for key in listed} == {
            key.id: NOON + timedelta(minutes=minutes) for minutes, key in enumerate(keys)
        }

    async def test_a_new_name_is_shown_to_all(self, store: Store) -> None:
        key = a_key("u", name="old")
        await ApiKeys(store).create(key, max_active=2)
        later = NOON + timedelta(hours=1)
        await ApiKeys(store).rename("u", key.id, "new", later)
        checked, shown = await ApiKeys(store).get_by_hash(key.key_hash), await ApiKeys(store).get("u", key.id, NOON)
        assert checked is not None
        assert shown is not None
        assert (checked.name, shown.name, shown.updated_at, shown.created_at) == ("new", "new", later, NOON)

    async def test_a_discarded_ring_leaves_nothing(self, store: Store) -> None:
        key = a_key("u")
        await ApiKeys(store).begin_ring(key)
        await ApiKeys(store).discard_ring(key)
        assert await ApiKeys(store).of("u", NOON) == []
        assert await ApiKeys(store).get_by_hash(key.key_hash) is None

    async def test_no_secret_is_in_the_repr_of_a_key(self, store: Store) -> None:
        key = a_key("u")
        await ApiKeys(store).create(key, max_active=2)
        shown = await ApiKeys(store).get("u", key.id, NOON)
        assert key.key_hash not in repr(key) + repr(shown)
        assert key.last_six not in repr(key) + repr(shown)

    async def test_a_ring_is_one_row(self, store: Store) -> None:
        for _ in range(3):
            await ApiKeys(store).create(a_key("u"), max_active=5)
        assert len((await store.scan(KEY_RINGS)).rows) == 1


class TestMemos:
    async def test_a_memo_is_found_by_its_id_by_its_owner_alone(self, store: Store) -> None:
        memo = a_memo("u")
        await Memos(store).add(memo)
        assert await Memos(store).get("u", memo.id) == memo
        assert await Memos(store).load("u", memo.id) == memo
        assert await Memos(store).get("other", memo.id) is None

    @pytest.mark.parametrize("memo_id", [*ODD_IDS, "0" * 32])
    async def test_a_foreign_or_odd_id_is_an_absent_memo(self, store: Store, memo_id: str) -> None:
        assert await Memos(store).get("u", memo_id) is None
        with pytest.raises(MemoNotFound) as caught:
            await Memos(store).load("u", memo_id)
        assert caught.value.details == {"memoId": memo_id}

    async def test_memos_are_paged_newest_first(self, store: Store) -> None:
        memos = [a_memo("u", minutes=n) for n in range(7)]
        for memo in [*memos, a_memo("v"), a_memo("u.x")]:
            await Memos(store).add(memo)
        assert await all_pages(lambda after: Memos(store).page("u", Window(limit=3, after=after))) == memos[::-1]

    async def test_memos_of_one_millisecond_are_newest_first_too(self, store: Store) -> None:
        ids = Ids()
        memos = [a_memo("u").model_copy(update={"id": ids.mint(NOON)}) for _ in range(50)]
        for memo in memos:
            await Memos(store).add(memo)
        assert await all_pages(lambda after: Memos(store).page("u", Window(limit=7, after=after))) == memos[::-1]

    async def test_a_page_of_memos_is_bounded_by_time(self, store: Store) -> None:
        memos = [a_memo("u", minutes=n) for n in range(6)]
        for memo in memos:
            await Memos(store).add(memo)
        since, until = NOON + timedelta(minutes=2), NOON + timedelta(minutes=4)
        assert (await Memos(store).page("u", Window(since=since, until=until))).rows == [memos[3], memos[2]]
        assert (await Memos(store).page("u", Window(since=until))).rows == [memos[5], memos[4]]
        assert (await Memos(store).page("u", Window(until=since))).rows == [memos[1], memos[0]]

    @pytest.mark.parametrize("limit", [1, 2, 3, 20])
    async def test_pages_of_one_voice_find_all_of_it_and_nothing_else(self, store: Store, limit: int) -> None:
        memos = [a_memo("u", minutes=n, voice="adam" if n % 3 else "bella") for n in range(20)]
        for memo in memos:
            await Memos(store).add(memo)
        found = await all_pages(lambda after: Memos(store).page("u", Window(limit=limit, after=after), voice="bella"))
        assert found == [memo for memo in reversed(memos) if memo.voice == "bella"]

    async def test_a_filtered_page_reads_a_bounded_number_of_rows(self, store: Store) -> None:
        for number in range(60):
            await Memos(store).add(a_memo("u", minutes=number))
        await Memos(store).add(a_memo("u", minutes=-1, voice="bella"))
        counting = CountingStore(store)
        page = await Memos(counting).page("u", Window(limit=1), voice="bella")
        assert [memo.voice for memo in page.rows] == ["bella"]
        assert counting.calls == {"page": 1}

    async def test_a_filtered_page_that_found_all_says_so(self, store: Store) -> None:
        for number in range(30):
            await Memos(store).add(a_memo("u", minutes=number, voice="bella" if number in (0, 29) else "adam"))
        page = await Memos(store).page("u", Window(limit=2), voice="bella")
        assert (len(page.rows), page.after) == (2, None)

    async def test_a_title_is_set_and_cleared(self, store: Store) -> None:
        memo = a_memo("u")
        await Memos(store).add(memo)
        assert (await Memos(store).retitle(memo, "A title")).title == "A title"
        assert (await Memos(store).load("u", memo.id)).title == "A title"
        await Memos(store).retitle(memo, None)
        assert await Memos(store).load("u", memo.id) == memo

    async def test_a_deleted_memo_is_gone_and_no_title_brings_it_back(self, store: Store) -> None:
        memo = a_memo("u")
        await Memos(store).add(memo)
        await Memos(store).delete(memo)
        await Memos(store).retitle(memo, "late")
        assert await Memos(store).get("u", memo.id) is None
        assert (await Memos(store).page("u", Window())).rows == []

    @pytest.mark.parametrize("url", ["https://talk.example.org/a.mp3", "http://localhost:3000/audio/a.mp3?x=1"])
    def test_audio_url_that_moved_in_absolute_stays(self, url: str) -> None:
        """PUBLIC_URL is prepended to paths of ours alone: two addresses in one would be no address."""
        memo = a_memo("ada")
        assert memo.audio_at("https://api.example.org") == "https://api.example.org/audio/simulated-4.mp3"
        assert memo.model_copy(update={"audio_url": url}).audio_at("https://api.example.org") == url


class TestUsageLogs:
    async def test_a_log_is_found_by_its_id_by_its_owner_alone(self, store: Store) -> None:
        for action in (Action.MEMO_CREATED, Action.KEY_CREATED):
            log = a_log("u", action)
            await UsageLogs(store).add(log)
            assert await UsageLogs(store).get("u", log.id) == log
            assert await UsageLogs(store).get("other", log.id) is None

    @pytest.mark.parametrize("log_id", [*ODD_IDS, "0" * 32])
    async def test_an_odd_id_is_an_absent_log(self, store: Store, log_id: str) -> None:
        assert await UsageLogs(store).get("u", log_id) is None

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 40, 41])
    @pytest.mark.parametrize("memo_every", [1, 2, 5, 40, 100])
    async def test_pages_merge_memos_and_other_events_in_order(self, store: Store, limit: int, memo_every: int) -> None:
        logs = [
            a_log("u", Action.MEMO_CREATED if n % memo_every == 0 else Action.USER_LOGIN, minutes=n) for n in range(40)
        ]
        for log in logs:
            await UsageLogs(store).add(log)
        assert await all_pages(lambda after: UsageLogs(store).page("u", Window(limit=limit, after=after))) == logs[::-1]

    async def test_merged_pages_are_bounded_by_time(self, store: Store) -> None:
        logs = [a_log("u", Action.MEMO_CREATED if n % 2 else Action.USER_LOGIN, minutes=n) for n in range(8)]
        for log in logs:
            await UsageLogs(store).add(log)
        window = Window(since=NOON + timedelta(minutes=2), until=NOON + timedelta(minutes=6))
        assert (await UsageLogs(store).page("u", window)).rows == logs[5:1:-1]

    @pytest.mark.parametrize("big", [Action.MEMO_CREATED, Action.ERROR_API])
    async def test_merged_pages_that_end_early_by_size_skip_nothing(self, store: Store, big: Action) -> None:
        logs = []
        for number in range(12):
            log = a_log("u", Action.MEMO_CREATED if number % 2 else Action.ERROR_API, minutes=number)
            size = 250_000 if log.action is big else 10
            logs.append(log.model_copy(update={"metadata": {"text": "x" * size}}))
            await UsageLogs(store).add(logs[-1])
        found = await all_pages(lambda after: UsageLogs(store).page("u", Window(limit=20, after=after)))
        assert [log.id for log in found] == [log.id for log in reversed(logs)]

    @pytest.mark.parametrize("action", [Action.MEMO_CREATED, Action.USER_LOGIN, Action.KEY_CREATED, Action.ERROR_TTS])
    @pytest.mark.parametrize("limit", [1, 4, 100])
    async def test_pages_of_one_action_find_all_of_it_and_nothing_else(
        self, store: Store, action: Action, limit: int
    ) -> None:
        actions = [Action.MEMO_CREATED, Action.USER_LOGIN, Action.USER_LOGIN, Action.KEY_CREATED]
        logs = [a_log("u", actions[n % 4], minutes=n) for n in range(24)]
        for log in logs:
            await UsageLogs(store).add(log)
        found = await all_pages(
            lambda after: UsageLogs(store).page("u", Window(limit=limit, after=after), action=action)
        )
        assert found == [log for log in reversed(logs) if log.action is action]

    async def test_a_memos_log_can_be_taken_back(self, store: Store) -> None:
        log = a_log("u", Action.MEMO_CREATED)
        await UsageLogs(store).add(log)
        await UsageLogs(store).delete_memo("u", log.id)
        assert await UsageLogs(store).get("u", log.id) is None


class TestSubscriptions:
    USER = "1" * 32
    OTHER = "2" * 32

    async def test_subscription_is_found_by_owner_and_customer(self, store: Store) -> None:
        subscription = a_subscription(self.USER)
        await Subscriptions(store).create(subscription)
        assert await Subscriptions(store).of(self.USER) == subscription
        assert await Subscriptions(store).by_customer("cus_1") == subscription
        assert await Subscriptions(store).count() == 1

    async def test_follow_keeps_the_time_of_an_equal_row(self, store: Store) -> None:
        """Its number is still written: it outdates requests that are in progress."""
        subscription = a_subscription(self.USER)
        await Subscriptions(store).create(subscription)
        later = subscription.updated_at + timedelta(hours=1)
        _, after = await Subscriptions(store).follow(
            self.USER, "cus_1", 7, lambda row: row.model_copy(update={"updated_at": later})
        )
        assert after == subscription.model_copy(update={"synced": 7})

    async def test_erase_leaves_the_claim_of_another_owner(self, store: Store) -> None:
        """A customer that another account claims stays that account's."""
        await Subscriptions(store).create(a_subscription(self.USER))
        await store.update(STRIPE_IDS, Key("customer", "cus_1"), lambda _: {"user_id": self.OTHER})
        await Subscriptions(store).erase(self.USER)
        assert await Subscriptions(store).owner_of("cus_1") == self.OTHER
        assert await Subscriptions(store).of(self.USER) is None

    @pytest.mark.parametrize("odd", [*ODD_IDS, "cus_unknown"])
    async def test_an_odd_or_unknown_id_is_an_absent_subscription(self, store: Store, odd: str) -> None:
        assert await Subscriptions(store).of(odd) is None
        assert await Subscriptions(store).by_customer(odd) is None
        assert await Subscriptions(store).owner_of(odd) is None

    @pytest.mark.parametrize("seed", range(3))
    async def test_of_subscriptions_created_at_once_one_stands(self, store: Store) -> None:
        returned, raised = await outcomes(
            Subscriptions(store).create(a_subscription(self.USER, customer=f"cus_{n}", subscription=None))
            for n in range(10)
        )
        assert (len(returned), {type(error) for error in raised}) == (1, {Conflict})
        standing = await Subscriptions(store).of(self.USER)
        assert standing is not None
        found = [await Subscriptions(store).by_customer(f"cus_{n}") for n in range(10)]
        assert [row for row in found if row] == [standing]
        assert await Subscriptions(store).count() == 1

    async def test_create_refuses_anothers_customer(self, store: Store) -> None:
        """Another owner's customer is refused, and nothing is made."""
        await Subscriptions(store).create(a_subscription(self.OTHER))
        with pytest.raises(Conflict):
            await Subscriptions(store).create(a_subscription(self.USER, customer="cus_1"))
        assert await Subscriptions(store).of(self.USER) is None
        assert await Subscriptions(store).count() == 1
        await Subscriptions(store).create(a_subscription(self.USER, customer="cus_2"))
        assert await Subscriptions(store).count() == 2

    async def test_change_refuses_anothers_customer(self, store: Store) -> None:
        """A change to a customer of another owner is refused, and nothing is changed."""
        await Subscriptions(store).create(a_subscription(self.OTHER))
        own = a_subscription(self.USER, customer="cus_2", subscription="sub_2")
        await Subscriptions(store).create(own)
        with pytest.raises(Conflict):
            await Subscriptions(store).change(
                self.USER, lambda row: row.model_copy(update={"stripe_customer_id": "cus_1"})
            )
        assert await Subscriptions(store).of(self.USER) == own

    async def test_change_moves_the_claim_on_a_customer(self, store: Store) -> None:
        """A changed subscription is found by its new customer, and not by its old one."""
        await Subscriptions(store).create(a_subscription(self.USER))
        changed = await Subscriptions(store).change(
            self.USER,
            lambda row: row.model_copy(update={"stripe_customer_id": "cus_2", "status": SubscriptionStatus.PAST_DUE}),
        )
        assert changed.status is SubscriptionStatus.PAST_DUE
        assert await Subscriptions(store).by_customer("cus_2") == changed
        assert await Subscriptions(store).by_customer("cus_1") is None

    async def test_changing_an_absent_subscription_raises_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await Subscriptions(store).change(self.USER, lambda row: row)

    async def test_a_deleted_subscription_is_gone_and_its_ids_free(self, store: Store) -> None:
        await Subscriptions(store).create(a_subscription(self.USER))
        await Subscriptions(store).delete(self.USER)
        await Subscriptions(store).delete(self.USER)
        assert await Subscriptions(store).of(self.USER) is None
        assert await Subscriptions(store).by_customer("cus_1") is None
        assert await Subscriptions(store).count() == 0
        await Subscriptions(store).create(a_subscription(self.OTHER))
        assert (await Subscriptions(store).by_customer("cus_1")) is not None

    async def test_attach_makes_a_row_with_its_customer(self, store: Store) -> None:
        """One row is made. An existing row keeps its customer, unless that customer is the replaced one."""
        new = a_subscription(self.USER, customer="cus_1", subscription=None)
        assert await Subscriptions(store).attach(new, instead_of=None) == "cus_1"
        second = a_subscription(self.USER, customer="cus_2", subscription=None)
        assert await Subscriptions(store).attach(second, instead_of=None) == "cus_1"
        assert await Subscriptions(store).by_customer("cus_2") is None
        assert await Subscriptions(store).attach(second, instead_of="cus_1") == "cus_2"
        assert await Subscriptions(store).by_customer("cus_2") is not None
        assert await Subscriptions(store).count() == 1

    async def test_erase_deletes_the_claims_of_former_customers(self, store: Store) -> None:
        """A customer that was replaced, or came second, is the owner's too: nothing of a closed account stays."""
        tables = Subscriptions(store)
        for customer, instead_of in (("cus_1", None), ("cus_2", None), ("cus_3", "cus_1"), ("cus_3", "cus_1")):
            await tables.attach(a_subscription(self.USER, customer=customer), instead_of=instead_of)
        await tables.attach(a_subscription(self.OTHER, customer="cus_4"), instead_of=None)
        assert [customer.id for customer in (await tables.customers()).rows] == ["cus_1", "cus_2", "cus_3", "cus_4"]
        await tables.erase(self.USER)
        assert [customer.id for customer in (await tables.customers()).rows] == ["cus_4"]

    async def test_attach_refuses_anothers_customer(self, store: Store) -> None:
        """A customer's events lead to the owner who claimed it."""
        await Subscriptions(store).create(a_subscription(self.OTHER))
        with pytest.raises(Conflict):
            await Subscriptions(store).attach(a_subscription(self.USER), instead_of=None)
        assert await Subscriptions(store).of(self.USER) is None

    async def test_follow_writes_what_has_a_higher_number(self, store: Store) -> None:
        """A lower or equal number, another customer and an absent row change nothing."""

        def past_due(row: Subscription) -> Subscription:
            return row.model_copy(update={"status": SubscriptionStatus.PAST_DUE})

        tables = Subscriptions(store)
        assert await tables.follow(self.USER, "cus_1", 1, past_due) == (None, None)
        await tables.create(a_subscription(self.USER))
        before, after = await tables.follow(self.USER, "cus_1", 2, lambda row: row)
        assert before is not None
        assert after == before.model_copy(update={"synced": 2})
        for customer, number in (("cus_1", 1), ("cus_1", 2), ("cus_other", 3)):
            assert await tables.follow(self.USER, customer, number, past_due) == (after, after)
        _, later = await tables.follow(self.USER, "cus_1", 3, past_due)
        assert later == after.model_copy(update={"synced": 3, "status": SubscriptionStatus.PAST_DUE})

    async def test_draw_returns_ascending_numbers(self, store: Store) -> None:
        """Each owner has a separate counter."""
        drawn = [await Subscriptions(store).draw(owner) for owner in (self.USER, self.USER, self.OTHER)]
        assert drawn == [1, 2, 1]

    async def test_customers_are_listed_by_pages(self, store: Store) -> None:
        """Customers are listed in the order of their ids, each with the owner who claims it."""
        owners = [f"{number:032x}" for number in range(1, 6)]
        for number, owner in enumerate(owners):
            await Subscriptions(store).create(a_subscription(owner, customer=f"cus_{number}"))
        first = await Subscriptions(store).customers(limit=3)
        rest = await Subscriptions(store).customers(first.after, limit=3)
        found = [(one.id, one.user_id) for one in (*first.rows, *rest.rows)]
        assert found == [(f"cus_{number}", owner) for number, owner in enumerate(owners)]
        assert rest.after is None


class TestPutOn:
    async def test_put_on_changes_the_tier_by_number(self, store: Store) -> None:
        """A lower or equal number changes nothing; an equal tier is written only to stamp it."""
        user = a_user()
        users = Users(store)
        await users.add(user)
        before, after = await users.put_on(user.id, Tier.PRO, number=2, stamps=False)
        assert (before, after) == (user, user.model_copy(update={"tier": Tier.PRO, "plan_number": 2}))
        for number in (1, 2):
            assert await users.put_on(user.id, Tier.HOBBY, number=number, stamps=True) == (after, after)
        assert await users.put_on(user.id, Tier.PRO, number=3, stamps=False) == (after, after)
        _, stamped = await users.put_on(user.id, Tier.PRO, number=3, stamps=True)
        assert stamped is not None
        assert (stamped.tier, stamped.plan_number) == (Tier.PRO, 3)
        assert await store.counters(tier_counter(Tier.PRO)) == {tier_counter(Tier.PRO): 1}, "counted once"

    async def test_put_on_leaves_closed_and_absent_users(self, store: Store) -> None:
        """An account that is being erased gets no tier, and an absent one is not made."""
        user = a_user()
        users = Users(store)
        assert await users.put_on(user.id, Tier.PRO, number=1, stamps=True) == (None, None)
        await users.add(user)
        closed = await users.change(user.id, lambda row: row.closed(NOON))
        assert await users.put_on(user.id, Tier.PRO, number=1, stamps=True) == (closed, closed)


class TestVoidRing:
    """A void ring admits no key that was made up to a time."""

    async def test_ring_stays_void_until_the_latest_of_two_times(self, store: Store) -> None:
        """A late reset never reopens the ring of a closed account; a key of the moment itself is refused too."""
        keys, until = ApiKeys(store), NOON + timedelta(hours=1)
        first = a_key("0" * 32)
        await keys.begin_ring(first)
        for at in (until, NOON):
            await keys.void(first.user_id, at)
        late = a_key(first.user_id).model_copy(update={"created_at": until})
        with pytest.raises(SessionExpired):
            await keys.create(late, max_active=9)
        later = a_key(first.user_id).model_copy(update={"created_at": until + timedelta(milliseconds=1)})
        await keys.create(later, max_active=9)
        assert [key.id for key in await keys.ring(first.user_id)] == [first.id, later.id]

    async def test_void_returns_the_keys_that_are_to_be_revoked(self, store: Store) -> None:
        """It returns the keys made until then, the moment included, that are not revoked yet."""
        keys = ApiKeys(store)
        made = [a_key("0" * 32).model_copy(update={"created_at": NOON + timedelta(minutes=n)}) for n in range(4)]
        await keys.begin_ring(made[0])
        for key in made[1:]:
            await keys.create(key, max_active=9)
        await keys.revoke(made[1].user_id, made[1].id, NOON)
        assert [key.id for key in await keys.void("0" * 32, made[2].created_at)] == [made[0].id, made[2].id]

    async def test_ring_stays_void_through_its_changes(self, store: Store) -> None:
        """A key that was admitted later, or a new name, opens no ring for the keys of before."""
        keys = ApiKeys(store)
        first = a_key("0" * 32)
        await keys.begin_ring(first)
        await keys.void(first.user_id, NOON)
        later = a_key(first.user_id).model_copy(update={"created_at": NOON + timedelta(milliseconds=1)})
        await keys.create(later, max_active=9)
        await keys.rename(first.user_id, later.id, "Laptop", NOON)
        with pytest.raises(SessionExpired):
            await keys.create(a_key(first.user_id), max_active=9)

    async def test_ring_holds_when_a_revocation_only_began(self, store: Store) -> None:
        """Its key is active while the check document is active, and also if that was erased."""
        keys = ApiKeys(store)
        begun, erased = a_key("0" * 32), a_key("0" * 32)
        await keys.begin_ring(begun)
        await keys.create(erased, max_active=9)
        for key in (begun, erased):
            await store.increment(revocations_counter(key.user_id, key.id))
        await store.delete(API_KEYS, Key(erased.id))
        assert [key.revoked_at for key in await keys.ring("0" * 32)] == [None, None]

    async def test_absent_ring_stays_absent(self, store: Store) -> None:
        """Voiding an absent ring makes no row, so an erased account's ring stays absent."""
        assert await ApiKeys(store).void("0" * 32, NOON) == []
        assert await store.get(KEY_RINGS, Key("0" * 32)) is None

    def test_first_revocation_and_earliest_end_stand(self) -> None:
        """Registers that were written after a failed write of the ring make no key valid again."""
        entry = entry_of(a_key("0" * 32)) | {"revoked_at": iso(NOON), "expires_at": iso(NOON)}
        beside, later = BesideRing(), iso(NOON + timedelta(hours=1))
        beside.note_revoked(entry["id"], later)
        beside.add(f"{entry['id']}.ends", {"expires_at": later})
        assert beside.merged([entry]) == [entry | {"updated_at": later}]
