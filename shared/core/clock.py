"""Time and ids: UTC to the millisecond, and ids that sort by it."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from pydantic import PlainSerializer, WithJsonSchema

Clock = Callable[[], datetime]

MILLISECOND: Final = timedelta(milliseconds=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"[0-9a-f]{32}")


def utc_now() -> datetime:
    return to_the_millisecond(datetime.now(UTC))


def to_the_millisecond(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def iso(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`: `2026-11-23T22:30:56.120Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time in a row or an answer; written as `iso` writes it."""


def next_day(at: datetime) -> datetime:
    """The next UTC midnight."""
    return midnight(at.date()) + DAY


def next_month(at: datetime) -> datetime:
    """The first moment of the next calendar month, UTC."""
    return midnight(month_after(at.date()))


def midnight(day: date) -> datetime:
    """The first moment of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def floor(at: datetime, unit: timedelta) -> datetime:
    """Where the day, hour or part of an hour begins that contains this moment."""
    start = midnight(at.date())
    return start + (at - start) // unit * unit


def months(first: date, last: date) -> Iterator[date]:
    """The first days of the months from one day's to another's."""
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = month_after(month)


def month_after(day: date) -> date:
    """The first day of the month after this day's."""
    return (day.replace(day=1) + 31 * DAY).replace(day=1)


class Ids:
    """Mints UUIDv7 (RFC 9562) as 32 hexadecimal digits: 48 bits of milliseconds, a counter, and 62 random bits.

    Ids of one minter ascend while its clock does, also within a millisecond: the 12 bits after the version count up
    from 0 (method 1 of the RFC's section 6.2). Library minters take neither a time nor give the bounds of a time range,
    which keys need.
    """

    def __init__(self) -> None:
        self._last_ms = -1
        self._count = 0

    def mint(self, at: datetime) -> str:
        ms = _ms(at)
        if ms > self._last_ms:
            self._last_ms, self._count = ms, 0
        elif ms == self._last_ms and self._count < 0xFFF:
            self._count += 1
        tail = int.from_bytes(os.urandom(8)) & (2**62 - 1)
        count = self._count if ms == self._last_ms else 0
        return f"{ms << 80 | 0x7 << 76 | count << 64 | 0b10 << 62 | tail:032x}"


def is_id(text: str) -> bool:
    """Whether this could have been minted here. What could not, names nothing."""
    return _ID.fullmatch(text) is not None


def first_id(at: datetime) -> str:
    """Below every id minted at or after this time, and above all that were minted before."""
    return f"{_ms(at) << 80:032x}"


def minted_at(minted_id: str) -> datetime:
    """When this id was minted, to the millisecond."""
    return _EPOCH + int(minted_id[:12], 16) * MILLISECOND


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // MILLISECOND
