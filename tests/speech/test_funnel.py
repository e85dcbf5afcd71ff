"""The funnel and its breaker, on a fake clock."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.speech import provider_errors
from shared.speech.funnel import AGAIN, FAILURES, PAUSE_S, TIMEOUT_S, WITHIN_S, Breaker, Funnel
from shared.speech.provider_errors import (
    NoTurn,
    ProviderBroke,
    ProviderBusy,
    ProviderError,
    ProviderPaused,
    ProviderSilent,
    TextRefused,
)
from tests.fakes.dynamo_world import FakeTime

pytestmark = pytest.mark.anyio

ERRORS = [
    error
    for error in vars(provider_errors).values()
    if isinstance(error, type) and issubclass(error, ProviderError) and error is not ProviderError
]


OURS = {"ProviderPaused", "NoTurn", "TooManyAtOnce", "TextRefused", "VoiceRefused", "RequestRefused"}
"""Errors that prove nothing about the provider's health: our own, or those of one text."""


def test_failures_of_our_own_do_not_pause_a_provider() -> None:
    assert {error.__name__ for error in ERRORS if not error.breaks} == OURS


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def breaker(time: FakeTime) -> Breaker:
    return Breaker(monotonic=time.monotonic)


@pytest.fixture
def funnel(time: FakeTime) -> Funnel:
    return Funnel("some", at_once=2, monotonic=time.monotonic, sleep=time.sleep)


def failing(error: type[ProviderError], sent: list[float]) -> Callable[[float], Awaitable[None]]:
    """Return a request that records its remaining seconds, and fails."""

    async def send(left_s: float) -> None:
        sent.append(left_s)
        raise error("some", "failed")

    return send


@pytest.mark.parametrize("error", ERRORS)
async def test_funnel_never_sends_twice_what_may_be_billed(funnel: Funnel, error: type[ProviderError]) -> None:
    """An error after which the text may be billed has no wait, and its request is sent once."""
    sent: list[float] = []
    with pytest.raises(error):
        await funnel.ask(failing(error, sent))
    assert len(sent) == (1 if error.wait_s is None else 1 + AGAIN)
    assert error.wait_s is None or not error.may_be_billed
    assert not (error.for_good and error.breaks)


async def test_funnel_has_one_deadline_for_all_requests(funnel: Funnel) -> None:
    """The time of a wait is deducted from the next request's."""
    sent: list[float] = []
    with pytest.raises(ProviderBusy):
        await funnel.ask(failing(ProviderBusy, sent))
    assert sent == [TIMEOUT_S, TIMEOUT_S - 1.0, TIMEOUT_S - 2.0]


async def test_funnel_raises_the_failure_when_a_wait_takes_all_time(funnel: Funnel) -> None:
    """A wait that would use up the call's time is not begun: the provider's failure is more useful than a timeout."""
    sent: list[float] = []

    async def send(left_s: float) -> None:
        sent.append(left_s)
        raise ProviderBusy("some", "busy", retry_after_s=TIMEOUT_S)

    with pytest.raises(ProviderBusy):
        await funnel.ask(send)
    assert sent == [TIMEOUT_S]


async def test_funnel_gives_up_when_no_turn_comes() -> None:
    """A call that waits for its turn until its time is up is not sent, and not billed."""
    funnel, hold = Funnel("some", at_once=1, timeout_s=0.05), asyncio.Event()

    async def send(_: float) -> None:
        await hold.wait()

    first = asyncio.create_task(funnel.ask(send))
    await asyncio.sleep(0)
    with pytest.raises(NoTurn) as raised:
        await funnel.ask(send)
    assert not raised.value.may_be_billed
    hold.set()
    await first


async def test_funnel_sends_nothing_when_its_turn_comes_too_late(time: FakeTime) -> None:
    """A turn at the deadline or after it sends nothing: the provider would have no time."""
    for late_s in (0.0, 1.0):
        funnel, hold = Funnel("some", at_once=1, monotonic=time.monotonic, sleep=time.sleep), asyncio.Event()

        async def send(_: float, hold: asyncio.Event = hold) -> None:
            await hold.wait()

        sent: list[float] = []
        first = asyncio.create_task(funnel.ask(send))
        await asyncio.sleep(0)
        second = asyncio.create_task(funnel.ask(failing(ProviderBroke, sent)))
        await asyncio.sleep(0)
        time.now_s += TIMEOUT_S + late_s
        hold.set()
        await first
        with pytest.raises(NoTurn, match="no time was left"):
            await second
        assert sent == []


async def test_funnel_does_not_send_while_the_breaker_is_open(funnel: Funnel) -> None:
    sent: list[float] = []
    for _ in range(FAILURES):
        with pytest.raises(ProviderBroke):
            await funnel.ask(failing(ProviderBroke, sent))
    with pytest.raises(ProviderPaused):
        await funnel.ask(failing(ProviderBroke, sent))
    assert len(sent) == FAILURES


async def test_funnel_counts_no_refusal_of_a_text(funnel: Funnel) -> None:
    """A provider's refusals of texts and voices prove nothing about its health."""
    sent: list[float] = []
    for _ in range(2 * FAILURES):
        with pytest.raises(TextRefused):
            await funnel.ask(failing(TextRefused, sent))
    assert len(sent) == 2 * FAILURES


async def test_funnel_tries_once_after_the_pause(funnel: Funnel, time: FakeTime) -> None:
    """While the one trial runs all other calls are refused; if it is abandoned, the next call is the trial."""
    for _ in range(FAILURES):
        with pytest.raises(ProviderSilent):
            await funnel.ask(failing(ProviderSilent, []))
    time.now_s += PAUSE_S
    hold = asyncio.Event()

    async def send(_: float) -> str:
        await hold.wait()
        return "said"

    trial = asyncio.create_task(funnel.ask(send))
    await asyncio.sleep(0)
    with pytest.raises(ProviderPaused):
        await funnel.ask(send)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    hold.set()
    assert await funnel.ask(send) == "said"
    assert await funnel.ask(send) == "said"


def test_breaker_forgets_failures_at_a_success(breaker: Breaker) -> None:
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.admits()


def test_breaker_admits_when_failures_are_far_apart(breaker: Breaker, time: FakeTime) -> None:
    for _ in range(3 * FAILURES):
        breaker.failed()
        time.now_s += WITHIN_S / (FAILURES - 1) + 0.1
    assert breaker.admits()


def test_breaker_pauses_again_after_a_failed_trial(breaker: Breaker, time: FakeTime) -> None:
    for _ in range(FAILURES):
        breaker.failed()
    assert not breaker.admits()
    time.now_s += PAUSE_S
    assert breaker.admits()
    breaker.failed()
    time.now_s += PAUSE_S - 1
    assert not breaker.admits()
    time.now_s += 1
    assert breaker.admits()
