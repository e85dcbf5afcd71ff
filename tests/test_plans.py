import pytest

from shared.core.errors import ValidationFailed
from shared.plans import PLANS, Difference, Tier, compare, plan_named


def test_the_plans_are_in_the_order_of_their_rank() -> None:
    assert [(plan.tier, plan.rank) for plan in PLANS.values()] == [
        (Tier.HOBBY, 0),
        (Tier.PRO, 1),
        (Tier.ENTERPRISE, 2),
    ]


@pytest.mark.parametrize(
    ("tier", "price", "day", "month", "characters", "keys", "concurrent"),
    [
        (Tier.HOBBY, 0, 100, 3000, 5000, 2, 1),
        (Tier.PRO, 19, 1000, 30_000, 20_000, 10, 5),
        (Tier.ENTERPRISE, None, None, None, None, 100, 50),
    ],
)
def test_a_plan_costs_and_admits_what_is_published(
    tier: Tier,
    price: int | None,
    day: int | None,
    month: int | None,
    characters: int | None,
    keys: int,
    concurrent: int,
) -> None:
    plan, limits = PLANS[tier], PLANS[tier].limits
    assert (plan.price, limits.calls_per_day, limits.calls_per_month) == (price, day, month)
    assert (limits.chars_per_memo, limits.max_api_keys, limits.max_concurrent) == (characters, keys, concurrent)


def test_one_plan_is_highlighted() -> None:
    assert [plan.tier for plan in PLANS.values() if plan.highlighted] == [Tier.PRO]


@pytest.mark.parametrize("name", ["pro", "PRO", "Pro"])
def test_a_plan_is_named_in_any_case(name: str) -> None:
    assert plan_named(name).tier is Tier.PRO


@pytest.mark.parametrize("name", ["", "gold", "pro ", "Tier.PRO", "../pro", "\u2119ro"])
def test_an_unknown_plan_is_refused_with_the_names_of_the_known(name: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        plan_named(name)
    assert caught.value.message == f"Invalid tier: {name}"
    assert caught.value.details == {"field": "tier", "validOptions": ["hobby", "pro", "enterprise"]}


def test_an_upgrade_shows_what_improves() -> None:
    assert compare(PLANS[Tier.HOBBY], PLANS[Tier.PRO]) == [
        Difference(feature="Daily API Calls", current=100, target=1000, improvement=True),
        Difference(feature="Characters per Memo", current=5000, target=20_000, improvement=True),
        Difference(feature="TTS Engine", current="edge", target="elevenlabs", improvement=True),
        Difference(feature="Priority Processing", current=False, target=True, improvement=True),
        Difference(feature="Voice Cloning", current=False, target=False, improvement=False),
    ]


def test_unlimited_is_more_than_any_limit() -> None:
    up, down = compare(PLANS[Tier.PRO], PLANS[Tier.ENTERPRISE]), compare(PLANS[Tier.ENTERPRISE], PLANS[Tier.PRO])
    assert [change.improvement for change in up] == [True, True, True, False, True]
    assert [change.improvement for change in down] == [False] * 5
    assert up[0].target is None


@pytest.mark.parametrize("tier", list(Tier))
def test_the_same_plan_improves_nothing(tier: Tier) -> None:
    assert not any(change.improvement for change in compare(PLANS[tier], PLANS[tier]))
