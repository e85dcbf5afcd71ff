"""Read the predecessor's values: of any type, in several forms, or missing. Every reader accepts any value."""

import json
import math
from datetime import UTC, datetime
from typing import Any, Final

from shared.core.clock import to_the_millisecond

EARLIEST: Final = datetime(2015, 1, 1, tzinfo=UTC)
"""The earliest credible time, long before the predecessor: an earlier one would cost a document for each month."""

MOST: Final = 2**53
"""The maximum of a count: up to here JavaScript wrote integers exactly."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def plain(value: Any) -> Any:
    """Return a value of SQLite or of JSON as JSON that every store takes: no bytes, NaN, infinity or lone surrogate."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {plain(str(name)): plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value


def text(value: Any) -> str | None:
    """Return a text, or a number as a text; None: the value is missing, empty or neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value) or None


def moment(value: Any) -> datetime | None:
    """Return a time in UTC, to the millisecond; None: it is missing, unreadable or before EARLIEST.

    `2026-11-28T01:03:07.200Z` of the predecessor's own code, `2026-11-28 01:04:17` of SQLite's `datetime('now')`, which
    is UTC too.
    """
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value.strip())
        at = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return to_the_millisecond(at) if at >= EARLIEST else None


def milliseconds(at: datetime) -> int:
    return round((at - _EPOCH).total_seconds() * 1000)


def from_milliseconds(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def count(value: Any) -> int | None:
    """Return a whole number from 0 to MOST; None: the value is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        return None
    return int(value)


def seconds(value: Any) -> float | None:
    """Return a duration above 0 and of a day at most; None: it is missing, or no duration of audio."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        return None
    return float(value)


def mapping(value: Any) -> dict[str, Any] | None:
    """Return a JSON object, or one that was stored as text; None: it is neither."""
    if isinstance(value, str):
        try:
            value = plain(json.loads(value))
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def levels(value: Any) -> int:
    """Return how deep a JSON value is nested: 0 for a text or a number, 1 for `{}`, 2 for `{"a": [1]}`."""
    depth, parts = 0, [value]
    while parts := [each for each in parts if isinstance(each, dict | list)]:
        depth += 1
        parts = [part for each in parts for part in (each.values() if isinstance(each, dict) else each)]
    return depth
