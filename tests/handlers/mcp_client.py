"""The official client of the Model Context Protocol, connected to the function of a world."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from tests.handlers.world import PUBLIC_URL, World

NEWEST: Final = "2026-07-28"
INITIALIZED: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
REVISIONS: Final = (NEWEST, *INITIALIZED)

URL: Final = f"{PUBLIC_URL}/mcp"

Send = Callable[[httpx2.Request], Awaitable[httpx2.Response]]
Way = Callable[[Send, httpx2.Request], Awaitable[httpx2.Response]]
"""The path of a request: it may be sent, sent twice, or its answer lost."""


async def straight(send: Send, request: httpx2.Request) -> httpx2.Response:
    return await send(request)


class RevisedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to a function with one revision: the client itself requests its newest."""

    def __init__(self, app: Any, *, revision: str, way: Way) -> None:
        self._function = httpx2.ASGITransport(app)
        self._revision = revision
        self._way = way

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(await request.aread() or b"{}")
        if body.get("method") == "initialize":
            body["params"]["protocolVersion"] = self._revision
            headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
            request = httpx2.Request(request.method, request.url, headers=headers, json=body)
        return await self._way(self._function.handle_async_request, request)


@asynccontextmanager
async def connected(world: World, key: str, revision: str = NEWEST, *, way: Way = straight) -> AsyncIterator[Client]:
    transport = RevisedTransport(world.functions["mcp"].asgi, revision=revision, way=way)
    headers = {"authorization": f"Bearer {key}"}
    mode = "auto" if revision == NEWEST else "legacy"
    http = httpx2.AsyncClient(transport=transport, headers=headers)
    async with http, Client(streamable_http_client(URL, http_client=http), mode=mode) as client:
        assert client.protocol_version == revision
        yield client


def call(world: World, key: str, tool: str, revision: str = NEWEST, /, **arguments: Any) -> CallToolResult:
    """Call a tool once by a new client. Returns the tool's result."""

    async def called() -> CallToolResult:
        async with connected(world, key, revision) as client:
            return await client.call_tool(tool, arguments)

    return world.run(called())


def text_of(result: CallToolResult) -> str:
    """Return the first block of a result, which every result has as text for a model."""
    block = result.content[0]
    assert isinstance(block, TextContent)
    return block.text


def error_of(result: CallToolResult) -> str:
    """Return the code of a tool's error."""
    assert result.is_error
    assert result.structured_content is None
    return text_of(result).partition(":")[0]
