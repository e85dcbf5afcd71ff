"""Events in every order, events that fail anywhere, and known mistakes of other integrations."""

import asyncio
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import permutations
from math import factorial
from typing import Any, Final

import pytest

from shared.billing.billing import Billing
from shared.billing.standing import Standing
from shared.billing.syncing import PlanSync
from shared.core.errors import InternalError, ValidationFailed
from shared.plans import Tier
from shared.stores.port import Key
from shared.tables import Window
from shared.tables.schema import STRIPE_IDS
from shared.tables.subscriptions import CUSTOMERS, Subscription
from shared.tables.usage_logs import Action
from shared.tables.users import User
from tests.fakes.billing_world import BillingWorld, Seen
from tests.fakes.stripe_network import StripeFault, StripeTransport
from tests.fakes.stripe_objects import MONTH_S, Json
from tests.fakes.stripe_server import ENTERPRISE, PRO
from tests.handlers.world import kept_logs
from tests.support import FailingStore, outcomes

pytestmark = pytest.mark.anyio

CALLS: Final = 5
"""Calls of the store by an event that changes the tier: claim, number, row, user, log."""

LOG: Final = 4
"""The call that writes the log. Without it the change still takes effect."""

UNCHANGED: Final = Seen(tier="hobby", of_row="hobby", status="active", subscription=None)

History = Callable[[BillingWorld, str], str]
"""Changes at Stripe of the customer with this id. Returns the subscription that the owner should see."""


def subscribed(world: BillingWorld, customer: str) -> str:
    return world.stripe.objects.subscribe(customer, PRO)


def failed(world: BillingWorld, customer: str) -> str:
    one = subscribed(world, customer)
    world.stripe.objects.renew(one, pays=False)
    return one


def recovered(world: BillingWorld, customer: str) -> str:
    one = failed(world, customer)
    world.stripe.objects.recover(one)
    return one


def paused(world: BillingWorld, customer: str) -> str:
    one = subscribed(world, customer)
    world.stripe.objects.become(one, "paused")
    return one


def cancelled(world: BillingWorld, customer: str) -> str:
    one = failed(world, customer)
    world.stripe.objects.end(one)
    return one


def deleted(world: BillingWorld, customer: str) -> str:
    one = subscribed(world, customer)
    world.stripe.objects.delete_customer(customer)
    return one


def incomplete(world: BillingWorld, customer: str) -> str:
    one = world.stripe.objects.subscribe(customer, PRO, status="incomplete")
    world.stripe.objects.become(one, "incomplete_expired")
    return one


def bought_anew(world: BillingWorld, customer: str) -> str:
    world.stripe.objects.end(subscribed(world, customer))
    return subscribed(world, customer)


HISTORIES: Final[Sequence[tuple[History, str, str]]] = (
    (subscribed, "pro", "active"),
    (failed, "pro", "past_due"),
    (recovered, "pro", "active"),
    (paused, "hobby", "paused"),
    (cancelled, "hobby", "canceled"),
    (deleted, "hobby", "canceled"),
    (incomplete, "hobby", "canceled"),
    (bought_anew, "pro", "active"),
)
"""Histories, and the tier and the status in which each ends."""


async def begun() -> tuple[BillingWorld, Billing, str]:
    world = BillingWorld()
    billing = await world.begin()
    return world, billing, await world.customer()


@pytest.mark.parametrize(("history", "tier", "status"), HISTORIES)
async def test_events_in_any_order_end_alike(history: History, tier: str, status: str) -> None:
    """Every permutation of a history's events, each sent twice, ends in the state that Stripe is in."""
    orders = 0
    first, _, customer = await begun()
    history(first, customer)
    for order in permutations(range(len(first.events()))):
        world, billing, customer = await begun()
        one = history(world, customer)
        events = world.events()
        for number in (*order, *order):
            await world.deliver(billing, events[number])
        assert await world.seen() == Seen(tier=tier, of_row=tier, status=status, subscription=one), order
        orders += 1
    assert orders == factorial(len(first.events()))


@pytest.mark.parametrize(("history", "tier", "status"), HISTORIES)
async def test_events_that_come_as_they_happen_end_alike(history: History, tier: str, status: str) -> None:
    """Each event is delivered when it happens, and all of them again at the end, the newest first."""
    world, billing, customer = await begun()
    loop = asyncio.get_running_loop()

    class Delivering(list[Json]):
        def append(self, event: Json) -> None:
            super().append(event)
            asyncio.run_coroutine_threadsafe(world.deliver(billing, event), loop).result(timeout=5)

    world.stripe.objects.events = happened = Delivering()
    one = await asyncio.to_thread(history, world, customer)
    for event in reversed(happened):
        await world.deliver(billing, event)
    assert await world.seen() == Seen(tier=tier, of_row=tier, status=status, subscription=one)


async def test_late_event_of_an_old_subscription_ends_nothing() -> None:
    """The end of the first subscription arrives after the second one was bought: the second one counts."""
    world, billing, customer = await begun()
    second = bought_anew(world, customer)
    (end,) = [event for event in world.events() if event["type"] == "customer.subscription.deleted"]
    await world.deliver(billing, world.events()[-1])
    await world.deliver(billing, end)
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=second)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("at", range(CALLS))
async def test_store_that_fails_once_is_500_and_right_later(at: int, lost: bool) -> None:  # noqa: FBT001
    """If any one store call fails, the event is 500, and its repeat sets the plan. A failed log alone is no error."""
    world, _, customer = await begun()
    one = subscribed(world, customer)
    failing = FailingStore(world.store, at=at, lost=lost)
    _, raised = await outcomes([world.deliver(world.billing(failing), world.events()[-1])])
    assert {type(error) for error in raised} <= {InternalError}
    assert failing.failed
    assert bool(raised) is (at != LOG)
    await world.deliver(world.billing(), world.events()[-1])
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=one)


@pytest.mark.parametrize("fault", StripeFault)
@pytest.mark.parametrize("at", range(2))
async def test_stripe_that_fails_is_500_and_right_later(at: int, fault: StripeFault) -> None:
    """A failure of any request of an event, the SDK's repeats included, is 500; the event's repeat is right."""
    world, _, customer = await begun()
    one, second = subscribed(world, customer), subscribed(world, customer)
    network = StripeTransport(world.stripe, fault=lambda sent: fault if at <= sent < at + 3 else None)
    with pytest.raises(InternalError):
        await world.deliver(world.billing(network=network), world.events()[-1])
    assert network.sent == at + 3
    await world.deliver(world.billing(), world.events()[-1])
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=one)
    assert world.stripe.objects.subscription(second)["status"] == "canceled"


async def test_stripe_that_fails_for_a_moment_is_asked_again() -> None:
    """The SDK repeats a request twice, and the event is taken."""
    world, _, customer = await begun()
    subscribed(world, customer)
    network = StripeTransport(world.stripe, fault=lambda sent: StripeFault.LOST if sent < 2 else None)
    await world.deliver(world.billing(network=network), world.events()[-1])
    assert (await world.seen()).tier == "pro"


async def test_second_subscription_is_cancelled_and_logged() -> None:
    """If two tabs are paid, the older subscription stays, and the log names the one to refund."""
    world, billing, _ = await begun()
    sessions = [(await billing.check_out(world.user)).session_id for _ in range(2)]
    first, second = (world.stripe.objects.pay(session) for session in sessions)
    with kept_logs() as logs:
        for event in world.events():
            await world.deliver(billing, event)
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=first)
    assert world.stripe.objects.subscription(second)["status"] == "canceled"
    (line,) = [line for line in logs.lines if "refund" in line["message"]]
    assert (line["level"], line["user_id"], line["subscription_id"]) == ("ERROR", world.user.id, second)


async def test_event_of_a_deleted_customer_ends_the_plan() -> None:
    """This event suffices: those of the subscriptions may be lost."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    await world.deliver(billing, world.events()[-1])
    world.stripe.objects.delete_customer(customer)
    (event,) = [event for event in world.events() if event["type"] == "customer.deleted"]
    await world.deliver(billing, event)
    assert await world.seen() == Seen(tier="hobby", of_row="hobby", status="canceled", subscription=one)


async def test_sync_logs_each_change_of_a_status_once() -> None:
    """A failed payment keeps the tier and is logged. A second event of it logs nothing."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    await world.deliver(billing, world.events()[-1])
    world.stripe.objects.renew(one, pays=False)
    with kept_logs() as logs:
        for _ in range(2):
            await world.deliver(billing, world.events()[-1])
    (line,) = [line for line in logs.lines if line["message"] == "a subscription changed"]
    assert (line["was"], line["status"], line["subscription_id"]) == ("active", "past_due", one)


async def test_closing_cancels_what_has_not_ended() -> None:
    """If one subscription has ended and one is live, one request cancels the live one."""
    world, billing, customer = await begun()
    world.stripe.objects.end(subscribed(world, customer))
    live = subscribed(world, customer)
    await billing.cancel(world.user.id)
    assert world.stripe.objects.subscription(live)["status"] == "canceled"
    assert [call.name for call in world.stripe.calls if "DELETE" in call.name] == ["DELETE subscriptions/{}"]


async def test_sync_cancels_nothing_by_an_answer_that_is_outdated() -> None:
    """A subscription that was superfluous in Stripe's answer, and has since become the only one, stays."""
    world, _, customer = await begun()
    first, second = subscribed(world, customer), subscribed(world, customer)

    class Overtaken(PlanSync):
        async def standing(self, customer: str) -> Standing:
            standing = await super().standing(customer)
            world.stripe.objects.end(first)
            await world.deliver(world.billing(), world.events()[-1])
            return standing

    await world.deliver(world.billing(protocol=Overtaken), world.events()[-1])
    assert world.stripe.objects.subscription(second)["status"] == "active"
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=second)


async def test_sync_writes_no_user_when_the_tier_stays() -> None:
    """An event that keeps the row's tier leaves the user's row unchanged."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    await world.deliver(billing, world.events()[-1])
    before = await world.load_user()
    world.stripe.objects.change(one, cancel_at_period_end=True)
    await world.deliver(billing, world.events()[-1])
    assert (before.tier, await world.load_user()) == (Tier.PRO, before)


async def test_sync_stamps_a_user_when_the_rows_tier_changes() -> None:
    """A slow synchronisation puts no user back on a tier that the row has lost meanwhile."""
    world, _, customer = await begun()
    one = subscribed(world, customer)

    class Slow(PlanSync):
        async def _put_on(self, row: Subscription, *, stamps: bool) -> User | None:
            world.stripe.objects.end(one)
            await world.deliver(world.billing(), world.events()[-1])
            return await super()._put_on(row, stamps=stamps)

    await world.deliver(world.billing(protocol=Slow), world.events()[-1])
    assert await world.seen() == Seen(tier="hobby", of_row="hobby", status="canceled", subscription=one)


async def test_better_subscription_stays_of_two() -> None:
    """A newer Enterprise subscription, made in the dashboard, stays, and the older one of Pro is cancelled."""
    world, billing, customer = await begun()
    old, new = subscribed(world, customer), world.stripe.objects.subscribe(customer, ENTERPRISE)
    await world.deliver(billing, world.events()[-1])
    assert (await world.seen()).subscription == new
    assert (await world.seen()).tier == "enterprise"
    assert world.stripe.objects.subscription(old)["status"] == "canceled"


async def test_tier_follows_the_price_and_never_metadata() -> None:
    """Metadata say Enterprise; the price is Pro's. A new price in the portal is a new tier."""
    world, billing, customer = await begun()
    one = world.stripe.objects.subscribe(customer, PRO, metadata={"tier": "enterprise", "user_id": "0" * 32})
    await world.deliver(billing, world.events()[-1])
    assert (await world.seen()).tier == "pro"
    world.stripe.objects.reprice(one, ENTERPRISE)
    await world.deliver(billing, world.events()[-1])
    assert (await world.seen()).tier == "enterprise"


@pytest.mark.parametrize("before", [None, "pro"])
@pytest.mark.parametrize(
    "unknown",
    [
        lambda world, one: world.stripe.objects.reprice(one, "price_of_something_else"),
        lambda world, one: world.stripe.objects.become(one, "thinking_about_it"),
    ],
    ids=["price", "status"],
)
async def test_unknown_price_or_status_changes_nothing(before: str | None, unknown: Any) -> None:
    """The plan stays, and the log has an error that names the setting to change."""
    world, billing, customer = await begun()
    one = world.stripe.objects.subscribe(customer, PRO, announced=False)
    if before is not None:
        world.stripe.objects.become(one, "active")
        await world.deliver(billing, world.events()[-1])
    seen = await world.seen()
    unknown(world, one)
    with kept_logs() as logs:
        await world.deliver(billing, world.events()[-1])
    assert await world.seen() == seen
    assert [line["level"] for line in logs.lines if "STRIPE_PRICE_PRO" in line["message"]] == ["ERROR"]


async def test_known_subscription_counts_beside_an_unknown_one() -> None:
    """Something else that the customer buys from the same company changes nothing."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    world.stripe.objects.subscribe(customer, "price_of_something_else")
    await world.deliver(billing, world.events()[-1])
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=one)


async def test_checkout_gives_the_tier_once_it_is_paid() -> None:
    """A complete checkout whose bank requires a confirmation gives no tier yet."""
    world, billing, _ = await begun()
    session = await billing.check_out(world.user)
    one = world.stripe.objects.pay(session.session_id, paid=False)
    await world.deliver(billing, world.events()[-1])
    assert await world.seen() == Seen(tier="hobby", of_row="hobby", status="incomplete", subscription=one)
    world.stripe.objects.recover(one)
    await world.deliver(billing, world.events()[-1])
    assert (await world.seen()).tier == "pro"


async def test_period_is_the_items() -> None:
    """The row has the period of the item at Stripe, and not the one in the event."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    event = world.events()[-1]
    event["data"]["object"] |= {"current_period_start": 1, "current_period_end": 2}
    await world.deliver(billing, event)
    row = await world.tables.subscriptions.of(world.user.id)
    assert row is not None
    start = world.stripe.objects.subscription(one)["created"]
    assert row.current_period_start == datetime.fromtimestamp(start, UTC)
    assert row.current_period_end == datetime.fromtimestamp(start + MONTH_S, UTC)


@pytest.mark.parametrize(
    "ends", [{"cancel_at_period_end": True, "cancel_at": 1_800_000_000}, {"cancel_at": 1_800_000_000}]
)
async def test_cancellation_in_the_portal_shows(ends: dict[str, Any]) -> None:
    """A planned end shows by the flag, or by a time with the flag unset, as in flexible billing mode."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    world.stripe.objects.change(one, **ends)
    await world.deliver(billing, world.events()[-1])
    row = await world.tables.subscriptions.of(world.user.id)
    assert row is not None
    assert (row.cancel_at_period_end, row.tier) == (True, Tier.PRO)


@pytest.mark.parametrize(
    "customer", [lambda one: one, lambda one: {"id": one, "object": "customer"}], ids=["id", "expanded"]
)
async def test_event_of_any_shape_leads_to_its_owner(customer: Callable[[str], Any]) -> None:
    """An invoice of any version contains its customer, as an id or as an object."""
    world, billing, its = await begun()
    subscribed(world, its)
    event = {
        "id": "evt_1",
        "object": "event",
        "api_version": "2020-08-27",
        "type": "invoice.paid",
        "data": {"object": {"object": "invoice", "customer": customer(its), "subscription": "sub_old"}},
    }
    await world.deliver(billing, event)
    assert (await world.seen()).tier == "pro"


@pytest.mark.parametrize(
    "event",
    [
        {"id": "evt_1", "type": "payout.paid", "data": {"object": {"object": "payout"}}},
        {"id": "evt_1", "type": "charge.succeeded", "data": {"object": {"object": "charge", "customer": "cus_1"}}},
        {"id": "evt_1", "type": "invoice.paid", "data": {"object": {"object": "invoice", "customer": None}}},
        {"id": "evt_1", "type": "invoice.paid", "data": {"object": {"object": "invoice", "customer": "cus_other"}}},
        {"id": "evt_1", "type": "customer.deleted", "data": {"object": {"object": "customer", "id": "../x"}}},
    ],
)
async def test_event_that_concerns_no_owner_is_taken(event: Json) -> None:
    """The event sends no request to Stripe, and changes nothing."""
    world, billing, customer = await begun()
    subscribed(world, customer)
    await world.deliver(billing, event)
    assert await world.seen() == UNCHANGED
    assert world.stripe.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"id": 1, "type": "a", "data": {"object": {}}}',
        b'{"id": "e", "type": 2, "data": {"object": {}}}',
        b'{"id": "e", "type": "a", "data": {"object": 3}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    world, billing, _ = await begun()
    signature = _signature(world, body)
    with pytest.raises(ValidationFailed, match="not an event"):
        await billing.receive(body, signature)


async def test_plan_change_is_logged_once() -> None:
    """The owner's usage log has each change once, with both tiers, however often its events arrive."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    for _ in range(3):
        await world.deliver(billing, world.events()[-1])
    world.stripe.objects.end(one)
    for _ in range(3):
        await world.deliver(billing, world.events()[-1])
    logs = await world.tables.usage_logs.page(world.user.id, Window(), action=Action.PLAN_CHANGED)
    changes = [log.metadata for log in logs.rows]
    assert changes == [{"from": "pro", "to": "hobby"}, {"from": "hobby", "to": "pro"}]


async def test_tier_of_an_admin_stays_until_something_is_bought() -> None:
    """A customer who never subscribed keeps the tier that an administrator gave; a subscription then decides."""
    world, billing, customer = await begun()
    await world.tables.users.change(world.user.id, lambda user: user.model_copy(update={"tier": Tier.ENTERPRISE}))
    world.stripe.objects.make_session({"customer": customer, "success_url": "x", "line_items": {"0": {"price": PRO}}})
    world.stripe.objects.expire_session(next(iter(world.stripe.objects.sessions)))
    await world.deliver(billing, world.stripe.objects.events[-1])
    assert (await world.load_user()).tier is Tier.ENTERPRISE
    subscribed(world, customer)
    await world.deliver(billing, world.events()[-1])
    assert (await world.load_user()).tier is Tier.PRO


async def test_payment_of_a_closed_account_is_cancelled() -> None:
    """A checkout that was open when the account was closed, and is paid later, is not billed further."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    await world.tables.users.change(world.user.id, lambda user: user.closed(world.clock.at))
    with kept_logs() as logs:
        await world.deliver(billing, world.events()[-1])
    assert world.stripe.objects.subscription(one)["status"] == "canceled"
    assert "without an account" in logs.text
    assert (await world.load_user()).tier is Tier.HOBBY


async def test_subscription_of_another_customer_gives_no_plan() -> None:
    """A subscription of the owner's former customer changes nothing, and the log names it, to cancel or attach."""
    world, billing, customer = await begun()
    other = world.stripe.objects.make_customer(email=world.user.email, metadata={})["id"]
    await world.store.claim(STRIPE_IDS, Key(CUSTOMERS, other), {"user_id": world.user.id})
    one = subscribed(world, other)
    with kept_logs() as logs:
        await world.deliver(billing, world.events()[-1])
    assert await world.seen() == UNCHANGED
    assert world.stripe.objects.subscription(one)["status"] == "active"
    (line,) = [line for line in logs.lines if "not the owner's" in line["message"]]
    assert (line["user_id"], line["customer"], line["subscription_id"]) == (world.user.id, other, one)
    two = subscribed(world, customer)
    await world.deliver(billing, world.events()[-1])
    assert (await world.seen()).subscription == two


async def test_sync_takes_a_customer_with_many_subscriptions() -> None:
    """All pages of the list are read: the live one is the oldest of 250."""
    world, billing, customer = await begun()
    one = subscribed(world, customer)
    for _ in range(249):
        world.stripe.objects.end(subscribed(world, customer))
    await world.deliver(billing, world.events()[-1])
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=one)
    assert [call.name for call in world.stripe.calls] == ["GET subscriptions"] * 3


async def test_events_at_once_end_alike() -> None:
    """All events of a history, handled concurrently by separate containers, end in the same state."""
    world, _, customer = await begun()
    one = recovered(world, customer)
    await asyncio.gather(*(world.deliver(world.billing(), event) for event in world.events()))
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=one)


def _signature(world: BillingWorld, body: bytes) -> str:
    at = int(world.clock.at.timestamp())
    made = hmac.digest(b"whsec_of_tests", b"%d." % at + body, "sha256").hex()
    return f"t={at},v1={made}"
