"""What a query asks for: options, times, and windows of lists."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final

from fastapi import Query

from shared.core.clock import MILLISECOND, to_the_millisecond
from shared.core.errors import (
    ValidationFailed,
)
from shared.tables import Window

DEFAULT_DAYS: Final = 30
"""Of figures, when the query names no time."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_END: Final = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)

_LAST_DAY: Final = datetime(9999, 12, 31, tzinfo=UTC)


def option(field: str, text: str, options: Sequence[str]) -> str:
    """The text, if it is one of the options. Raises ValidationFailed, which names them."""
    if text not in options:
        raise ValidationFailed(f"Invalid {field}: {text}", details={"field": field, "validOptions": list(options)})
    return text


def too_long(field: str, most: str, *, limit: int, provided: int) -> ValidationFailed:
    return ValidationFailed(
        f"The range is too long: at most {most}", details={"field": field, "limit": limit, "provided": provided}
    )


def begins(field: str, text: str) -> datetime:
    """The first moment that an ISO 8601 date or time means, UTC. Raises ValidationFailed."""
    return _moments(field, text)[0]


def ends(field: str, text: str) -> datetime:
    """The first moment after what an ISO 8601 date or time means, UTC. Raises ValidationFailed."""
    return _moments(field, text)[1]


def up_to(field: str, text: str) -> datetime:
    """The time that an ISO 8601 time means, or the end of the day that a date means, UTC. Raises ValidationFailed."""
    first, after = _moments(field, text)
    return first if after - first == MILLISECOND else after


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
        at = max(to_the_millisecond(at), _EPOCH)
        return at, at + MILLISECOND
    except (ValueError, OverflowError):
        raise ValidationFailed(
            f"Invalid {field}: expected an ISO 8601 date or time", details={"field": field}
        ) from None


Limit = Annotated[int, Query(description="Rows on a page, 1 to 100")]

Cursor = Annotated[str | None, Query(description="`nextCursor` of the page before")]

From = Annotated[str | None, Query(alias="from", description="ISO 8601; a date means its first moment, UTC")]

To = Annotated[str | None, Query(alias="to", description="ISO 8601, inclusive; a date means its whole day, UTC")]
