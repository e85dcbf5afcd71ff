"""Tiers, and the caller's plan. `subscriptions_paid` has its payment."""

from typing import Annotated

from fastapi import APIRouter, Path

from handlers import subscriptions_paid
from handlers.models.base import Answer, Success
from handlers.models.billing import BillingOptions, CheckoutOptions
from handlers.models.openapi import SESSION_ERRORS, errors
from handlers.models.plans import PlanFeatures, PlanLimits, or_unlimited
from shared.core.clock import Instant
from shared.core.errors import ValidationFailed
from shared.plans import PLANS, Difference, Plan, Tier, compare, plan_named
from shared.tables.subscriptions import SubscriptionStatus
from shared.web.auth import RequestServices, SessionUser
from shared.web.function import Function

routes = APIRouter(tags=["plans"])
routes.routes += subscriptions_paid.routes.routes  # an included router would hide its paths


class TierAnswer(Answer):
    name: Tier
    display_name: str
    description: str
    price: int | None
    highlighted: bool
    limits: PlanLimits
    features: PlanFeatures


class TierList(Success):
    tiers: list[TierAnswer]


class OneTier(Success):
    tier: TierAnswer


class SubscriptionDetails(Answer):
    tier: Tier
    tier_name: str
    price: int | None
    status: SubscriptionStatus
    limits: PlanLimits
    features: PlanFeatures
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    current_period_start: Instant | None
    current_period_end: Instant | None
    cancel_at_period_end: bool
    billing: BillingOptions


class Subscriber(Answer):
    id: str
    email: str
    created_at: Instant


class SubscriptionAnswer(Success):
    subscription: SubscriptionDetails
    user: Subscriber
    billing: BillingOptions


class TierSummary(Answer):
    name: Tier
    display_name: str
    price: int | None


class Change(Answer):
    feature: str
    current: int | str | bool
    target: int | str | bool
    improvement: bool


class Comparison(Answer):
    is_upgrade: bool
    is_downgrade: bool
    is_same_tier: bool
    current_tier: TierSummary
    target_tier: TierSummary
    changes: list[Change]


class ComparisonAnswer(Success):
    comparison: Comparison
    billing: CheckoutOptions


TierName = Annotated[str, Path(examples=["pro"], json_schema_extra={"enum": list(Tier)})]
"""A tier's name in any case. The route checks it, with its own error."""


@routes.get("/api/v1/billing/tiers", responses=errors())
async def list_tiers() -> TierList:
    """List the tiers. `price` is in USD a month; null: by agreement. Needs no credential."""
    return TierList(success=True, tiers=[_tier(plan) for plan in PLANS.values()])


@routes.get("/api/v1/billing/tiers/{tier}", responses=errors(ValidationFailed))
async def get_tier(tier: TierName) -> OneTier:
    """Return a tier by its name, in any case. Needs no credential."""
    return OneTier(success=True, tier=_tier(plan_named(tier)))


@routes.get("/api/v1/billing/subscription", responses=errors(*SESSION_ERRORS))
async def get_subscription(user: SessionUser, services: RequestServices) -> SubscriptionAnswer:
    """Return the caller's plan, and its subscription at Stripe."""
    found = await services.tables.subscriptions.of(user.id)
    plan = PLANS[user.tier]
    billing = BillingOptions.of(services.billing, plan, found)
    return SubscriptionAnswer(
        success=True,
        subscription=SubscriptionDetails(
            tier=plan.tier,
            tier_name=plan.display_name,
            price=plan.price,
            status=found.status if found else SubscriptionStatus.ACTIVE,
            limits=PlanLimits.of(plan),
            features=PlanFeatures.model_validate(plan.features),
            stripe_customer_id=found.stripe_customer_id if found else None,
            stripe_subscription_id=found.stripe_subscription_id if found else None,
            current_period_start=found.current_period_start if found else None,
            current_period_end=found.current_period_end if found else None,
            cancel_at_period_end=found.cancel_at_period_end if found else False,
            billing=billing,
        ),
        user=Subscriber(id=user.id, email=user.email, created_at=user.created_at),
        billing=billing,
    )


@routes.get("/api/v1/billing/compare/{tier}", responses=errors(ValidationFailed, *SESSION_ERRORS))
async def compare_tiers(user: SessionUser, tier: TierName, services: RequestServices) -> ComparisonAnswer:
    """Compare the caller's plan with another one."""
    current, target = PLANS[user.tier], plan_named(tier)
    row = await services.tables.subscriptions.of(user.id)
    return ComparisonAnswer(
        success=True,
        comparison=Comparison(
            is_upgrade=target.rank > current.rank,
            is_downgrade=target.rank < current.rank,
            is_same_tier=target.rank == current.rank,
            current_tier=_summary(current),
            target_tier=_summary(target),
            changes=[_change(difference) for difference in compare(current, target)],
        ),
        billing=CheckoutOptions.of(services.billing, current=current, target=target, row=row),
    )


def _tier(plan: Plan) -> TierAnswer:
    return TierAnswer(
        name=plan.tier,
        display_name=plan.display_name,
        description=plan.description,
        price=plan.price,
        highlighted=plan.highlighted,
        limits=PlanLimits.of(plan),
        features=PlanFeatures.model_validate(plan.features),
    )


def _summary(plan: Plan) -> TierSummary:
    return TierSummary(name=plan.tier, display_name=plan.display_name, price=plan.price)


def _change(difference: Difference) -> Change:
    return Change(
        feature=difference.feature,
        current=or_unlimited(difference.current),
        target=or_unlimited(difference.target),
        improvement=difference.improvement,
    )


handler = Function(routes, title="plans")
