"""Error answers: from exceptions and refused models to the JSON envelope, status and headers."""

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from shared.core.errors import (
    AgentTalkError,
    AudioStoreFailed,
    InternalError,
    InvalidInput,
    InvalidVoice,
    MethodNotAllowed,
    MissingField,
    NotFound,
    ServiceUnavailable,
    SpeechFailed,
    ValidationFailed,
)
from shared.observability import request_stats
from shared.stores.port import AlreadyExists, InvalidKey, StoreError

_log = logging.getLogger("agent_talk.errors")

_EXPECTED: Final = {
    "string_type": "string",
    "float_type": "number",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "int_type": "integer",
    "int_parsing": "integer",
    "int_parsing_size": "integer",
    "int_from_float": "integer",
    "model_type": "object",
    "model_attributes_type": "object",
    "dict_type": "object",
    "list_type": "array",
}
"""The JSON name of the expected type, by Pydantic's errors about a wrong type."""

_BOUNDS: Final = {"greater_than_equal": "at least {ge}", "less_than_equal": "at most {le}"}
"""The text of a bound, by Pydantic's errors about a number outside it."""

_CODES: Final = {error.code: error for error in (ValidationFailed, InvalidVoice)}


def refusal(errors: Sequence[Mapping[str, Any]]) -> AgentTalkError:
    """Translate the first of Pydantic's or FastAPI's errors into one of ours."""
    error = errors[0]
    kind, given = error["type"], error.get("input")
    field = next((str(part) for part in reversed(error["loc"]) if isinstance(part, str)), "body")
    if kind == "json_invalid":
        return ValidationFailed("Request body is not valid JSON")
    if field == "body":
        return InvalidInput("body", expected="object", provided=_json_type(given))
    if kind == "missing" or given is None or (kind == "string_too_short" and given == ""):
        return MissingField(field)
    if kind in _EXPECTED:
        return InvalidInput(field, expected=_EXPECTED[kind], provided=_json_type(given))
    if kind in _CODES:
        said = error["msg"] if kind == InvalidVoice.code else f"{field} {error['msg']}"
        return _CODES[kind](said, details={"field": field} | error.get("ctx", {}))
    if kind == "string_unicode":
        return ValidationFailed(f"{field} is not valid Unicode text", details={"field": field})
    if kind in _BOUNDS:
        said = _BOUNDS[kind].format(**error["ctx"])
        return ValidationFailed(f"{field} must be {said}", details={"field": field})
    return ValidationFailed(f"Invalid {field}", details={"field": field})


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def _answer(error: AgentTalkError) -> JSONResponse:
    request_stats.current().error = error.code
    return JSONResponse(envelope(error), status_code=error.status, headers=error.headers)


def caller_error(exc: AgentTalkError | StoreError) -> AgentTalkError:
    """Return the error that a caller receives, and log details that it must not get.

    Any failure of the engine counts as an outage, also a refused request. Raises the exception if it is a defect.
    """
    if isinstance(exc, AlreadyExists | InvalidKey):
        raise exc
    if isinstance(exc, StoreError):
        _log.error("the store is unavailable", exc_info=exc)
        return ServiceUnavailable()
    if isinstance(exc, SpeechFailed | AudioStoreFailed):
        _log.error("%s", exc)  # the caller gets a fixed message, the log the provider's
    return exc


async def _on_caller_error(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, AgentTalkError | StoreError)
    return _answer(caller_error(exc))


async def _on_invalid_request(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    return _answer(refusal(exc.errors()))


async def _on_http_error(request: Request, exc: Exception) -> JSONResponse:
    """Answer FastAPI's own errors. These are an unknown route or method, and a body that cannot be decoded."""
    assert isinstance(exc, HTTPException)
    match exc.status_code:
        case 404:
            return _answer(NotFound("The requested resource was not found"))
        case 405:
            return _answer(MethodNotAllowed("Method not allowed", headers={"Allow": _allowed(request)}))
        case _:
            return _answer(ValidationFailed("Request body is not valid JSON"))


async def _on_unexpected(_: Request, __: Exception) -> JSONResponse:
    """Answer 500. The exception continues to RequestMiddleware, which logs it."""
    return _answer(InternalError())


def _allowed(request: Request) -> str:
    """Return the methods of all routes of this path. The router's own answer would name those of the first route."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


EXCEPTION_HANDLERS: Final[dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]] = {
    AgentTalkError: _on_caller_error,
    StoreError: _on_caller_error,
    RequestValidationError: _on_invalid_request,
    HTTPException: _on_http_error,
    Exception: _on_unexpected,
}


def envelope(error: AgentTalkError) -> dict[str, object]:
    """Return the body of an error's answer."""
    details = {"details": error.details} if error.details else {}
    return {"error": {"code": error.code, "message": error.message, **details}}
