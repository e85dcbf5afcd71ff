"""The contents of errors: message, details and headers."""

import pytest

from shared.core.errors import (
    AgentTalkError,
    AudioNotReady,
    FirstStillRunning,
    InvalidInput,
    KeyLimitExceeded,
    MissingField,
    MonthlyLimitExceeded,
    RangeNotSatisfiable,
    ServiceUnavailable,
    TooManyAttempts,
)

RESET = "2026-04-01T00:00:00.000Z"
USED = {"limit": 50, "used": 50, "resetAt": RESET}


def key_limit(*, is_monthly: bool) -> KeyLimitExceeded:
    return KeyLimitExceeded(
        limit=50, used=50, unit="characters", is_monthly=is_monthly, resets_at=RESET, headers={"Retry-After": "9"}
    )


@pytest.mark.parametrize(
    ("error", "message", "details", "headers"),
    [
        (MissingField("text"), "Missing required field: text", {"field": "text"}, {}),
        (
            InvalidInput("text", expected="string", provided="number"),
            "Invalid text: expected string",
            {"field": "text", "reason": "expected string, received number", "providedType": "number"},
            {},
        ),
        (RangeNotSatisfiable(length=9), "Range not satisfiable", {}, {"Content-Range": "bytes */9"}),
        (FirstStillRunning(), "The first request is still running", {}, {"Retry-After": "2"}),
        (AudioNotReady(), "The audio is being made. Please try again.", {}, {"Retry-After": "2"}),
        (
            ServiceUnavailable(),
            "The service is temporarily unavailable. Please try again.",
            {},
            {"Retry-After": "5"},
        ),
        (
            TooManyAttempts(retry_after_s=7),
            "Too many attempts. Please try again later.",
            {},
            {"Retry-After": "7"},
        ),
        (
            MonthlyLimitExceeded(limit=50, used=50, resets_at=RESET, headers={"Retry-After": "9"}),
            "Monthly limit of 50 memos reached",
            USED,
            {"Retry-After": "9"},
        ),
        (
            key_limit(is_monthly=True),
            "This API key's limit of 50 characters a month is reached",
            USED,
            {"Retry-After": "9"},
        ),
        (
            key_limit(is_monthly=False),
            "This API key's limit of 50 characters a day is reached",
            USED,
            {"Retry-After": "9"},
        ),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, AgentTalkError) else "",
)
def test_error_says_what_a_client_can_do(
    error: AgentTalkError, message: str, details: dict[str, object], headers: dict[str, str]
) -> None:
    """The remedy is in the message, in the contract's details, and in the header Retry-After."""
    assert (error.message, error.details, error.headers) == (message, details, headers)
