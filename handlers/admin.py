"""The routes of admins: users are listed, changed and deleted, any key is revoked, the service's figures are read."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query

from handlers.models.base import Answer, Body, Message, Success, example
from handlers.models.fields import Email
from handlers.models.keys import KeyAnswer
from handlers.models.openapi import BODY_ERRORS, QUERY_ERRORS, SESSION_ERRORS, errors
from handlers.models.queries import Cursor, Limit, one_of, option, window
from handlers.models.users import UserAnswer
from handlers.usage_statistics import Statistics
from shared.accounts.administration import MONTH, WEEK, Listed, ServiceFigures
from shared.core.clock import Instant
from shared.core.errors import Forbidden, MissingField, NotFound
from shared.plans import Tier
from shared.tables.users import Role
from shared.web.auth import AdminUser, RequestServices
from shared.web.function import Function

ADMIN_ERRORS: Final = (*SESSION_ERRORS, Forbidden)

routes = APIRouter(tags=["admin"])


class ListedUser(UserAnswer):
    api_key_count: int
    usage_count: int

    @classmethod
    def of(cls, listed: Listed) -> "ListedUser":
        user = UserAnswer.model_validate(listed.user).model_dump(by_alias=False)
        return cls(**user, api_key_count=len(listed.keys), usage_count=listed.uses)


class UserPage(Success):
    users: list[ListedUser]
    has_more: bool
    next_cursor: str | None


class UserStats(Answer):
    calls: int
    characters: int
    calls_today: int
    calls_this_month: int


class OneUser(Success):
    user: UserAnswer
    api_keys: list[KeyAnswer]
    stats: UserStats


class ChangeUser(Body):
    """`tier`, `role`, or both."""

    model_config = example({"tier": "pro"})

    tier: str | None = None
    role: str | None = None


class ChangedUser(Success):
    user: UserAnswer


class CountedUsers(Answer):
    """All users. `newLast7Days` and `newLast30Days` signed up on these last UTC days, today included."""

    total: int
    by_tier: dict[Tier, int]
    new_last7_days: int
    new_last30_days: int


class CountedCalls(Answer):
    today: int
    last7_days: int
    last30_days: int


class ServiceStats(Answer):
    """Calls are as of `asOf`; null: no calls have been counted yet."""

    as_of: Instant | None
    users: CountedUsers
    calls: CountedCalls

    @classmethod
    def of(cls, figures: ServiceFigures) -> "ServiceStats":
        users, calls = figures.users, figures.calls
        return cls(
            as_of=calls.as_of,
            users=CountedUsers(
                total=users.total,
                by_tier=dict(users.by_tier),
                new_last7_days=users.new_since(calls.today - timedelta(days=WEEK - 1)),
                new_last30_days=users.new_since(calls.today - timedelta(days=MONTH - 1)),
            ),
            calls=CountedCalls(today=calls.last(1), last7_days=calls.last(WEEK), last30_days=calls.last(MONTH)),
        )


class StatsOfService(Success):
    stats: ServiceStats


@routes.get("/api/v1/admin/users", responses=errors(*QUERY_ERRORS, *ADMIN_ERRORS))
async def list_users(
    admin: AdminUser,
    services: RequestServices,
    limit: Limit = 20,
    cursor: Cursor = None,
    tier: Annotated[str | None, one_of(Tier, description="Only users on this plan")] = None,
    role: Annotated[str | None, one_of(Role, description="Only users of this role")] = None,
    email: Annotated[Email | None, Query(description="Only the user with this address")] = None,
) -> UserPage:
    """List users, newest first. With a filter a page can be short although `hasMore` is true."""
    on, acting = _tier(tier), _role(role)
    scope = ("admin/users", admin.id, on, acting, email)
    bounds = window(limit=limit, after=services.cursors.open(scope, cursor))
    page = await services.administration.users(bounds, tier=on, role=acting, email=email)
    return UserPage(
        success=True,
        users=[ListedUser.of(listed) for listed in page.rows],
        has_more=page.after is not None,
        next_cursor=services.cursors.seal(scope, page.after),
    )


@routes.get("/api/v1/admin/users/{user_id}", responses=errors(*ADMIN_ERRORS, NotFound))
async def get_user(_: AdminUser, user_id: str, services: RequestServices, reports: Statistics) -> OneUser:
    """Return a user with all API keys and with figures."""
    listed = await services.administration.user(user_id)
    summary, at = await reports.summary(user_id), services.clock()
    return OneUser(
        success=True,
        user=UserAnswer.model_validate(listed.user),
        api_keys=[KeyAnswer.of(key, at=at) for key in listed.keys],
        stats=UserStats(
            calls=summary.total.calls,
            characters=summary.total.characters,
            calls_today=summary.today,
            calls_this_month=summary.this_month,
        ),
    )


@routes.patch("/api/v1/admin/users/{user_id}", responses=errors(*BODY_ERRORS, *ADMIN_ERRORS, NotFound))
async def change_user(admin: AdminUser, user_id: str, body: ChangeUser, services: RequestServices) -> ChangedUser:
    """Change a user's plan, role, or both, effective immediately."""
    tier, role = _tier(body.tier), _role(body.role)
    if tier is None and role is None:
        raise MissingField("tier")
    user = await services.administration.change(admin, user_id, tier=tier, role=role)
    return ChangedUser(success=True, user=UserAnswer.model_validate(user))


@routes.delete("/api/v1/admin/users/{user_id}", responses=errors(*ADMIN_ERRORS, NotFound))
async def delete_user(admin: AdminUser, user_id: str, services: RequestServices) -> Message:
    """Close an account permanently. Its sessions and keys end immediately, and its data is erased."""
    await services.administration.close(admin, user_id)
    return Message(success=True, message="Account closed. What it had is being erased")


@routes.post("/api/v1/admin/api-keys/{key_id}/revoke", responses=errors(*ADMIN_ERRORS, NotFound))
async def revoke_key(admin: AdminUser, key_id: str, services: RequestServices) -> Message:
    """Revoke any owner's API key permanently, effective immediately. Repeatable."""
    await services.administration.revoke_key(admin, key_id)
    return Message(success=True, message="API key revoked successfully")


@routes.get("/api/v1/admin/stats", responses=errors(*ADMIN_ERRORS))
async def get_service_stats(_: AdminUser, services: RequestServices) -> StatsOfService:
    """Return the numbers of users and of calls of the whole service."""
    return StatsOfService(success=True, stats=ServiceStats.of(await services.administration.figures()))


def _tier(text: str | None) -> Tier | None:
    return None if text is None else Tier(option("tier", text, [tier.value for tier in Tier]))


def _role(text: str | None) -> Role | None:
    return None if text is None else Role(option("role", text, [role.value for role in Role]))


handler = Function(routes, title="admin", sends_mail=True)
