"""Attempts in fixed windows: passwords, sign-ups, demos and changes of keys.

| attempt | counters | window |
|---|---|---|
| password | `login.20261123T1215.<address>:<account>` and `login.20261123T1215.<address>` | 15 min |
| sign-up, demo | `signup.20261123T1200.<address>`, `demo.20261123T1200.<address>` | 1 h |
| reset | `reset.20261123T1200.<address>` and `reset.20261123T1200.for.<account>` | 1 h |
| verification mail | `verify.20261123T1200.<address>` and `verify.20261123T1200.for.<account>` | 1 h |
| key change | `keys.20261123T1200.<owner>` | 1 h |

`<address>`, `<account>` and `<owner>` are pseudonyms. An attempt is counted before it is carried out, so at most the
limit is admitted under any concurrency. A refused attempt stays counted: its window is closed, and giving it back would
cost a request for each refusal.
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.core.clock import HOUR, Clock, floor, whole_seconds
from shared.core.concurrency import gather_settled
from shared.core.derived import Pseudonyms
from shared.core.errors import AgentTalkError, TooManyAttempts
from shared.core.remembered import Remembered
from shared.core.settings import AttemptLimits
from shared.stores.best_effort import best_effort
from shared.stores.port import Store

PASSWORD_WINDOW: Final = timedelta(minutes=15)

KNOWN_FOR: Final = timedelta(minutes=1)
"""How long a container refuses without a request, after it saw a counter above its limit. A longer time would refuse
more attempts for which places were given back since."""

KEPT_FOR: Final = timedelta(hours=1)
"""How long an ended window's counters are kept: longer than any container's clock is behind, since a counter that is
dropped too early starts at 0 again."""

_KNOWN_MOST: Final = 10_000
"""Counters that a container remembers, some 2 MB. A forgotten one costs requests again."""

_START: Final = "%Y%m%dT%H%M"
_WINDOWED: Final = re.compile(r"(?P<kind>login|signup|demo|keys|reset|verify)\.(?P<start>\d{8}T\d{4})\.")

_log = logging.getLogger("agent_talk.security")


@dataclass(frozen=True, kw_only=True)
class AttemptBound:
    """A counter and its limit. With `keeps_place` a place that is not used stays counted, for the container's next
    attempt: that saves the request that would give it back."""

    counter: str
    limit: int
    keeps_place: bool = False


class KnownCounters:
    """One container's memory of counters: which are closed, and how many reserved places are unused."""

    def __init__(self) -> None:
        self._closed = Remembered[str, datetime](_KNOWN_MOST)
        self._places = Remembered[str, int](_KNOWN_MOST)

    def is_closed(self, counter: str, at: datetime) -> bool:
        return self._closed.get(counter, at) > at

    def close(self, counter: str, until: datetime) -> None:
        self._closed[counter] = until

    def keep_place(self, counter: str) -> None:
        self._places[counter] = self._places.get(counter, 0) + 1

    def take_places(self, counter: str) -> int:
        """Return how many places the container has on this counter. They pass to the caller."""
        return self._places.pop(counter, 0)


class Attempt:
    """One attempt, counted from `begin` on until it is forgiven."""

    def __init__(
        self,
        store: Store,
        known: KnownCounters,
        *,
        kind: str,
        bounds: tuple[AttemptBound, ...],
        window_ends_at: datetime,
        clock: Clock,
    ) -> None:
        self._store = store
        self._known = known
        self._kind = kind
        self._bounds = bounds
        self._window_ends_at = window_ends_at
        self._clock = clock
        self._taken: list[AttemptBound] = []

    async def begin(self) -> None:
        """Count the attempt: one request for each bound, in parallel. Raises TooManyAttempts if a limit was reached.

        If this container remembers that a bound is closed, the refusal costs no request.
        """
        self.refuse_if_known()
        at = self._clock()
        values = await gather_settled(*(self._take(bound) for bound in self._bounds))
        closed = [bound for bound, value in zip(self._bounds, values, strict=True) if value > bound.limit]
        if not closed:
            return
        for bound in closed:
            self._known.close(bound.counter, at + KNOWN_FOR)
        for bound in self._bounds:  # the next attempt uses the places on the other bounds
            if bound not in closed:
                self._known.keep_place(bound.counter)
        self._taken.clear()
        self._refuse(at)

    @asynccontextmanager
    async def unless_it_breaks(self) -> AsyncIterator[None]:
        """Give the attempt back if the code inside is cancelled or fails, except by a 4xx error."""
        try:
            yield
        except BaseException as failure:
            if not isinstance(failure, AgentTalkError) or failure.status >= 500:
                await self._give_back(self._taken)
            raise

    def refuse_if_known(self) -> None:
        """Raise TooManyAttempts if this container remembers that a bound is closed. Costs no request."""
        at = self._clock()
        if any(self._known.is_closed(bound.counter, at) for bound in self._bounds):
            self._refuse(at)

    @asynccontextmanager
    async def unless_it_fails(self) -> AsyncIterator[None]:
        """Give the attempt back if the code inside raises, whatever the error."""
        try:
            yield
        except BaseException:
            await self._give_back(self._taken)
            raise

    async def forgive(self) -> None:
        """Give the attempt back, or keep its place for the next one (`keeps_place`). Never raises."""
        for bound in self._taken:
            if bound.keeps_place:
                self._known.keep_place(bound.counter)
        await self._give_back([bound for bound in self._taken if not bound.keeps_place])

    async def _take(self, bound: AttemptBound) -> int:
        places = self._known.take_places(bound.counter)
        value = await self._store.increment(bound.counter, 1 - places, ends_at=self._window_ends_at)
        self._taken.append(bound)
        return value

    async def _give_back(self, bounds: list[AttemptBound]) -> None:
        self._taken = []
        await gather_settled(*(self._give_one_back(bound.counter) for bound in bounds))

    async def _give_one_back(self, counter: str) -> None:
        with best_effort("an attempt could not be given back", counter=counter):
            await self._store.increment(counter, -1, ends_at=self._window_ends_at)

    def _refuse(self, at: datetime) -> None:
        _log.warning("attempts refused", extra={"kind": self._kind})
        raise TooManyAttempts(retry_after_s=whole_seconds(self._window_ends_at - at))


def ends_at(counter: str) -> datetime | None:
    """Return the end of the window whose attempts this counts. None: it counts no attempts."""
    named = _WINDOWED.match(counter)
    if named is None:
        return None
    length = PASSWORD_WINDOW if named["kind"] == "login" else HOUR
    return datetime.strptime(f"{named['start']}+0000", f"{_START}%z") + length


def has_ended(counter: str, at: datetime) -> bool:
    """Return whether this counts attempts in a window that ended KEPT_FOR or more before `at`."""
    end = ends_at(counter)
    return end is not None and end + KEPT_FOR <= at


class Attempts:
    """The limits of all kinds of attempts, and this container's memory of their counters."""

    def __init__(self, store: Store, limits: AttemptLimits, *, pseudonyms: Pseudonyms, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._known = KnownCounters()

    def sign_up(self, address: str) -> Attempt:
        return self._hourly("signup", address, self._limits.signups_per_address)

    def demo(self, address: str) -> Attempt:
        return self._hourly("demo", address, self._limits.demos_per_address)

    def password(self, address: str, account: str) -> Attempt:
        """Return the attempt to check an account's password, for a login or a change. Forgive it if it succeeds."""
        window, ends_at = _window(self._clock(), PASSWORD_WINDOW)
        of_address = f"login.{window}.{self._pseudonyms.of(address)}"
        of_account = f"{of_address}:{self._pseudonyms.of(account)}"
        bounds = (
            AttemptBound(counter=of_account, limit=self._limits.failed_logins_per_account),
            AttemptBound(counter=of_address, limit=self._limits.failed_logins_per_address, keeps_place=True),
        )
        return self._attempt("password", bounds, ends_at)

    def reset(self, address: str, email: str) -> Attempt:
        """Return the attempt to get a mail for a new password. Unknown e-mail addresses count like known ones."""
        limits = self._limits
        return self._mailing("reset", address, email, limits.resets_per_address, limits.resets_per_account)

    def verification(self, address: str, user_id: str) -> Attempt:
        """Return the attempt to get one more mail that confirms an e-mail address."""
        limits = self._limits
        return self._mailing(
            "verify", address, user_id, limits.verifications_per_address, limits.verifications_per_account
        )

    def key_change(self, owner_id: str) -> Attempt:
        """Return the attempt to make, rotate or change a key. Revoking a key needs none."""
        return self._hourly("keys", owner_id, self._limits.key_changes_per_owner)

    def _mailing(self, kind: str, address: str, account: str, per_address: int, per_account: int) -> Attempt:
        window, ends_at = _window(self._clock(), HOUR)
        bounds = (
            AttemptBound(counter=f"{kind}.{window}.{self._pseudonyms.of(address)}", limit=per_address),
            AttemptBound(counter=f"{kind}.{window}.for.{self._pseudonyms.of(account)}", limit=per_account),
        )
        return self._attempt(kind, bounds, ends_at)

    def _hourly(self, kind: str, subject: str, limit: int) -> Attempt:
        window, ends_at = _window(self._clock(), HOUR)
        bound = AttemptBound(counter=f"{kind}.{window}.{self._pseudonyms.of(subject)}", limit=limit)
        return self._attempt(kind, (bound,), ends_at)

    def _attempt(self, kind: str, bounds: tuple[AttemptBound, ...], ends_at: datetime) -> Attempt:
        return Attempt(self._store, self._known, kind=kind, bounds=bounds, window_ends_at=ends_at, clock=self._clock)


def _window(at: datetime, length: timedelta) -> tuple[str, datetime]:
    """Return the window's name, which sorts by time, and its end."""
    start = floor(at, length)
    return f"{start:{_START}}", start + length
