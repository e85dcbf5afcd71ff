"""The funnel of requests to a provider of speech: one deadline, a bound of concurrent requests, and a breaker."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from shared.speech.provider_errors import NoTurn, ProviderError, ProviderPaused

TIMEOUT_S: Final = 10.0
"""Seconds that one call may take with its waits. A request is answered within 12 (serverless.yml gives it 15)."""

AGAIN: Final = 2
"""How often a request that surely was not billed is sent again. A larger number only helps if time is left."""

FAILURES: Final = 5
WITHIN_S: Final = 30.0
PAUSE_S: Final = 30.0
"""So many failures in a row, within so many seconds, pause a provider for so many. Each failure can cost a caller the
whole TIMEOUT_S; larger numbers make more callers wait for a provider that is down."""

_log = logging.getLogger("agent_talk.speech")

T = TypeVar("T")


class Breaker:
    """Counts failures in a row, and says whether a request may be sent. It knows this process only.

    After the pause one request is admitted; its success closes the breaker, its failure pauses the provider again.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        within_s: float = WITHIN_S,
        pause_s: float = PAUSE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._within_s = within_s
        self._pause_s = pause_s
        self._monotonic = monotonic
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._paused_until: float | None = None
        self._trial_runs = False

    def admits(self) -> bool:
        """Whether a request may be sent now. If so, the caller reports its outcome by one of the other methods."""
        if self._paused_until is None:
            return True
        if self._trial_runs or self._monotonic() < self._paused_until:
            return False
        self._trial_runs = True
        return True

    def succeeded(self) -> None:
        self._failed_at.clear()
        self._paused_until = None
        self._trial_runs = False

    def failed(self) -> None:
        now = self._monotonic()
        self._failed_at.append(now)
        full = len(self._failed_at) == self._failed_at.maxlen
        if self._trial_runs or (full and now - self._failed_at[0] <= self._within_s):
            self._paused_until = now + self._pause_s
        self._trial_runs = False

    def learned_nothing(self) -> None:
        """The request ended in a way that does not tell of the provider's health."""
        self._trial_runs = False


class Funnel:
    """Sends an adapter's requests, one deadline each.

    A request is sent again only if its error has a wait (`ProviderError.wait_s`), at most AGAIN times, and only if that
    wait fits before the deadline: what may have been billed is never sent twice.
    """

    def __init__(
        self,
        provider: str,
        *,
        at_once: int,
        timeout_s: float = TIMEOUT_S,
        breaker: Breaker | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._provider = provider
        self._turns = asyncio.Semaphore(at_once)
        self._timeout_s = timeout_s
        self._breaker = breaker or Breaker(monotonic=monotonic)
        self._monotonic = monotonic
        self._sleep = sleep

    async def ask(self, send: Callable[[float], Awaitable[T]]) -> T:
        """Return what `send` returns. It gets the seconds that are left, ends within them, and may raise ProviderError.

        Raises ProviderPaused if the breaker is open, NoTurn if no turn comes in time, and what `send` raised last.
        """
        ends_at = self._monotonic() + self._timeout_s
        for again in range(AGAIN, -1, -1):
            try:
                async with self._turn(ends_at):
                    return await self._send(send, ends_at)
            except ProviderError as error:
                if error.wait_s is None or again == 0:
                    raise
                wait_s = error.wait_s if error.retry_after_s is None else error.retry_after_s
                if self._monotonic() + wait_s >= ends_at:
                    raise
                await self._sleep(wait_s)
        raise AssertionError("the last turn raises or returns")

    async def _send(self, send: Callable[[float], Awaitable[T]], ends_at: float) -> T:
        began = self._monotonic()
        if began >= ends_at:
            raise NoTurn(self._provider, "no time was left to send the request")
        if not self._breaker.admits():
            raise ProviderPaused(self._provider, "failed repeatedly, and is not asked for some seconds")
        outcome, report = "abandoned", self._breaker.learned_nothing
        try:
            answer = await send(ends_at - began)
        except ProviderError as error:
            outcome, report = str(error), self._breaker.failed if error.breaks else report
            raise
        else:
            outcome, report = "answered", self._breaker.succeeded
            return answer
        finally:
            report()
            _log.debug("%s: %s in %.0f ms", self._provider, outcome, 1000 * (self._monotonic() - began))

    @asynccontextmanager
    async def _turn(self, ends_at: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(ends_at - self._monotonic()):
                await self._turns.acquire()
        except TimeoutError as exc:
            raise NoTurn(self._provider, "too many requests were under way") from exc
        try:
            yield
        finally:
            self._turns.release()
