"""Tiers and the caller's plan through whole events."""

from typing import Any

import pytest

from shared.plans import Tier
from shared.tables import Subscriptions
from shared.tables.subscriptions import Subscription, SubscriptionStatus
from tests.handlers.world import NOON, Account, World, features

TIERS = "/api/v1/billing/tiers"
SUBSCRIPTION = "/api/v1/billing/subscription"
COMPARE = "/api/v1/billing/compare"


HOBBY = {
    "name": "hobby",
    "displayName": "Hobby",
    "description": "Perfect for personal projects and experimentation",
    "price": 0,
    "highlighted": False,
    "limits": {"callsPerDay": 100, "charsPerMemo": 5000, "maxApiKeys": 2, "maxConcurrent": 1},
    "features": features(),
}
PRO = {
    "name": "pro",
    "displayName": "Pro",
    "description": "For professionals and growing businesses",
    "price": 19,
    "highlighted": True,
    "limits": {"callsPerDay": 1000, "charsPerMemo": 20000, "maxApiKeys": 10, "maxConcurrent": 5},
    "features": features(tts="elevenlabs", analytics="advanced", slaPercentage=99.5, priority=True, webhooks=True),
}
ENTERPRISE = {
    "name": "enterprise",
    "displayName": "Enterprise",
    "description": "For large-scale deployments with custom needs",
    "price": None,
    "highlighted": False,
    "limits": {
        "callsPerDay": "unlimited",
        "charsPerMemo": "unlimited",
        "maxApiKeys": 100,
        "maxConcurrent": 50,
    },
    "features": features(
        tts="any",
        analytics="advanced",
        slaPercentage=99.99,
        priority=True,
        webhooks=True,
        voiceCloning=True,
        customVoices=True,
        customBranding=True,
        dedicatedSupport=True,
    ),
}
NO_BILLING = {"stripeEnabled": False, "canUpgrade": False, "canManageSubscription": False}


def test_tiers_are_public_and_in_order(world: World) -> None:
    """Tiers need no credential, are in order, and have every field of the contract."""
    answer = world.get(TIERS, token="garbage")
    assert (answer.status, answer.json) == (200, {"success": True, "tiers": [HOBBY, PRO, ENTERPRISE]})


@pytest.mark.parametrize(("name", "tier"), [("hobby", HOBBY), ("Pro", PRO), ("ENTERPRISE", ENTERPRISE)])
def test_tier_is_found_in_any_case(world: World, name: str, tier: dict[str, Any]) -> None:
    """A tier's name is accepted in upper, lower and mixed case."""
    answer = world.get(f"{TIERS}/{name}")
    assert (answer.status, answer.json) == (200, {"success": True, "tier": tier})


@pytest.mark.parametrize("name", ["gold", "pro%20", "PR%C3%96"])
def test_unknown_tier_is_400_with_the_options(world: World, ada: Account, name: str) -> None:
    """Every route with a tier refuses an unknown one, with the options."""
    shown = {"pro%20": "pro ", "PR%C3%96": "PRÖ"}.get(name, name)
    for path in (f"{TIERS}/{name}", f"{COMPARE}/{name}"):
        answer = world.get(path, token=ada.session)
        assert answer.refusal == (400, "VALIDATION_ERROR", f"Invalid tier: {shown}")
        assert answer.error["details"]["validOptions"] == ["hobby", "pro", "enterprise"]


def test_subscription_is_the_plan_without_a_payment(world: World, ada: Account) -> None:
    """The status is active, and there are no ids of Stripe."""
    answer = world.get(SUBSCRIPTION, token=ada.session)
    created = world.get("/api/v1/auth/me", token=ada.session).json["user"]["createdAt"]
    assert answer.status == 200
    assert answer.json == {
        "success": True,
        "subscription": {
            "tier": "hobby",
            "tierName": "Hobby",
            "price": 0,
            "status": "active",
            "limits": HOBBY["limits"],
            "features": HOBBY["features"],
            "stripeCustomerId": None,
            "stripeSubscriptionId": None,
            "currentPeriodStart": None,
            "currentPeriodEnd": None,
            "cancelAtPeriodEnd": False,
            "billing": NO_BILLING,
        },
        "user": {"id": ada.id, "email": ada.email, "createdAt": created},
        "billing": NO_BILLING,
    }


def test_subscription_answers_its_row_when_paid(world: World, ada: Account) -> None:
    """Ids, period and status are the row's."""
    world.put_on(ada, Tier.PRO)
    row = Subscription(
        id="s1",
        user_id=ada.id,
        stripe_customer_id="cus_1",
        stripe_subscription_id="sub_1",
        tier=Tier.PRO,
        status=SubscriptionStatus.PAST_DUE,
        current_period_start=NOON,
        current_period_end=NOON.replace(month=4),
        cancel_at_period_end=True,
        created_at=NOON,
        updated_at=NOON,
    )
    world.run(Subscriptions(world.store).create(row))
    answer = world.get(SUBSCRIPTION, token=ada.session).json["subscription"]
    assert answer == {
        "tier": "pro",
        "tierName": "Pro",
        "price": 19,
        "status": "past_due",
        "limits": PRO["limits"],
        "features": PRO["features"],
        "stripeCustomerId": "cus_1",
        "stripeSubscriptionId": "sub_1",
        "currentPeriodStart": "2026-03-02T12:00:00.000Z",
        "currentPeriodEnd": "2026-04-02T12:00:00.000Z",
        "cancelAtPeriodEnd": True,
        "billing": NO_BILLING,
    }


def test_compare_names_each_feature_of_a_better_plan(world: World, ada: Account) -> None:
    """Each feature has its current value, its target and whether it improves."""
    answer = world.get(f"{COMPARE}/Pro", token=ada.session)
    assert answer.status == 200
    assert answer.json == {
        "success": True,
        "comparison": {
            "isUpgrade": True,
            "isDowngrade": False,
            "isSameTier": False,
            "currentTier": {"name": "hobby", "displayName": "Hobby", "price": 0},
            "targetTier": {"name": "pro", "displayName": "Pro", "price": 19},
            "changes": [
                {"feature": "Daily API Calls", "current": 100, "target": 1000, "improvement": True},
                {"feature": "Characters per Memo", "current": 5000, "target": 20000, "improvement": True},
                {"feature": "TTS Engine", "current": "edge", "target": "elevenlabs", "improvement": True},
                {"feature": "Priority Processing", "current": False, "target": True, "improvement": True},
                {"feature": "Voice Cloning", "current": False, "target": False, "improvement": False},
            ],
        },
        "billing": {"stripeEnabled": False, "checkoutAvailable": False, "portalAvailable": False},
    }


def test_compare_writes_no_limit_as_unlimited(world: World, ada: Account) -> None:
    """A missing limit is "unlimited", which is better than every number."""
    world.put_on(ada, Tier.ENTERPRISE)
    comparison = world.get(f"{COMPARE}/hobby", token=ada.session).json["comparison"]
    assert (comparison["isUpgrade"], comparison["isDowngrade"], comparison["isSameTier"]) == (False, True, False)
    assert comparison["currentTier"] == {"name": "enterprise", "displayName": "Enterprise", "price": None}
    assert comparison["changes"] == [
        {"feature": "Daily API Calls", "current": "unlimited", "target": 100, "improvement": False},
        {"feature": "Characters per Memo", "current": "unlimited", "target": 5000, "improvement": False},
        {"feature": "TTS Engine", "current": "any", "target": "edge", "improvement": False},
        {"feature": "Priority Processing", "current": True, "target": False, "improvement": False},
        {"feature": "Voice Cloning", "current": True, "target": False, "improvement": False},
    ]


def test_compare_with_the_same_plan_improves_nothing(world: World, ada: Account) -> None:
    """It is neither an upgrade nor a downgrade."""
    comparison = world.get(f"{COMPARE}/HOBBY", token=ada.session).json["comparison"]
    assert (comparison["isUpgrade"], comparison["isDowngrade"], comparison["isSameTier"]) == (False, False, True)
    assert {change["improvement"] for change in comparison["changes"]} == {False}


@pytest.mark.parametrize("path", [SUBSCRIPTION, f"{COMPARE}/pro"])
def test_billing_takes_a_session_alone(world: World, ada: Account, path: str) -> None:
    """API keys and strangers are 401."""
    assert world.get(path).refusal[:2] == (401, "MISSING_API_KEY")
    assert world.get(path, token=ada.key).refusal[:2] == (401, "INVALID_API_KEY")
    assert world.get(path, cookies=[f"auth_token={ada.session}"]).status == 200


@pytest.mark.parametrize("rest", [False, True])
def test_billing_takes_both_payloads(world: World, ada: Account, rest: bool) -> None:  # noqa: FBT001
    assert len(world.get(TIERS, rest=rest).json["tiers"]) == 3
    assert world.get(f"{TIERS}/pro", rest=rest).json["tier"] == PRO
    assert world.get(SUBSCRIPTION, token=ada.session, rest=rest).json["user"]["id"] == ada.id
    assert world.get(f"{COMPARE}/pro", token=ada.session, rest=rest).status == 200
