"""The network to a fake Stripe: without sockets, and with losses and delays that a test decides."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

import httpx

from tests.fakes.stripe_server import FakeStripe

Pause = Callable[[], Awaitable[None]]


class StripeFault(Enum):
    """A failure of a request."""

    UNREACHED = "no connection: not carried out"
    LOST = "carried out, and the answer lost"
    FAILED = "answered 500, and not carried out"


async def at_once() -> None:
    """Wait for nothing."""


class StripeTransport(httpx.AsyncBaseTransport):
    """Awaits `pause` before a request and before its answer; `fault` maps a request's number to its failure.

    Requests are counted from 0, the SDK's repeats included.
    """

    def __init__(
        self,
        stripe: FakeStripe,
        *,
        pause: Pause = at_once,
        fault: Callable[[int], StripeFault | None] = lambda _: None,
    ) -> None:
        self.stripe = stripe
        self.pause = pause
        self.fault = fault
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fault, self.sent = self.fault(self.sent), self.sent + 1
        await self.pause()
        if fault is StripeFault.UNREACHED:
            raise httpx.ConnectError("no connection", request=request)
        body, fails = await request.aread(), fault is StripeFault.FAILED
        answer = self.stripe.answer(request.method, str(request.url), request.headers, body, fails=fails)
        key = request.headers.get("idempotency-key")
        is_first = key is not None and answer.status != 409 and "idempotent-replayed" not in answer.headers
        if is_first:
            self.stripe.under_way.add(key)
        try:
            await self.pause()
        finally:
            if is_first:
                self.stripe.under_way.discard(key)
        if fault is StripeFault.LOST:
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)


async def no_wait(_: float) -> None:
    """Let other tasks run, instead of the SDK's waits between repeats: a request takes less time than such a wait."""
    for _ in range(100):
        await asyncio.sleep(0)
