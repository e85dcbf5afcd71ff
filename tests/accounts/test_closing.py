"""Closing an account: after any kill, race or repeat no row of its owner is left."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import pytest

from shared.accounts.accounts import SignedUp
from shared.accounts.closing import PaidServices
from shared.accounts.sessions import Session
from shared.api_keys.api_keys import NewKey
from shared.audio.files import AudioFiles, AudioPlaceFailed, HeldPage, audio, making, new_file, piece
from shared.audio.folder import FolderFiles
from shared.audio.opening import AudioPlace, nothing_to_close
from shared.core.errors import (
    AgentTalkError,
    Conflict,
    InvalidCredential,
    KeyRevoked,
    ServiceUnavailable,
    SessionExpired,
)
from shared.core.settings import AttemptLimits, Settings
from shared.jobs.worked import Worked, always, silent
from shared.memos.requests import Draft
from shared.plans import Tier
from shared.services import Services
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Key, Store, StoreError, StoreUnavailable, Table
from shared.tables import API_KEYS, MEMOS, TABLES, USAGE_DAYS, USAGE_MONTHS
from shared.tables.closing import ClosingAccount
from shared.tables.long_memos import LongMemo
from shared.tables.owned import BY_KEY, BY_OWNER, COUNTERS, KEPT_A_DAY, NOT_OWNED, OF_THE_SERVICE, ONE_BY_ONE
from shared.tables.schema import IDEMPOTENCY_KEYS
from shared.tables.subscriptions import Subscription, SubscriptionStatus
from tests.fakes.mails import CaughtMails
from tests.fakes.micro_store_world import micro_store_world
from tests.fakes.standin_network import Fault, ManualClock, Way
from tests.fakes.standin_steps import Seen
from tests.limits.gateways import ALL_STORES, stores
from tests.support import (
    EMAIL,
    IDS,
    NOON,
    PASSWORD,
    SECRET,
    CountingStore,
    FailingStore,
    FakeClock,
    Intercepted,
    cheap_passwords,
    outcomes,
    racing_store,
    signed_up,
)

pytestmark = pytest.mark.anyio

SAY: Final = Draft(text="Hello there", voice=VOICES["sam"])
T = TypeVar("T")

DAY: Final = timedelta(days=1, minutes=1)


class Refusing:
    """Paid subscriptions that cannot be cancelled now."""

    async def cancel(self, _user_id: str) -> None:
        raise ServiceUnavailable


def built(
    store: Store,
    folder: Path,
    *,
    clock: FakeClock | None = None,
    paid: PaidServices | None = None,
    audio: AudioPlace | None = None,
) -> Services:
    settings = Settings(session_secret=SECRET, attempts=AttemptLimits(signups_per_address=1000))
    return Services.on(
        store,
        settings,
        passwords=cheap_passwords(),
        clock=clock or FakeClock(),
        audio=audio or AudioPlace(lambda: (FolderFiles(folder), nothing_to_close)),
        mailer=CaughtMails(),
        paid=paid,
    )


async def busy_owner(services: Services, email: str = EMAIL) -> SignedUp:
    """Return an owner with rows in every table, counters of every kind, and audio."""
    ada = await signed_up(services, email)
    pro = {"tier": Tier.PRO}
    ada = replace(ada, user=await services.tables.users.change(ada.user.id, lambda row: row.model_copy(update=pro)))
    test = await services.api_keys.create(ada.user, name="Test", test=True, expires_at=None)
    for key in (ada.api_key, test):
        memo, _ = await services.memos.make(key.key, SAY)
        await services.tables.memos.retitle(memo, "A title")
    await services.store.increment(f"{ada.user.id}:refused:live:2026-11-23")
    await services.store.increment(f"{ada.user.id}:calls:2025-01-05")
    await services.store.add(USAGE_DAYS, Key(ada.user.id, "2026-11-22"), {"sums": {}})
    await services.store.add(USAGE_MONTHS, Key(ada.user.id, "2026-10"), {"sums": {}})
    await services.tables.subscriptions.create(
        Subscription(
            id=IDS.mint(NOON),
            user_id=ada.user.id,
            stripe_customer_id=f"cus_{ada.user.id}",
            stripe_subscription_id=f"sub_{ada.user.id}",
            tier=Tier.PRO,
            status=SubscriptionStatus.CANCELED,
            created_at=NOON,
            updated_at=NOON,
        )
    )
    await services.store.claim(IDEMPOTENCY_KEYS, Key(ada.api_key.key.id, "a" * 64), {"owner": ada.user.id})
    files, file = files_of(services), new_file(ada.user.id)
    memo_id = IDS.mint(NOON)
    await services.tables.long_memos.add(
        LongMemo(
            memo_id=memo_id,
            user_id=ada.user.id,
            file=file,
            speech="local",
            places=(),
            created_at=NOON,
            sent_at=NOON,
        )
    )
    for name in (audio(file), making(file), piece(file, 0)):
        await files.put(name, b"sound")
    return ada


def files_of(services: Services) -> AudioFiles:
    files = services.audio.files
    assert files is not None
    return files


async def traces(services: Services, owner: SignedUp) -> list[str]:
    """Return the rows, counters and files that still contain the owner's id or address, in a name or a document."""
    found = []
    ids = (owner.user.id, owner.user.email, owner.api_key.key.id)
    for table in TABLES:
        after = None
        while True:
            page = await services.store.scan(table, after=after)
            for row in page.rows:
                text = f"{row.key.partition} {row.key.sort} {json.dumps(row.document)}"
                found += [f"{table.name}: {text}" for trace in ids if trace in text]
            after = page.after
            if after is None:
                break
    found += [counter async for counter in counters(services) if owner.user.id in counter]
    files = files_of(services)
    for area in ("audio", "making", "pieces"):
        found += [held.name for held in (await files.page(f"{area}/")).held]
    return found


async def counters(services: Services) -> AsyncIterator[str]:
    after = None
    while True:
        page = await services.store.scan_counters(after=after)
        for counter in page.rows:
            yield counter.name
        after = page.after
        if after is None:
            return


async def housekeeping(services: Services, clock: FakeClock) -> None:
    """Process the whole list twice, a day apart."""
    for _ in range(2):
        clock.advance(DAY)
        while True:
            worked = await services.closing.work(always, silent)
            assert worked.is_done
            if not worked.failed:
                break


async def close(services: Services, owner: SignedUp) -> None:
    await services.accounts.close(owner.user, password=PASSWORD, address="here")


@pytest.mark.parametrize("kind", ALL_STORES)
@pytest.mark.thorough
async def test_closed_account_leaves_nothing_on(kind: str, tmp_path: Path) -> None:
    """No table, counter or audio name contains the id or the address, and the address is free. Others' rows stay."""
    clock = FakeClock()
    async with stores(kind, 1, seed=1) as (store,):
        services = built(store, tmp_path, clock=clock)
        bob = await signed_up(services, "bob@example.org")
        await services.memos.make(bob.api_key.key, SAY)
        ada = await busy_owner(services)
        assert len(await traces(services, ada)) > 20
        await close(services, ada)
        assert await services.tables.users.count() == 1
        await signed_up(services, "someone@example.org")
        left = await traces(services, ada)
        assert {place.split(":")[0] for place in left} <= {"key_rings", "closing"}
        await housekeeping(services, clock)
        assert await traces(services, ada) == []
        assert (await services.api_keys.authenticate(bob.api_key.secret)).user_id == bob.user.id
        assert len((await services.store.page(MEMOS, bob.user.id)).rows) == 1
        again = await signed_up(services)
        assert again.user.id != ada.user.id


@pytest.mark.parametrize(("kind", "stride"), [("memory", 1), ("micro", 5), ("dynamodb", 17)])
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.thorough
async def test_closing_killed_at_a_call_is_finished_on(kind: str, stride: int, tmp_path: Path, *, lost: bool) -> None:
    """After a kill at a store call the account is unchanged, or the list closes and erases it."""
    clock, at, killed = FakeClock(), 0, True
    async with stores(kind, 1, seed=1) as (store,):
        services = built(store, tmp_path, clock=clock)
        while killed:
            ada = await busy_owner(services, f"ada{at}@example.org")
            failing = FailingStore(store, at=at, lost=lost, for_good=True)
            await outcomes([close(built(failing, tmp_path, clock=clock), ada)])
            killed = failing.failed
            await finished(services, ada, clock)
            at += stride
    assert at > 20


async def finished(services: Services, ada: SignedUp, clock: FakeClock) -> None:
    """Process the list, close the account if it is still open, and check that no trace is left."""
    await services.closing.work(always, silent)
    user = await services.tables.users.get(ada.user.id)
    if user is not None:
        assert user == ada.user, "nothing changed"
        assert (await services.api_keys.authenticate(ada.api_key.secret)).user_id == ada.user.id
        await close(services, ada)
    else:
        with pytest.raises((InvalidCredential, KeyRevoked)):
            await services.api_keys.authenticate(ada.api_key.secret)
    await housekeeping(services, clock)
    assert await traces(services, ada) == []


@pytest.mark.parametrize("processed", [False, True])
@pytest.mark.thorough
async def test_closing_killed_at_a_request_is_finished(tmp_path: Path, *, processed: bool) -> None:
    """The same holds for a kill at every ninth request to HYPR Micro, also in the middle of a verb."""
    clock, at, killed = FakeClock(), 0, True
    async with micro_store_world() as world:
        good = await world.container()
        services = built(good.store, tmp_path, clock=clock)
        while killed:
            ada = await busy_owner(services, f"ada{at}@example.org")
            dying = await world.container()
            deaths = Deaths(at, processed=processed)
            dying.network.faults = deaths
            await outcomes([close(built(dying.store, tmp_path, clock=clock), ada)])
            killed = deaths.seen > at
            await finished(services, ada, clock)
            at += 9
    assert at > 60


class Deaths:
    """Answers no request from number `at` on; that one may have taken effect."""

    def __init__(self, at: int, *, processed: bool) -> None:
        self.seen = 0
        self._at = at
        self._processed = processed

    def __call__(self, _: Seen) -> Fault | None:
        number, self.seen = self.seen, self.seen + 1
        if number < self._at:
            return None
        return Fault(way=Way.CLOSES, processed=self._processed and number == self._at)


@pytest.mark.parametrize("seed", range(6))
async def test_closing_races_with_all_else(seed: int, tmp_path: Path) -> None:
    """Closing races with memos, keys, logins, a new password and itself: no row is left, no credential works."""
    clock = FakeClock()
    services = built(racing_store(seed, clock), tmp_path, clock=clock)
    ada = await busy_owner(services)
    claims = (await services.accounts.authenticate(ada.session.token))[1]
    done, failed = await outcomes(
        [
            close(services, ada),
            services.memos.make(ada.api_key.key, SAY),
            services.api_keys.create(ada.user, name="Late", test=False, expires_at=None),
            services.accounts.log_in(EMAIL, PASSWORD, address="there"),
            services.accounts.change_password(
                ada.user, claims, current=PASSWORD, new="another password", address="elsewhere"
            ),
            close(services, ada),
        ]
    )
    assert all(isinstance(error, (AgentTalkError, StoreError)) for error in failed), failed
    assert None in done, "one of the closings was answered"
    for result in done:
        if isinstance(result, NewKey):
            with pytest.raises((InvalidCredential, KeyRevoked)):
                await services.api_keys.authenticate(result.secret)
        session = result[1] if isinstance(result, tuple) else result
        if isinstance(session, Session):
            with pytest.raises((SessionExpired, InvalidCredential)):
                await services.accounts.authenticate(session.token)
    await housekeeping(services, clock)
    assert await traces(services, ada) == []


async def test_closing_changes_nothing_unless_cancelled(tmp_path: Path) -> None:
    """Paid subscriptions are cancelled first: if that fails, the caller gets the error, and no row has changed."""
    store = MemoryStore(clock=FakeClock())
    services = built(store, tmp_path, paid=Refusing())
    ada = await busy_owner(services)
    before = await rows(services)
    with pytest.raises(ServiceUnavailable):
        await close(services, ada)
    assert await rows(services) == before
    assert (await services.api_keys.authenticate(ada.api_key.secret)).id == ada.api_key.key.id


async def rows(services: Services) -> dict[str, str]:
    return {
        f"{table.name}/{row.key}": json.dumps(row.document)
        for table in TABLES
        for row in (await services.store.scan(table)).rows
    }


async def test_key_that_is_being_made_comes_to_nothing(tmp_path: Path) -> None:
    """A key whose request began before the account was closed is refused at its commit, and leaves no document."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    services = built(store, tmp_path, clock=clock)
    ada = await busy_owner(services)
    await close(services, ada)
    with pytest.raises(SessionExpired):
        await services.api_keys.create(ada.user, name="Late", test=False, expires_at=None)
    await housekeeping(services, clock)
    assert await traces(services, ada) == []


async def test_memo_is_refused_once_its_owner_is_closing(tmp_path: Path) -> None:
    """A memo whose key was checked before the owner's row was marked is refused by that row, and is not charged."""
    services = built(MemoryStore(clock=FakeClock()), tmp_path)
    ada = await signed_up(services)
    await services.tables.users.change(ada.user.id, lambda row: row.closed(services.clock()))
    with pytest.raises(InvalidCredential):
        await services.memos.make(ada.api_key.key, SAY)
    assert (await services.quotas.used(ada.user, services.clock())).day.used == 0
    assert (await services.store.page(MEMOS, ada.user.id)).rows == []


async def test_memo_that_is_being_made_is_erased_a_day_later(tmp_path: Path) -> None:
    """A request may write rows after the erasure: the list checks again before it drops the account."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    services = built(store, tmp_path, clock=clock)
    ada = await busy_owner(services)
    memos = (await services.store.page(MEMOS, ada.user.id)).rows
    await close(services, ada)
    await services.store.add(MEMOS, memos[0].key, memos[0].document)
    await services.store.increment(f"{ada.user.id}:calls:2026-11-23")
    await files_of(services).put(audio(new_file(ada.user.id)), b"late")
    assert await traces(services, ada) != []
    await housekeeping(services, clock)
    assert await traces(services, ada) == []


async def test_account_with_failing_audio_waits_for_the_list(tmp_path: Path) -> None:
    """If audio cannot be listed, the account is still closed; its address is taken until it is erased."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    services = built(store, tmp_path, clock=clock)
    ada = await busy_owner(services)
    broken = built(store, tmp_path, clock=clock, audio=AudioPlace(lambda: (Unlistable(tmp_path), nothing_to_close)))
    await close(broken, ada)
    assert len(await traces(services, ada)) > 20
    with pytest.raises(AgentTalkError) as refused:
        await services.accounts.log_in(EMAIL, PASSWORD, address="here")
    assert refused.value.status == 401
    with pytest.raises(Conflict):
        await signed_up(services)
    await housekeeping(services, clock)
    assert await traces(services, ada) == []
    await signed_up(services)


class Unlistable(FolderFiles):
    """An audio place that stores marks, and fails to list."""

    async def page(self, prefix: str, *, after: str | None = None, limit: int = 0) -> HeldPage:  # noqa: ARG002
        raise AudioPlaceFailed("list", "it does not answer")


async def test_account_that_was_never_closed_leaves_the_list(tmp_path: Path) -> None:
    """If a request dies between the list's row and the user's, the list drops its row an hour later, and no other."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    services = built(store, tmp_path, clock=clock)
    ada = await busy_owner(services)
    before = await rows(services)
    calls_until_listed = await calls_until(tmp_path, "put")
    dying = FailingStore(store, at=calls_until_listed + 1, for_good=True)
    with pytest.raises(StoreUnavailable):
        await close(built(dying, tmp_path, clock=clock), ada)
    left = Worked(failed=1, due_since=NOON)
    assert await services.closing.work(always, silent) == left
    clock.advance(timedelta(hours=1, milliseconds=-1))
    assert await services.closing.work(always, silent) == left
    clock.advance(timedelta(milliseconds=1))
    assert await services.closing.work(always, silent) == Worked(done=1)
    assert await rows(services) == before


async def test_closing_leaves_the_long_memos_of_others(tmp_path: Path) -> None:
    """Other owners' memos stay on the list of long memos."""
    services = built(MemoryStore(), tmp_path)
    ada, bob = await busy_owner(services), await busy_owner(services, "bob@example.org")
    await close(services, ada)
    assert [row.user_id async for row in services.tables.long_memos.every()] == [bob.user.id]


async def test_closing_finds_a_key_by_its_uses(tmp_path: Path) -> None:
    """A key that the ring has dropped is found by the counter of its uses, and its document is erased."""
    services = built(MemoryStore(), tmp_path)
    ada, key_id = await signed_up(services), "d" * 32
    await services.store.add(API_KEYS, Key(key_id), {"user_id": ada.user.id})
    await services.store.increment(f"{ada.user.id}:uses:{key_id}")
    await close(services, ada)
    assert await services.store.get(API_KEYS, Key(key_id)) is None


async def test_closing_goes_on_after_an_outage_and_a_short_run(tmp_path: Path) -> None:
    """An account that fails, or gets no time, stays on the list, due since it was closed."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    services = built(store, tmp_path, clock=clock)
    ada = await busy_owner(services)
    await services.tables.closing.put(ClosingAccount(user_id=ada.user.id, since=NOON))
    await services.tables.users.change(ada.user.id, lambda row: row.closed(NOON))
    down = built(FailingStore(store, at=1), tmp_path, clock=clock)
    assert await down.closing.work(always, silent) == Worked(failed=1, due_since=NOON)
    turns = [False, True]
    assert await services.closing.work(turns.pop, silent) == Worked(is_done=False, due_since=NOON)
    assert await services.closing.work(lambda: False, silent) == Worked(is_done=False)
    assert await services.closing.work(always, silent) == Worked(done=1)
    assert await services.closing.work(always, silent) == Worked(waiting=1)


async def calls_until(folder: Path, verb: str) -> int:
    """Return the number of the first call of a verb while an account is closed."""
    clock = FakeClock()
    seen: list[str] = []

    class Noting(CountingStore):
        async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
            seen.append(verb)
            return await call()

    services = built(MemoryStore(clock=clock), folder, clock=clock)
    other = await signed_up(services, "other@example.org")
    await close(built(Noting(services.store), folder, clock=clock), other)
    return seen.index(verb)


@pytest.mark.thorough
async def test_large_account_is_erased_in_three_runs(tmp_path: Path) -> None:
    """With 20 ms a request and 8 concurrent ones, 5,000 facts cost one request a row, and at most 5 % more."""
    clock = FakeClock()
    async with micro_store_world() as world:
        container = await world.container()
        services = built(container.store, tmp_path, clock=clock)
        ada = await signed_up(services)
        for number in range(5000):
            await services.store.add(MEMOS, Key(ada.user.id, f"{number:032x}"), {"id": f"{number:032x}"})

        def take_time(_: Seen) -> None:
            container.clock.advance(0.02 / 8)

        container.network.faults = take_time
        await services.tables.closing.put(ClosingAccount(user_id=ada.user.id, since=NOON))
        await services.tables.users.change(ada.user.id, lambda row: row.closed(NOON))
        runs = 0
        with world.recorder.measure() as cost:
            while await services.tables.users.get(ada.user.id) is not None:
                ends = container.clock.monotonic() + 9
                await services.closing.work(partial(is_before, container.clock, ends), silent)
                runs += 1
        assert runs <= 3
        assert cost.requests < 5000 * 1.05
        assert (await services.store.page(MEMOS, ada.user.id)).rows == []


class _InParts(Intercepted):
    """Erases a partition at the second call, as if the first one ran out of time."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._begun: set[tuple[str, str]] = set()

    async def erase(self, table: Table, partition: str) -> bool:
        if (table.name, partition) in self._begun:
            return await super().erase(table, partition)
        self._begun.add((table.name, partition))
        return False


async def test_partitions_that_are_erased_in_parts_are_finished(tmp_path: Path) -> None:
    """While a partition of any table has rows left, the account stays on the list."""
    clock = FakeClock()
    services = built(_InParts(MemoryStore()), tmp_path, clock=clock)
    ada = await busy_owner(services)
    await close(services, ada)
    await housekeeping(services, clock)
    assert await traces(services, ada) == []


class _Slow(Intercepted):
    """Takes 20 ms for each erasing; several at the same time take no longer."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        super().__init__(store)
        self._clock = clock
        self._ends = 0.0

    async def erase(self, table: Table, partition: str) -> bool:
        self._ends = max(self._ends, self._clock.monotonic() + 0.02)
        await asyncio.sleep(0)
        self._clock.advance(max(0.0, self._ends - self._clock.monotonic()))
        return await super().erase(table, partition)


async def test_owner_of_many_keys_is_erased_within_a_run(tmp_path: Path) -> None:
    """A key for each day of a year, at 20 ms a request: each run begins with the first key, and has 12 s."""
    clock, time = FakeClock(), ManualClock()
    services = built(_Slow(MemoryStore(clock=clock), time), tmp_path, clock=clock)
    ada = await signed_up(services)
    for number in range(365):
        await services.store.increment(f"{ada.user.id}:uses:{number:032x}")
    await services.tables.closing.put(ClosingAccount(user_id=ada.user.id, since=NOON))
    await services.tables.users.change(ada.user.id, lambda row: row.closed(NOON))
    assert await services.closing.work(partial(is_before, time, time.monotonic() + 12), silent) == Worked(done=1)


def is_before(clock: ManualClock, ends: float) -> bool:
    return clock.monotonic() < ends


def test_every_table_and_counter_is_in_the_list_of_the_owner() -> None:
    """Each table is in exactly one of the lists by which closing erases or keeps rows."""
    named = [*BY_OWNER, *BY_KEY, *KEPT_A_DAY, *ONE_BY_ONE, *OF_THE_SERVICE]
    assert Counter(named) == Counter(TABLES)


@pytest.mark.parametrize("kind", ["memory"])
async def test_every_counter_is_named(kind: str, tmp_path: Path) -> None:
    """Counters begin with an owner and a known name, or with a kind that is no owner's."""
    async with stores(kind, 1, seed=1) as (store,):
        services = built(store, tmp_path)
        ada = await busy_owner(services)
        await services.recovery.resend_verification(ada.user, address="here")
        await outcomes([services.accounts.log_in(EMAIL, "wrong", address="here")])
        async for counter in counters(services):
            owner, _, rest = counter.partition(":")
            if owner == ada.user.id:
                assert rest.split(":")[0] in COUNTERS, counter
            else:
                assert counter.replace(":", ".").split(".")[0] in NOT_OWNED, counter
