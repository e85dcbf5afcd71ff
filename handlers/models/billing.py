"""Billing in bodies and answers."""

from typing import Literal, Self

from pydantic import RootModel

from handlers.models.base import Answer, Body, Success, example
from handlers.models.fields import RequiredText
from shared.billing.billing import Billing, CheckoutStarted, Ending
from shared.core.clock import Instant
from shared.plans import PLANS, Plan, Tier
from shared.tables.subscriptions import Subscription


class BillingOptions(Answer):
    stripe_enabled: bool
    can_upgrade: bool
    can_manage_subscription: bool

    @classmethod
    def of(cls, billing: Billing, plan: Plan, row: Subscription | None) -> Self:
        return cls(
            stripe_enabled=billing.is_on,
            can_upgrade=billing.is_on and plan.tier is not Tier.ENTERPRISE,
            can_manage_subscription=billing.is_on and row is not None and row.stripe_customer_id is not None,
        )


class CheckoutOptions(Answer):
    stripe_enabled: bool
    checkout_available: bool
    portal_available: bool

    @classmethod
    def of(cls, billing: Billing, *, current: Plan, target: Plan, row: Subscription | None) -> Self:
        sold = target.tier is Tier.PRO and current.tier is Tier.HOBBY
        return cls(
            stripe_enabled=billing.is_on,
            checkout_available=billing.is_on and sold,
            portal_available=billing.is_on and row is not None and row.stripe_customer_id is not None,
        )


class CheckoutBody(Body):
    model_config = example({"successUrl": "https://app.example.org/plan?bought=1"})

    success_url: str | None = None
    cancel_url: str | None = None


class PortalBody(Body):
    model_config = example({"returnUrl": "https://app.example.org/plan"})

    return_url: str | None = None


class TierBody(Body):
    model_config = example({"tier": "pro"})

    tier: RequiredText


class CheckoutAnswer(Success):
    checkout_url: str
    session_id: str

    @classmethod
    def of(cls, started: CheckoutStarted) -> Self:
        return cls(success=True, checkout_url=started.url, session_id=started.session_id)


class ContactSales(Success):
    message: str
    action: Literal["contact_sales"]
    contact_email: str


class UpgradeAnswer(RootModel[CheckoutAnswer | ContactSales]):
    """The next step: a URL at which to pay, or an address to write to."""


class PortalAnswer(Success):
    portal_url: str


class CurrentTier(Success):
    message: str
    current_tier: Tier


class Downgraded(Success):
    message: str
    current_tier: Tier
    target_tier: Tier
    effective_date: Instant | None


class Received(Answer):
    received: Literal[True]


def ends(ending: Ending) -> str:
    """Return the sentence on the end of a plan, for an answer's message."""
    when = "the end of the billing period" if ending.at is None else f"{ending.at:%Y-%m-%d}"
    return f"Your {PLANS[ending.tier].display_name} plan ends on {when}. Until then nothing changes."
