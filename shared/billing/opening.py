"""Stripe, opened when it is first asked: most containers never do, and its SDK is slow to import."""

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
    """Return what opens Stripe. It imports the SDK then."""

    def opened() -> "StripeApi":
        from shared.billing.client import StripeApi  # noqa: PLC0415 its SDK takes up to a second
        from shared.http_connections import http_client  # noqa: PLC0415 httpx, which a store in memory needs not

        return StripeApi(settings, http_client(settings.url), sleep=sleep)

    return opened


class StripeConnection:
    """Opens Stripe at the first use, once for all that bill in this container."""

    def __init__(self, open_stripe: OpenStripe) -> None:
        self._open = open_stripe
        self._opened: StripeApi | None = None

    @property
    def api(self) -> "StripeApi":
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    async def close(self) -> None:
        """Close what was opened, if anything was."""
        if self._opened is not None:
            await self._opened.aclose()
