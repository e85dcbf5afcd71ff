"""Classify the failures of HYPR Micro requests.

The server answers nearly every failure with 500 and a text, and few of its calls may be repeated. So each error class
defines whether the request may have been processed:

    MicroError
    ├── certainly not processed
    │   ├── UnsafeSegment      a name that no path can contain; never sent
    │   ├── NoTimeLeft         no time was left to send it
    │   ├── Unreachable        no connection
    │   ├── Overloaded         429, or 503 with Retry-After; retry_after_s
    │   ├── WrongKey           401, 403
    │   ├── Rejected           400, 413; or a key too long for the server
    │   ├── DocumentNotFound   the document is absent
    │   ├── DocumentExists     the document exists
    │   ├── DatabaseExists     the database exists
    │   └── DatabasesFull      no slot for one more database name
    └── unknown
        ├── NoAnswer           sent, and not answered, or not completely
        ├── ForeignServer      an answer that HYPR Micro never gives: HTML, unknown route, unexpected shape
        └── ServerFailed       any other answer
"""

import json
import re
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import ClassVar, Final

from shared.micro_wire import Answer

SAID_CHARACTERS: Final = 300
"""Characters of the server's text that an error contains. More would fill logs with a foreign server's texts."""


class Outcome(StrEnum):
    NOT_PROCESSED = "certainly not processed"
    UNKNOWN = "unknown"


class MicroError(Exception):
    """`status` is None if there was no answer; `said` is the server's text about the failure."""

    outcome: ClassVar[Outcome] = Outcome.NOT_PROCESSED

    def __init__(self, what: str, *, status: int | None = None, said: str = "") -> None:
        super().__init__(what if status is None else f"{what}: {status} {said}")
        self.status = status
        self.said = said


class UnsafeSegment(MicroError):
    """The name cannot be a path segment: see `segment`."""


class NoTimeLeft(MicroError):
    pass


class Unreachable(MicroError):
    pass


class Overloaded(MicroError):
    """`retry_after_s` is None if the answer has none. A 503 that has it means that the request was not processed."""

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
    """The server has slots for seven names until it restarts; reading an eighth fails like creating it."""


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
"""Status, beginning of the answer's `error` text, error. The first row that matches is used; no row: ServerFailed."""


def refusal(answer: Answer, *, redact: Callable[[str], str]) -> MicroError:
    """Return the error for an answer other than 2xx."""
    status, said = answer.status, said_by(answer, redact=redact)
    wait_s = retry_after_s(answer)
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


def said_by(answer: Answer, *, redact: Callable[[str], str]) -> str:
    """Return the beginning of the answer's `error` text, without the secret.

    A foreign server may echo the secret. Without such a text: the size and type of the body. The body itself may be
    rows, which no log may contain.
    """
    text = _error_text(answer)
    if text is None:
        return f"{len(answer.content)} bytes of {(answer.header(b'content-type') or 'no type')[:SAID_CHARACTERS]}"
    return redact(text)[:SAID_CHARACTERS]


def retry_after_s(answer: Answer) -> float | None:
    """Return `Retry-After` in seconds; a date counts from the answer's `Date`. None: absent or unreadable."""
    text = answer.header(b"retry-after") or ""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(
            0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(answer.header(b"date") or "")).total_seconds()
        )
    except (TypeError, ValueError, OverflowError):  # OverflowError: the header's time zone may be any number
        return None


def _error_text(answer: Answer) -> str | None:
    try:
        body = json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
    text = body.get("error") if isinstance(body, dict) else None
    return text if isinstance(text, str) else None
