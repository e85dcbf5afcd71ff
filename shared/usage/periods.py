"""Days, months and hours that have ended, grace included, so that their logs can be summed."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from shared.core.clock import DAY, HOUR, floor, months
from shared.core.ids import minted_at

GRACE: Final = timedelta(minutes=10)
"""How long after its end a day may still get logs. A request is answered within 15 seconds, so its logs are stored by
then, unless its container was frozen or its clock is wrong. A longer grace would make answers read more logs."""

SIGN_UP_AHEAD: Final = timedelta(days=2)
"""How far ahead the clock that minted the owner's id may have been. Logs that are dated earlier than this before the id
would never be counted; a longer span costs an empty month's document for more owners."""


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """The days, months and hours of an owner that have ended at the time `now`."""

    user_id: str
    now: datetime

    @property
    def born(self) -> date:
        """The day of the owner's first possible log."""
        return min((minted_at(self.user_id) - SIGN_UP_AHEAD).date(), self.open)

    @property
    def open(self) -> date:
        """The first day that must not be summed yet. It is today, or yesterday in a day's first ten minutes."""
        return (self.now - GRACE).date()

    @property
    def open_hour(self) -> datetime:
        """The first hour that must not be summed yet."""
        return floor(self.now - GRACE, HOUR)

    @property
    def open_month(self) -> date:
        """The first day of the month of `open`. All earlier months have ended."""
        return self.open.replace(day=1)

    def has_ended(self, end: datetime) -> bool:
        """Return whether a time span that ends at `end` can be summed."""
        return end <= self.now - GRACE

    def finished_months(self, first: date, last: date) -> list[date]:
        """Return the months that have ended, from that of `first` to that of `last`, by their first days."""
        return list(months(max(first, self.born), min(last, self.open_month - DAY)))
