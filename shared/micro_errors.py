"""What can go wrong with a HYPR Micro request, and what an answer means.

The server answers nearly every failure with 500 and a text, and few of its calls may be repeated. So each error says
what is known about the request:

    MicroError
    ├── certainly not processed
    │   ├── UnsafeSegment     a name that no path can carry; never sent
    │   ├── NoTimeLeft    no time was left to send it
    │   ├── Unreachable       no connection
    │   ├── Overloaded        429, or 503 with Retry-After; retry_after_s
    │   ├── WrongKey          401, 403
    │   ├── Rejected          400, 413; or a key too long for the server
    │   ├── DocumentNotFound          no such document
    │   ├── DocumentExists     the document is there
    │   ├── DatabaseExists    the database is there
    │   └── DatabasesFull     no slot for one more database name
    └── unknown
        ├── NoAnswer          sent, and not or only partly answered
        ├── ForeignServer     answered as no HYPR Micro does: HTML, unknown route, unexpected shape
        └── ServerFailed      any other answer; it says more
"""

import json
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import ClassVar, Final

import httpx

SAID_CHARACTERS: Final = 300
"""How much of what the server says of a failure is kept in an error."""


class Outcome(StrEnum):
    NOT_PROCESSED = "certainly not processed"
    UNKNOWN = "unknown"


class MicroError(Exception):
    """`status` is None when there was no answer; `said` is what the server says of the failure."""

    outcome: ClassVar[Outcome] = Outcome.NOT_PROCESSED

    def __init__(self, what: str, *, status: int | None = None, said: str = "") -> None:
        super().__init__(what if status is None else f"{what}: {status} {said}")
        self.status = status
        self.said = said


class UnsafeSegment(MicroError):
    """The name cannot be addressed: see `segment`."""


class NoTimeLeft(MicroError):
    pass


class Unreachable(MicroError):
    pass


class Overloaded(MicroError):
    """`retry_after_s` is None when the server did not say. With 503, saying so tells that the request was not taken."""

    def __init__(self, what: str, *, status: int, said: str, retry_after_s: float | None) -> None:
        super().__init__(what, status=status, said=said)
        self.retry_after_s = retry_after_s


class WrongKey(MicroError):
    pass


class Rejected(MicroError):
    pass


class DocumentNotFound(MicroError):
    pass


class DocumentExists(MicroError):
    pass


class DatabaseExists(MicroError):
    pass


class DatabasesFull(MicroError):
    """The server holds seven names until it restarts; reading an eighth fails like creating it."""


class NoAnswer(MicroError):
    outcome = Outcome.UNKNOWN


class ForeignServer(MicroError):
    outcome = Outcome.UNKNOWN


class ServerFailed(MicroError):
    outcome = Outcome.UNKNOWN


ANSWERS: Final[tuple[tuple[int, str, type[MicroError]], ...]] = (
    (400, r"", Rejected),
    (401, r"", WrongKey),
    (403, r"", WrongKey),
    (404, r"Document with key '.*' not found$", DocumentNotFound),
    (404, r"", ForeignServer),
    (405, r"", ForeignServer),
    (409, r"Document with key '.*' already exists$", DocumentExists),
    (413, r"", Rejected),
    (500, r"Database '.*' already exists$", DatabaseExists),
    (500, r"MDB_DBS_FULL\b", DatabasesFull),
    (500, r"Key size is larger than the maximum key size\b", Rejected),
)
"""Status, how the answer's `error` text begins, and what that means. The first row that fits counts; none:
ServerFailed."""

SENDING: Final[tuple[tuple[type[Exception], type[MicroError]], ...]] = (
    (httpx.ConnectError, Unreachable),
    (httpx.ConnectTimeout, Unreachable),
    (httpx.PoolTimeout, Unreachable),
    (httpx.ProxyError, Unreachable),
    (httpx.UnsupportedProtocol, Unreachable),
    (httpx.InvalidURL, Unreachable),
    (UnicodeError, Unreachable),
    (httpx.RequestError, NoAnswer),
    (TimeoutError, NoAnswer),
)
"""What httpx raises, and what it means. The first row that fits counts. UnicodeError: no name of a host."""


def unsent_or_unanswered(exc: Exception) -> MicroError:
    """What the failure of a sending means; `exc` is one of SENDING."""
    for kind, error in SENDING:
        if isinstance(exc, kind):
            return error(f"{error.__name__} ({type(exc).__name__})")
    raise TypeError(f"not a failure of sending: {type(exc).__name__}")


def refusal(answer: httpx.Response, *, redact: Callable[[str], str]) -> MicroError:
    """What an answer other than 2xx means."""
    status, said = answer.status_code, said_by(answer, redact=redact)
    wait_s = retry_after_s(answer.headers)
    if status == 429 or (status == 503 and wait_s is not None):
        return Overloaded("overloaded", status=status, said=said, retry_after_s=wait_s)
    text = _error_text(answer)
    if text is None:
        error: type[MicroError] = ForeignServer if status < 500 else ServerFailed
        return error("not an answer of HYPR Micro", status=status, said=said)
    for row_status, pattern, error in ANSWERS:
        if status == row_status and re.match(pattern, text, re.DOTALL):
            return error("refused", status=status, said=said)
    return ServerFailed("failed", status=status, said=said)


def said_by(answer: httpx.Response, *, redact: Callable[[str], str]) -> str:
    """The beginning of the answer's `error`, without the secret that a foreign server may have echoed; without one, the
    size and type of its body. All else in it may be rows, which no log may show."""
    text = _error_text(answer)
    if text is None:
        return f"{len(answer.content)} bytes of {answer.headers.get('Content-Type', 'no type')[:SAID_CHARACTERS]}"
    return redact(text)[:SAID_CHARACTERS]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, or a date that is read against the answer's own `Date`; None: absent or unreadable."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds())
    except (TypeError, ValueError, OverflowError):  # a time zone may be anything
        return None


def _error_text(answer: httpx.Response) -> str | None:
    try:
        body = json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
    text = body.get("error") if isinstance(body, dict) else None
    return text if isinstance(text, str) else None
