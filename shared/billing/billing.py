"""Paid plans: checkout, portal, cancelling and keeping, and Stripe's events."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.billing.customers import Customers
from shared.billing.events import read_event
from shared.billing.opening import StripeConnection
from shared.billing.reconciling import Reconciled, Reconciling
from shared.billing.signatures import is_signed
from shared.billing.standing import LIVE, Bought
from shared.billing.stripe_errors import StripeMissing
from shared.billing.syncing import PlanSync
from shared.core.billing_settings import BillingSettings
from shared.core.clock import Clock
from shared.core.errors import AgentTalkError, InternalError, ServiceUnavailable, ValidationFailed
from shared.core.urls import origin_of
from shared.jobs.worked import CanGoOn
from shared.plans import PLANS, Plan, Tier
from shared.stores.port import StoreError
from shared.tables import Tables
from shared.tables.subscriptions import Subscription
from shared.tables.users import User

NO_SUBSCRIPTION: Final = "No subscription found. Please upgrade first."
URL_LENGTH: Final = 2048
"""The most characters of an address to return to. Browsers accept as many."""

_log = logging.getLogger("agent_talk.billing")


@dataclass(frozen=True, kw_only=True)
class CheckoutStarted:
    url: str
    session_id: str


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A subscription that was set to end with its period, or kept. `at` is when it ends or would; None: unknown."""

    tier: Tier
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ReturnUrls:
    """The origins of addresses that browsers may return to from Stripe. `app` is the default address."""

    app: str
    origins: frozenset[str]

    def checked(self, url: str | None, field: str, *, otherwise: str) -> str:
        """Return the address; for None the app's, `https://…/app?billing=<otherwise>`.

        Raises ValidationFailed if it is not of a configured origin.
        """
        if url is None:
            return f"{self.app}?billing={otherwise}"
        plain = url.isascii() and url.isprintable() and not set(url) & set(" \\") and len(url) <= URL_LENGTH
        if not plain or origin_of(url.partition("#")[0].partition("?")[0]) not in self.origins:
            raise ValidationFailed(f"{field} must be of an origin of this service", details={"field": field})
        return url


class Billing:
    def __init__(
        self,
        *,
        settings: BillingSettings,
        tables: Tables,
        customers: Customers,
        plans: PlanSync,
        stripe: StripeConnection,
        returns: ReturnUrls,
        sales_email: str,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._customers = customers
        self._plans = plans
        self._reconciling = Reconciling(tables=tables, plans=plans)
        self._stripe = stripe
        self._returns = returns
        self.sales_email = sales_email
        self._clock = clock

    @property
    def is_on(self) -> bool:
        return self._settings.is_on

    async def close(self) -> None:
        await self._stripe.close()

    async def check_out(
        self, user: User, *, success_url: str | None = None, cancel_url: str | None = None
    ) -> CheckoutStarted:
        """Begin the purchase of Pro.

        Raises ValidationFailed if the owner has a paid plan or a subscription, StripeFailed, StoreError.
        """
        self._check_on()
        success_url = self._returns.checked(success_url, "successUrl", otherwise="success")
        cancel_url = self._returns.checked(cancel_url, "cancelUrl", otherwise="cancelled")
        if user.tier is not Tier.HOBBY:
            raise ValidationFailed(f"You are already on the {PLANS[user.tier].display_name} plan")
        customer = await self._customers.ensure(user)
        standing = await self._plans.standing(customer)
        if standing.may_live:
            await self._plans.sync(user.id, customer)  # its event is late, or was lost
            raise ValidationFailed("You have a subscription already. Please manage it in the billing portal.")
        try:
            return await self._check_out(user, customer, success_url, cancel_url)
        except StripeMissing as missing:
            if missing.param != "customer":
                raise
            customer = await self._customers.replace(user, customer)
            return await self._check_out(user, customer, success_url, cancel_url)

    async def open_portal(self, user: User, *, return_url: str | None = None) -> str:
        """Return the address of this owner's page at Stripe. Raises ValidationFailed without a customer."""
        self._check_on()
        return_url = self._returns.checked(return_url, "returnUrl", otherwise="portal")
        row = await self._tables.subscriptions.of(user.id)
        if row is None or row.stripe_customer_id is None:
            raise ValidationFailed(NO_SUBSCRIPTION)
        try:
            return await self._stripe.api.create_portal(row.stripe_customer_id, return_url=return_url)
        except StripeMissing as missing:
            raise ValidationFailed(NO_SUBSCRIPTION) from missing

    async def end_with_period(self, user: User) -> Ending:
        """Let the subscription end with its period. Repeatable. Raises ValidationFailed without a live one."""
        customer, live = await self._live(user)
        await self._stripe.api.end_with_period(live.subscription)
        return await self._followed(user, customer, live)

    async def keep(self, user: User) -> Ending:
        """Keep a subscription that was to end. Repeatable. Raises ValidationFailed without a live one."""
        customer, live = await self._live(user)
        await self._stripe.api.keep(live.subscription)
        return await self._followed(user, customer, live)

    async def step_down(self, user: User, target: Plan) -> Ending:
        """Go down to Hobby when the paid period ends. Raises ValidationFailed for any other change."""
        current = PLANS[user.tier]
        if target.rank >= current.rank:
            raise ValidationFailed(
                f"{target.display_name} is not below your plan, {current.display_name}", details={"field": "tier"}
            )
        if target.tier is not Tier.HOBBY:
            raise ValidationFailed(
                f"Please write to {self.sales_email} to change to the {target.display_name} plan",
                details={"field": "tier"},
            )
        return await self.end_with_period(user)

    async def cancel(self, user_id: str) -> None:
        """Cancel all subscriptions of an owner at once, since the account is closed. Repeatable.

        Raises ServiceUnavailable if a subscription may still be paid for, StoreError.
        """
        row = await self._tables.subscriptions.of(user_id)
        if row is None or not (row.stripe_customer_id or row.stripe_subscription_id):
            return
        if not self.is_on:
            if row.status in LIVE and row.stripe_subscription_id is not None:
                _log.error(
                    "an account is paid for at Stripe, which is off: it cannot be closed", extra={"user_id": user_id}
                )
                raise ServiceUnavailable
            return
        for subscription_id in await self._not_ended(row):
            await self._stripe.api.cancel(subscription_id)
            _log.info(
                "a subscription is cancelled, as its account is closed",
                extra={"user_id": user_id, "subscription_id": subscription_id},
            )

    async def reconcile(self, *, can_go_on: CanGoOn, after: str | None = None, writes: bool = True) -> Reconciled:
        """Compare a piece of all owners with Stripe, as `Reconciling` does. If Stripe is off, return an empty piece."""
        if not self.is_on:
            return Reconciled(checked=0, failed=0, differed=(), after=None)
        return await self._reconciling.reconcile(can_go_on=can_go_on, after=after, writes=writes)

    async def receive(self, body: bytes, signature: str | None) -> None:
        """Synchronise the owner whose customer an event of Stripe names. Events of other customers have no effect.

        Raises ValidationFailed if the body is not signed or is no event, and InternalError for any other failure, so
        that Stripe sends the event again.
        """
        if not is_signed(body, signature or "", self._settings.webhook_secrets, now=self._clock().timestamp()):
            raise ValidationFailed("The signature of Stripe is missing or wrong")
        hint = read_event(body)
        said = {"event_id": hint.event_id, "event_type": hint.event_type}
        if hint.customer is None:
            return
        try:
            owner = await self._tables.subscriptions.owner_of(hint.customer)
            if owner is None:
                _log.info("an event is of no customer of ours", extra=said | {"customer": hint.customer})
                return
            await self._plans.sync(owner, hint.customer)
        except (StoreError, AgentTalkError) as exc:
            _log.exception("an event was not taken: Stripe sends it again", extra=said)
            raise InternalError from exc

    def _check_on(self) -> None:
        if not self.is_on:
            raise ValidationFailed("Payments are not available here")

    async def _check_out(self, user: User, customer: str, success_url: str, cancel_url: str) -> CheckoutStarted:
        session = await self._stripe.api.create_checkout(
            customer=customer,
            user_id=user.id,
            price=self._settings.prices[Tier.PRO][0],
            success_url=success_url,
            cancel_url=cancel_url,
        )
        return CheckoutStarted(url=session.url, session_id=session.id)

    async def _not_ended(self, row: Subscription) -> list[str]:
        """Return the ids of the subscriptions that have not ended. Expires open checkouts first, so none is added."""
        if row.stripe_customer_id is None:  # a row that moved in
            return [row.stripe_subscription_id or ""]
        await self._stripe.api.expire_checkouts(row.stripe_customer_id)
        found = await self._stripe.api.subscriptions(row.stripe_customer_id)
        return [subscription.id for subscription in found if not subscription.has_ended]

    async def _live(self, user: User) -> tuple[str, Bought]:
        self._check_on()
        row = await self._tables.subscriptions.of(user.id)
        if row is None or row.stripe_customer_id is None:
            raise ValidationFailed(NO_SUBSCRIPTION)
        standing = await self._plans.standing(row.stripe_customer_id)
        if not standing.live:
            raise ValidationFailed(NO_SUBSCRIPTION)
        return row.stripe_customer_id, standing.live[0]

    async def _followed(self, user: User, customer: str, live: Bought) -> Ending:
        await self._plans.sync(user.id, customer)
        return Ending(tier=live.tier, at=live.ends_at)


def origins_of(urls: Sequence[str]) -> frozenset[str]:
    """Return the origins of these addresses."""
    return frozenset(origin for origin in map(origin_of, urls) if origin is not None)
