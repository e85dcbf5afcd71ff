"""The time of forgot-password's answer, in virtual time, and changes between a link's check and its own change."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from statistics import median
from typing import Any, Final

import pytest

from shared.accounts.recovery import LIVES, Purpose, RecoveryTokens
from shared.core.errors import ValidationFailed
from shared.core.settings import AttemptLimits, Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Change, Key, Table, Updated
from shared.tables.schema import USERS
from shared.tables.users import User
from tests.fakes.mails import CaughtMails
from tests.support import (
    NOON,
    PASSWORD,
    SECRET,
    FakeClock,
    Intercepted,
    a_user,
    cheap_passwords,
    services_on,
    signed_up,
)

HOUR: Final = timedelta(hours=1)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when no task is ready."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        loop: Any = self
        timers = [timer.when() for timer in loop._scheduled if not timer.cancelled()]
        if not loop._ready and timers:
            self._now = max(self._now, min(timers))
        loop_run_once: Any = super()
        loop_run_once._run_once()


async def slow() -> None:
    await asyncio.sleep(0.3)


async def stuck() -> None:
    await asyncio.sleep(60)


def made(mails: CaughtMails) -> Services:
    limits = AttemptLimits(signups_per_address=1000, resets_per_address=1000)
    settings = Settings(session_secret=SECRET, attempts=limits)
    store = MemoryStore(clock=FakeClock())
    services = Services.on(store, settings, passwords=cheap_passwords(), clock=FakeClock(), mailer=mails)

    async def sign_up() -> None:
        for number in range(100):
            await services.accounts.sign_up(f"known{number}@example.org", PASSWORD, address="here")

    asyncio.run(sign_up())
    mails.mails.clear()
    return services


async def answered_after(services: Services, email: str) -> float:
    began = asyncio.get_running_loop().time()
    await services.recovery.forget(email, address="there")
    return asyncio.get_running_loop().time() - began


async def times(services: Services, kind: str) -> list[float]:
    return [await answered_after(services, f"{kind}{number}@example.org") for number in range(100)]


def test_forgot_takes_the_same_time_for_unknown_addresses() -> None:
    """100 known and 100 unknown addresses, with a mailer that takes 300 ms: medians within 5 ms, all 2 s."""
    mails = CaughtMails()
    services = made(mails)
    mails.pause = slow
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        known = runner.run(times(services, "known"))
        unknown = runner.run(times(services, "unknown"))
    assert len(mails.mails) == 100
    assert abs(median(known) - median(unknown)) < 0.005
    assert max(known + unknown) - min(known + unknown) < 0.005
    assert abs(median(known) - 2) < 0.005


def test_forgot_waits_for_no_stuck_mailer() -> None:
    """A mailer that does not answer in time is given up before the moment of the answer."""
    mails = CaughtMails()
    services = made(mails)
    mails.pause = stuck
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        known = runner.run(answered_after(services, "known1@example.org"))
        unknown = runner.run(answered_after(services, "unknown1@example.org"))
    assert mails.mails == []
    assert abs(known - unknown) < 0.005


@pytest.mark.parametrize("purpose", Purpose)
def test_token_lives_until_its_end(purpose: Purpose) -> None:
    """A token is valid until its end, to the second."""
    clock, user = FakeClock(), a_user()
    tokens = RecoveryTokens(SECRET, clock)
    token = tokens.issue(purpose, user)
    clock.advance(LIVES[purpose] - timedelta(seconds=1))
    assert tokens.user_id(token) == user.id
    clock.advance(timedelta(seconds=1))
    assert tokens.user_id(token) is None


class Meanwhile(Intercepted):
    """Runs an action before the next change of a user."""

    first: Callable[[], Awaitable[object]] | None = None

    async def update(self, table: Table, key: Key, change: Change) -> Updated:
        if table is USERS and self.first is not None:
            first, self.first = self.first, None
            await first()
        return await super().update(table, key, change)


def token_of(services: Services, purpose: Purpose, user: User) -> str:
    return RecoveryTokens(services.settings.session_secret, services.clock).issue(purpose, user)


async def use(services: Services, purpose: Purpose, token: str) -> None:
    if purpose is Purpose.RESET:
        await services.recovery.reset(token, "another horse")
    else:
        await services.recovery.verify(token)


@pytest.mark.anyio
@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("happens", ["used", "closed", "erased"])
async def test_link_changes_nothing_that_has_changed_meanwhile(
    store: MemoryStore, purpose: Purpose, happens: str
) -> None:
    """A link is refused if, after its check, another request uses it, or closes or erases the account."""
    racing = Meanwhile(store)
    services, other = services_on(racing), services_on(store)
    user = (await signed_up(other)).user
    token = token_of(other, purpose, user)
    users = other.tables.users
    after: list[User | None] = []

    async def first() -> None:
        if happens == "used":
            await use(other, purpose, token)
        elif happens == "closed":
            await users.change(user.id, lambda row: row.closed(NOON))
        else:
            await users.delete(user)
        after.append(await users.get(user.id))

    racing.first = first
    with pytest.raises(ValidationFailed):
        await use(services, purpose, token)
    assert [await users.get(user.id)] == after


@pytest.mark.anyio
async def test_reset_revokes_what_an_earlier_one_distrusted(store: MemoryStore) -> None:
    """A reset revokes the keys that an interrupted earlier reset marked and did not revoke."""
    services = services_on(store)
    user = (await signed_up(services)).user
    broke_off = {"email_verified": True, "keys_distrusted_until": NOON}
    user = await services.tables.users.change(user.id, lambda row: row.model_copy(update=broke_off))
    assert await services.recovery.reset(token_of(services, Purpose.RESET, user), "another horse") == 1
    assert (await services.tables.users.load(user.id)).keys_distrusted_until is None


@pytest.mark.anyio
async def test_mark_of_a_later_reset_stays(store: MemoryStore) -> None:
    """Revoking the keys of one reset keeps the mark that a later reset has written meanwhile."""
    racing = Meanwhile(store)
    services, users = services_on(racing), services_on(store).tables.users
    made = await signed_up(services)

    def distrusted(later: timedelta) -> Callable[[User], User]:
        return lambda row: row.model_copy(update={"keys_distrusted_until": NOON + later})

    user = await users.change(made.user.id, distrusted(timedelta(0)))
    racing.first = lambda: users.change(user.id, distrusted(HOUR))
    assert await services.recovery.revoke_distrusted(user) == 1
    assert (await users.load(user.id)).keys_distrusted_until == NOON + HOUR
