"""Usage logs, the limits with their use, and the dashboard's first numbers."""

from typing import Annotated

from fastapi import APIRouter

from handlers import pages as usage_page
from handlers import usage_reports, usage_series
from handlers.models.base import Answer, Success
from handlers.models.limits import AllowanceAnswer, LimitsAnswer
from handlers.models.logs import LogAnswer
from handlers.models.openapi import CALLER_ERRORS, QUERY_ERRORS, SESSION_ERRORS, errors
from handlers.models.plans import PlanFeatures, PlanLimits
from handlers.models.queries import Cursor, From, Limit, To, one_of, option, window
from handlers.usage_statistics import Statistics
from shared.core.clock import Instant
from shared.core.concurrency import gather_settled
from shared.core.errors import InvalidCredential
from shared.plans import PLANS, Tier
from shared.tables.usage_logs import Action
from shared.tables.users import Role, User
from shared.web.auth import Caller, RequestServices, SessionUser, UsagePageReader, UsageReader
from shared.web.checks_beside import RouteWithChecks
from shared.web.function import Function

routes = APIRouter(tags=["usage"], route_class=RouteWithChecks)
# An included router would hide its paths.
routes.routes += [*usage_reports.routes.routes, *usage_series.routes.routes, *usage_page.routes.routes]


class LogPage(Answer):
    logs: list[LogAnswer]
    has_more: bool
    next_cursor: str | None


class Account(Answer):
    id: str
    email: str
    tier: Tier
    tier_name: str
    role: Role
    created_at: Instant
    updated_at: Instant


class UsageCounts(Answer):
    today: int
    this_month: int
    total: int


class KeyCounts(Answer):
    total: int
    active: int
    max_allowed: int


class MemoCounts(Answer):
    """Memos made with live keys, deleted ones included."""

    total: int
    total_characters: int


class Stats(Answer):
    usage: UsageCounts
    api_keys: KeyCounts
    memos: MemoCounts
    rate_limit: AllowanceAnswer


class PlanInBrief(Answer):
    name: Tier
    display_name: str
    price: int | None
    tts: str
    priority: bool


class StatsAnswer(Success):
    stats: Stats
    tier: PlanInBrief


class TierInfo(Answer):
    limits: PlanLimits
    features: PlanFeatures


class TierChoice(Answer):
    name: Tier
    display_name: str
    price: int | None
    highlighted: bool


class AccountAnswer(Success):
    account: Account
    tier_info: TierInfo
    available_tiers: list[TierChoice]
    upgrade_url: str


@routes.get("/api/v1/usage", responses=errors(*QUERY_ERRORS, *CALLER_ERRORS))
async def list_usage(
    caller: UsagePageReader,
    services: RequestServices,
    limit: Limit = 20,
    cursor: Cursor = None,
    action: Annotated[str | None, one_of(Action, description="Only this action")] = None,
    since: From = None,
    until: To = None,
) -> LogPage:
    """List usage logs, newest first. With `action` a page can be short although `hasMore` is true."""
    kind = None if action is None else Action(option("action", action, [known.value for known in Action]))
    scope = ("usage", caller.user_id, kind, since, until)
    bounds = window(limit=limit, after=services.cursors.open(scope, cursor), since=since, until=until)
    page = await services.tables.usage_logs.page(caller.user_id, bounds, action=kind)
    return LogPage(
        logs=[LogAnswer.model_validate(log) for log in page.rows],
        has_more=page.after is not None,
        next_cursor=services.cursors.seal(scope, page.after),
    )


@routes.get("/api/v1/usage/limits", responses=errors(*CALLER_ERRORS))
async def get_limits(caller: UsageReader, services: RequestServices) -> LimitsAnswer:
    """Return the owner's limits of today and this month, and what is left of them. All keys of the owner count."""
    user, used = await gather_settled(
        _owner(caller, services), services.quotas.used_by(caller.user_id, services.clock())
    )
    return LimitsAnswer.of(user, used)


@routes.get("/api/v1/dashboard/stats", responses=errors(*CALLER_ERRORS))
async def get_stats(caller: UsageReader, services: RequestServices, reports: Statistics) -> StatsAnswer:
    """Return the figures of a dashboard: calls, keys, memos, limit and plan."""
    now = services.clock()
    user, summary, keys, used = await gather_settled(
        _owner(caller, services),
        reports.summary(caller.user_id),
        services.tables.api_keys.ring(caller.user_id),
        services.quotas.used_by(caller.user_id, now),
    )
    quota, plan = used.of(user), PLANS[user.tier]
    return StatsAnswer(
        success=True,
        stats=Stats(
            usage=UsageCounts(today=summary.today, this_month=summary.this_month, total=summary.total.calls),
            api_keys=KeyCounts(
                total=len(keys),
                active=sum(key.is_active(now) for key in keys),
                max_allowed=plan.limits.max_api_keys,
            ),
            memos=MemoCounts(total=summary.total.calls, total_characters=summary.total.characters),
            rate_limit=AllowanceAnswer.of(quota.day),
        ),
        tier=PlanInBrief(
            name=plan.tier,
            display_name=plan.display_name,
            price=plan.price,
            tts=plan.features.tts,
            priority=plan.features.priority,
        ),
    )


@routes.get("/api/v1/dashboard/account", responses=errors(*SESSION_ERRORS))
async def get_account(user: SessionUser, services: RequestServices) -> AccountAnswer:
    """Return the account, its plan, and all plans."""
    plan = PLANS[user.tier]
    return AccountAnswer(
        success=True,
        account=Account(
            id=user.id,
            email=user.email,
            tier=user.tier,
            tier_name=plan.display_name,
            role=user.role,
            created_at=user.created_at,
            updated_at=user.updated_at,
        ),
        tier_info=TierInfo(limits=PlanLimits.of(plan), features=PlanFeatures.model_validate(plan.features)),
        available_tiers=[
            TierChoice(name=plan.tier, display_name=plan.display_name, price=plan.price, highlighted=plan.highlighted)
            for plan in PLANS.values()
        ],
        upgrade_url=f"{services.settings.public_url}/api/v1/billing/tiers",
    )


async def _owner(caller: Caller, services: RequestServices) -> User:
    user = caller.user or await services.tables.users.get(caller.user_id)
    if user is None:
        raise InvalidCredential("Invalid API key")
    return user


handler = Function(routes, title="usage")
