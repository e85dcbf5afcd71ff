"""The machine's clock, compared with the clock of the store's server, which all containers see.

A clock that is ahead does harm for good: it closes days that still get memos, and dates rows into the future. So a
clock that is ahead of the server's `Date` header is held back to it. A clock that is behind closes days late, which
harms nothing, and is only logged.
"""

import logging
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from shared.core.clock import Clock, utc_now

TOLERATED: Final = timedelta(minutes=5)
"""How far the two clocks may differ: half of the ten minutes that a day is left open after its end. A smaller number
would blame servers whose clock is a little off."""

JITTER: Final = timedelta(seconds=2)
"""A correction is kept while new headers differ by less: `Date` has whole seconds, and answers take a while."""

_log = logging.getLogger("agent_talk.clock")


class CheckedClock:
    """A clock that takes the store's time when the machine's is ahead of it by more than TOLERATED."""

    def __init__(self, system: Clock = utc_now) -> None:
        self.system = system
        self._ahead = timedelta(0)
        self._is_behind = False
        self._last_date = ""

    def __call__(self) -> datetime:
        return self.system() - self._ahead

    def observe(self, sent_at: datetime, date: str | None) -> None:
        """Compare with the `Date` header of an answer. `sent_at` is `system()` from before the request was sent.

        The server dates its answer after the request was sent and before the answer is in. So a date before `sent_at`
        proves a clock ahead, and one after now a clock behind, however long the container was frozen in between.
        """
        if date is None or date == self._last_date:
            return
        self._last_date = date
        try:
            server = parsedate_to_datetime(date)
            ahead, behind = sent_at - server, server - self.system()
        except (ValueError, TypeError):  # not a date, or one without a zone: it proves nothing
            return
        self._hold_back(ahead)
        if (behind > TOLERATED) != self._is_behind:
            self._is_behind = behind > TOLERATED
            if self._is_behind:
                _log.error("this machine's clock is behind the store's: set it", extra={"behind_s": _seconds(behind)})

    def _hold_back(self, ahead: timedelta) -> None:
        if ahead <= TOLERATED:
            if self._ahead:
                _log.warning("this machine's clock agrees with the store's again")
            self._ahead = timedelta(0)
        elif abs(ahead - self._ahead) > JITTER:
            self._ahead = ahead
            _log.error("this machine's clock is ahead of the store's: set it", extra={"ahead_s": _seconds(ahead)})


def _seconds(span: timedelta) -> int:
    return round(span.total_seconds())
