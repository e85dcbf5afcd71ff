"""JSON-RPC 2.0: one message in each POST, and one answer.

Request:  `{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "list_voices"}}`
Answer:   `{"jsonrpc": "2.0", "id": 7, "result": {…}}` or `{"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, …}}`
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from pydantic_core import from_json

MOST_ID: Final = 2**63
"""The bound of numeric ids: a larger one may have more digits than Python converts back to text."""


class RpcCode(IntEnum):
    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    HEADER_MISMATCH = -32020
    UNSUPPORTED_PROTOCOL_VERSION = -32022


class RpcError(Exception):
    """An error of the protocol: the message itself is wrong, so other arguments of a model do not help."""

    def __init__(
        self, code: RpcCode, message: str, *, status: int = 400, data: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data


@dataclass(frozen=True, kw_only=True)
class RpcMessage:
    """A message. `id` of None: it expects no answer. `method` of None: a response, though this server sends no
    requests."""

    id: int | str | None
    method: str | None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def meta(self) -> Mapping[str, Any]:
        """The `_meta` of the parameters; empty if absent."""
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}


def parsed(body: bytes) -> RpcMessage:
    """Return the message in a POST's body. Raises RpcError if the body is no message, or a batch of them."""
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError as exc:
        raise RpcError(RpcCode.PARSE_ERROR, "The body is not valid JSON") from exc
    if isinstance(given, list):
        raise RpcError(RpcCode.INVALID_REQUEST, "Batches are not supported: send one message in each POST")
    if not isinstance(given, dict) or given.get("jsonrpc") != "2.0":
        raise RpcError(RpcCode.INVALID_REQUEST, 'The body must be a JSON-RPC message with "jsonrpc": "2.0"')
    method = given.get("method")
    if method is None and ("result" in given or "error" in given):
        return RpcMessage(id=None, method=None)
    if not isinstance(method, str):
        raise RpcError(RpcCode.INVALID_REQUEST, "method must be a string")
    if "id" in given and not _is_id(given["id"]):
        raise RpcError(RpcCode.INVALID_REQUEST, "id must be a string, or an integer of a usual size")
    params = given.get("params", {})
    if not isinstance(params, dict):
        raise RpcError(RpcCode.INVALID_REQUEST, "params must be an object")
    return RpcMessage(id=given.get("id"), method=method, params=params)


def result_body(message: RpcMessage, result: Mapping[str, object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": message.id, "result": result}


def error_body(
    code: RpcCode, text: str, *, message_id: int | str | None, data: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return the body of an error. A message whose id could not be read is answered without one."""
    error: dict[str, object] = {"code": code, "message": text} | ({"data": data} if data else {})
    return {"jsonrpc": "2.0", **({} if message_id is None else {"id": message_id}), "error": error}


def _is_id(given: object) -> bool:
    return isinstance(given, str) or (type(given) is int and abs(given) < MOST_ID)
