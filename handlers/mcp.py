"""`POST /mcp`: the service for agents, by the Model Context Protocol.

Every message needs an API key. A missing or wrong key is answered by HTTP (401); a domain error of a tool is a tool's
result with `isError`, which a model can read; all other errors are JSON-RPC's.
"""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from handlers.mcp_protocol.messages import RpcCode, RpcError, RpcMessage, error_body, parsed, result_body
from handlers.mcp_protocol.methods import CALL, Exchange, completed, result_of, tool_result
from handlers.mcp_protocol.revisions import revision_of
from handlers.mcp_protocol.tools import failure
from shared.core.errors import AgentTalkError, Forbidden, MissingCredential, Unauthenticated
from shared.observability import request_stats
from shared.services import Services
from shared.stores.port import StoreError
from shared.tables.issued_keys import IssuedKey
from shared.web.auth import api_key, given_token
from shared.web.cookies import is_foreign
from shared.web.error_answers import caller_error, envelope
from shared.web.function import Function

routes = APIRouter(tags=["mcp"])


@routes.post("/mcp", include_in_schema=False)
async def post_message(request: Request) -> Response:
    """Answer one message. Raises Forbidden for a foreign origin, and Unauthenticated; HTTP statuses answer both."""
    if is_foreign(request):
        raise Forbidden("This origin may not call the API")
    try:
        message = parsed(await request.body())
    except RpcError as error:
        if error.code is not RpcCode.PARSE_ERROR:  # only an unparsable body is refused unchecked
            await _presented(request)
        return _refused(error, None)
    try:
        presented = await _presented(request)
        revision = revision_of(message, request.headers)
        if message.id is None:
            return Response(status_code=202)
        if isinstance(presented, AgentTalkError):
            raise presented
        key, services = presented
        exchange = Exchange(message=message, revision=revision, key=key, services=services)
        return _json(result_body(message, await result_of(exchange)))
    except RpcError as error:
        return _refused(error, message)
    except Unauthenticated:
        raise
    except (AgentTalkError, StoreError) as exc:
        return _failed(caller_error(exc), message, request)


async def _presented(request: Request) -> tuple[IssuedKey, Services] | AgentTalkError:
    """Return the valid key of a request, or an error for a tool's result.

    The error is that of a revoked key or of an outage. Raises Unauthenticated if the key is missing, unknown or
    expired.
    """
    if given_token(request) is None:
        raise MissingCredential("An API key is required")
    function: Function = request.app.state.function
    try:
        services = await function.services()
        return await api_key(request, services), services
    except Unauthenticated:
        raise
    except (AgentTalkError, StoreError) as exc:
        return caller_error(exc)


def _failed(error: AgentTalkError, message: RpcMessage, request: Request) -> Response:
    """Answer a domain error. For a tool it is the result, for other methods JSON-RPC's error with its HTTP status."""
    request_stats.current().error = error.code
    if message.method == CALL:
        request_stats.current().error_status = error.status
        revision = revision_of(message, request.headers)
        return _json(result_body(message, completed(tool_result(failure(error), revision), revision)))
    data = envelope(error)["error"]
    assert isinstance(data, dict)
    body = error_body(RpcCode.INTERNAL_ERROR, error.message, message_id=message.id, data=data)
    return _json(body, status=error.status, headers=error.headers)


def _refused(error: RpcError, message: RpcMessage | None) -> Response:
    request_stats.current().error = error.code.name
    body = error_body(error.code, error.message, message_id=None if message is None else message.id, data=error.data)
    return _json(body, status=error.status)


def _json(body: Mapping[str, object], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        to_json(body), status_code=status, media_type="application/json", headers=dict(headers) if headers else None
    )


handler = Function(routes, title="mcp", answers_outages=True)
