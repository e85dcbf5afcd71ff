"""Attempts (login, sign-up, demo) in fixed windows, by client address."""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn

from shared.core.clock import HOUR, Clock, floor, whole_seconds
from shared.core.errors import AgentTalkError, TooManyAttempts
from shared.core.settings import AttemptLimits
from shared.limits.reservation import Reservation
from shared.stores.port import Store

LOGIN_WINDOW: Final = timedelta(minutes=15)


def pseudonym(secret: str, text: str) -> str:
    """A stand-in for personal data in names of counters: constant, and meaningless without the secret."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()[:32]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt, counted from `begin` on, until it is forgiven."""

    reservation: Reservation
    counter: str
    limit: int
    window_ends_at: datetime
    clock: Clock

    async def begin(self) -> None:
        """Raises TooManyAttempts."""
        if await self.reservation.take(self.counter, ends_at=self.window_ends_at) > self.limit:
            await self._refuse()

    @asynccontextmanager
    async def unless_it_breaks(self) -> AsyncIterator[None]:
        """Forgive an attempt that is cut short or fails unforeseen. One that is refused was like any other."""
        try:
            yield
        except AgentTalkError:
            raise
        except BaseException:
            await self.forgive()
            raise

    async def forgive(self) -> None:
        """It does not count after all. Never raises."""
        await self.reservation.give_back()

    async def _refuse(self) -> NoReturn:
        await self.reservation.give_back()
        raise TooManyAttempts(retry_after_s=whole_seconds(self.window_ends_at - self.clock()))


@dataclass(frozen=True, kw_only=True)
class LoginAttempt(Attempt):
    """`counter` is an account's at an address; `of_address` begins the names of all accounts' there."""

    store: Store
    of_address: str
    address_limit: int

    async def check_address(self) -> None:
        """Raises TooManyAttempts when all accounts together have failed too often from this address.

        The attempt is counted before the sum is read, so at most `address_limit` attempts see a sum within the limit.
        """
        if sum((await self.store.counters(self.of_address)).values()) > self.address_limit:
            await self._refuse()


class Attempts:
    """Attempts in fixed windows, by client address. Addresses and accounts are pseudonyms in the counters' names."""

    def __init__(self, store: Store, limits: AttemptLimits, *, secret: str, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._secret = secret
        self._clock = clock

    def sign_up(self, address: str) -> Attempt:
        return self._hourly("signup", address, self._limits.signups_per_address)

    def demo(self, address: str) -> Attempt:
        return self._hourly("demo", address, self._limits.demos_per_address)

    def log_in(self, address: str, account: str) -> LoginAttempt:
        """Failed logins count; others are forgiven."""
        window, ends_at = _window(self._clock(), LOGIN_WINDOW)
        of_address = f"login.{window}.{self._pseudonym(address)}:"
        return LoginAttempt(
            store=self._store,
            reservation=Reservation(self._store),
            counter=of_address + self._pseudonym(account),
            limit=self._limits.failed_logins_per_account,
            window_ends_at=ends_at,
            clock=self._clock,
            of_address=of_address,
            address_limit=self._limits.failed_logins_per_address,
        )

    def _hourly(self, what: str, address: str, limit: int) -> Attempt:
        window, ends_at = _window(self._clock(), HOUR)
        return Attempt(
            reservation=Reservation(self._store),
            counter=f"{what}.{window}.{self._pseudonym(address)}",
            limit=limit,
            window_ends_at=ends_at,
            clock=self._clock,
        )

    def _pseudonym(self, text: str) -> str:
        return pseudonym(self._secret, text)


def _window(at: datetime, length: timedelta) -> tuple[str, datetime]:
    """The window's name, which sorts by time, and its end."""
    start = floor(at, length)
    return f"{start:%Y%m%dT%H%M}", start + length
