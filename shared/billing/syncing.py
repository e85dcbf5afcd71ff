"""The plan that follows from Stripe's answers: read there, written here, and never stale.

An event, a request and the daily comparison are hints that a customer changed. Only Stripe's answer to a request
counts, and the later of two answers. So each synchronisation

1. draws a number from the owner's counter,
2. then requests all subscriptions of the customer from Stripe,
3. then writes the row, unless it has this number or a higher one,
4. then puts the user on the row's tier under the row's number, unless the user has a higher one.

With a number drawn after the request, or with none, the older of two answers could win. Between 3 and 4 another
synchronisation may write the row. If that changes the row's tier, it writes its number to the user even if the user has
the right tier already: so the first one finds a higher number, and does not change the user. Each step can be repeated,
so the next synchronisation finishes one that stopped anywhere; Stripe's repeat of an event without an acknowledgement
starts one.
"""

import logging
from collections.abc import Mapping, Sequence

from shared.activity import UsageRecorder
from shared.billing.opening import StripeConnection
from shared.billing.standing import Bought, Standing, StripeSubscription, standing_of
from shared.core.clock import Clock
from shared.observability import request_stats
from shared.plans import Tier
from shared.tables import Tables
from shared.tables.subscriptions import Subscription
from shared.tables.usage_logs import Action
from shared.tables.users import User

_log = logging.getLogger("agent_talk.billing")


class PlanSync:
    def __init__(
        self,
        *,
        tables: Tables,
        recorder: UsageRecorder,
        stripe: StripeConnection,
        tiers: Mapping[str, Tier],
        clock: Clock,
    ) -> None:
        self._tables = tables
        self._recorder = recorder
        self._stripe = stripe
        self._tiers = tiers
        self._clock = clock

    async def standing(self, customer: str) -> Standing:
        """Return a customer's standing at Stripe now. Raises StripeFailed."""
        return standing_of(await self._stripe.api.subscriptions(customer), self._tiers)

    async def sync(self, user_id: str, customer: str) -> None:
        """Write the plan that follows from this customer's standing. Repeatable. Raises StripeFailed, StoreError."""
        number = await self._tables.subscriptions.draw(user_id)
        await self._write(user_id, customer, number, await self.standing(customer))

    async def _write(self, user_id: str, customer: str, number: int, standing: Standing) -> None:
        for unknown in standing.unknown:
            self._say_unknown(user_id, unknown)
        if not standing.decides:
            return
        at = self._clock()
        before, after = await self._tables.subscriptions.follow(
            user_id, customer, number, lambda row: standing.on(row, at)
        )
        is_owners = after is not None and after.stripe_customer_id == customer
        if before is None or after is None or not is_owners:
            user = await self._tables.users.get(user_id)
        else:
            user = await self._put_on(after, stamps=before.tier != after.tier)
        if user is None or user.is_closing:
            await self._cancel(standing.live, user_id, "a subscription without an account was paid for")
        elif after is None or not is_owners:
            for one in standing.live:
                _log.error(
                    "a subscription of a customer that is not the owner's gives no plan: cancel it or attach it",
                    extra={"user_id": user_id, "customer": customer, "subscription_id": one.subscription.id},
                )
        elif after.synced == number:  # else a later answer decides which one is too many
            await self._cancel(standing.live[1:], user_id, "a second subscription was paid for")
        if before is not None and after is not None and before.status != after.status:
            _log.info("a subscription changed", extra=_fields(after) | {"was": before.status})

    async def _put_on(self, row: Subscription, *, stamps: bool) -> User | None:
        """Put the owner on the row's tier, and return the user; None: there is no user.

        A row without a subscription changes nothing. `stamps` writes the number even if the tier is the same.
        """
        if row.stripe_subscription_id is None:
            return await self._tables.users.get(row.user_id)
        before, after = await self._tables.users.put_on(row.user_id, row.tier, number=row.synced, stamps=stamps)
        if before is not None and after is not None and before.tier != after.tier:
            request_stats.current().plans_changed += 1
            _log.info("a plan changed", extra=_fields(row) | {"was": before.tier, "now": after.tier})
            changed = {"from": before.tier, "to": after.tier}
            await self._recorder.try_record(
                Action.PLAN_CHANGED, user_id=row.user_id, at=self._clock(), metadata=changed
            )
        return after

    async def _cancel(self, subscriptions: Sequence[Bought], user_id: str, why: str) -> None:
        for one in subscriptions:
            await self._stripe.api.cancel(one.subscription.id)
            _log.error(
                "%s, and is cancelled: refund it",
                why,
                extra={"user_id": user_id, "subscription_id": one.subscription.id},
            )

    def _say_unknown(self, user_id: str, unknown: StripeSubscription) -> None:
        _log.error(
            "a subscription has a price or a status that is not known, and changes nothing: "
            "name its price in STRIPE_PRICE_PRO or STRIPE_PRICE_ENTERPRISE",
            extra={
                "user_id": user_id,
                "subscription_id": unknown.id,
                "status": unknown.status,
                "prices": [item.price for item in unknown.items],
            },
        )


def _fields(row: Subscription) -> dict[str, object]:
    return {"user_id": row.user_id, "subscription_id": row.stripe_subscription_id, "status": row.status}
