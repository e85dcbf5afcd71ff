"""Plans in answers."""

from typing import Literal, Self, TypeVar

from handlers.models.base import Answer
from shared.plans import Plan

Unlimited = Literal["unlimited"]
T = TypeVar("T")


def or_unlimited(limit: T | None) -> T | Unlimited:
    return "unlimited" if limit is None else limit


class PlanLimits(Answer):
    """A tier's limits."""

    calls_per_day: int | Unlimited
    chars_per_memo: int | Unlimited
    max_api_keys: int
    max_concurrent: int

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(
            calls_per_day=or_unlimited(plan.limits.calls_per_day),
            chars_per_memo=or_unlimited(plan.limits.chars_per_memo),
            max_api_keys=plan.limits.max_api_keys,
            max_concurrent=plan.limits.max_concurrent,
        )


class PlanFeatures(Answer):
    """A tier's features."""

    voices: str
    tts: str
    priority: bool
    voice_cloning: bool
    custom_voices: bool
    analytics: str
    api_access: bool
    webhooks: bool
    custom_branding: bool
    dedicated_support: bool
    sla_percentage: float | None
