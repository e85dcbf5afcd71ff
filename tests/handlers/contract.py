"""The public contract of every answer: codes, statuses, details and headers. `World` checks each answer by it.

A test that compares one field of an error would not notice an unexpected detail, or a missing one.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from tools.local import FUNCTIONS

INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

STATUS: Final[Mapping[str, frozenset[int]]] = {
    "VALIDATION_ERROR": frozenset({400, 416}),
    "MISSING_FIELD": frozenset({400}),
    "INVALID_INPUT": frozenset({400}),
    "INVALID_VOICE": frozenset({400}),
    "MISSING_API_KEY": frozenset({401}),
    "INVALID_API_KEY": frozenset({401}),
    "UNAUTHORIZED": frozenset({401}),
    "EXPIRED_TOKEN": frozenset({401}),
    "FORBIDDEN": frozenset({403}),
    "INSUFFICIENT_TIER": frozenset({403}),
    "REVOKED_KEY": frozenset({403}),
    "NOT_FOUND": frozenset({404}),
    "MEMO_NOT_FOUND": frozenset({404}),
    "METHOD_NOT_ALLOWED": frozenset({405}),
    "CONFLICT": frozenset({409}),
    "PAYLOAD_TOO_LARGE": frozenset({413}),
    "DAILY_LIMIT_EXCEEDED": frozenset({429}),
    "MONTHLY_LIMIT_EXCEEDED": frozenset({429}),
    "RATE_LIMIT_EXCEEDED": frozenset({429}),
    "INTERNAL_ERROR": frozenset({500}),
    "TTS_SERVICE_ERROR": frozenset({502}),
    "STORAGE_ERROR": frozenset({502}),
    "AUDIO_NOT_READY": frozenset({503}),
    "SERVICE_UNAVAILABLE": frozenset({503}),
}

REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "MISSING_FIELD": frozenset({"field"}),
    "INVALID_INPUT": frozenset({"field", "reason", "providedType"}),
    "INVALID_VOICE": frozenset({"field", "requestedVoice", "availableVoices"}),
    "INSUFFICIENT_TIER": frozenset({"requiredTier", "currentTier"}),
    "MEMO_NOT_FOUND": frozenset({"memoId"}),
    "DAILY_LIMIT_EXCEEDED": frozenset({"limit", "used", "resetAt"}),
    "MONTHLY_LIMIT_EXCEEDED": frozenset({"limit", "used", "resetAt"}),
    "TTS_SERVICE_ERROR": frozenset({"provider"}),
    "STORAGE_ERROR": frozenset({"operation"}),
}

POSSIBLE: Final[Mapping[str, frozenset[str]]] = {
    "VALIDATION_ERROR": frozenset({"field", "limit", "provided", "tier", "maxLength", "validOptions"}),
    "FORBIDDEN": frozenset({"requiredScope"}),
}

RPC_STATUS: Final[Mapping[int, frozenset[int]]] = {
    -32700: frozenset({400}),
    -32600: frozenset({400}),
    -32601: frozenset({200, 404}),
    -32602: frozenset({200, 400}),
    -32603: frozenset({403, 429, 502, 503}),
    -32020: frozenset({400}),
    -32022: frozenset({400}),
}
"""The statuses of answers by JSON-RPC's code: clients before 2026-07-28 get some errors with 200."""

TEXTS: Final = frozenset(
    {
        *("field", "reason", "providedType", "requestedVoice", "tier", "requiredTier", "currentTier"),
        *("memoId", "provider", "operation", "requiredScope"),
    }
)
NUMBERS: Final = frozenset({"limit", "provided", "maxLength", "used"})
LISTS: Final = frozenset({"validOptions", "availableVoices"})

SAID: Final = frozenset({"text", "input"})
"""Fields whose maximum length is in `limit`, which published clients read."""

WITH_RETRY: Final = frozenset({*("DAILY_LIMIT_EXCEEDED", "MONTHLY_LIMIT_EXCEEDED", "RATE_LIMIT_EXCEEDED")}) | {
    *("AUDIO_NOT_READY", "SERVICE_UNAVAILABLE")
}

STILL_RUNNING: Final = "The first request is still running"
"""The one conflict that ends by itself."""


def check_error(status: int, headers: Mapping[str, str], error: Any) -> None:
    """Assert that an error is one of the contract's, with its status, details and headers."""
    assert {"code", "message"} <= error.keys() <= {"code", "message", "details"}, error
    code, details = error["code"], error.get("details", {})
    assert status in STATUS[code], (status, error)
    assert isinstance(error["message"], str)
    assert error["message"].strip(), error
    assert "details" not in error or details, ("empty details are left out", error)
    required = REQUIRED.get(code, frozenset())
    assert required <= details.keys() <= required | POSSIBLE.get(code, frozenset()), error
    for name, value in details.items():
        _check_detail(name, value)
    if "used" in details:
        assert details["used"] <= details["limit"], error
    if "provided" in details:
        assert ("limit" in details) != ("maxLength" in details), error
        assert "limit" in details or details["field"] not in SAID, error
    retries = code in WITH_RETRY or error["message"] == STILL_RUNNING
    assert retries == ("retry-after" in headers), (code, headers)
    if retries:
        assert re.fullmatch(r"[1-9][0-9]*", headers["retry-after"]), headers["retry-after"]
    assert (status == 405) == ("allow" in headers)
    if code in {"MISSING_API_KEY", "INVALID_API_KEY", "EXPIRED_TOKEN"}:
        assert headers["www-authenticate"] == "Bearer"


def check_openai_error(status: int, headers: Mapping[str, str], error: Any) -> None:
    """Assert that an error has OpenAI's envelope, one of our codes, and the header that stops its SDK's retries."""
    assert error.keys() == {"message", "type", "param", "code"}, error
    assert status in STATUS[error["code"]], (status, error)
    assert error["message"].strip(), error
    assert (headers.get("x-should-retry") == "false") == (status < 500 and status != 409), (status, headers)


def check_rpc(status: int, answer: Any) -> None:
    """Assert that an answer is JSON-RPC's, and that an error is one of the protocol's, with a status of RPC_STATUS."""
    assert answer["jsonrpc"] == "2.0"
    if "result" in answer:
        assert (status, answer.keys()) == (200, {"jsonrpc", "id", "result"})
        return
    assert {"jsonrpc", "error"} <= answer.keys() <= {"jsonrpc", "id", "error"}
    error = answer["error"]
    assert {"code", "message"} <= error.keys() <= {"code", "message", "data"}
    assert status in RPC_STATUS[error["code"]], (status, error)


def check_documented(function: str, method: str, path: str, status: int, media_type: str | None) -> None:
    """Assert that the function's OpenAPI document has this status and media type for the route, if it has the route."""
    for template, operations in _routes(function):
        if template.fullmatch(path) and method.lower() in operations:
            documented = operations[method.lower()]["responses"]
            assert str(status) in documented, (method, path, status)
            named = documented[str(status)].get("content", {}).keys()
            assert media_type is None or media_type in named, (method, path, status, media_type, named)
            return


@cache
def _routes(function: str) -> list[tuple[re.Pattern[str], Any]]:
    paths = FUNCTIONS[function].app.openapi()["paths"]
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), of) for path, of in paths.items()]


def _check_detail(name: str, value: Any) -> None:
    if name in TEXTS:
        assert isinstance(value, str), (name, value)
    elif name in NUMBERS:
        assert type(value) is int, (name, value)
        assert value >= 0 or name == "provided", (name, value)
    elif name in LISTS:
        assert value, name
        assert all(isinstance(option, str) for option in value), (name, value)
    else:
        assert name == "resetAt"
        assert INSTANT.fullmatch(value), value
