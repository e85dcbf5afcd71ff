"""From what a model refused to what a client is told."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.core.errors import AgentTalkError, InvalidInput, InvalidVoice, MissingField, ValidationFailed

_EXPECTED: Final = {
    "string_type": "string",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "int_type": "integer",
    "int_parsing": "integer",
    "int_parsing_size": "integer",
    "int_from_float": "integer",
    "model_type": "object",
    "model_attributes_type": "object",
    "dict_type": "object",
}
"""Pydantic's errors that mean a wrong type, and the type that was right, as JSON calls it."""

_CODES: Final = {error.code: error for error in (ValidationFailed, InvalidVoice)}


def refusal(errors: Sequence[Mapping[str, Any]]) -> AgentTalkError:
    """The first of Pydantic's (or FastAPI's) validation errors, as one of ours."""
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
