"""The plan that follows from a customer's subscriptions, without requests to Stripe."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from shared.billing.standing import PricedItem, StripeSubscription, standing_of
from shared.plans import Tier
from shared.tables.subscriptions import Subscription, SubscriptionStatus
from tests.fakes.stripe_server import ENTERPRISE, PRO
from tests.support import NOON

LATER: Final = NOON + timedelta(hours=1)
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
    """The standing is the paid, highest, oldest of the live ones; if none is live or may become so, the newest."""
    standing = standing_of(subscriptions, TIERS)
    assert standing.best is not None
    assert standing.best.subscription.id == best


def test_standing_has_the_tier_of_the_best_item() -> None:
    """A subscription with two known prices gives the higher tier."""
    standing = standing_of([bought(1, "active", PRO, ENTERPRISE)], TIERS)
    assert standing.on(ROW, NOON).tier is Tier.ENTERPRISE


@pytest.mark.parametrize(("status", "cancels"), [("active", True), ("canceled", False)])
def test_ended_subscription_cancels_no_more(status: str, *, cancels: bool) -> None:
    """The row shows a planned end until the subscription has ended, and not afterwards."""
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


@pytest.mark.parametrize(
    ("status", "price", "is_unknown"),
    [("active", "price_x", True), ("new_status", PRO, True), ("canceled", "price_x", False)],
    ids=["price", "status", "ended"],
)
def test_standing_decides_unless_what_is_unknown_may_live(status: str, price: str, *, is_unknown: bool) -> None:
    """An unknown price or status leaves the plan unchanged, unless its subscription has ended."""
    standing = standing_of([bought(1, status, price)], TIERS)
    assert [one.id for one in standing.unknown] == (["sub_1"] if is_unknown else [])
    assert (standing.decides, standing.may_live) == (not is_unknown, is_unknown)


def test_standing_decides_by_what_is_known_of_two() -> None:
    """A live subscription with a known price gives its plan beside an unknown one; an ended one does not."""
    unknown = bought(2, "active", "price_x")
    assert standing_of([bought(1), unknown], TIERS).decides
    assert not standing_of([bought(1, "canceled"), unknown], TIERS).decides


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_status_gives_a_plan_or_may_again(status: SubscriptionStatus) -> None:
    """Active, trialing and past due give the tier; paused and unpaid may give it again; all other statuses never do."""
    standing = standing_of([bought(1, status)], TIERS)
    gives = status in ("active", "trialing", "past_due")
    assert bool(standing.live) is gives
    assert standing.may_live is (gives or status in ("paused", "unpaid"))
    assert standing.on(ROW, NOON).tier is (Tier.PRO if gives else Tier.HOBBY)


def test_standing_without_a_subscription_ends_what_there_was() -> None:
    """A row that had a subscription becomes canceled, without a planned end; a row without one stays unchanged."""
    nothing = standing_of([], TIERS)
    assert nothing.on(ROW, LATER) == ROW
    had = ROW.model_copy(
        update={"stripe_subscription_id": "sub_1", "tier": Tier.PRO, "cancel_at_period_end": True, "synced": 3}
    )
    assert nothing.on(had, LATER) == had.model_copy(
        update={
            "tier": Tier.HOBBY,
            "status": SubscriptionStatus.CANCELED,
            "cancel_at_period_end": False,
            "updated_at": LATER,
        }
    )


def test_standing_writes_all_that_a_row_has_of_it() -> None:
    """Subscription, tier, status, period, end and the moment; the customer and the number stay."""
    item = PricedItem(price=PRO, period_start=0, period_end=86_400)
    subscription = StripeSubscription(
        id="sub_1", status="past_due", created=1, items=(item,), cancel_at_period_end=False, cancel_at=5
    )
    row = ROW.model_copy(update={"stripe_customer_id": "cus_1", "synced": 3})
    assert standing_of([subscription], TIERS).on(row, LATER) == row.model_copy(
        update={
            "stripe_subscription_id": "sub_1",
            "tier": Tier.PRO,
            "status": SubscriptionStatus.PAST_DUE,
            "current_period_start": datetime(1970, 1, 1, tzinfo=UTC),
            "current_period_end": datetime(1970, 1, 2, tzinfo=UTC),
            "cancel_at_period_end": True,
            "updated_at": LATER,
        }
    )
