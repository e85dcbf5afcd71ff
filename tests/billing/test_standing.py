"""What follows from a customer's subscriptions, without asking Stripe."""

from typing import Any, Final

import pytest

from shared.billing.standing import PricedItem, StripeSubscription, standing_of
from shared.plans import Tier
from shared.tables.subscriptions import Subscription, SubscriptionStatus
from tests.fakes.stripe_server import ENTERPRISE, PRO
from tests.support import NOON

TIERS: Final = {PRO: Tier.PRO, ENTERPRISE: Tier.ENTERPRISE}
ROW: Final = Subscription(
    id="s1", user_id="u", tier=Tier.HOBBY, status=SubscriptionStatus.ACTIVE, created_at=NOON, updated_at=NOON
)


def bought(created: int, status: str = "active", *prices: str, cancels: bool = False) -> StripeSubscription:
    items = tuple(PricedItem(price=price, period_start=None, period_end=None) for price in prices or (PRO,))
    return StripeSubscription(
        id=f"sub_{created}",
        status=status,
        created=created,
        items=items,
        cancel_at_period_end=cancels,
        cancel_at=None,
    )


@pytest.mark.parametrize(
    ("subscriptions", "best"),
    [
        ([bought(2), bought(1)], "sub_1"),
        ([bought(1), bought(2, "trialing", ENTERPRISE)], "sub_2"),
        ([bought(1, "past_due", ENTERPRISE), bought(2)], "sub_2"),
        ([bought(2, "canceled"), bought(3, "canceled"), bought(1, "canceled")], "sub_3"),
        ([bought(2, "canceled"), bought(1, "paused")], "sub_1"),
    ],
    ids=["the oldest", "the highest tier", "one that is paid", "the newest that ended", "one that may go on"],
)
def test_standing_takes_the_best(subscriptions: list[StripeSubscription], best: str) -> None:
    """Of several live ones the paid, highest, oldest; of others the newest, if none may go on."""
    standing = standing_of(subscriptions, TIERS)
    assert standing.best is not None
    assert standing.best.subscription.id == best


def test_standing_has_the_tier_of_the_best_item() -> None:
    """A subscription with two known prices gives the higher tier."""
    standing = standing_of([bought(1, "active", PRO, ENTERPRISE)], TIERS)
    assert standing.on(ROW, NOON).tier is Tier.ENTERPRISE


@pytest.mark.parametrize(("status", "cancels"), [("active", True), ("canceled", False)])
def test_ended_subscription_cancels_no_more(status: str, *, cancels: bool) -> None:
    """The row says that it ends while it is to end, and no longer once it has."""
    row = standing_of([bought(1, status, cancels=True)], TIERS).on(ROW, NOON)
    assert row.cancel_at_period_end is cancels


@pytest.mark.parametrize("of_item", [True, False])
def test_period_is_the_items_or_the_subscriptions(*, of_item: bool) -> None:
    """Versions of the API before 2025-03-31 have the period at the subscription."""
    period = {"current_period_start": 100, "current_period_end": 200}
    item: dict[str, Any] = {"price": {"id": PRO}} | (period if of_item else {})
    answer = {"id": "sub_1", "status": "active", "created": 1, "items": {"data": [item]}, "cancel_at_period_end": False}
    (read,) = StripeSubscription.read(answer | ({} if of_item else period)).items
    assert read == PricedItem(price=PRO, period_start=100, period_end=200)
