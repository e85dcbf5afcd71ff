"""The counters of owners' days and months: which of them have ended, and can be dropped."""

import re
from datetime import date, datetime
from typing import Final

from shared.core.clock import HOUR, midnight, next_day, next_month

KEPT_FOR: Final = HOUR
"""How long an ended window's counters are kept: longer than any container's clock is behind, since a counter that is
dropped too early starts at 0 again."""

_WINDOWED: Final = re.compile(
    r"[^:]+:(?:calls|testcalls|refused:[^:]+|uses:[^:]+):(?P<month>\d{4}-\d\d)(?P<day>-\d\d)?(?::(?:memos|characters))?"
)


def ends_at(counter: str) -> datetime | None:
    """Return the end of the owner's day or month that this counts. None: it counts neither."""
    window = _WINDOWED.fullmatch(counter)
    if window is None:
        return None
    first = midnight(date.fromisoformat(window["month"] + (window["day"] or "-01")))
    return next_day(first) if window["day"] else next_month(first)


def has_ended(counter: str, at: datetime) -> bool:
    """Return whether this counts an owner's day or month that ended KEPT_FOR or more before `at`."""
    end = ends_at(counter)
    return end is not None and end + KEPT_FOR <= at
