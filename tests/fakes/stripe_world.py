"""Services on a fake Stripe, by the official SDK."""

from collections.abc import Callable
from typing import Final

import httpx

from shared.billing.client import StripeApi
from shared.billing.opening import OpenStripe
from shared.core.billing_settings import BillingSettings
from tests.fakes.stripe_network import StripeTransport, no_wait
from tests.fakes.stripe_server import ENTERPRISE, KEY, PRO, WEBHOOK_SECRET

SELLING: Final = {
    "STRIPE_SECRET_KEY": KEY,
    "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
    "STRIPE_PRICE_PRO": PRO,
    "STRIPE_PRICE_ENTERPRISE": ENTERPRISE,
    "SALES_EMAIL": "sales@example.org",
}
"""The environment of a deployment that sells plans."""

BILLING: Final = BillingSettings(
    secret_key=KEY,
    webhook_secrets=(WEBHOOK_SECRET,),
    prices={"pro": (PRO,), "enterprise": (ENTERPRISE,)},
    sales_email="sales@example.org",
)
"""The same environment as settings."""


def stripe_at(network: StripeTransport, settings: BillingSettings = BILLING) -> OpenStripe:
    """Return a function that opens Stripe over this network, without waits."""

    def opened() -> StripeApi:
        return StripeApi(settings, httpx.AsyncClient(transport=network), sleep=no_wait, time_left_s=_always(12.0))

    return opened


def _always(seconds: float) -> Callable[[], float]:
    return lambda: seconds
