"""Headers of a stateless request repeat its body."""

from typing import Final

import pytest
from starlette.datastructures import Headers

from handlers.mcp_protocol.messages import RpcCode, RpcError, RpcMessage
from handlers.mcp_protocol.revisions import CAPABILITIES_META, VERSION_META, Revision, revision_of

META: Final = {VERSION_META: "2026-07-28", CAPABILITIES_META: {}}
HEADERS: Final = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call"}


def call_of(name: str, *given: tuple[str, str]) -> Revision:
    """Return the revision of a call of this tool, with further headers."""
    message = RpcMessage(id=1, method="tools/call", params={"name": name, "_meta": META})
    raw = [(key.encode(), value.encode()) for key, value in (*HEADERS.items(), *given)]
    return revision_of(message, Headers(raw=raw))


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("list_voices", "list_voices"),
        ("list_voices", "=?base64?bGlzdF92b2ljZXM=?="),
        ("ä", "=?base64?w6Q=?="),
        ("ends?=", "ends?="),
        ("=?base64?", "=?base64?"),
    ],
)
def test_header_repeats_a_name_plainly_or_in_base64(name: str, header: str) -> None:
    """A value with only one of the two marks of base64 is plain."""
    assert call_of(name, ("mcp-name", header)) is Revision.OF_JULY_2026


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("mcp-name", "list_memos")],
        [("mcp-name", "list_voices"), ("mcp-name", "list_voices")],
        [("mcp-name", "list_voices"), ("mcp-method", "tools/call")],
        [("mcp-name", "=?base64?bGlz dF92b2ljZXM=?=")],
        [("mcp-name", "=?base64?/w==?=")],
    ],
)
def test_header_is_refused_unless_it_repeats_once(headers: list[tuple[str, str]]) -> None:
    """A header is refused if it is absent, has another name, comes twice, or is in malformed base64."""
    with pytest.raises(RpcError) as refused:
        call_of("list_voices", *headers)
    assert refused.value.code is RpcCode.HEADER_MISMATCH
