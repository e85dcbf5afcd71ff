"""The errors that clients receive: each class has its HTTP status and its code.

AgentTalkError
├── 400  ValidationFailed · MissingField · InvalidInput · InvalidVoice
├── 401  MissingCredential · InvalidCredential · SeveralSessions · WrongPassword · SessionExpired
├── 403  Forbidden · ScopeMissing · InsufficientTier · KeyRevoked
├── 404  NotFound · MemoNotFound
├── 405  MethodNotAllowed
├── 409  Conflict · FirstStillRunning
├── 413  PayloadTooLarge
├── 416  RangeNotSatisfiable
├── 429  DailyLimitExceeded · MonthlyLimitExceeded · KeyLimitExceeded · TooManyAttempts
├── 500  InternalError
├── 502  SpeechFailed · AudioStoreFailed
└── 503  ServiceUnavailable · AudioNotReady
"""

from collections.abc import Mapping
from typing import ClassVar


class AgentTalkError(Exception):
    """A failure that the client receives. `details` has only keys of the public contract, in camelCase."""

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
    """The requested range contains no byte of a file of this length."""

    status = 416

    def __init__(self, *, length: int) -> None:
        super().__init__("Range not satisfiable", headers={"Content-Range": f"bytes */{length}"})


class InvalidVoice(AgentTalkError):
    status = 400
    code = "INVALID_VOICE"


class Unauthenticated(AgentTalkError):
    """The caller is unknown: the request has no credential, or no valid one."""

    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class MissingCredential(Unauthenticated):
    code = "MISSING_API_KEY"


class InvalidCredential(Unauthenticated):
    code = "INVALID_API_KEY"


class SeveralSessions(Unauthenticated):
    """The cookies contain more than one valid session, so another host may have planted one."""

    code = "UNAUTHORIZED"


class SessionExpired(Unauthenticated):
    """The session has ended: after seven days, by logout, or by a change of the password."""

    code = "EXPIRED_TOKEN"


class WrongPassword(AgentTalkError):
    status = 401
    code = "UNAUTHORIZED"


class Forbidden(AgentTalkError):
    status = 403
    code = "FORBIDDEN"


class ScopeMissing(Forbidden):
    """The API key was made without the scope that the request needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This API key lacks the scope {scope}", details={"requiredScope": scope})


class InsufficientTier(AgentTalkError):
    status = 403
    code = "INSUFFICIENT_TIER"


class KeyRevoked(AgentTalkError):
    status = 403
    code = "REVOKED_KEY"

    def __init__(self) -> None:
        super().__init__("API key has been revoked")


class NotFound(AgentTalkError):
    """The row is absent or belongs to another owner. One class for both keeps the answers equal byte for byte."""

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


class FirstStillRunning(Conflict):
    """A request with the same Idempotency-Key has neither made its memo nor failed yet."""

    def __init__(self, *, retry_after_s: int = 2) -> None:
        super().__init__("The first request is still running", headers={"Retry-After": str(retry_after_s)})


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


class KeyLimitExceeded(DailyLimitExceeded):
    """A limit of the API key itself is reached. `limit` and `used` are in its unit, which the message names."""

    def __init__(
        self, *, limit: int, used: int, unit: str, is_monthly: bool, resets_at: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(limit=limit, used=used, resets_at=resets_at, headers=headers)
        self.is_monthly = is_monthly
        self.message = f"This API key's limit of {limit} {unit} a {'month' if is_monthly else 'day'} is reached"


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
    """The data store is unreachable or not verified, so the request could not be decided."""

    status = 503
    code = "SERVICE_UNAVAILABLE"

    def __init__(self, *, retry_after_s: int = 5) -> None:
        super().__init__(
            "The service is temporarily unavailable. Please try again.",
            headers={"Retry-After": str(retry_after_s)},
        )


class AudioNotReady(AgentTalkError):
    """The memo's audio is being made. This is no failure: it has a metric of its own, and alarms do not count it."""

    status = 503
    code = "AUDIO_NOT_READY"

    def __init__(self, *, retry_after_s: int = 2) -> None:
        super().__init__("The audio is being made. Please try again.", headers={"Retry-After": str(retry_after_s)})


class InternalError(AgentTalkError):
    """An unexpected failure. The text is fixed: only the log contains the cause."""

    def __init__(self) -> None:
        super().__init__("An unexpected error occurred")
