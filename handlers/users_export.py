"""An owner's whole account as NDJSON, a part at a time."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from handlers.models.base import Answer
from handlers.models.keys import KeyAnswer
from handlers.models.logs import LogAnswer
from handlers.models.memos import MemoAnswer
from handlers.models.openapi import QUERY_ERRORS, SESSION_ERRORS, errors
from handlers.models.users import UserAnswer
from shared.accounts.export import Exported
from shared.core.clock import Instant, iso
from shared.plans import Tier
from shared.services import Services
from shared.tables.issued_keys import ApiKey
from shared.tables.memos import Memo
from shared.tables.subscriptions import SubscriptionStatus
from shared.tables.usage_logs import UsageLog
from shared.tables.users import User
from shared.web.auth import RequestServices, SessionUser

routes = APIRouter(tags=["accounts"])

MEDIA_TYPE = "application/x-ndjson"

NextPart = Annotated[str | None, Query(description="`X-Next-Cursor` of the part before")]


class AccountLine(UserAnswer):
    type: Literal["account"] = "account"


class KeyLine(KeyAnswer):
    type: Literal["key"] = "key"


class MemoLine(MemoAnswer):
    type: Literal["memo"] = "memo"


class LogLine(LogAnswer):
    type: Literal["log"] = "log"


class SubscriptionLine(Answer):
    type: Literal["subscription"] = "subscription"
    tier: Tier
    status: SubscriptionStatus
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    current_period_start: Instant | None
    current_period_end: Instant | None
    cancel_at_period_end: bool
    created_at: Instant
    updated_at: Instant


@routes.get(
    "/api/v1/auth/me/export",
    response_class=Response,
    responses=errors(*QUERY_ERRORS, *SESSION_ERRORS)
    | {
        200: {
            "description": "Account, keys without secrets, memos, logs and subscription, a JSON object a line. "
            "`X-Next-Cursor`, if it is there, continues",
            "content": {MEDIA_TYPE: {}},
        }
    },
)
async def export_account(user: SessionUser, services: RequestServices, cursor: NextPart = None) -> Response:
    """Return all data of the account, in parts of at most 5 MB. `X-Next-Cursor` is the `cursor` of the next part."""
    scope = (user.id, "account export")
    place = services.cursors.open(scope, cursor or None)
    part = await services.exports.part(user, place, lambda row: _line(row, services))
    following = services.cursors.seal(scope, part.place)
    name = f"agent-talk-account-{iso(services.clock())[:10]}.ndjson"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    if following is not None:
        headers["x-next-cursor"] = following
    return Response(part.text, media_type=MEDIA_TYPE, headers=headers)


def _line(row: Exported, services: Services) -> str:
    line: Answer
    match row:
        case User():
            line = AccountLine.model_validate(row)
        case ApiKey():
            line = KeyLine.of(row, at=services.clock())
        case Memo():
            line = MemoLine.of(row, public_url=services.settings.public_url)
        case UsageLog():
            line = LogLine.model_validate(row)
        case _:
            line = SubscriptionLine.model_validate(row)
    return line.model_dump_json()
