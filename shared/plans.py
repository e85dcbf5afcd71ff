"""Plans: prices, limits and features. A limit of None means unlimited; an answer contains `unlimited` for it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from shared.core.errors import ValidationFailed

MONTH_IN_DAYS: Final = 30
"""A month's limit is this many times the day's, in every calendar month."""

TEST_MEMOS_PER_DAY: Final = 1000
"""Memos that an owner's test keys may make in a UTC day, on any plan."""


class Tier(StrEnum):
    HOBBY = "hobby"
    PRO = "pro"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, kw_only=True)
class Limits:
    calls_per_day: int | None
    chars_per_memo: int | None
    max_api_keys: int
    max_concurrent: int

    @property
    def calls_per_month(self) -> int | None:
        return None if self.calls_per_day is None else MONTH_IN_DAYS * self.calls_per_day


@dataclass(frozen=True, kw_only=True)
class Features:
    tts: Literal["edge", "elevenlabs", "any"]
    priority: bool
    voice_cloning: bool
    custom_voices: bool
    analytics: Literal["basic", "advanced"]
    webhooks: bool
    custom_branding: bool
    dedicated_support: bool
    sla_percentage: float | None
    voices: Literal["all"] = "all"
    api_access: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`price` is USD a month; None: by agreement."""

    tier: Tier
    display_name: str
    description: str
    price: int | None
    highlighted: bool
    limits: Limits
    features: Features

    @property
    def rank(self) -> int:
        return list(Tier).index(self.tier)


PLANS: Final = {
    plan.tier: plan
    for plan in (
        Plan(
            tier=Tier.HOBBY,
            display_name="Hobby",
            description="Perfect for personal projects and experimentation",
            price=0,
            highlighted=False,
            limits=Limits(calls_per_day=100, chars_per_memo=5000, max_api_keys=2, max_concurrent=1),
            features=Features(
                tts="edge",
                priority=False,
                voice_cloning=False,
                custom_voices=False,
                analytics="basic",
                webhooks=False,
                custom_branding=False,
                dedicated_support=False,
                sla_percentage=None,
            ),
        ),
        Plan(
            tier=Tier.PRO,
            display_name="Pro",
            description="For professionals and growing businesses",
            price=19,
            highlighted=True,
            limits=Limits(calls_per_day=1000, chars_per_memo=20000, max_api_keys=10, max_concurrent=5),
            features=Features(
                tts="elevenlabs",
                priority=True,
                voice_cloning=False,
                custom_voices=False,
                analytics="advanced",
                webhooks=True,
                custom_branding=False,
                dedicated_support=False,
                sla_percentage=99.5,
            ),
        ),
        Plan(
            tier=Tier.ENTERPRISE,
            display_name="Enterprise",
            description="For large-scale deployments with custom needs",
            price=None,
            highlighted=False,
            limits=Limits(calls_per_day=None, chars_per_memo=None, max_api_keys=100, max_concurrent=50),
            features=Features(
                tts="any",
                priority=True,
                voice_cloning=True,
                custom_voices=True,
                analytics="advanced",
                webhooks=True,
                custom_branding=True,
                dedicated_support=True,
                sla_percentage=99.99,
            ),
        ),
    )
}


def plan_named(name: str) -> Plan:
    """Return the plan of this name, in upper or lower case. Raises ValidationFailed if there is none."""
    if name.lower() in PLANS:
        return PLANS[Tier(name.lower())]
    raise ValidationFailed(
        f"Invalid tier: {name}", details={"field": "tier", "validOptions": [tier.value for tier in Tier]}
    )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One feature of two plans. A value of None means unlimited; `improvement`: the second plan offers more."""

    feature: str
    current: int | str | bool | None
    target: int | str | bool | None
    improvement: bool


_TTS_RANK: Final = ("edge", "elevenlabs", "any")


def compare(current: Plan, target: Plan) -> list[Difference]:
    """Compare two plans by feature, in the order of pricing pages. Equal features are included."""

    def limit(feature: str, now: int | None, then: int | None) -> Difference:
        more = now is not None and (then is None or then > now)
        return Difference(feature=feature, current=now, target=then, improvement=more)

    def switch(feature: str, now: bool, then: bool) -> Difference:  # noqa: FBT001 the two states of one switch
        return Difference(feature=feature, current=now, target=then, improvement=then and not now)

    tts, target_tts = current.features.tts, target.features.tts
    return [
        limit("Daily API Calls", current.limits.calls_per_day, target.limits.calls_per_day),
        limit("Characters per Memo", current.limits.chars_per_memo, target.limits.chars_per_memo),
        Difference(
            feature="TTS Engine",
            current=tts,
            target=target_tts,
            improvement=_TTS_RANK.index(target_tts) > _TTS_RANK.index(tts),
        ),
        switch("Priority Processing", current.features.priority, target.features.priority),
        switch("Voice Cloning", current.features.voice_cloning, target.features.voice_cloning),
    ]
