"""Time: UTC to the millisecond, and the days, months and windows that begin and end in it."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import Annotated, Final

from pydantic import PlainSerializer, WithJsonSchema

Clock = Callable[[], datetime]

MILLISECOND: Final = timedelta(milliseconds=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


def utc_now() -> datetime:
    return to_the_millisecond(datetime.now(UTC))


def to_the_millisecond(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def iso(at: datetime) -> str:
    """Format a time as ISO 8601, in UTC with milliseconds: `2026-11-23T22:30:56.120Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time in a row or an answer; written as `iso` writes it."""


def next_day(at: datetime) -> datetime:
    """Return the next UTC midnight."""
    return midnight(at.date()) + DAY


def next_month(at: datetime) -> datetime:
    """Return the first moment of the next calendar month, UTC."""
    return midnight(month_after(at.date()))


def midnight(day: date) -> datetime:
    """Return the first moment of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def floor(at: datetime, unit: timedelta) -> datetime:
    """Return the beginning of the day, hour or part of it that contains this moment."""
    start = midnight(at.date())
    return start + (at - start) // unit * unit


def months(first: date, last: date) -> Iterator[date]:
    """Yield the first day of each month, from the month of `first` to that of `last`."""
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = month_after(month)


def month_after(day: date) -> date:
    """Return the first day of the month after this day's."""
    return (day.replace(day=1) + 31 * DAY).replace(day=1)


def whole_seconds(span: timedelta) -> int:
    """Return the seconds, rounded up, and at least 1: the value of a `Retry-After`."""
    return max(1, ceil(span.total_seconds()))
