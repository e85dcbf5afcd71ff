"""The machine's clock, compared with the clock of the store's server, which is the same for all containers.

A clock that is ahead closes days that still get memos, and dates rows in the future. A clock that is behind counts
memos on a day that has ended, so the limit of the new day misses them. So a clock that is wrong takes the server's
time, from the `Date` header of its answers.
"""

import logging
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from shared.core.clock import Clock, utc_now

TOLERATED: Final = timedelta(minutes=5)
"""The difference above which the clock is corrected: half of the ten minutes that a day stays open after its end. A
smaller one would take over the small errors of servers' clocks."""

JITTER: Final = timedelta(seconds=2)
"""A correction is kept until a header differs from it by more: `Date` has whole seconds, and answers take time."""

_log = logging.getLogger("agent_talk.clock")


class CheckedClock:
    """A clock that takes the store's time when the machine's differs from it by more than TOLERATED."""

    def __init__(self, system: Clock = utc_now) -> None:
        self.system = system
        self._correction = timedelta(0)
        self._last_date = ""

    def __call__(self) -> datetime:
        return self.system() + self._correction

    def observe(self, sent_at: datetime, date: str | None) -> None:
        """Compare with the `Date` header of an answer. `sent_at` is `system()` from before the request was sent.

        The server dates its answer after the request was sent and before the answer arrives. So a date before `sent_at`
        proves that the clock is ahead, and a date in the future that it is behind, however long the container was
        frozen in between.
        """
        if date is None or date == self._last_date:
            return
        self._last_date = date
        try:
            server = parsedate_to_datetime(date)
            ahead, behind = sent_at - server, server - self.system()
        except (ValueError, TypeError, OverflowError):  # not a date, or one without a zone: it proves nothing
            return
        self._correct(max(behind, timedelta(0)) - max(ahead, timedelta(0)))

    def _correct(self, correction: timedelta) -> None:
        if abs(correction) <= TOLERATED:
            if self._correction:
                _log.warning("this machine's clock agrees with the store's again")
            self._correction = timedelta(0)
        elif abs(correction - self._correction) > JITTER:
            self._correction = correction
            off = "ahead of" if correction < timedelta(0) else "behind"
            _log.error(f"this machine's clock is {off} the store's: set it", extra={"off_s": _seconds(-correction)})


def _seconds(span: timedelta) -> int:
    return round(span.total_seconds())
