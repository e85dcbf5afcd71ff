"""Which days, months and hours are over, and can be summed."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from shared.core.clock import DAY, HOUR, floor, months
from shared.core.ids import minted_at

GRACE: Final = timedelta(minutes=10)
"""How long a day is left alone after its end. A request is answered within seconds: what it records is there by then,
unless its container was frozen."""


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """What is over for an owner at one time."""

    user_id: str
    now: datetime

    @property
    def born(self) -> date:
        """The day of the owner's first possible log: another clock than the one that signed the owner up may have dated
        it up to ten minutes before."""
        return (minted_at(self.user_id) - GRACE).date()

    @property
    def open(self) -> date:
        """The first day that may not be summed yet: today, or for ten minutes yesterday."""
        return (self.now - GRACE).date()

    @property
    def open_hour(self) -> datetime:
        """The first hour that may not be summed yet."""
        return floor(self.now - GRACE, HOUR)

    @property
    def open_month(self) -> date:
        """The first day of its month. All months before are over."""
        return self.open.replace(day=1)

    def finished_months(self, first: date, last: date) -> list[date]:
        """The first days of the months with documents, among those of two days and all between."""
        return list(months(max(first, self.born), min(last, self.open_month - DAY)))
