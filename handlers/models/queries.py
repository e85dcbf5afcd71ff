"""Query parameters: whole numbers, options, times, and windows of lists.

Empty parameters never arrive here: `shared/web/middleware.py` drops them, so that they count as absent.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from shared.core.clock import MILLISECOND, to_the_millisecond
from shared.core.errors import (
    ValidationFailed,
)
from shared.tables import Window

DEFAULT_DAYS: Final = 30
"""Days of figures if the query has no time."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_END: Final = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:?[0-5]\d)", re.ASCII)
"""A date and time needs `Z` or an offset: without one it would mean the machine's time zone."""


def option(field: str, text: str, options: Sequence[str]) -> str:
    """Return the text if it is one of the options. Raises ValidationFailed, whose details list them."""
    if text not in options:
        raise ValidationFailed(f"Invalid {field}: {text}", details={"field": field, "validOptions": list(options)})
    return text


def too_long(field: str, most: str, *, limit: int, provided: int) -> ValidationFailed:
    return ValidationFailed(
        f"The range is too long: at most {most}", details={"field": field, "limit": limit, "provided": provided}
    )


def begins(field: str, text: str) -> datetime:
    """Return the start of a date's day, or a time's moment, UTC. Raises ValidationFailed if it is neither."""
    return _moments(field, text)[0]


def ends(field: str, text: str) -> datetime:
    """Return the end of a date's day, or of a time's millisecond, UTC, exclusive.

    Raises ValidationFailed if it is neither.
    """
    return _moments(field, text)[1]


def up_to(field: str, text: str) -> datetime:
    """Return the end of a date's day, exclusive, or a time's moment, UTC. Raises ValidationFailed if it is neither."""
    first, after = _moments(field, text)
    return first if after - first == MILLISECOND else after


def window(*, limit: int, after: str | None, since: str | None = None, until: str | None = None) -> Window:
    """Return a page's bounds from its query.

    Raises ValidationFailed if `limit` is not 1 to 100, or if `since` is not before `until`.
    """
    if not 1 <= limit <= 100:
        raise ValidationFailed(
            "limit must be between 1 and 100", details={"field": "limit", "limit": 100, "provided": limit}
        )
    start, end = since and begins("from", since), until and ends("to", until)
    if start and end and start >= end:
        raise ValidationFailed("from must not be after to", details={"field": "from"})
    return Window(limit=limit, after=after, since=start or None, until=end or None)


def _moments(field: str, text: str) -> tuple[datetime, datetime]:
    """Return the first moment of a date or time, and the first after it. At most the last millisecond of 9999."""
    try:
        if _DATE.fullmatch(text):
            day = max(datetime.combine(date.fromisoformat(text), time(tzinfo=UTC)), _EPOCH)
            return day, day + timedelta(days=1) if day.date() < date.max else _END
        if _TIME.fullmatch(text):
            at = max(_in_utc(datetime.fromisoformat(text.upper())), _EPOCH)
            return at, min(at, _END - MILLISECOND) + MILLISECOND
    except ValueError:  # a day or an hour that does not exist
        pass
    raise ValidationFailed(f"Invalid {field}: expected an ISO 8601 date or time", details={"field": field})


def _in_utc(at: datetime) -> datetime:
    """Return the moment in UTC, to the millisecond.

    If the offset leaves the years 1 to 9999: _EPOCH, or the last millisecond of 9999.
    """
    try:
        return to_the_millisecond(at.astimezone(UTC))
    except OverflowError:
        return _END if at.year > 1 else _EPOCH


def _whole(text: object) -> object:
    """Accept plain digits alone: Pydantic also accepts `5.0`, `+5` and `7_0`."""
    if isinstance(text, str) and not re.fullmatch(r"-?[0-9]+", text):
        raise PydanticCustomError("int_parsing", "Input should be plain digits")
    return text


Whole = BeforeValidator(_whole)
"""A whole number in plain digits."""


def one_of(options: Iterable[str], *, description: str, alias: str | None = None) -> Any:
    """Return a query parameter that the documentation offers as a choice. The route checks it, with its own error."""
    return Query(alias=alias, description=description, json_schema_extra={"enum": list(options)})


Limit = Annotated[int, Whole, Query(description="Rows on a page, 1 to 100")]

Cursor = Annotated[str | None, Query(description="`nextCursor` of the page before")]

From = Annotated[str | None, Query(alias="from", description="ISO 8601; a date means its first moment, UTC")]

To = Annotated[str | None, Query(alias="to", description="ISO 8601, inclusive; a date means its whole day, UTC")]
