import asyncio
from datetime import timedelta

import pytest

from shared.accounts.accounts import SignedUp
from shared.accounts.sessions import SESSION_LIFE, Session
from shared.api_keys.api_keys import NewKey
from shared.core.errors import Conflict, InvalidCredential, KeyRevoked, SessionExpired, TooManyAttempts, WrongPassword
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.stores.port import StoreUnavailable, Table
from shared.tables import API_KEYS, EMAILS, KEY_RINGS, USERS, Users, Window
from shared.tables.usage_logs import Action
from shared.tables.users import User
from tests.support import (
    ADDRESS,
    EMAIL,
    NOON,
    PASSWORD,
    CountingStore,
    FailingStore,
    FakeClock,
    outcomes,
    services_on,
    signed_up,
)

pytestmark = pytest.mark.anyio

SIGN_UP_CALLS = 12
"""More calls of the store than a sign-up makes, so that each of them fails once, and none at the end."""

CHANGE_CALLS = 12
"""More calls of the store than a change of the password makes, its repeated log included."""

NEW_PASSWORD = "another horse"

failures = pytest.mark.parametrize("for_good", [False, True], ids=["one call fails", "the function crashes"])
answers = pytest.mark.parametrize("lost", [False, True], ids=["not carried out", "answer lost"])


async def assert_whole(services: Services) -> User:
    """Check that there is one account, which can log in and has one valid key on its ring."""
    user, session = await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)
    assert (await services.accounts.authenticate(session.token))[0] == user
    assert (await services.tables.users.page(Window())).rows == [user]
    (key,) = await services.tables.api_keys.of(user.id, NOON)
    checked = await services.tables.api_keys.get_by_hash(key.key_hash)
    assert checked is not None
    assert (checked.user_id, checked.id) == (user.id, key.id)
    return user


class TestSignUp:
    async def test_a_sign_up_is_a_whole_account(self, services: Services) -> None:
        made = await signed_up(services)
        assert await assert_whole(services) == made.user
        assert (await services.api_keys.authenticate(made.api_key.secret)).user_id == made.user.id
        assert await services.tables.users.count() == 1
        logs = (await services.tables.usage_logs.page(made.user.id, Window())).rows
        assert [(log.action, log.api_key_id) for log in logs if log.action is not Action.USER_LOGIN] == [
            (Action.KEY_CREATED, made.api_key.key.id),
            (Action.USER_SIGNUP, None),
        ]

    @pytest.mark.parametrize("seed", range(5))
    async def test_concurrent_sign_ups_leave_one_account(self, services: Services, store: MemoryStore) -> None:
        """One of several concurrent sign-ups succeeds, and the others leave no row."""
        returned, raised = await outcomes(signed_up(services) for _ in range(50))
        assert (len(returned), {type(error) for error in raised}) == (1, {Conflict})
        assert (await assert_whole(services)) == returned[0].user
        assert await services.tables.users.count() == 1
        assert [len((await store.scan(table)).rows) for table in _tables()] == [1, 1, 1, 1]

    async def test_sign_up_costs_an_attempt_when_the_address_is_taken(
        self, store: MemoryStore, clock: FakeClock
    ) -> None:
        """An address that is taken costs an attempt and an outage does not."""
        services = services_on(store, clock)
        await signed_up(services)
        with pytest.raises(Conflict):
            await signed_up(services)
        down = services_on(FailingStore(store, at=2), clock)
        with pytest.raises(StoreUnavailable):
            await signed_up(down, "bob@example.org")
        assert list((await store.counters("signup.")).values()) == [2]

    @failures
    @answers
    @pytest.mark.parametrize("at", range(SIGN_UP_CALLS))
    async def test_sign_up_leaves_all_or_nothing_when_interrupted(
        self, store: MemoryStore, at: int, *, lost: bool, for_good: bool
    ) -> None:
        """An interrupted sign-up leaves the address free or the account complete."""
        failing = services_on(FailingStore(store, at=at, lost=lost, for_good=for_good))
        returned, raised = await outcomes([signed_up(failing)])
        assert {type(error) for error in raised} <= {StoreUnavailable}
        healthy = services_on(store)
        again, refused = await outcomes([signed_up(healthy)])
        assert {type(error) for error in refused} <= {Conflict}
        assert len(returned) + len(again) <= 1
        assert lost or len(returned) + len(again) == 1
        await assert_whole(healthy)

    @pytest.mark.parametrize("at", range(SIGN_UP_CALLS))
    async def test_sign_up_fails_or_is_whole_when_a_call_is_refused(self, store: MemoryStore, at: int) -> None:
        """If any one call fails, a sign-up raises or is complete, and a repeat completes it."""
        returned, raised = await outcomes([signed_up(services_on(FailingStore(store, at=at)))])
        assert [type(error) for error in raised] == ([] if returned else [StoreUnavailable])
        services = services_on(store)
        if not returned:
            assert list((await store.counters("signup.")).values()) in ([], [0])
            returned = [await signed_up(services)]
        assert await assert_whole(services) == returned[0].user

    async def test_every_call_of_a_sign_up_is_tried(self, store: MemoryStore) -> None:
        counting = CountingStore(store)
        await signed_up(services_on(counting))
        assert counting.calls.total() <= SIGN_UP_CALLS

    async def test_a_void_claim_is_replaced(self, services: Services, store: MemoryStore) -> None:
        made = await signed_up(services)
        await Users(store).discard(made.user)
        again = await signed_up(services)
        assert await assert_whole(services) == again.user


class TestLogIn:
    async def test_unknown_address_and_wrong_password_cannot_be_told_apart(self, services: Services) -> None:
        await signed_up(services)
        told = []
        for email, password in ((EMAIL, "wrong"), ("bob@example.org", PASSWORD)):
            with pytest.raises(WrongPassword) as caught:
                await services.accounts.log_in(email, password, address=ADDRESS)
            told.append((caught.value.message, caught.value.details, caught.value.headers))
        assert told[0] == told[1]

    async def test_claim_on_another_address_leads_to_no_account(self, services: Services) -> None:
        """A crash may leave a claim on an address that the account no longer has: its password is refused there."""
        made = await signed_up(services)
        await services.tables.users.claim_email(made.user.model_copy(update={"email": "old@example.org"}))
        with pytest.raises(WrongPassword):
            await services.accounts.log_in("old@example.org", PASSWORD, address=ADDRESS)

    async def test_right_password_that_closes_costs_no_attempt(self, services: Services, store: MemoryStore) -> None:
        """Like a login, closing with the right password counts no attempt of the account, and one of the address."""
        made = await signed_up(services)
        with pytest.raises(WrongPassword):
            await services.accounts.close(made.user, password="wrong", address=ADDRESS)
        before = await store.counters("login.")
        await services.accounts.close(made.user, password=PASSWORD, address=ADDRESS)
        after = await store.counters("login.")
        assert sorted(before.values()) == [1, 1]
        assert sorted(after.values()) == [1, 2]

    async def test_both_cost_the_store_the_same_calls(self, store: MemoryStore) -> None:
        await signed_up(services_on(store))
        calls = []
        for email in (EMAIL, "bob@example.org"):
            counting = CountingStore(store)
            with pytest.raises(WrongPassword):
                await services_on(counting).accounts.log_in(email, "wrong", address=ADDRESS)
            calls.append(counting.calls)
        assert calls[0] == calls[1]

    async def test_right_logins_are_never_used_up_and_wrong_ones_are(self, services: Services) -> None:
        await signed_up(services)
        for _ in range(15):
            await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)
        for _ in range(10):
            with pytest.raises(WrongPassword):
                await services.accounts.log_in(EMAIL, "wrong", address=ADDRESS)
        with pytest.raises(TooManyAttempts):
            await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)

    @pytest.mark.parametrize("at", range(8))
    async def test_an_outage_is_no_wrong_password_and_costs_no_attempt(self, store: MemoryStore, at: int) -> None:
        await signed_up(services_on(store))
        failing = FailingStore(store, at=at)
        returned, raised = await outcomes([services_on(failing).accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)])
        assert [type(error) for error in raised] == ([] if returned else [StoreUnavailable])
        if not returned:
            assert sum((await store.counters("login.")).values()) == 0
        await services_on(store).accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)


class TestSessions:
    async def test_a_check_is_one_read(self, store: MemoryStore) -> None:
        made = await signed_up(services_on(store))
        counting = CountingStore(store)
        await services_on(counting).accounts.authenticate(made.session.token)
        assert counting.calls == {"get": 1}

    async def test_logging_out_ends_that_session_alone(self, services: Services) -> None:
        first = (await signed_up(services)).session
        _, second = await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)
        await services.accounts.log_out(first.token)
        with pytest.raises(SessionExpired):
            await services.accounts.authenticate(first.token)
        await services.accounts.authenticate(second.token)

    @pytest.mark.parametrize("token", ["", "no token"])
    async def test_logging_out_without_a_session_is_fine(self, services: Services, token: str) -> None:
        made = await signed_up(services)
        await services.accounts.log_out(token)
        await services.accounts.authenticate(made.session.token)

    async def test_logging_out_twice_is_fine(self, services: Services) -> None:
        token = (await signed_up(services)).session.token
        await services.accounts.log_out(token)
        await services.accounts.log_out(token)
        with pytest.raises(SessionExpired):
            await services.accounts.authenticate(token)

    async def test_an_outage_is_no_end_of_a_session(self, store: MemoryStore) -> None:
        token = (await signed_up(services_on(store))).session.token
        with pytest.raises(StoreUnavailable):
            await services_on(FailingStore(store, at=0)).accounts.authenticate(token)
        with pytest.raises(StoreUnavailable):
            await services_on(FailingStore(store, at=1)).accounts.log_out(token)
        await services_on(store).accounts.authenticate(token)

    async def test_a_session_of_a_deleted_user_is_no_credential(self, services: Services) -> None:
        made = await signed_up(services)
        await services.tables.users.delete(made.user)
        with pytest.raises(InvalidCredential):
            await services.accounts.authenticate(made.session.token)

    async def test_sessions_end_by_themselves(self, services: Services, clock: FakeClock) -> None:
        token = (await signed_up(services)).session.token
        clock.advance(SESSION_LIFE + timedelta(seconds=1))
        with pytest.raises(SessionExpired):
            await services.accounts.authenticate(token)


async def _change(services: Services, made: SignedUp, *, current: str = PASSWORD, new: str = NEW_PASSWORD) -> Session:
    user, claims = await services.accounts.authenticate(made.session.token)
    return await services.accounts.change_password(user, claims, current=current, new=new, address=ADDRESS)


class TestPasswords:
    async def test_change_password_ends_all_sessions_but_the_asking_one(self, services: Services) -> None:
        """The session of the request and the new one are valid; every other one has ended."""
        made = await signed_up(services)
        _, other = await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)
        new = await _change(services, made)
        for token in (made.session.token, new.token):
            await services.accounts.authenticate(token)
        with pytest.raises(SessionExpired):
            await services.accounts.authenticate(other.token)
        with pytest.raises(WrongPassword):
            await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)
        await services.accounts.log_in(EMAIL, "another horse", address=ADDRESS)

    async def test_change_password_keeps_one_session_at_most(self, services: Services) -> None:
        """A second change, by the session that the first one began, ends the session of the first request."""
        made = await signed_up(services)
        first = await _change(services, made)
        user, claims = await services.accounts.authenticate(first.token)
        await services.accounts.change_password(
            user, claims, current="another horse", new="a third horse", address=ADDRESS
        )
        await services.accounts.authenticate(first.token)
        with pytest.raises(SessionExpired):
            await services.accounts.authenticate(made.session.token)

    async def test_log_out_ends_a_session_that_a_change_kept(self, services: Services) -> None:
        """A kept session ends by logout like any other."""
        made = await signed_up(services)
        await _change(services, made)
        await services.accounts.log_out(made.session.token)
        with pytest.raises(SessionExpired):
            await services.accounts.authenticate(made.session.token)

    async def test_change_password_revives_no_ended_session(self, services: Services) -> None:
        """A session that was logged out after its check changes nothing and stays ended."""
        made = await signed_up(services)
        user, claims = await services.accounts.authenticate(made.session.token)
        await services.accounts.log_out(made.session.token)
        with pytest.raises(SessionExpired):
            await services.accounts.change_password(
                user, claims, current=PASSWORD, new="another horse", address=ADDRESS
            )
        with pytest.raises(SessionExpired):
            await services.accounts.authenticate(made.session.token)
        await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)

    async def test_change_password_changes_nothing_when_it_is_wrong(self, services: Services) -> None:
        """A wrong current password ends no session and replaces no password."""
        made = await signed_up(services)
        with pytest.raises(WrongPassword):
            await _change(services, made, current="wrong")
        await services.accounts.authenticate(made.session.token)
        await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)

    async def test_change_password_takes_the_attempts_of_logins(self, services: Services) -> None:
        """Ten wrong passwords, by change and by login together, close the account to the address for both."""
        made = await signed_up(services)
        for _ in range(5):
            with pytest.raises(WrongPassword):
                await _change(services, made, current="wrong")
            with pytest.raises(WrongPassword):
                await services.accounts.log_in(EMAIL, "wrong", address=ADDRESS)
        with pytest.raises(TooManyAttempts):
            await _change(services, made)
        with pytest.raises(TooManyAttempts):
            await services.accounts.log_in(EMAIL, PASSWORD, address=ADDRESS)

    async def test_change_password_changes_no_account_that_is_closing(self, services: Services) -> None:
        """If the account is closed after the request's check, SessionExpired is raised and nothing is written."""
        made = await signed_up(services)
        user, claims = await services.accounts.authenticate(made.session.token)
        closed = await services.tables.users.change(user.id, lambda row: row.closed(NOON))
        with pytest.raises(SessionExpired):
            await services.accounts.change_password(user, claims, current=PASSWORD, new=NEW_PASSWORD, address=ADDRESS)
        assert await services.tables.users.load(user.id) == closed

    async def test_change_password_is_recorded(self, services: Services) -> None:
        """The owner's usage log contains password_changed."""
        made = await signed_up(services)
        await _change(services, made)
        logs = (await services.tables.usage_logs.page(made.user.id, Window())).rows
        assert Action.PASSWORD_CHANGED in {log.action for log in logs}

    @pytest.mark.parametrize("at", range(CHANGE_CALLS))
    async def test_change_password_is_done_or_says_so(self, store: MemoryStore, at: int) -> None:
        """If the store fails from any call on, the change succeeds, or it raises and the old password is valid."""
        made = await signed_up(services_on(store))
        returned, _ = await outcomes([_change(services_on(FailingStore(store, at=at, for_good=True)), made)])
        services = services_on(store)
        await services.accounts.log_in(EMAIL, NEW_PASSWORD if returned else PASSWORD, address=ADDRESS)

    @pytest.mark.parametrize("seed", range(3))
    async def test_change_password_succeeds_once_when_racing(self, services: Services) -> None:
        """One of several concurrent changes takes effect; the others raise WrongPassword."""
        made = await signed_up(services)
        returned, raised = await outcomes(_change(services, made, new=f"new password {n}") for n in range(8))
        assert (len(returned), {type(error) for error in raised}) == (1, {WrongPassword})
        await services.accounts.authenticate(returned[0].token)


class TestKeys:
    @pytest.mark.parametrize("seed", range(5))
    async def test_of_keys_made_at_once_with_room_for_one_one_is_made(self, services: Services) -> None:
        made = await signed_up(services)
        returned, raised = await outcomes(_create(services, made.user) for _ in range(20))
        assert (len(returned), len(raised)) == (1, 19)
        assert len(await services.tables.api_keys.of(made.user.id, NOON)) == 2
        await services.api_keys.authenticate(returned[0].secret)

    @pytest.mark.parametrize("at", range(5))
    @answers
    async def test_key_is_made_or_a_repeat_makes_one_when_a_call_fails(
        self, store: MemoryStore, at: int, *, lost: bool
    ) -> None:
        """After one failed call and a repeat the owner has exactly one more key, and a returned key is valid."""
        user = (await signed_up(services_on(store))).user
        returned, raised = await outcomes([_create(services_on(FailingStore(store, at=at, lost=lost)), user)])
        assert [type(error) for error in raised] == ([] if returned else [StoreUnavailable])
        services = services_on(store)
        shown = len(await services.tables.api_keys.of(user.id, NOON))
        if not returned and shown == 1:
            returned = [await _create(services, user)]
        for new in returned:
            await services.api_keys.authenticate(new.secret)
        assert len(await services.tables.api_keys.of(user.id, NOON)) == 2
        assert returned or lost

    @pytest.mark.parametrize("at", range(6))
    @answers
    @failures
    async def test_whichever_call_fails_a_repeated_revocation_revokes(
        self, store: MemoryStore, at: int, *, lost: bool, for_good: bool
    ) -> None:
        made = await signed_up(services_on(store))
        failing = services_on(FailingStore(store, at=at, lost=lost, for_good=for_good))
        returned, raised = await outcomes([failing.api_keys.revoke(made.user, made.api_key.key.id)])
        assert [type(error) for error in raised] == ([] if returned else [StoreUnavailable])
        services = services_on(store)
        if returned:
            with pytest.raises(KeyRevoked):
                await services.api_keys.authenticate(made.api_key.secret)
        await services.api_keys.revoke(made.user, made.api_key.key.id)
        with pytest.raises(KeyRevoked):
            await services.api_keys.authenticate(made.api_key.secret)
        assert not any(key.is_active(FakeClock()()) for key in await services.tables.api_keys.ring(made.user.id))

    async def test_an_outage_is_no_bad_key(self, store: MemoryStore) -> None:
        made = await signed_up(services_on(store))
        with pytest.raises(StoreUnavailable):
            await services_on(FailingStore(store, at=0)).api_keys.authenticate(made.api_key.secret)

    @pytest.mark.parametrize("seed", range(5))
    async def test_a_revocation_among_uses_holds(self, services: Services) -> None:
        made = await signed_up(services)
        checks = [services.api_keys.authenticate(made.api_key.secret) for _ in range(100)]
        (_, raised), _ = await asyncio.gather(
            outcomes(checks), services.api_keys.revoke(made.user, made.api_key.key.id)
        )
        assert {type(error) for error in raised} <= {KeyRevoked}
        with pytest.raises(KeyRevoked):
            await services.api_keys.authenticate(made.api_key.secret)


async def _create(services: Services, user: User) -> NewKey:
    return await services.api_keys.create(user, name="Another", test=False, expires_at=None)


def _tables() -> list[Table]:
    return [USERS, EMAILS, API_KEYS, KEY_RINGS]
