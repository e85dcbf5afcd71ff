"""What Stripe says of a customer's subscriptions, and what follows for the owner's plan. Nothing here asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from shared.plans import PLANS, Tier
from shared.tables.subscriptions import Subscription, SubscriptionStatus

STATUSES: Final[Mapping[str, SubscriptionStatus]] = {
    **{status.value: status for status in SubscriptionStatus},
    "incomplete_expired": SubscriptionStatus.CANCELED,
}
"""Stripe's statuses, and ours. One that is absent here changes nothing."""

LIVE: Final = (SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE)
"""The statuses that give the tier, the better ones first."""

MAY_LIVE: Final = (*LIVE, SubscriptionStatus.PAUSED, SubscriptionStatus.UNPAID)
"""Those that give it now, or again once the owner pays or resumes: a second subscription would be one too many."""

_BEST_FIRST: Final = (*MAY_LIVE, SubscriptionStatus.INCOMPLETE, SubscriptionStatus.CANCELED)


@dataclass(frozen=True, kw_only=True)
class PricedItem:
    """One item of a subscription: the id of its price, and its period in epoch seconds."""

    price: str
    period_start: int | None
    period_end: int | None


@dataclass(frozen=True, kw_only=True)
class StripeSubscription:
    """A subscription as Stripe answers it. `created` is in epoch seconds; `cancels`: it ends with its period."""

    id: str
    status: str
    created: int
    items: tuple[PricedItem, ...]
    cancel_at_period_end: bool
    cancel_at: int | None

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer. Periods are the items' since 2025-03-31; before, they were the subscription's."""
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
        """Whether it is to end. The portal may set a time instead of the flag."""
        return self.cancel_at_period_end or self.cancel_at is not None

    @property
    def has_ended(self) -> bool:
        return STATUSES.get(self.status) is SubscriptionStatus.CANCELED


@dataclass(frozen=True, kw_only=True)
class Bought:
    """A subscription with a price and a status that are known. `item` is the one whose price gives the tier."""

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

    def on(self, row: Subscription, at: datetime) -> Subscription:
        """Return the row as this subscription makes it."""
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
    """What an owner has at Stripe: the one subscription that counts, None for none; and `live`, all that give a plan.

    If any is live, the first of them is the best. `unknown` are subscriptions that have not ended, with a price or a
    status that no setting and no code names. They change nothing.
    """

    best: Bought | None
    live: tuple[Bought, ...] = ()
    unknown: tuple[StripeSubscription, ...] = ()

    @property
    def decides(self) -> bool:
        """Whether the plan follows from it: not if all that may give one is unknown."""
        return not self.unknown or bool(self.live)

    @property
    def may_live(self) -> bool:
        """Whether there is a subscription that gives a plan, or may do so again."""
        return bool(self.unknown) or (self.best is not None and self.best.status in MAY_LIVE)

    def on(self, row: Subscription, at: datetime) -> Subscription:
        """Return the row as this standing makes it. One that never had a subscription stays as it is."""
        if self.best is not None:
            return self.best.on(row, at)
        if row.stripe_subscription_id is None:
            return row
        ended = {"tier": Tier.HOBBY, "status": SubscriptionStatus.CANCELED, "cancel_at_period_end": False}
        return row.model_copy(update={**ended, "updated_at": at})


def standing_of(subscriptions: Sequence[StripeSubscription], tiers: Mapping[str, Tier]) -> Standing:
    """Return what these subscriptions give, with `tiers` by the ids of prices.

    Of several live ones the best counts: one that is not past due, of the highest tier; then the oldest, so that the
    second one is too much. Of several that are not live the newest counts.
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
