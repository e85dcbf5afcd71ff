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
"""Seconds that one call may take with its waits. A request has 12 (serverless.yml stops the function after 15)."""

AGAIN: Final = 2
"""Repeats of a request that certainly was not billed. A larger number only helps if time is left."""

FAILURES: Final = 5
WITHIN_S: Final = 30.0
PAUSE_S: Final = 30.0
"""FAILURES in a row within WITHIN_S seconds pause a provider for PAUSE_S seconds. Each failure can cost a caller the
whole TIMEOUT_S: with more failures more callers wait for a provider that is down."""

_log = logging.getLogger("agent_talk.speech")

T = TypeVar("T")


class Breaker:
    """Counts the failures in a row of this process, and refuses requests while a provider is paused.

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
        """Return whether a request may be sent now. If so, the caller reports its outcome by another method."""
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
        """Report an outcome that shows nothing of the provider's health."""
        self._trial_runs = False


class Funnel:
    """Sends an adapter's requests, one deadline each.

    A request is sent again only if its error has a wait (`ProviderError.wait_s`), at most AGAIN times, and only if that
    wait ends before the deadline: a request that may have been billed is never sent again.
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
        """Return the result of `send`, which gets the seconds that are left.

        It ends within them. Raises ProviderPaused if the breaker is open, NoTurn if no turn is free in time, and the
        last ProviderError of `send`.
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
