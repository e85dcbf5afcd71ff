"""Types of fields in bodies. Each one checks its value."""

import re
from collections.abc import Collection
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from shared.accounts.passwords import PASSWORD_MOST
from shared.audio.files import DEFAULT_FORMAT, MEDIA_TYPES
from shared.core.errors import InvalidVoice
from shared.core.text import characters, composed
from shared.speech.voices import VOICES, Voice

EMAIL_LENGTH: Final = 254
"""UTF-16 code units of an address: RFC 5321's path of 256 octets without its angle brackets. A domain is then within
the 253 characters of RFC 1035."""

PASSWORD_LEAST: Final = 8
"""UTF-16 code units of a new password in NFC."""

_ATOM: Final = r"[a-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_DOT_ATOM: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
"""A local part in lower case: RFC 5322's dot-atom, with UTF-8 as in RFC 6531. Quoted local parts are refused."""

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _too_long(most: int, provided: int, *, bound: str = "maxLength") -> PydanticCustomError:
    return PydanticCustomError(
        "VALIDATION_ERROR", f"must have at most {most} characters", {bound: most, "provided": provided}
    )


def at_most(most: int, *, bound: str = "maxLength") -> AfterValidator:
    """Bound a text's length in UTF-16 code units. `bound` is its key in the error's details."""

    def check(text: str) -> str:
        try:
            provided = characters(text)
        except UnicodeEncodeError as exc:
            raise PydanticCustomError("string_unicode", "is not valid Unicode text") from exc
        if provided > most:
            raise _too_long(most, provided, bound=bound)
        return text

    return AfterValidator(check)


def _email(text: str) -> str:
    """Normalise an address, so that each mailbox is one account.

    The form is NFC and lower case, with the domain in its `xn--` form.
    """
    email = _nfc(_nfc(text.strip(), most=EMAIL_LENGTH).lower(), most=EMAIL_LENGTH)
    local, _, domain = email.rpartition("@")
    if characters(email) > EMAIL_LENGTH:
        raise _too_long(EMAIL_LENGTH, characters(email))
    ascii_domain = _ascii_domain(domain)
    if not _DOT_ATOM.fullmatch(local) or not local.isprintable() or ascii_domain is None:
        raise PydanticCustomError("VALIDATION_ERROR", "must be an email address")
    if characters(local) + 1 + len(ascii_domain) > EMAIL_LENGTH:
        raise _too_long(EMAIL_LENGTH, characters(local) + 1 + len(ascii_domain))
    return f"{local}@{ascii_domain}"


def _ascii_domain(domain: str) -> str | None:
    """Return a domain name in ASCII labels, by IDNA 2008. None: this is no domain name with a dot."""
    if not domain.isascii() or "xn--" in domain:
        import idna  # noqa: PLC0415 its tables take 10 ms, which few addresses need

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            return None
    labels = domain.split(".")
    named = len(labels) > 1 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
    return domain if named else None


def _nfc(text: str, *, most: int) -> str:
    nfc = composed(text, most=most)
    if nfc is None:
        raise _too_long(most, characters(text))
    return nfc


def _password(text: str) -> str:
    """Bound a new password's length, in the form in which passwords are compared."""
    compared = _nfc(text, most=PASSWORD_MOST)
    if characters(compared) < PASSWORD_LEAST:
        raise PydanticCustomError("VALIDATION_ERROR", f"must have at least {PASSWORD_LEAST} characters")
    if characters(compared) > PASSWORD_MOST:
        raise _too_long(PASSWORD_MOST, characters(compared))
    return text


def voice_named(requested: str) -> Voice:
    """Return the voice of this name, in any case. Raises InvalidVoice if the name is unknown."""
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
    """Refuse an empty text as a missing field."""
    if not text:
        raise PydanticCustomError("missing", "Field required")
    return text


def among(options: Collection[str]) -> AfterValidator:
    """Refuse a text that is none of these options. The error's details list them."""

    def check(text: str) -> str:
        if text not in options:
            said = f"must be one of {', '.join(options)}"
            raise PydanticCustomError("VALIDATION_ERROR", said, {"validOptions": list(options)})
        return text

    return AfterValidator(check)


AudioFormat = Annotated[
    str,
    among(MEDIA_TYPES),
    Field(json_schema_extra={"enum": list[JsonValue](MEDIA_TYPES), "default": DEFAULT_FORMAT}),
]

RequiredText = Annotated[str, Field(min_length=1)]

Secret = Annotated[str, Field(min_length=1, repr=False)]
"""A password, a key or a token. No `repr` contains it, so no log of a model does."""

Email = Annotated[str, Field(min_length=1), AfterValidator(_email)]

NewPassword = Annotated[str, Field(min_length=1, repr=False), AfterValidator(_password)]

KeyName = Annotated[str, AfterValidator(str.strip), at_most(100)]

VoiceName = Annotated[
    str, Field(min_length=1, json_schema_extra={"enum": list[JsonValue](VOICES)}), AfterValidator(_voice_id)
]
"""A voice's id in any case; validated, it is in lower case."""
