"""What can go wrong, as facts: each error knows its status, its code and how a client tells it apart.

AgentTalkError
├── 400  ValidationFailed · MissingField · InvalidInput · InvalidVoice
├── 401  MissingCredential · InvalidCredential · WrongPassword · SessionExpired
├── 403  Forbidden · InsufficientTier · KeyRevoked
├── 404  NotFound · MemoNotFound
├── 405  MethodNotAllowed
├── 409  Conflict
├── 413  PayloadTooLarge
├── 429  DailyLimitExceeded · MonthlyLimitExceeded · TooManyAttempts
├── 500  InternalError
├── 502  SpeechFailed · AudioStoreFailed
└── 503  ServiceUnavailable
"""

from collections.abc import Mapping
from typing import ClassVar


class AgentTalkError(Exception):
    """A failure that a client is told about. `details` holds only keys that the public contract lists, in camelCase."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(
        self, message: str, *, details: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


class ValidationFailed(AgentTalkError):
    status = 400
    code = "VALIDATION_ERROR"


class MissingField(AgentTalkError):
    status = 400
    code = "MISSING_FIELD"

    def __init__(self, field: str) -> None:
        super().__init__(f"Missing required field: {field}", details={"field": field})


class InvalidInput(AgentTalkError):
    """A value of the wrong type; types are named as JSON names them."""

    status = 400
    code = "INVALID_INPUT"

    def __init__(self, field: str, *, expected: str, provided: str) -> None:
        reason = f"expected {expected}, received {provided}"
        super().__init__(
            f"Invalid {field}: expected {expected}",
            details={"field": field, "reason": reason, "providedType": provided},
        )


class RangeNotSatisfiable(ValidationFailed):
    """No byte of a file of this length lies in the range that was asked for."""

    status = 416

    def __init__(self, *, length: int) -> None:
        super().__init__("Range not satisfiable", headers={"Content-Range": f"bytes */{length}"})


class InvalidVoice(AgentTalkError):
    status = 400
    code = "INVALID_VOICE"


class Unauthenticated(AgentTalkError):
    """Nobody is known to be calling."""

    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class MissingCredential(Unauthenticated):
    code = "MISSING_API_KEY"


class InvalidCredential(Unauthenticated):
    code = "INVALID_API_KEY"


class SessionExpired(Unauthenticated):
    """The session is past its end: its seven days are over, it was logged out, or the password has changed since."""

    code = "EXPIRED_TOKEN"


class WrongPassword(AgentTalkError):
    status = 401
    code = "UNAUTHORIZED"


class Forbidden(AgentTalkError):
    status = 403
    code = "FORBIDDEN"


class InsufficientTier(AgentTalkError):
    status = 403
    code = "INSUFFICIENT_TIER"


class KeyRevoked(AgentTalkError):
    status = 403
    code = "REVOKED_KEY"

    def __init__(self) -> None:
        super().__init__("API key has been revoked")


class NotFound(AgentTalkError):
    """Absent, or another owner's: both come from here, so they cannot be told apart."""

    status = 404
    code = "NOT_FOUND"


class MemoNotFound(NotFound):
    code = "MEMO_NOT_FOUND"

    def __init__(self, memo_id: str) -> None:
        super().__init__("Memo not found", details={"memoId": memo_id})


class MethodNotAllowed(AgentTalkError):
    status = 405
    code = "METHOD_NOT_ALLOWED"


class Conflict(AgentTalkError):
    status = 409
    code = "CONFLICT"


class PayloadTooLarge(AgentTalkError):
    status = 413
    code = "PAYLOAD_TOO_LARGE"


class DailyLimitExceeded(AgentTalkError):
    """`limit` and `used` are memos in the window that ends at `resets_at`; `used` is at most `limit`."""

    status = 429
    code = "DAILY_LIMIT_EXCEEDED"
    window: ClassVar[str] = "Daily"

    def __init__(self, *, limit: int, used: int, resets_at: str, headers: Mapping[str, str]) -> None:
        super().__init__(
            f"{self.window} limit of {limit} memos reached",
            details={"limit": limit, "used": used, "resetAt": resets_at},
            headers=headers,
        )


class MonthlyLimitExceeded(DailyLimitExceeded):
    code = "MONTHLY_LIMIT_EXCEEDED"
    window = "Monthly"


class TooManyAttempts(AgentTalkError):
    status = 429
    code = "RATE_LIMIT_EXCEEDED"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(
            "Too many attempts. Please try again later.",
            headers={"Retry-After": str(retry_after_s)},
        )


class SpeechFailed(AgentTalkError):
    status = 502
    code = "TTS_SERVICE_ERROR"


class AudioStoreFailed(AgentTalkError):
    status = 502
    code = "STORAGE_ERROR"


class ServiceUnavailable(AgentTalkError):
    """The data store cannot be reached or is not verified. Nothing is known about what was asked."""

    status = 503
    code = "SERVICE_UNAVAILABLE"

    def __init__(self, *, retry_after_s: int = 5) -> None:
        super().__init__(
            "The service is temporarily unavailable. Please try again.",
            headers={"Retry-After": str(retry_after_s)},
        )


class InternalError(AgentTalkError):
    """What nobody foresaw. Its text is fixed: the cause is for the log."""

    def __init__(self) -> None:
        super().__init__("An unexpected error occurred")
