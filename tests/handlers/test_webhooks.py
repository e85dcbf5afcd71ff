"""Stripe's events through whole events of API Gateway: the effects of a payment, from the webhook to the next memo."""

import json
from typing import Any, Final

import pytest

from tests.fakes.stripe_network import StripeFault
from tests.fakes.stripe_server import PRO
from tests.fakes.stripe_world import SELLING
from tests.handlers.conftest import NewWorld
from tests.handlers.world import Account, Answer, World

WEBHOOK: Final = "/api/webhooks/stripe"
SUBSCRIPTION: Final = "/api/v1/billing/subscription"
CHECKOUT: Final = "/api/v1/billing/checkout"


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world(SELLING)


def deliver(world: World, event: dict[str, Any], **how: Any) -> Answer:
    body, signature = world.stripe.signed(event, **how)
    return world.post(WEBHOOK, body=body, headers={"stripe-signature": signature})


def deliver_all(world: World) -> None:
    for event in world.stripe.objects.events:
        answer = deliver(world, event)
        assert (answer.status, answer.json) == (200, {"received": True})


def bought(world: World, account: Account) -> str:
    """Buy Pro, and return the subscription. No event is delivered."""
    started = world.post(CHECKOUT, token=account.session)
    assert started.status == 200, started
    return world.stripe.objects.pay(started.json["sessionId"])


def tier(world: World, account: Account) -> tuple[str, str]:
    row = world.get(SUBSCRIPTION, token=account.session).json["subscription"]
    return row["tier"], row["status"]


def test_webhook_puts_the_payer_on_the_tier(world: World, ada: Account) -> None:
    """The row has customer, subscription and period. Limits, text length and keys are the tier's immediately."""
    subscription = bought(world, ada)
    assert tier(world, ada) == ("hobby", "active")
    deliver_all(world)
    row = world.get(SUBSCRIPTION, token=ada.session).json["subscription"]
    assert (row["tier"], row["status"], row["stripeSubscriptionId"]) == ("pro", "active", subscription)
    assert row["stripeCustomerId"] == world.stripe.objects.subscription(subscription)["customer"]
    assert row["currentPeriodStart"].startswith("2026-03-02T12:00:0")
    assert row["currentPeriodEnd"].startswith("2026-04-01T12:00:0")
    assert row["cancelAtPeriodEnd"] is False
    assert row["billing"] == {"stripeEnabled": True, "canUpgrade": True, "canManageSubscription": True}
    assert world.get("/api/v1/usage/limits", token=ada.key).json["daily"]["limit"] == 1000
    world.memo(ada.key, "x" * 20_000)
    for _ in range(9):
        world.new_key(ada)


def test_webhook_takes_the_tier_back_and_keys_stay(world: World, ada: Account) -> None:
    """After the end the limits are Hobby's; existing keys still work, and none can be added."""
    subscription = bought(world, ada)
    deliver_all(world)
    keys = [world.new_key(ada)[1] for _ in range(9)]
    world.stripe.objects.end(subscription)
    deliver_all(world)
    assert tier(world, ada) == ("hobby", "canceled")
    assert {world.get("/api/v1/memos", token=key).status for key in keys} == {200}
    assert world.post("/api/keys", token=ada.session, json={}).refusal[:2] == (400, "VALIDATION_ERROR")
    assert world.post("/api/v1/memo", token=ada.key, json={"text": "x" * 5001, "voice": "sam"}).status == 400
    logs = world.get("/api/v1/usage", token=ada.key, query={"action": "plan_changed"}).json["logs"]
    assert [log["metadata"] for log in logs] == [{"from": "pro", "to": "hobby"}, {"from": "hobby", "to": "pro"}]


def test_webhook_refuses_what_is_not_signed(world: World, ada: Account) -> None:
    """400 for a missing, wrong, old or early signature; nothing is changed, and no request is sent."""
    bought(world, ada)
    event = world.stripe.objects.events[-1]
    now = world.clock.at.timestamp()
    asked = len(world.stripe.calls)
    body, signature = world.stripe.signed(event)
    answers = [
        world.post(WEBHOOK, body=body),
        world.post(WEBHOOK, body=body, headers={"stripe-signature": ""}),
        world.post(WEBHOOK, body=body + b" ", headers={"stripe-signature": signature}),
        deliver(world, event, secrets=["whsec_another"]),
        deliver(world, event, at=now - 301),
        deliver(world, event, at=now + 302),
    ]
    assert {answer.refusal[:2] for answer in answers} == {(400, "VALIDATION_ERROR")}
    assert (tier(world, ada), len(world.stripe.calls)) == (("hobby", "active"), asked)
    assert [deliver(world, event, at=now + by).status for by in (-299, 299)] == [200, 200]


@pytest.mark.parametrize("price", [PRO])
def test_webhook_is_400_while_stripe_is_off(new_world: NewWorld, price: str) -> None:
    """Without a secret no signature is right."""
    world = new_world()
    customer = world.stripe.objects.make_customer(email=None, metadata={})["id"]
    world.stripe.objects.subscribe(customer, price)
    assert deliver(world, world.stripe.objects.events[-1], secrets=[""]).refusal[:2] == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize("as_base64", [False, True])
def test_webhook_reads_the_raw_body(
    world: World,
    ada: Account,
    rest: bool,  # noqa: FBT001
    pretty: bool,  # noqa: FBT001
    as_base64: bool,  # noqa: FBT001
) -> None:
    """The signed bytes count: as text or base64, indented or not, with any letters, in both payloads."""
    bought(world, ada)
    event = world.stripe.objects.events[-1]
    event["data"]["object"]["metadata"] = {"name": "Zoë Müller 声"}
    body, signature = world.stripe.signed(event, pretty=pretty)
    sent: str | bytes = body if as_base64 else body.decode()
    answer = world.post(WEBHOOK, body=sent, headers={"stripe-signature": signature}, rest=rest)
    assert (answer.status, tier(world, ada)) == (200, ("pro", "active"))


def test_webhook_is_500_while_something_is_down(world: World, ada: Account) -> None:
    """If Stripe or the store is down, 500 makes Stripe send the event again, and nothing has changed."""
    bought(world, ada)
    event = world.stripe.objects.events[-1]
    world.stripe_network.fault = lambda _: StripeFault.UNREACHED
    assert deliver(world, event).refusal[:2] == (500, "INTERNAL_ERROR")
    world.stripe_network.fault = lambda _: None
    world.is_down = True
    assert deliver(world, event).refusal[:2] == (500, "INTERNAL_ERROR")
    world.is_down = False
    assert tier(world, ada) == ("hobby", "active")
    assert deliver(world, event).status == 200
    assert tier(world, ada) == ("pro", "active")


def test_webhook_counts_changes_of_plans(new_world: NewWorld, capsys: pytest.CaptureFixture[str]) -> None:
    """The metric counts each change once; the times of Stripe's answers are recorded too."""
    world = new_world(SELLING | {"METRICS": "1"})
    bought(world, world.sign_up())
    capsys.readouterr()
    deliver_all(world)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(sum(line.get("PlanChanges", [])) for line in lines) == 1
    assert sum(len(line.get("StripeLatency", [])) for line in lines) == 4
