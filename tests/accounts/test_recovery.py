"""When forgot-password answers: at the same moment for known and unknown addresses, in virtual time."""

import asyncio
from statistics import median
from typing import Any

from shared.core.settings import AttemptLimits, Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from tests.fakes.mails import CaughtMails
from tests.support import PASSWORD, SECRET, FakeClock, cheap_passwords


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when nothing else is to be done."""

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
