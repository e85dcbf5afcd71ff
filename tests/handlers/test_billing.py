"""Checkout, portal, cancelling, keeping, upgrading and downgrading through whole events, against the fake Stripe."""

from typing import Any, Final

import pytest

from shared.plans import Tier
from shared.tables import Subscriptions
from shared.tables.subscriptions import Subscription, SubscriptionStatus
from tests.fakes.stripe_network import StripeFault
from tests.fakes.stripe_server import ENTERPRISE, PRO
from tests.fakes.stripe_world import SELLING
from tests.handlers.conftest import NewWorld
from tests.handlers.test_webhooks import CHECKOUT, SUBSCRIPTION, bought, deliver_all, tier
from tests.handlers.world import NOON, PASSWORD, Account, Logs, World

PORTAL: Final = "/api/v1/billing/portal"
CANCEL: Final = "/api/v1/billing/cancel"
REACTIVATE: Final = "/api/v1/billing/reactivate"
UPGRADE: Final = "/api/v1/billing/upgrade"
DOWNGRADE: Final = "/api/v1/billing/downgrade"
COMPARE: Final = "/api/v1/billing/compare"
NOTHING: Final = (400, "VALIDATION_ERROR", "No subscription found. Please upgrade first.")
OFF: Final = (400, "VALIDATION_ERROR", "Payments are not available here")
ENDS: Final = "Your Pro plan ends on 2026-04-01. Until then nothing changes."


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world(SELLING | {"APP_URL": "https://app.example.org/talk", "CORS_ORIGINS": "https://shop.example.org"})


@pytest.fixture
def payer(world: World, ada: Account) -> tuple[Account, str]:
    """Return an owner on Pro, and the subscription."""
    subscription = bought(world, ada)
    deliver_all(world)
    return ada, subscription


def a_row(owner: Account, *, subscription: str, customer: str | None) -> Subscription:
    return Subscription(
        id="s1",
        user_id=owner.id,
        stripe_customer_id=customer,
        stripe_subscription_id=subscription,
        tier=Tier.PRO,
        status=SubscriptionStatus.ACTIVE,
        created_at=NOON,
        updated_at=NOON,
    )


def test_checkout_answers_where_to_pay(world: World, ada: Account) -> None:
    """The session is for Pro, the owner, and their own customer; browsers return to the console."""
    answer = world.post(CHECKOUT, token=ada.session)
    (session,) = world.stripe.objects.sessions.values()
    assert (answer.status, answer.json) == (
        200,
        {"success": True, "checkoutUrl": session["url"], "sessionId": session["id"]},
    )
    assert (session["price"], session["client_reference_id"]) == (PRO, ada.id)
    assert session["success_url"] == "https://app.example.org/talk?billing=success"
    assert session["cancel_url"] == "https://app.example.org/talk?billing=cancelled"
    customer = world.stripe.objects.customers[session["customer"]]
    assert (customer["email"], customer["metadata"]) == (ada.email, {"user_id": ada.id})
    row = world.get(SUBSCRIPTION, token=ada.session).json["subscription"]
    assert (row["stripeCustomerId"], row["tier"], row["status"]) == (session["customer"], "hobby", "active")


def test_checkout_logs_no_address(world: World, ada: Account, logs: Logs) -> None:
    """Neither ours nor the SDK nor httpx log the owner's e-mail address, which a request to Stripe contains."""
    assert world.post(CHECKOUT, token=ada.session).status == 200
    assert "ada@" not in logs.text
    assert "ada%40" not in logs.text
    assert "sk_test" not in logs.text


def test_checkout_returns_to_configured_origins(world: World, ada: Account) -> None:
    """Addresses of APP_URL, PUBLIC_URL and CORS_ORIGINS are accepted, with any path, query and fragment, up to 2048
    characters."""
    urls = {"successUrl": "https://shop.example.org/a?b=c#d", "cancelUrl": "https://api.example.org#?".ljust(2048, "x")}
    assert world.post(CHECKOUT, token=ada.session, json=urls).status == 200
    (session,) = world.stripe.objects.sessions.values()
    assert (session["success_url"], session["cancel_url"]) == (urls["successUrl"], urls["cancelUrl"])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.org/",
        "http://shop.example.org/",
        "https://shop.example.org.evil.org/",
        "https://shop.example.org@evil.org/",
        "https://shop.example.org\\@evil.org/",
        "https://shop.example.org:8443/",
        "//shop.example.org/",
        "/talk",
        "javascript:alert(1)//https://shop.example.org",
        "https://shop.example.org/\u00e9",
        "https://shop.example.org/ x",
        "https://shop.example.org/" + "x" * 2048,
        "",
    ],
)
@pytest.mark.parametrize(("path", "field"), [(CHECKOUT, "successUrl"), (CHECKOUT, "cancelUrl"), (PORTAL, "returnUrl")])
def test_foreign_return_url_is_400(world: World, payer: tuple[Account, str], url: str, path: str, field: str) -> None:
    """Otherwise Stripe's page would be an open redirect."""
    account = payer[0] if path == PORTAL else world.sign_up()
    answer = world.post(path, token=account.session, json={field: url})
    assert answer.refusal == (400, "VALIDATION_ERROR", f"{field} must be of an origin of this service")
    assert answer.error["details"] == {"field": field}


@pytest.mark.parametrize(("on", "name"), [(Tier.PRO, "Pro"), (Tier.ENTERPRISE, "Enterprise")])
def test_checkout_is_400_on_a_paid_tier(world: World, ada: Account, on: Tier, name: str) -> None:
    """A paid tier from any source refuses a checkout."""
    world.put_on(ada, on)
    assert world.post(CHECKOUT, token=ada.session).refusal == (
        400,
        "VALIDATION_ERROR",
        f"You are already on the {name} plan",
    )
    assert world.stripe.calls == []


@pytest.mark.parametrize("status", ["active", "trialing", "past_due", "unpaid", "paused"])
def test_checkout_is_400_with_a_subscription(world: World, ada: Account, status: str) -> None:
    """A subscription that gives a plan, or may do so again, is read at Stripe, even if its event is missing."""
    subscription = bought(world, ada)
    world.stripe.objects.become(subscription, status)
    assert world.post(CHECKOUT, token=ada.session).refusal[:2] == (400, "VALIDATION_ERROR")
    assert tier(world, ada)[1] == status
    assert len(world.stripe.objects.sessions) == 1


def test_checkout_is_200_after_the_end(world: World, payer: tuple[Account, str]) -> None:
    """After the end a new checkout has the same customer."""
    account, subscription = payer
    world.stripe.objects.end(subscription)
    deliver_all(world)
    assert world.post(CHECKOUT, token=account.session).status == 200
    assert len(world.stripe.objects.customers) == 1


def test_portal_answers_its_address(world: World, payer: tuple[Account, str]) -> None:
    """The portal returns to the console, or to the given address."""
    answer = world.post(PORTAL, token=payer[0].session)
    assert answer.status == 200
    assert answer.json.keys() == {"success", "portalUrl"}
    assert answer.json["portalUrl"].startswith("https://billing.stripe.com/")
    assert world.post(PORTAL, token=payer[0].session, json={"returnUrl": "https://shop.example.org/x"}).status == 200
    asked = [call.params["return_url"] for call in world.stripe.calls if call.name == "POST billing_portal/sessions"]
    assert asked == ["https://app.example.org/talk?billing=portal", "https://shop.example.org/x"]


def test_portal_is_400_without_a_customer(world: World, ada: Account) -> None:
    """The portal is 400 if nothing was ever bought, and if the customer was deleted at Stripe."""
    assert world.post(PORTAL, token=ada.session).refusal == NOTHING
    bought(world, ada)
    (customer,) = world.stripe.objects.customers
    world.stripe.objects.delete_customer(customer)
    assert world.post(PORTAL, token=ada.session).refusal == NOTHING


def test_cancel_ends_the_plan_with_its_period(world: World, payer: tuple[Account, str]) -> None:
    """The tier stays, the flag shows immediately, and a repeat answers the same."""
    account, subscription = payer
    for _ in range(2):
        answer = world.post(CANCEL, token=account.session)
        assert (answer.status, answer.json) == (200, {"success": True, "message": ENDS, "currentTier": "pro"})
    row = world.get(SUBSCRIPTION, token=account.session).json["subscription"]
    assert (row["tier"], row["cancelAtPeriodEnd"]) == ("pro", True)
    assert world.stripe.objects.subscription(subscription)["cancel_at_period_end"] is True
    world.stripe.objects.renew(subscription)
    deliver_all(world)
    assert tier(world, account) == ("hobby", "canceled")


@pytest.mark.parametrize(("cancel_at", "says"), [(1_773_000_000, "2026-03-08"), (1_800_000_000, "2026-04-01")])
def test_cancel_says_when_the_plan_ends(world: World, payer: tuple[Account, str], cancel_at: int, says: str) -> None:
    """An end within the period stays, and the message has its date. A later end becomes the period's."""
    account, subscription = payer
    world.stripe.objects.change(subscription, cancel_at=cancel_at)
    deliver_all(world)
    assert world.get(SUBSCRIPTION, token=account.session).json["subscription"]["cancelAtPeriodEnd"] is True
    answer = world.post(CANCEL, token=account.session)
    assert answer.json["message"] == ENDS.replace("2026-04-01", says)
    assert world.get(SUBSCRIPTION, token=account.session).json["subscription"]["cancelAtPeriodEnd"] is True
    world.stripe.objects.renew(subscription)
    assert world.stripe.objects.subscription(subscription)["status"] == "canceled"


@pytest.mark.parametrize(
    "ends", [{"cancel_at_period_end": True, "cancel_at": 1_775_044_800}, {"cancel_at": 1_800_000_000}]
)
def test_reactivate_keeps_what_was_to_end(world: World, payer: tuple[Account, str], ends: dict[str, Any]) -> None:
    """A planned end is removed, by the flag or by a time that the portal set. A repeat answers the same."""
    account, subscription = payer
    world.stripe.objects.change(subscription, **ends)
    deliver_all(world)
    for _ in range(2):
        answer = world.post(REACTIVATE, token=account.session)
        assert (answer.status, answer.json) == (
            200,
            {"success": True, "message": "Your Pro plan goes on.", "currentTier": "pro"},
        )
    kept = world.stripe.objects.subscription(subscription)
    assert (kept["cancel_at_period_end"], kept["cancel_at"], kept["status"]) == (False, None, "active")
    assert world.get(SUBSCRIPTION, token=account.session).json["subscription"]["cancelAtPeriodEnd"] is False


@pytest.mark.parametrize("path", [CANCEL, REACTIVATE])
def test_cancel_and_reactivate_are_400_without_one(world: World, ada: Account, path: str) -> None:
    """Both are 400 if nothing was ever bought, and if the subscription has ended."""
    assert world.post(path, token=ada.session).refusal == NOTHING
    world.stripe.objects.end(bought(world, ada))
    assert world.post(path, token=ada.session).refusal == NOTHING


def test_upgrade_leads_to_the_checkout(world: World, ada: Account) -> None:
    """An upgrade to Pro, in upper or lower case, leads to the checkout."""
    answer = world.post(UPGRADE, token=ada.session, json={"tier": "PRO"})
    assert answer.status == 200
    assert answer.json.keys() == {"success", "checkoutUrl", "sessionId"}


@pytest.mark.parametrize("on", [Tier.HOBBY, Tier.PRO])
def test_upgrade_to_enterprise_leads_to_sales(world: World, ada: Account, on: Tier) -> None:
    """The answer has an address to write to; no request goes to Stripe."""
    world.put_on(ada, on)
    answer = world.post(UPGRADE, token=ada.session, json={"tier": "enterprise"})
    assert (answer.status, answer.json) == (
        200,
        {
            "success": True,
            "message": "The Enterprise plan is by agreement: please write to us.",
            "action": "contact_sales",
            "contactEmail": "sales@example.org",
        },
    )
    assert world.stripe.calls == []


@pytest.mark.parametrize(
    ("path", "on", "to"),
    [
        (UPGRADE, Tier.HOBBY, "hobby"),
        (UPGRADE, Tier.PRO, "pro"),
        (UPGRADE, Tier.PRO, "hobby"),
        (UPGRADE, Tier.ENTERPRISE, "enterprise"),
        (DOWNGRADE, Tier.HOBBY, "hobby"),
        (DOWNGRADE, Tier.HOBBY, "pro"),
        (DOWNGRADE, Tier.PRO, "enterprise"),
        (DOWNGRADE, Tier.ENTERPRISE, "pro"),
    ],
)
def test_wrong_direction_is_400(world: World, ada: Account, path: str, on: Tier, to: str) -> None:
    """The same tier is 400 too, and so is Enterprise to Pro, which is by agreement."""
    world.put_on(ada, on)
    assert world.post(path, token=ada.session, json={"tier": to}).refusal[:2] == (400, "VALIDATION_ERROR")
    assert world.stripe.calls == []


@pytest.mark.parametrize("path", [UPGRADE, DOWNGRADE])
def test_unknown_tier_of_a_change_is_400(world: World, ada: Account, path: str) -> None:
    """The refusal contains the options; an absent tier is a missing field."""
    answer = world.post(path, token=ada.session, json={"tier": "gold"})
    assert answer.refusal == (400, "VALIDATION_ERROR", "Invalid tier: gold")
    assert answer.error["details"]["validOptions"] == ["hobby", "pro", "enterprise"]
    assert world.post(path, token=ada.session).refusal[:2] == (400, "MISSING_FIELD")


def test_downgrade_ends_with_the_period(world: World, payer: tuple[Account, str]) -> None:
    """The answer contains the end of the period, and the row has the planned end."""
    answer = world.post(DOWNGRADE, token=payer[0].session, json={"tier": "Hobby"})
    assert answer.status == 200
    assert answer.json == {
        "success": True,
        "message": ENDS,
        "currentTier": "pro",
        "targetTier": "hobby",
        "effectiveDate": "2026-04-01T12:00:00.000Z",
    }
    assert world.get(SUBSCRIPTION, token=payer[0].session).json["subscription"]["cancelAtPeriodEnd"] is True


def test_downgrade_is_400_of_a_tier_that_was_given(world: World, ada: Account) -> None:
    """Nothing is paid for, so nothing ends."""
    world.put_on(ada, Tier.PRO)
    assert world.post(DOWNGRADE, token=ada.session, json={"tier": "hobby"}).refusal == NOTHING


@pytest.mark.parametrize("target", ["pro", "enterprise"])
def test_downgrade_is_400_to_no_lower_tier(world: World, payer: tuple[Account, str], target: str) -> None:
    """A downgrade to the same tier or to a higher one is 400."""
    answer = world.post(DOWNGRADE, token=payer[0].session, json={"tier": target})
    message = f"{target.title()} is not below your plan, Pro"
    assert answer.refusal == (400, "VALIDATION_ERROR", message)


def test_options_follow_customer_and_tier(world: World, ada: Account) -> None:
    """Both answers contain the possible purchases and changes."""

    def options(target: str) -> tuple[Any, Any]:
        compared = world.get(f"{COMPARE}/{target}", token=ada.session).json["billing"]
        return world.get(SUBSCRIPTION, token=ada.session).json["billing"], compared

    off = {"stripeEnabled": True, "checkoutAvailable": False, "portalAvailable": False}
    can = {"stripeEnabled": True, "canUpgrade": True, "canManageSubscription": False}
    assert options("pro") == (can, off | {"checkoutAvailable": True})
    assert options("enterprise") == (can, off)
    bought(world, ada)
    deliver_all(world)
    assert options("hobby") == (can | {"canManageSubscription": True}, off | {"portalAvailable": True})
    assert options("pro")[1] == off | {"portalAvailable": True}
    world.put_on(ada, Tier.ENTERPRISE)
    assert options("pro")[0] == can | {"canUpgrade": False, "canManageSubscription": True}


def test_payments_are_400_while_stripe_is_off(new_world: NewWorld) -> None:
    """Only an upgrade to Enterprise, which is by agreement, is answered."""
    world = new_world()
    ada = world.sign_up()
    for path in (CHECKOUT, PORTAL, CANCEL, REACTIVATE):
        assert world.post(path, token=ada.session).refusal == OFF
    assert world.post(UPGRADE, token=ada.session, json={"tier": "pro"}).refusal == OFF
    sales = world.post(UPGRADE, token=ada.session, json={"tier": "enterprise"})
    assert sales.json["contactEmail"] == "agent-talk@localhost"
    world.put_on(ada, Tier.PRO)
    assert world.post(DOWNGRADE, token=ada.session, json={"tier": "hobby"}).refusal == OFF


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL, CANCEL, REACTIVATE, UPGRADE, DOWNGRADE])
def test_payments_take_a_session_alone(world: World, ada: Account, path: str) -> None:
    """API keys and strangers are 401."""
    body = {"tier": "pro"}
    assert world.post(path, json=body).refusal[:2] == (401, "MISSING_API_KEY")
    assert world.post(path, json=body, token=ada.key).refusal[:2] == (401, "INVALID_API_KEY")


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL, CANCEL, REACTIVATE])
def test_payments_are_503_while_stripe_is_down(world: World, ada: Account, path: str) -> None:
    """The answer has `Retry-After`."""
    if path != CHECKOUT:
        bought(world, ada)
    world.stripe_network.fault = lambda _: StripeFault.UNREACHED
    answer = world.post(path, token=ada.session)
    assert answer.refusal[:2] == (503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0


def test_closing_cancels_what_is_paid_for(world: World, payer: tuple[Account, str]) -> None:
    """Open checkouts end too, and later events are accepted and change nothing."""
    account, subscription = payer
    (customer,) = world.stripe.objects.customers
    world.stripe.objects.make_session(
        {"customer": customer, "success_url": "x", "line_items": {"0": {"price": ENTERPRISE}}}
    )
    assert world.delete("/api/v1/auth/me", token=account.session, json={"password": PASSWORD}).status == 200
    assert world.stripe.objects.subscription(subscription)["status"] == "canceled"
    assert {one["status"] for one in world.stripe.objects.sessions.values()} == {"complete", "expired"}
    deliver_all(world)
    again = world.sign_up(account.email)
    assert tier(world, again) == ("hobby", "active")


def test_closing_ends_the_checkouts_of_who_bought_nothing(world: World, ada: Account) -> None:
    """Otherwise a plan could be paid for after the account is closed."""
    assert world.post(CHECKOUT, token=ada.session).status == 200
    assert world.delete("/api/v1/auth/me", token=ada.session, json={"password": PASSWORD}).status == 200
    assert [one["status"] for one in world.stripe.objects.sessions.values()] == ["expired"]


def test_checkout_is_503_if_stripe_has_no_such_price(new_world: NewWorld) -> None:
    """A wrong price setting is 503, and no second customer is made."""
    world = new_world(SELLING | {"STRIPE_PRICE_PRO": "price_gone"})
    ada = world.sign_up()
    assert world.post(CHECKOUT, token=ada.session).refusal[:2] == (503, "SERVICE_UNAVAILABLE")
    assert len(world.stripe.objects.customers) == 1


def test_closing_is_503_while_stripe_is_down(world: World, payer: tuple[Account, str]) -> None:
    """Nothing is erased, so no subscription is billed without an account: the next request closes the account."""
    account, subscription = payer
    closing: dict[str, Any] = {"token": account.session, "json": {"password": PASSWORD}}
    world.stripe_network.fault = lambda _: StripeFault.UNREACHED
    assert world.delete("/api/v1/auth/me", **closing).refusal[:2] == (503, "SERVICE_UNAVAILABLE")
    assert tier(world, account) == ("pro", "active")
    assert world.get("/api/v1/memos", token=account.key).status == 200
    world.stripe_network.fault = lambda _: None
    assert world.delete("/api/v1/auth/me", **closing).status == 200
    assert world.stripe.objects.subscription(subscription)["status"] == "canceled"


def test_closing_cancels_a_subscription_without_its_customer(world: World, ada: Account) -> None:
    """A subscription that moved in may have no customer."""
    customer = world.stripe.objects.make_customer(email=ada.email, metadata={})["id"]
    subscription = world.stripe.objects.subscribe(customer, PRO)
    world.run(Subscriptions(world.store).create(a_row(ada, subscription=subscription, customer=None)))
    assert world.delete("/api/v1/auth/me", token=ada.session, json={"password": PASSWORD}).status == 200
    assert world.stripe.objects.subscription(subscription)["status"] == "canceled"


def test_closing_is_503_while_stripe_is_off(new_world: NewWorld) -> None:
    """Closing a paid account is 503, since its subscription could not be cancelled."""
    world = new_world()
    ada = world.sign_up()
    world.run(Subscriptions(world.store).create(a_row(ada, subscription="sub_1", customer="cus_1")))
    assert world.delete("/api/v1/auth/me", token=ada.session, json={"password": PASSWORD}).status == 503
