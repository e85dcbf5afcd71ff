"""An owner's limits, their use, and what is left of them."""

from typing import Self

from handlers.models.base import Answer
from handlers.models.plans import Unlimited, or_unlimited
from shared.core.clock import Instant
from shared.limits.quotas import Allowance, Used
from shared.plans import PLANS, Tier
from shared.tables.users import User


class AllowanceAnswer(Answer):
    limit: int | Unlimited
    used: int
    remaining: int | Unlimited
    reset_at: Instant

    @classmethod
    def of(cls, allowance: Allowance) -> Self:
        return cls(
            limit=or_unlimited(allowance.limit),
            used=allowance.used,
            remaining=or_unlimited(allowance.remaining),
            reset_at=allowance.resets_at,
        )


class LimitsAnswer(Answer):
    tier: Tier
    daily: AllowanceAnswer
    monthly: AllowanceAnswer
    chars_per_memo: int | Unlimited
    max_api_keys: int

    @classmethod
    def of(cls, user: User, used: Used) -> Self:
        quota, limits = used.of(user), PLANS[user.tier].limits
        return cls(
            tier=user.tier,
            daily=AllowanceAnswer.of(quota.day),
            monthly=AllowanceAnswer.of(quota.month),
            chars_per_memo=or_unlimited(limits.chars_per_memo),
            max_api_keys=limits.max_api_keys,
        )
