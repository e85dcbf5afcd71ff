"""Errors in the OpenAPI document: their envelope, and the errors of each kind of route."""

from typing import Any, Final

from handlers.models.base import Answer
from shared.core.errors import (
    AgentTalkError,
    InternalError,
    InvalidCredential,
    InvalidInput,
    KeyRevoked,
    MissingCredential,
    MissingField,
    PayloadTooLarge,
    ScopeMissing,
    ServiceUnavailable,
    SessionExpired,
    ValidationFailed,
)
from shared.web.cold_start import applies


class ErrorDetails(Answer):
    """The details of an error. Only the fields that apply are present."""

    field: str | None = None
    reason: str | None = None
    provided_type: str | None = None
    limit: int | None = None
    provided: int | None = None
    tier: str | None = None
    max_length: int | None = None
    valid_options: list[str] | None = None
    requested_voice: str | None = None
    available_voices: list[str] | None = None
    required_scope: str | None = None
    required_tier: str | None = None
    current_tier: str | None = None
    memo_id: str | None = None
    used: int | None = None
    reset_at: str | None = None
    provider: str | None = None
    operation: str | None = None


class ErrorBody(Answer):
    code: str
    message: str
    details: ErrorDetails | None = None


class ErrorAnswer(Answer):
    error: ErrorBody


class OpenAiErrorBody(Answer):
    message: str
    type: str
    param: str | None
    code: str


class OpenAiErrorAnswer(Answer):
    error: OpenAiErrorBody


def errors(*kinds: type[AgentTalkError]) -> dict[int | str, dict[str, Any]]:
    """Return a route's errors for its OpenAPI document, with those of every route.

    Empty in Lambda, which serves no document: this saves building some hundred models at each cold start.
    """
    if applies("error_models"):
        return {}
    codes: dict[int, set[str]] = {}
    general: tuple[type[AgentTalkError], ...] = (PayloadTooLarge, InternalError, ServiceUnavailable)
    for kind in (*kinds, *general):
        codes.setdefault(kind.status, set()).add(kind.code)
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": " or ".join(sorted(codes[status]))} for status in sorted(codes)
    }
    return described | {"default": {"model": ErrorAnswer, "description": "Any other error"}}


def errors_of_openai(*kinds: type[AgentTalkError]) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for its OpenAPI document, in OpenAI's envelope."""
    return {status: {**said, "model": OpenAiErrorAnswer} for status, said in errors(*kinds).items()}


SESSION_ERRORS: Final = (MissingCredential, InvalidCredential, SessionExpired)
"""Errors of routes that take a session."""

KEY_ERRORS: Final = (MissingCredential, InvalidCredential, KeyRevoked, ScopeMissing)
"""Errors of routes that take an API key."""

CALLER_ERRORS: Final = (*KEY_ERRORS, SessionExpired)
"""Errors of routes that take either."""

QUERY_ERRORS: Final = (ValidationFailed, InvalidInput)
"""Errors of routes that read a query."""

BODY_ERRORS: Final = (*QUERY_ERRORS, MissingField)
"""Errors of routes that read a body."""
