"""Attempts in windows: which are admitted, and their cost in requests to the store."""

import asyncio
from datetime import timedelta

import pytest

from shared.core.derived import Pseudonyms
from shared.core.errors import InternalError, ServiceUnavailable, TooManyAttempts, WrongPassword
from shared.core.settings import AttemptLimits
from shared.limits.attempts import KNOWN_FOR, Attempt, Attempts
from shared.stores.port import Store
from tests.support import NOON, SECRET, CountingStore, FakeClock, outcomes

pytestmark = pytest.mark.anyio

LIMITS = AttemptLimits(
    failed_logins_per_account=3,
    failed_logins_per_address=7,
    signups_per_address=4,
    demos_per_address=2,
    resets_per_account=3,
    resets_per_address=5,
    verifications_per_account=2,
    verifications_per_address=4,
)


def attempts_on(store: Store, clock: FakeClock) -> Attempts:
    """Return one container's attempts."""
    return Attempts(store, LIMITS, pseudonyms=Pseudonyms(SECRET), clock=clock)


@pytest.fixture
def attempts(store: Store, clock: FakeClock) -> Attempts:
    return attempts_on(store, clock)


async def fail(attempts: Attempts, address: str, account: str) -> Attempt:
    attempt = attempts.password(address, account)
    await attempt.begin()
    return attempt


async def succeed(attempts: Attempts, address: str, account: str) -> None:
    await (await fail(attempts, address, account)).forgive()


class TestHourlyAttempts:
    @pytest.mark.parametrize("seed", range(5))
    async def test_sign_up_admits_its_limit_at_once(self, attempts: Attempts) -> None:
        """Exactly the limit of concurrent attempts is admitted."""
        returned, raised = await outcomes(attempts.sign_up("1.2.3.4").begin() for _ in range(50))
        assert len(returned) == 4
        assert {type(error) for error in raised} == {TooManyAttempts}

    async def test_attempts_are_counted_by_kind_and_address(self, attempts: Attempts) -> None:
        """A closed window closes no other kind, and no other address."""
        for _ in range(2):
            await attempts.demo("1.2.3.4").begin()
        with pytest.raises(TooManyAttempts):
            await attempts.demo("1.2.3.4").begin()
        await attempts.demo("5.6.7.8").begin()
        await attempts.sign_up("1.2.3.4").begin()

    async def test_demo_window_ends_when_retry_after_says(self, attempts: Attempts, clock: FakeClock) -> None:
        """The address is refused until one second before Retry-After ends, and then admitted."""
        clock.advance(timedelta(minutes=20, milliseconds=1))
        for _ in range(2):
            await attempts.demo("1.2.3.4").begin()
        with pytest.raises(TooManyAttempts) as caught:
            await attempts.demo("1.2.3.4").begin()
        assert caught.value.headers["Retry-After"] == "2400"
        clock.advance(timedelta(seconds=2399))
        with pytest.raises(TooManyAttempts):
            await attempts.demo("1.2.3.4").begin()
        clock.advance(timedelta(seconds=1))
        await attempts.demo("1.2.3.4").begin()

    async def test_forgive_frees_the_place(self, attempts: Attempts) -> None:
        """A forgiven attempt does not count."""
        for _ in range(10):
            attempt = attempts.sign_up("1.2.3.4")
            await attempt.begin()
            await attempt.forgive()
        await attempts.sign_up("1.2.3.4").begin()

    async def test_counters_name_no_address_and_no_account(self, attempts: Attempts, store: Store) -> None:
        """The names of counters have pseudonyms."""
        await attempts.demo("1.2.3.4").begin()
        await fail(attempts, "1.2.3.4", "ada@example.org")
        names = [counter.name for counter in (await store.scan_counters()).rows]
        assert len(names) == 3
        assert not any(personal in name for personal in ("1.2.3.4", "ada") for name in names)

    @pytest.mark.parametrize(
        ("kind", "per_address", "per_account"), [("reset", 5, 3), ("verification", 4, 2)], ids=["reset", "verification"]
    )
    async def test_mails_have_limits_of_their_own(
        self, attempts: Attempts, kind: str, per_address: int, per_account: int
    ) -> None:
        """Each kind has a limit of mails to one account, and one of mails from one address."""
        mail = {"reset": attempts.reset, "verification": attempts.verification}[kind]
        to_one, _ = await outcomes(mail(f"1.2.3.{number}", "ada").begin() for number in range(9))
        from_one, _ = await outcomes(mail("5.6.7.8", f"user{number}").begin() for number in range(9))
        assert (len(from_one), len(to_one)) == (per_address, per_account)

    async def test_place_given_back_late_ends_with_its_window(self, attempts: Attempts, store: Store) -> None:
        """If the counter was dropped meanwhile, giving back makes one that is dropped too: it carries the end."""
        attempt = attempts.sign_up("1.2.3.4")
        await attempt.begin()
        await store.drop([counter.name for counter in (await store.scan_counters()).rows])
        await attempt.forgive()
        assert [counter.ends_at for counter in (await store.scan_counters()).rows] == [NOON + timedelta(hours=1)]

    async def test_attempts_end_with_their_window(self, attempts: Attempts, store: Store) -> None:
        """Each counter of an attempt carries its window's end, which the sweep needs."""
        await attempts.demo("1.2.3.4").begin()
        await fail(attempts, "1.2.3.4", "ada@example.org")
        assert all(counter.ends_at is not None for counter in (await store.scan_counters()).rows)


class TestPasswordAttempts:
    async def test_failures_close_an_account_to_one_address(self, attempts: Attempts) -> None:
        """Other addresses may try the account, and the address other accounts."""
        for _ in range(3):
            await fail(attempts, "1.2.3.4", "ada@example.org")
        with pytest.raises(TooManyAttempts):
            await fail(attempts, "1.2.3.4", "ada@example.org")
        await fail(attempts, "5.6.7.8", "ada@example.org")
        await fail(attempts, "1.2.3.4", "bob@example.org")

    async def test_failures_over_many_accounts_close_an_address(self, attempts: Attempts) -> None:
        """The address's own limit counts over all accounts."""
        for n in range(7):
            await fail(attempts, "1.2.3.4", f"user{n}@example.org")
        with pytest.raises(TooManyAttempts):
            await fail(attempts, "1.2.3.4", "ada@example.org")
        await fail(attempts, "5.6.7.8", "ada@example.org")

    @pytest.mark.parametrize("seed", range(5))
    async def test_guesses_at_once_never_pass_the_limits(self, store: Store, clock: FakeClock) -> None:
        """In four containers at most the address's limit is admitted, and for one account its own."""
        containers = [attempts_on(store, clock) for _ in range(4)]
        guesses = [fail(containers[n % 4], "1.2.3.4", f"user{n % 5}@example.org") for n in range(60)]
        returned, _ = await outcomes(guesses)
        assert len(returned) <= 7
        elsewhere = [fail(containers[n % 4], "5.6.7.8", "ada@example.org") for n in range(30)]
        returned, _ = await outcomes(elsewhere)
        assert len(returned) <= 3

    async def test_forgiven_logins_are_never_used_up(self, attempts: Attempts) -> None:
        """Good logins count against neither limit, and leave all of it to bad ones."""
        for _ in range(20):
            await succeed(attempts, "1.2.3.4", "ada@example.org")
        for n in range(7):
            await fail(attempts, "1.2.3.4", f"user{n}@example.org")
        with pytest.raises(TooManyAttempts):
            await fail(attempts, "1.2.3.4", "ada@example.org")

    async def test_containers_hold_one_place_of_an_address_each(self, store: Store, clock: FakeClock) -> None:
        """After any number of right logins three containers keep at most three of the address's places."""
        containers = [attempts_on(store, clock) for _ in range(3)]
        for n in range(30):
            await succeed(containers[n % 3], "1.2.3.4", "ada@example.org")
        values = {counter.name: counter.value for counter in (await store.scan_counters()).rows}
        assert sorted(values.values()) == [0, 3]

    async def test_refusals_of_an_account_cost_its_address_nothing(self, attempts: Attempts) -> None:
        """Refused logins of one account do not close its client address to other accounts."""
        for _ in range(3):
            await fail(attempts, "1.2.3.4", "ada@example.org")
        for _ in range(50):
            with pytest.raises(TooManyAttempts):
                await fail(attempts, "1.2.3.4", "ada@example.org")
        for n in range(4):
            await fail(attempts, "1.2.3.4", f"user{n}@example.org")

    async def test_password_window_lasts_15_minutes(self, attempts: Attempts, clock: FakeClock) -> None:
        """Retry-After counts to the window's end, which is the same for all accounts."""
        clock.advance(timedelta(minutes=10))
        for _ in range(3):
            await fail(attempts, "1.2.3.4", "ada@example.org")
        with pytest.raises(TooManyAttempts) as caught:
            await fail(attempts, "1.2.3.4", "ada@example.org")
        assert caught.value.headers["Retry-After"] == "300"
        clock.advance(timedelta(minutes=5))
        await fail(attempts, "1.2.3.4", "ada@example.org")

    async def test_attempt_stays_counted_when_refused(self, attempts: Attempts, store: Store) -> None:
        with pytest.raises(WrongPassword):
            await _attempt_that_raises(attempts, WrongPassword("no"))
        assert [counter.value for counter in (await store.scan_counters()).rows] == [1, 1]

    @pytest.mark.parametrize(
        "failure", [RuntimeError("a defect"), InternalError(), ServiceUnavailable(), asyncio.CancelledError()], ids=repr
    )
    async def test_attempt_is_given_back_when_it_breaks(
        self, attempts: Attempts, store: Store, failure: BaseException
    ) -> None:
        """An outage, a defect or a cancelled request costs the caller no attempt: 500 as little as 503."""
        with pytest.raises(type(failure)):
            await _attempt_that_raises(attempts, failure)
        assert [counter.value for counter in (await store.scan_counters()).rows] == [0, 0]


async def _attempt_that_raises(attempts: Attempts, error: BaseException) -> None:
    attempt = attempts.password("1.2.3.4", "ada@example.org")
    async with attempt.unless_it_breaks():
        await attempt.begin()
        raise error


class TestCost:
    """The cost of an attempt in requests to the store, whatever the number of addresses tried before."""

    @pytest.mark.parametrize("tried", [0, 6])
    async def test_password_attempt_costs_two_requests(self, store: Store, clock: FakeClock, tried: int) -> None:
        """One for the account and one for the address; no range is read."""
        for n in range(tried):
            await fail(attempts_on(store, clock), "1.2.3.4", f"user{n}@example.org")
        counting = CountingStore(store)
        await fail(attempts_on(counting, clock), "1.2.3.4", "ada@example.org")
        assert counting.calls == {"increment": 2}

    async def test_refusal_costs_nothing_once_known(self, store: Store, clock: FakeClock) -> None:
        """A container that saw a window closed refuses without a request; another one learns it by two."""
        for _ in range(3):
            await fail(attempts_on(store, clock), "1.2.3.4", "ada@example.org")
        counting = CountingStore(store)
        attempts = attempts_on(counting, clock)
        for _ in range(20):
            with pytest.raises(TooManyAttempts):
                await fail(attempts, "1.2.3.4", "ada@example.org")
        assert counting.calls == {"increment": 2}

    async def test_refusal_is_checked_anew_after_a_minute(self, store: Store, clock: FakeClock) -> None:
        """Attempts that were given back meanwhile open the window again, so nothing is known for longer."""
        attempts = attempts_on(store, clock)
        pending = [await fail(attempts, "1.2.3.4", "ada@example.org") for _ in range(3)]
        with pytest.raises(TooManyAttempts):
            await fail(attempts, "1.2.3.4", "ada@example.org")
        for attempt in pending:
            await attempt.forgive()
        clock.advance(KNOWN_FOR)
        await fail(attempts, "1.2.3.4", "ada@example.org")

    async def test_demo_refusal_costs_one_request_and_then_none(self, store: Store, clock: FakeClock) -> None:
        """Nothing is given back in a window that only counts up."""
        counting = CountingStore(store)
        attempts = attempts_on(counting, clock)
        await outcomes(attempts.demo("1.2.3.4").begin() for _ in range(2))
        for _ in range(20):
            with pytest.raises(TooManyAttempts):
                await attempts.demo("1.2.3.4").begin()
        assert counting.calls == {"increment": 3}

    async def test_refused_key_change_is_not_given_back(self, store: Store, clock: FakeClock) -> None:
        """A refusal costs the increment that found the window closed, also where any failure gives the place back."""
        counting = CountingStore(store)
        attempts = attempts_on(counting, clock)
        for _ in range(LIMITS.key_changes_per_owner):
            await attempts.key_change("ada").begin()
        counting.calls.clear()
        attempt = attempts.key_change("ada")
        with pytest.raises(TooManyAttempts):
            async with attempt.unless_it_fails():
                await attempt.begin()
        assert counting.calls == {"increment": 1}
