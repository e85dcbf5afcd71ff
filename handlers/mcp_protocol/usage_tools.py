"""The tool for usage and limits."""

from typing import Final

from handlers.mcp_protocol.content import TextBlock, ToolAnswer
from handlers.mcp_protocol.memo_tools import NoArguments
from handlers.mcp_protocol.tools import Tool, ToolCall
from handlers.models.limits import LimitsAnswer
from shared.core.concurrency import gather_settled
from shared.tables.issued_keys import Scope


async def _get_usage(call: ToolCall[NoArguments]) -> ToolAnswer:
    services, user_id = call.services, call.key.user_id
    user, used = await gather_settled(services.memos.owner(user_id), services.quotas.used_by(user_id, services.clock()))
    limits = LimitsAnswer.of(user, used)
    return ToolAnswer(blocks=(TextBlock(text=limits.model_dump_json()),), structured=limits)


GET_USAGE: Final = Tool(
    name="get_usage",
    title="Get usage and limits",
    description=(
        "Get how many memos this account has made today and this month, how many are left, when the limits reset "
        "(UTC), and how long a text may be on its plan. Use it before you make many memos, or after a limit was "
        "exceeded. Costs nothing. Memos of test keys are not counted here."
    ),
    takes=NoArguments,
    returns=LimitsAnswer,
    scope=Scope.USAGE_READ,
    call=_get_usage,
)
