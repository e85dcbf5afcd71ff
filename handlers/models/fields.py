"""The types of fields in bodies, which check what they are given."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from shared.core.errors import InvalidVoice
from shared.core.text import characters
from shared.speech.voices import VOICES, Voice


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
