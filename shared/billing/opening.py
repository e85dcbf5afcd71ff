"""Stripe, opened by the first request to it: most containers send none, and its SDK is slow to import."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.core.billing_settings import BillingSettings

if TYPE_CHECKING:
    from shared.billing.client import StripeApi

OpenStripe = Callable[[], "StripeApi"]


def stripe_opener(
    settings: BillingSettings, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> OpenStripe:
    """Return a function that opens Stripe. Its call imports the SDK."""

    def opened() -> "StripeApi":
        from shared.billing.client import StripeApi  # noqa: PLC0415 its SDK takes up to a second
        from shared.http_connections import http_client  # noqa: PLC0415 httpx, which a store in memory does not need

        return StripeApi(settings, http_client(settings.url), sleep=sleep)

    return opened


class StripeConnection:
    """Opens Stripe at the first use, once in this container."""

    def __init__(self, open_stripe: OpenStripe) -> None:
        self._open = open_stripe
        self._opened: StripeApi | None = None

    @property
    def api(self) -> "StripeApi":
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    async def close(self) -> None:
        """Close Stripe if it was opened."""
        if self._opened is not None:
            await self._opened.aclose()
