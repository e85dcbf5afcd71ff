"""A customer's subscriptions as Stripe returns them, and the plan that follows. This module sends no request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Final, Self

from shared.plans import PLANS, Tier
from shared.tables.subscriptions import Subscription, SubscriptionStatus

STATUSES: Final[Mapping[str, SubscriptionStatus]] = {
    **{status.value: status for status in SubscriptionStatus},
    "incomplete_expired": SubscriptionStatus.CANCELED,
}
"""Our status by Stripe's. One that is absent here changes nothing."""

LIVE: Final = (SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE)
"""The statuses that give the tier, the better ones first."""

MAY_LIVE: Final = (*LIVE, SubscriptionStatus.PAUSED, SubscriptionStatus.UNPAID)
"""The statuses that give the tier now, or again once the owner pays or resumes: a second subscription would be one too
many."""

_BEST_FIRST: Final = (*MAY_LIVE, SubscriptionStatus.INCOMPLETE, SubscriptionStatus.CANCELED)


@dataclass(frozen=True, kw_only=True)
class PricedItem:
    """One item of a subscription: the id of its price, and its period in epoch seconds."""

    price: str
    period_start: int | None
    period_end: int | None


@dataclass(frozen=True, kw_only=True)
class StripeSubscription:
    """A subscription as Stripe returns it. `created` and `cancel_at` are in epoch seconds."""

    id: str
    status: str
    created: int
    items: tuple[PricedItem, ...]
    cancel_at_period_end: bool
    cancel_at: int | None

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer. Since the version 2025-03-31 items have periods; before, the subscription had one."""
        return cls(
            id=answer["id"],
            status=answer["status"],
            created=answer["created"],
            items=tuple(
                PricedItem(
                    price=item["price"]["id"],
                    period_start=item.get("current_period_start", answer.get("current_period_start")),
                    period_end=item.get("current_period_end", answer.get("current_period_end")),
                )
                for item in answer["items"]["data"]
            ),
            cancel_at_period_end=answer["cancel_at_period_end"],
            cancel_at=answer.get("cancel_at"),
        )

    @property
    def cancels(self) -> bool:
        """True if it is to end. Stripe's portal may set a time instead of the flag."""
        return self.cancel_at_period_end or self.cancel_at is not None

    @property
    def ends_with_period(self) -> bool:
        """True if it is to end with its period, or before. With a later time the next period would be paid for."""
        ends = [item.period_end for item in self.items if item.period_end is not None]
        return self.cancel_at_period_end or (self.cancel_at is not None and self.cancel_at <= max(ends, default=inf))

    @property
    def has_ended(self) -> bool:
        return STATUSES.get(self.status) is SubscriptionStatus.CANCELED


@dataclass(frozen=True, kw_only=True)
class Bought:
    """A subscription with a known price and status. `item` is the one whose price gives the tier."""

    subscription: StripeSubscription
    item: PricedItem
    tier: Tier
    status: SubscriptionStatus

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def period_end(self) -> datetime | None:
        return _instant(self.item.period_end)

    @property
    def ends_at(self) -> datetime | None:
        """When it ends if it is to end with its period: then, or at an earlier time that was set. None: unknown."""
        times = (self.item.period_end, self.subscription.cancel_at)
        return _instant(min((time for time in times if time is not None), default=None))

    def on(self, row: Subscription, at: datetime) -> Subscription:
        """Return the row with this subscription's tier, status and period."""
        return row.model_copy(
            update={
                "stripe_subscription_id": self.subscription.id,
                "tier": self.tier if self.is_live else Tier.HOBBY,
                "status": self.status,
                "current_period_start": _instant(self.item.period_start),
                "current_period_end": self.period_end,
                "cancel_at_period_end": self.subscription.cancels and self.status is not SubscriptionStatus.CANCELED,
                "updated_at": at,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An owner's subscriptions at Stripe: `best`, the one that counts, None if there is none; and `live`, all that give
    a plan, the best one first. `unknown` have not ended, but have a price that no setting or a status that no code
    names: they change nothing.
    """

    best: Bought | None
    live: tuple[Bought, ...] = ()
    unknown: tuple[StripeSubscription, ...] = ()

    @property
    def decides(self) -> bool:
        """True if the plan follows from this: not if there are unknown subscriptions, but none is live."""
        return not self.unknown or bool(self.live)

    @property
    def may_live(self) -> bool:
        """True if a subscription gives a plan, or may give one again."""
        return bool(self.unknown) or (self.best is not None and self.best.status in MAY_LIVE)

    def on(self, row: Subscription, at: datetime) -> Subscription:
        """Return the row with this standing's tier and status. A row without any subscription stays unchanged."""
        if self.best is not None:
            return self.best.on(row, at)
        if row.stripe_subscription_id is None:
            return row
        ended = {"tier": Tier.HOBBY, "status": SubscriptionStatus.CANCELED, "cancel_at_period_end": False}
        return row.model_copy(update={**ended, "updated_at": at})


def standing_of(subscriptions: Sequence[StripeSubscription], tiers: Mapping[str, Tier]) -> Standing:
    """Return the standing of these subscriptions. `tiers` are by the ids of prices.

    If several are live, one counts that is not past due, of the highest tier, and among equals the oldest, so that a
    second purchase is the one too many. If none is live, the status decides in the order of _BEST_FIRST, then the
    newest counts.
    """
    bought, unknown = [], []
    for subscription in subscriptions:
        one = _bought(subscription, tiers)
        if one is not None:
            bought.append(one)
        elif not subscription.has_ended:
            unknown.append(subscription)
    live = sorted((one for one in bought if one.is_live), key=_order_of_live)
    if live:
        return Standing(best=live[0], live=tuple(live), unknown=tuple(unknown))
    rest = sorted(bought, key=lambda one: (_BEST_FIRST.index(one.status), -one.subscription.created))
    return Standing(best=rest[0] if rest else None, unknown=tuple(unknown))


def _bought(subscription: StripeSubscription, tiers: Mapping[str, Tier]) -> Bought | None:
    priced = [item for item in subscription.items if item.price in tiers]
    status = STATUSES.get(subscription.status)
    if not priced or status is None:
        return None
    item = max(priced, key=lambda item: PLANS[tiers[item.price]].rank)
    return Bought(subscription=subscription, item=item, tier=tiers[item.price], status=status)


def _order_of_live(one: Bought) -> tuple[bool, int, int, str]:
    late = one.status is SubscriptionStatus.PAST_DUE
    return late, -PLANS[one.tier].rank, one.subscription.created, one.subscription.id


def _instant(epoch_s: int | None) -> datetime | None:
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC)
