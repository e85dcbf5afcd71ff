"""Random messages: none is answered 5xx, and each answer is JSON-RPC's or the envelope.

`make fuzz` generates more of them, different ones at each run.
"""

import json
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from tests.events import http_event
from tests.handlers.conftest import Fuzz
from tests.handlers.test_mcp import META, NEWEST, OLDER
from tests.handlers.test_mcp_tools import TOOLS
from tests.handlers.world import Account, World

METHODS: Final = ("initialize", "ping", "server/discover", "tools/list", "tools/call", "notifications/initialized")
NAMES: Final = (
    *("text", "voice", "title", "format", "idempotencyKey", "includeAudio", "id", "limit", "cursor", "from", "to"),
    *("name", "arguments", "_meta", "protocolVersion", "jsonrpc", "method", "params"),
)
VALUES: Final = ("rachel", "", " ", "\ud800", "\x00", "2026-03-02", "A" * 300, "=?base64?", "at_live_x")

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(VALUES)
    | st.sampled_from([10**400, -(2**70), 1e308])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner),
    max_leaves=8,
)
arguments = st.dictionaries(st.sampled_from(NAMES), values, max_size=5)
said = st.fixed_dictionaries(
    {"text": st.text(max_size=30) | values, "voice": st.sampled_from(["rachel", "SAM", "nobody"]) | values},
    optional={"title": values, "idempotencyKey": st.sampled_from(["one", "two"]) | values, "includeAudio": values},
)
calls = st.fixed_dictionaries(
    {"name": st.sampled_from(TOOLS) | values, "arguments": said | arguments | values},
    optional={"_meta": st.just(META) | values},
)
messages = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | values, "method": st.sampled_from(METHODS) | values},
    optional={"id": st.integers() | st.text(max_size=5) | values, "params": calls | arguments | values},
)
bodies = (messages | st.lists(messages, max_size=2) | values).map(json.dumps)
headers = st.fixed_dictionaries(
    {},
    optional={
        "mcp-protocol-version": st.sampled_from([NEWEST, *OLDER, "2024-11-05", "", "x"]),
        "mcp-method": st.sampled_from([*METHODS, "", "é"]),
        "mcp-name": st.sampled_from(
            [*TOOLS, "", "=?base64?bGlzdF92b2ljZXM=?=", "=?base64?", "=?base64??=", "=?base64?=?="]
        ),
        "accept": st.sampled_from(["", "text/event-stream", "application/json"]),
    },
)


def sent(world: World, key: str, body: str | bytes, given_headers: dict[str, str]) -> int:
    """Send a POST. Returns its status; `World` checks the form of its answer."""
    event: Any = http_event("POST", "/mcp", headers={**given_headers, "authorization": f"Bearer {key}"}, body=body)
    return world.handle("mcp", event).status


def test_no_message_is_answered_5xx(world: World, ada: Account, fuzz: Fuzz) -> None:
    """Any message with any headers is answered below 500."""

    @fuzz(120)
    @given(bodies, headers)
    def check(body: str, given_headers: dict[str, str]) -> None:
        assert sent(world, ada.key, body, given_headers) < 500

    check()


def test_no_call_of_a_tool_is_answered_5xx(world: World, ada: Account, fuzz: Fuzz) -> None:
    """A well-formed call with any arguments is answered 200 or 400."""

    @fuzz(80)
    @given(st.sampled_from(TOOLS), said | arguments, st.sampled_from([NEWEST, *OLDER]))
    def check(tool: str, given_arguments: dict[str, Any], revision: str) -> None:
        params: dict[str, Any] = {"name": tool, "arguments": given_arguments}
        given_headers = {"mcp-protocol-version": revision}
        if revision == NEWEST:
            params["_meta"] = META
            given_headers |= {"mcp-method": "tools/call", "mcp-name": tool}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        assert sent(world, ada.key, body, given_headers) in (200, 400)

    check()


def test_no_bytes_are_answered_5xx(world: World, ada: Account, fuzz: Fuzz) -> None:
    """A body of any bytes is answered 202 or 400."""

    @fuzz(40)
    @given(st.binary(max_size=60))
    def check(body: bytes) -> None:
        assert sent(world, ada.key, body, {}) in (202, 400)

    check()
