"""Checkout, Stripe's portal, cancelling and keeping a plan; and the webhook by which Stripe reports changes."""

from typing import Annotated

from fastapi import APIRouter, Header, Request

from handlers.models.billing import (
    CheckoutAnswer,
    CheckoutBody,
    ContactSales,
    CurrentTier,
    Downgraded,
    PortalAnswer,
    PortalBody,
    Received,
    TierBody,
    UpgradeAnswer,
    ends,
)
from handlers.models.openapi import BODY_ERRORS, SESSION_ERRORS, errors
from shared.core.errors import ValidationFailed
from shared.plans import PLANS, Tier, plan_named
from shared.web.auth import RequestServices, SessionUser

routes = APIRouter(tags=["plans"])


@routes.post("/api/v1/billing/checkout", responses=errors(*BODY_ERRORS, *SESSION_ERRORS))
async def check_out(body: CheckoutBody, user: SessionUser, services: RequestServices) -> CheckoutAnswer:
    """Begin to buy Pro. Send the browser to `checkoutUrl`."""
    started = await services.billing.check_out(user, success_url=body.success_url, cancel_url=body.cancel_url)
    return CheckoutAnswer.of(started)


@routes.post("/api/v1/billing/portal", responses=errors(*BODY_ERRORS, *SESSION_ERRORS))
async def open_portal(body: PortalBody, user: SessionUser, services: RequestServices) -> PortalAnswer:
    """Open Stripe's page for cards, invoices and the plan. Send the browser to `portalUrl`."""
    return PortalAnswer(success=True, portal_url=await services.billing.open_portal(user, return_url=body.return_url))


@routes.post("/api/v1/billing/cancel", responses=errors(ValidationFailed, *SESSION_ERRORS))
async def cancel(user: SessionUser, services: RequestServices) -> CurrentTier:
    """Let the plan end with its paid period. Repeatable."""
    ending = await services.billing.end_with_period(user)
    return CurrentTier(success=True, message=ends(ending), current_tier=ending.tier)


@routes.post("/api/v1/billing/reactivate", responses=errors(ValidationFailed, *SESSION_ERRORS))
async def reactivate(user: SessionUser, services: RequestServices) -> CurrentTier:
    """Keep a plan that was to end. Repeatable."""
    kept = await services.billing.keep(user)
    return CurrentTier(
        success=True, message=f"Your {PLANS[kept.tier].display_name} plan goes on.", current_tier=kept.tier
    )


@routes.post("/api/v1/billing/upgrade", responses=errors(*BODY_ERRORS, *SESSION_ERRORS))
async def upgrade(body: TierBody, user: SessionUser, services: RequestServices) -> UpgradeAnswer:
    """Begin to buy a higher plan. For Enterprise the answer is an address to write to."""
    current, target = PLANS[user.tier], plan_named(body.tier)
    if target.rank <= current.rank:
        raise ValidationFailed(
            f"{target.display_name} is not above your plan, {current.display_name}", details={"field": "tier"}
        )
    if target.tier is Tier.ENTERPRISE:
        sales = ContactSales(
            success=True,
            message="The Enterprise plan is by agreement: please write to us.",
            action="contact_sales",
            contact_email=services.billing.sales_email,
        )
        return UpgradeAnswer(sales)
    return UpgradeAnswer(CheckoutAnswer.of(await services.billing.check_out(user)))


@routes.post("/api/v1/billing/downgrade", responses=errors(*BODY_ERRORS, *SESSION_ERRORS))
async def downgrade(body: TierBody, user: SessionUser, services: RequestServices) -> Downgraded:
    """Go down to Hobby when the paid period ends. Repeatable."""
    target = plan_named(body.tier)
    ending = await services.billing.step_down(user, target)
    return Downgraded(
        success=True,
        message=ends(ending),
        current_tier=ending.tier,
        target_tier=target.tier,
        effective_date=ending.at,
    )


@routes.post("/api/webhooks/stripe", responses=errors(ValidationFailed))
async def receive_event(
    request: Request,
    services: RequestServices,
    signature: Annotated[str | None, Header(alias="Stripe-Signature")] = None,
) -> Received:
    """Receive an event of Stripe, signed over its raw body.

    400: the signature is wrong, or the body is no event. Any other failure is 500, so that Stripe sends the event
    again.
    """
    await services.billing.receive(await request.body(), signature)
    return Received(received=True)
