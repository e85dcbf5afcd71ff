"""Days, hours and months that have ended, grace included."""

from datetime import UTC, date, datetime, timedelta

import pytest

from shared.core.clock import DAY, HOUR, MILLISECOND
from shared.usage.periods import GRACE, Calendar
from tests.support import IDS

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


def at(now: datetime, *, minted: datetime = MIDNIGHT - 60 * DAY) -> Calendar:
    return Calendar(user_id=IDS.mint(minted), now=now)


def test_time_has_ended_ten_minutes_after_its_end() -> None:
    """A day, an hour, a month and any other span has ended ten minutes later, to the millisecond."""
    just, before = at(MIDNIGHT + GRACE), at(MIDNIGHT + GRACE - MILLISECOND)
    assert (just.has_ended(MIDNIGHT), before.has_ended(MIDNIGHT)) == (True, False)
    assert (just.open, before.open) == (date(2026, 3, 1), date(2026, 2, 28))
    assert (just.open_hour, before.open_hour) == (MIDNIGHT, MIDNIGHT - HOUR)
    assert (just.open_month, before.open_month) == (date(2026, 3, 1), date(2026, 2, 1))


def test_months_that_have_ended_are_those_asked_for() -> None:
    """The months from one day's to another's, inclusive, without those before the owner's first and the open one."""
    calendar = at(MIDNIGHT + 12 * HOUR, minted=datetime(2025, 12, 20, tzinfo=UTC))
    ended = [date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)]
    assert calendar.finished_months(date(2025, 1, 1), date(2026, 12, 31)) == ended
    assert calendar.finished_months(date(2026, 1, 31), date(2026, 1, 31)) == ended[1:2]
    assert calendar.finished_months(date(2026, 3, 1), date(2026, 3, 31)) == []


@pytest.mark.parametrize(("ahead", "born"), [(timedelta(0), date(2026, 2, 27)), (5 * DAY, date(2026, 3, 1))])
def test_owner_is_born_two_days_before_the_id_at_most_today(ahead: timedelta, born: date) -> None:
    """The clock that minted the id may have been ahead, by more than that too."""
    now = MIDNIGHT + 12 * HOUR
    assert at(now, minted=now + ahead).born == born
