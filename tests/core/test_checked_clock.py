"""The machine's clock against the `Date` of the store's answers."""

import logging
from datetime import datetime, timedelta
from email.utils import format_datetime

import pytest

from shared.core.checked_clock import TOLERATED, CheckedClock
from tests.support import NOON, FakeClock

DAY_AHEAD = timedelta(days=1)


def observed(clock: CheckedClock, server: datetime, *, took: timedelta = timedelta(0)) -> None:
    """Let the clock observe an answer with the server's date, which took `took`."""
    sent_at = clock.system()
    assert isinstance(clock.system, FakeClock)
    clock.system.advance(took)
    clock.observe(sent_at, format_datetime(server, usegmt=True))


def test_clock_ahead_takes_the_stores_time(caplog: pytest.LogCaptureFixture) -> None:
    """A clock a day ahead is set back to the server's time, continues from there, and is logged once."""
    system = FakeClock(NOON + DAY_AHEAD)
    clock = CheckedClock(system)
    observed(clock, NOON)
    assert clock() == NOON
    system.advance(timedelta(minutes=3))
    observed(clock, NOON + timedelta(minutes=3, seconds=-1))
    assert clock() == NOON + timedelta(minutes=3)
    assert [(record.levelno, record.off_s) for record in caplog.records] == [(logging.ERROR, 86400)]  # type: ignore[attr-defined]


def test_clock_that_was_set_right_is_believed_again() -> None:
    """A correction ends with the first answer that agrees with the machine's clock."""
    system = FakeClock(NOON + DAY_AHEAD)
    clock = CheckedClock(system)
    observed(clock, NOON)
    system.at = NOON + timedelta(minutes=1)
    observed(clock, NOON + timedelta(minutes=1))
    assert clock() == NOON + timedelta(minutes=1)


def test_clock_behind_takes_the_stores_time(caplog: pytest.LogCaptureFixture) -> None:
    """A clock behind would count into a day that has ended. It is set to the server's time, and is logged once."""
    system = FakeClock(NOON)
    clock = CheckedClock(system)
    observed(clock, NOON + timedelta(hours=1))
    observed(clock, NOON + timedelta(hours=1, seconds=1))
    assert clock() == NOON + timedelta(hours=1)
    system.advance(timedelta(hours=1))
    assert clock() == NOON + timedelta(hours=2)
    assert [(record.levelno, record.off_s) for record in caplog.records] == [(logging.ERROR, -3600)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("took", [timedelta(0), timedelta(hours=5)])
@pytest.mark.parametrize("off", [timedelta(0), TOLERATED, -TOLERATED])
def test_clock_is_believed_within_tolerance(caplog: pytest.LogCaptureFixture, took: timedelta, off: timedelta) -> None:
    """A small difference corrects nothing, and neither does an answer that arrives after a freeze."""
    clock = CheckedClock(FakeClock(NOON))
    observed(clock, NOON + off, took=took)
    assert clock() == NOON + took
    assert not caplog.records


def test_clock_is_believed_when_it_was_frozen_around_the_answer() -> None:
    """A date between sending and reading fits a right clock, even hours away from both."""
    clock = CheckedClock(FakeClock(NOON))
    observed(clock, NOON + timedelta(hours=2), took=timedelta(hours=5))
    assert clock() == NOON + timedelta(hours=5)


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Mon, 23 Nov 2020 12:00:00", "Mon, 23 Nov 2020 12:00:00 +99999999999999"]
)
def test_clock_ignores_what_is_no_date(date: str | None) -> None:
    """An answer without a date, or with one that has no zone or an impossible one, corrects nothing."""
    clock = CheckedClock(FakeClock(NOON))
    clock.observe(NOON, date)
    assert clock() == NOON


def test_clock_is_not_corrected_by_a_date_that_was_seen() -> None:
    """A repeated date is of an answer that a cache kept: an hour later it does not prove that the clock is ahead."""
    clock = CheckedClock(FakeClock(NOON))
    observed(clock, NOON)
    observed(clock, NOON, took=timedelta(hours=1))
    observed(clock, NOON)
    assert clock() == NOON + timedelta(hours=1)


@pytest.mark.parametrize(("off", "said"), [(timedelta(hours=-1), "ahead of"), (timedelta(hours=1), "behind")])
def test_clock_logs_which_way_it_is_off(caplog: pytest.LogCaptureFixture, off: timedelta, said: str) -> None:
    """The log has the difference once, and then, once, that the clocks agree again."""
    clock = CheckedClock(FakeClock(NOON))
    observed(clock, NOON + off)
    observed(clock, NOON)
    observed(clock, NOON + timedelta(seconds=1))
    errors, warnings = (
        [record.getMessage() for record in caplog.records if record.levelno == level]
        for level in (logging.ERROR, logging.WARNING)
    )
    assert [f"clock is {said} the store's" in text for text in errors] == [True]
    assert ["agrees with the store's again" in text for text in warnings] == [True]
