"""The methods of the protocol: each returns the result of a message."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from handlers.mcp_protocol.content import LinkBlock, ToolAnswer
from handlers.mcp_protocol.memo_tools import MEMO_TOOLS
from handlers.mcp_protocol.messages import RpcCode, RpcError, RpcMessage
from handlers.mcp_protocol.revisions import SERVER_META, SUPPORTED, Revision
from handlers.mcp_protocol.tools import Tool
from handlers.mcp_protocol.usage_tools import GET_USAGE
from shared import VERSION
from shared.services import Services
from shared.tables.issued_keys import IssuedKey

TOOLS: Final[Mapping[str, Tool[Any]]] = {tool.name: tool for tool in (*MEMO_TOOLS, GET_USAGE)}

FRESH_MS: Final = 300_000
"""Milliseconds for which a client may keep the list of tools: it has a new one five minutes after a deployment."""

SERVER: Final = {"name": "agent-talk", "title": "Agent Talk", "version": VERSION}

CAPABILITIES: Final[Mapping[str, object]] = {"tools": {}}

INSTRUCTIONS: Final = (
    "Agent Talk speaks text and keeps the audio at a URL. create_memo makes a memo; choose a voice with list_voices "
    "first, and send an idempotencyKey. Give the user the audio URL. A long text is processing at first: call get_memo."
)

CALL: Final = "tools/call"

Result = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request with a valid API key, and the revision that its answer follows."""

    message: RpcMessage
    revision: Revision
    key: IssuedKey
    services: Services


async def result_of(exchange: Exchange) -> Result:
    """Return the result of a request. Raises RpcError, and the errors of a tool."""
    method = exchange.message.method
    methods = _INITIALIZED if exchange.revision.is_initialized else _STATELESS
    if method not in methods:
        # To clients before 2026-07-28 a status of 4xx means a broken connection.
        status = 200 if exchange.revision.is_initialized else 404
        raise RpcError(RpcCode.METHOD_NOT_FOUND, f"Method not found: {method}", status=status)
    return completed(await methods[method](exchange), exchange.revision)


def tool_result(answer: ToolAnswer, revision: Revision) -> Result:
    """Return the result of a call, in the form of the revision. An answer without structure is an error."""
    blocks = [
        block.model_dump(mode="json", exclude_none=True)
        for block in answer.blocks
        if revision.has_structure or not isinstance(block, LinkBlock)
    ]
    result: Result = {"content": blocks, "isError": answer.structured is None}
    if answer.structured is not None and revision.has_structure:
        result["structuredContent"] = answer.structured.model_dump(mode="json")
    return result


def completed(result: Result, revision: Revision) -> Result:
    """Return a result with the fields that every result of the revision has."""
    if revision.is_initialized:
        return result
    return {"resultType": "complete", **result, "_meta": {SERVER_META: SERVER}}


async def _initialize(exchange: Exchange) -> Result:
    return {
        "protocolVersion": exchange.revision,
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }


async def _ping(_: Exchange) -> Result:
    return {}


async def _discover(_: Exchange) -> Result:
    return {
        "supportedVersions": list(SUPPORTED),
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        **_FRESH,
    }


async def _list_tools(exchange: Exchange) -> Result:
    """List the tools that the key's scopes allow, on one page."""
    if exchange.message.params.get("cursor") is not None:
        raise _invalid_params("Invalid cursor: all tools are on one page", exchange.revision)
    tools = [tool.described(exchange.revision) for tool in TOOLS.values() if tool.may_be_called_by(exchange.key)]
    return {"tools": tools, **({} if exchange.revision.is_initialized else _FRESH)}


async def _call_tool(exchange: Exchange) -> Result:
    name, arguments = exchange.message.params.get("name"), exchange.message.params.get("arguments")
    arguments = {} if arguments is None else arguments
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise _invalid_params("params must have a name, a string, and may have arguments, an object", exchange.revision)
    if name not in TOOLS:
        raise _invalid_params(f"Unknown tool: {name}", exchange.revision)
    answer = await TOOLS[name].answer(arguments, exchange.key, exchange.services)
    return tool_result(answer, exchange.revision)


def _invalid_params(text: str, revision: Revision) -> RpcError:
    return RpcError(RpcCode.INVALID_PARAMS, text, status=200 if revision.is_initialized else 400)


_FRESH: Final = {"ttlMs": FRESH_MS, "cacheScope": "private"}
"""The caching of a list: for FRESH_MS, and for one API key, since another key's scopes may allow other tools."""

_Methods = Mapping[str | None, Callable[[Exchange], Awaitable[Result]]]

_INITIALIZED: Final[_Methods] = {
    "initialize": _initialize,
    "ping": _ping,
    "tools/list": _list_tools,
    CALL: _call_tool,
}

_STATELESS: Final[_Methods] = {"server/discover": _discover, "tools/list": _list_tools, CALL: _call_tool}
