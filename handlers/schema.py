"""What request and answer models share: camelCase, the error envelope, pages, and the types of their fields."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, Self

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shared.api_keys import NewKey
from shared.clock import Instant
from shared.errors import (
    AgentTalkError,
    InternalError,
    InvalidCredential,
    InvalidInput,
    InvalidVoice,
    KeyRevoked,
    MissingCredential,
    MissingField,
    ServiceUnavailable,
    SessionExpired,
    ValidationFailed,
)
from shared.plans import Plan
from shared.speech import VOICES, Voice, characters
from shared.tables import Window


class Body(BaseModel):
    """A request's JSON object. Fields that it does not name are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True, hide_input_in_errors=True)


class Answer(BaseModel):
    """An answer's JSON object: every field present, in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        frozen=True,
        from_attributes=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
    )


class Success(Answer):
    success: Literal[True]


class Message(Success):
    message: str


class ErrorDetails(Answer):
    """Only those that apply are present."""

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


def errors(*kinds: type[AgentTalkError]) -> dict[int | str, dict[str, Any]]:
    """The errors of a route for its OpenAPI document; those that any route can give are added."""
    codes: dict[int, set[str]] = {}
    general: tuple[type[AgentTalkError], ...] = (InternalError, ServiceUnavailable)
    for kind in (*kinds, *general):
        codes.setdefault(kind.status, set()).add(kind.code)
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": " or ".join(sorted(codes[status]))} for status in sorted(codes)
    }
    return described | {"default": {"model": ErrorAnswer, "description": "Any other error"}}


KEEP_THE_KEY: Final = "Save this API key now: it is not shown again."

SESSION_ERRORS: Final = (MissingCredential, InvalidCredential, SessionExpired)
"""What a route that takes a session can answer."""

KEY_ERRORS: Final = (MissingCredential, InvalidCredential, KeyRevoked)
"""What a route that takes an API key can answer."""

CALLER_ERRORS: Final = (*KEY_ERRORS, SessionExpired)
"""What a route that takes either can answer."""

BODY_ERRORS: Final = (ValidationFailed, MissingField, InvalidInput)
"""What any route with a body can answer."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
_LAST_DAY: Final = datetime(9999, 12, 31, tzinfo=UTC)
_MOMENT: Final = timedelta(milliseconds=1)

Unlimited = Literal["unlimited"]


def or_unlimited(limit: int | None) -> int | Unlimited:
    return "unlimited" if limit is None else limit


class PlanLimits(Answer):
    """A tier's limits."""

    calls_per_day: int | Unlimited
    chars_per_memo: int | Unlimited
    max_api_keys: int
    max_concurrent: int

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(
            calls_per_day=or_unlimited(plan.limits.calls_per_day),
            chars_per_memo=or_unlimited(plan.limits.chars_per_memo),
            max_api_keys=plan.limits.max_api_keys,
            max_concurrent=plan.limits.max_concurrent,
        )


class PlanFeatures(Answer):
    """What a tier offers."""

    voices: str
    tts: str
    priority: bool
    voice_cloning: bool
    custom_voices: bool
    analytics: str
    api_access: bool
    webhooks: bool
    custom_branding: bool
    dedicated_support: bool
    sla_percentage: float | None


class FreshKey(Answer):
    """A key, shown this once."""

    id: str
    key: str
    prefix: str
    name: str
    created_at: Instant

    @classmethod
    def of(cls, new: NewKey) -> Self:
        key = new.key
        return cls(id=key.id, key=new.secret, prefix=key.prefix, name=key.name, created_at=key.created_at)


def _too_long(max_length: int, provided: int) -> PydanticCustomError:
    return PydanticCustomError(
        "VALIDATION_ERROR",
        "must have at most {maxLength} characters",
        {"maxLength": max_length, "provided": provided},
    )


def at_most(max_length: int) -> AfterValidator:
    """A bound on a text's length in UTF-16 code units."""

    def check(text: str) -> str:
        try:
            provided = characters(text)
        except UnicodeEncodeError as exc:
            raise PydanticCustomError("string_unicode", "is not valid Unicode text") from exc
        if provided > max_length:
            raise _too_long(max_length, provided)
        return text

    return AfterValidator(check)


def _email(text: str) -> str:
    email = text.strip().lower()
    if characters(email) > 254:
        raise _too_long(254, characters(email))
    local, _, domain = email.partition("@")
    if (
        not local
        or "@" in domain
        or "" in domain.split(".")
        or "." not in domain
        or any(c.isspace() or not c.isprintable() for c in email)
    ):
        raise PydanticCustomError("VALIDATION_ERROR", "must be an email address")
    return email


def _password(text: str) -> str:
    if characters(text) < 8:
        raise PydanticCustomError("VALIDATION_ERROR", "must have at least 8 characters")
    if characters(text) > 128:
        raise _too_long(128, characters(text))
    return text


def option(field: str, text: str, options: Sequence[str]) -> str:
    """The text, if it is one of the options. Raises ValidationFailed, which names them."""
    if text not in options:
        raise ValidationFailed(f"Invalid {field}: {text}", details={"field": field, "validOptions": list(options)})
    return text


def too_long(field: str, most: str, *, limit: int, provided: int) -> ValidationFailed:
    return ValidationFailed(
        f"The range is too long: at most {most}", details={"field": field, "limit": limit, "provided": provided}
    )


def voice_named(requested: str) -> Voice:
    """The voice of this name, in any case. Raises InvalidVoice."""
    voice = VOICES.get(requested.lower())
    if voice is None:
        raise InvalidVoice(
            "Unknown voice",
            details={"field": "voice", "requestedVoice": requested, "availableVoices": list(VOICES)},
        )
    return voice


def _voice_id(requested: str) -> str:
    try:
        return voice_named(requested).id
    except InvalidVoice as exc:
        raise PydanticCustomError("INVALID_VOICE", "Unknown voice", exc.details) from exc


def begins(field: str, text: str) -> datetime:
    """The first moment that an ISO 8601 date or time means, UTC. Raises ValidationFailed."""
    return _moments(field, text)[0]


def ends(field: str, text: str) -> datetime:
    """The first moment after what an ISO 8601 date or time means, UTC. Raises ValidationFailed."""
    return _moments(field, text)[1]


def up_to(field: str, text: str) -> datetime:
    """The time that an ISO 8601 time means, or the end of the day that a date means, UTC. Raises ValidationFailed."""
    first, after = _moments(field, text)
    return first if after - first == _MOMENT else after


def window(*, limit: int, after: str | None, since: str | None = None, until: str | None = None) -> Window:
    """A page's bounds from its query. Raises ValidationFailed."""
    if not 1 <= limit <= 100:
        raise ValidationFailed(
            "limit must be between 1 and 100", details={"field": "limit", "limit": 100, "provided": limit}
        )
    start, end = since and begins("from", since), until and ends("to", until)
    if start and end and start >= end:
        raise ValidationFailed("from must not be after to", details={"field": "from"})
    return Window(limit=limit, after=after, since=start or None, until=end or None)


def _moments(field: str, text: str) -> tuple[datetime, datetime]:
    """From and up to where, exclusive."""
    try:
        if "T" not in text and " " not in text:
            day = max(datetime.combine(date.fromisoformat(text), time(tzinfo=UTC)), _EPOCH)
            return day, day + timedelta(days=1) if day < _LAST_DAY else _END
        at = datetime.fromisoformat(text)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        at = max(at.replace(microsecond=at.microsecond // 1000 * 1000), _EPOCH)
        return at, at + _MOMENT
    except (ValueError, OverflowError):
        raise ValidationFailed(
            f"Invalid {field}: expected an ISO 8601 date or time", details={"field": field}
        ) from None


def required(text: str) -> str:
    """For what must not be empty once it is trimmed."""
    if not text:
        raise PydanticCustomError("missing", "Field required")
    return text


RequiredText = Annotated[str, Field(min_length=1)]
Email = Annotated[str, Field(min_length=1), AfterValidator(_email)]
NewPassword = Annotated[str, Field(min_length=1), AfterValidator(_password)]
KeyName = Annotated[str, AfterValidator(str.strip), at_most(100)]
VoiceName = Annotated[str, Field(min_length=1), AfterValidator(_voice_id)]
"""A voice's id in any case; validated, it is in lower case."""

Limit = Annotated[int, Query(description="Rows on a page, 1 to 100")]
Cursor = Annotated[str | None, Query(description="`nextCursor` of the page before")]
From = Annotated[str | None, Query(alias="from", description="ISO 8601; a date means its first moment, UTC")]
To = Annotated[str | None, Query(alias="to", description="ISO 8601, inclusive; a date means its whole day, UTC")]
