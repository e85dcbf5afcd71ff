"""The revision of the protocol that a message follows.

| revision | how a client names it | differences here |
|---|---|---|
| 2025-03-26 | `initialize`, then nothing | no structured results, no links to resources |
| 2025-06-18, 2025-11-25 | `initialize`, then the header `MCP-Protocol-Version` | |
| 2026-07-28 | in each request: `_meta` and the header, with `Mcp-Method` and `Mcp-Name` | no `initialize`, no `ping` |

No revision has a session here: each message contains all that its answer needs.
"""

import base64
import binascii
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from starlette.datastructures import Headers

from handlers.mcp_protocol.messages import RpcCode, RpcError, RpcMessage

VERSION_HEADER: Final = "MCP-Protocol-Version"
METHOD_HEADER: Final = "Mcp-Method"
NAME_HEADER: Final = "Mcp-Name"

VERSION_META: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_META: Final = "io.modelcontextprotocol/clientCapabilities"
SERVER_META: Final = "io.modelcontextprotocol/serverInfo"

_NAMED: Final[Mapping[str, str]] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""The parameter that the header `Mcp-Name` repeats, by method."""

_ENCODED: Final = ("=?base64?", "?=")


class Revision(StrEnum):
    """The supported revisions. A later one compares as greater."""

    OF_MARCH_2025 = "2025-03-26"
    OF_JUNE_2025 = "2025-06-18"
    OF_NOVEMBER_2025 = "2025-11-25"
    OF_JULY_2026 = "2026-07-28"

    @property
    def is_initialized(self) -> bool:
        """True if clients of this revision begin with `initialize`."""
        return self < Revision.OF_JULY_2026

    @property
    def has_structure(self) -> bool:
        """True if results have structured content with schemas, and links to resources."""
        return self > Revision.OF_MARCH_2025


SUPPORTED: Final = tuple(sorted(Revision, reverse=True))
"""All revisions, newest first."""

NEWEST_INITIALIZED: Final = Revision.OF_NOVEMBER_2025


def revision_of(message: RpcMessage, headers: Headers) -> Revision:
    """Return the revision of a message. Raises RpcError if it is unknown, or header and body differ."""
    header = headers.get(VERSION_HEADER)
    if VERSION_META in message.meta or header == Revision.OF_JULY_2026:
        return _stateless(message, headers)
    if message.method == "initialize":
        return negotiated(message.params.get("protocolVersion"))
    if header is None:
        return Revision.OF_MARCH_2025
    return _supported(header)


def negotiated(asked: object) -> Revision:
    """Return the revision for `initialize`.

    It is the client's if that is supported, else the newest with `initialize`. Raises RpcError if the client names
    none.
    """
    if not isinstance(asked, str):
        raise RpcError(RpcCode.INVALID_PARAMS, "params.protocolVersion must be a string")
    known = {revision.value: revision for revision in Revision if revision.is_initialized}
    return known.get(asked, NEWEST_INITIALIZED)


def _stateless(message: RpcMessage, headers: Headers) -> Revision:
    if message.method is None:
        raise RpcError(RpcCode.INVALID_REQUEST, "Clients send no responses")
    version = message.meta.get(VERSION_META)
    if not isinstance(version, str):
        raise RpcError(RpcCode.INVALID_PARAMS, f"params._meta must have {VERSION_META}, a string")
    _check(headers, VERSION_HEADER, version)
    revision = _supported(version)
    if revision.is_initialized:
        raise _unsupported(version)
    if not isinstance(message.meta.get(CAPABILITIES_META), dict):
        raise RpcError(RpcCode.INVALID_PARAMS, f"params._meta must have {CAPABILITIES_META}, an object")
    if message.id is not None:
        _check(headers, METHOD_HEADER, message.method)
        if message.method in _NAMED:
            _check(headers, NAME_HEADER, message.params.get(_NAMED[message.method]))
    return revision


def _supported(version: str) -> Revision:
    if version not in SUPPORTED:
        raise _unsupported(version)
    return Revision(version)


def _unsupported(version: str) -> RpcError:
    data = {"supported": list(SUPPORTED), "requested": version}
    return RpcError(RpcCode.UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", data=data)


def _check(headers: Headers, name: str, expected: Any) -> None:
    """Raise RpcError unless a header, sent once, repeats the value of the body."""
    given = headers.getlist(name)
    if not given:
        raise RpcError(RpcCode.HEADER_MISMATCH, f"Header mismatch: {name} is missing")
    if len(given) > 1 or _decoded(given[0]) != expected:
        raise RpcError(RpcCode.HEADER_MISMATCH, f"Header mismatch: {name} is not what the body says")


def _decoded(value: str) -> str | None:
    """Return a header's value, decoded if it has the form `=?base64?…?=`. None: it cannot be decoded."""
    begins, ends = _ENCODED
    if not (value.startswith(begins) and value.endswith(ends)):
        return value
    try:
        return base64.b64decode(value[len(begins) : -len(ends)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
