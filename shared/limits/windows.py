"""The counters of owners' days and months: which of them have ended, and can be dropped."""

import re
from datetime import date, datetime
from typing import Final

from shared.core.clock import HOUR, midnight, month_after, next_day

KEPT_FOR: Final = HOUR
"""How long an ended window's counters are kept: longer than any container's clock is behind, since a counter that is
dropped too early starts at 0 again."""

_WINDOWED: Final = re.compile(
    r"[^:]+:(?:calls|testcalls|refused:[^:]+|uses:[^:]+):(?P<month>\d{4}-\d\d)(?P<day>-\d\d)?(?::(?:memos|characters))?"
)


def has_ended(counter: str, at: datetime) -> bool:
    """Return whether this counts an owner's day or month that ended KEPT_FOR or more before `at`."""
    window = _WINDOWED.fullmatch(counter)
    if window is None:
        return False
    first = midnight(date.fromisoformat(window["month"] + (window["day"] or "-01")))
    ends_at = next_day(first) if window["day"] else midnight(month_after(first.date()))
    return ends_at + KEPT_FOR <= at
