"""Rows of housekeeping: days of figures, and the progress of sweeps."""

from datetime import date, timedelta

import pytest

from shared.stores.port import Store
from shared.tables.housekeeping import DayFigures, DayPass, HousekeepingRows, Sweep
from tests.support import NOON

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


def test_pass_counts_calls_and_the_owners_who_made_them() -> None:
    """An owner whose calls were all taken back is not counted."""
    first = DayPass(began_at=NOON).plus([3, 0, 1], after="b")
    assert (first.calls, first.owners, first.after) == (4, 2, "b")
    second = first.plus([5], after="d")
    assert (second.calls, second.owners, second.after, second.began_at) == (9, 3, "d", NOON)


def test_sweep_goes_on_or_begins_a_day_later() -> None:
    """An unfinished sweep is due since it began, else a day after the last one began; the first is due immediately."""
    now = NOON + 3 * DAY
    fresh = Sweep(began_at=now, after=None)
    running, ended = Sweep(began_at=NOON, after="k"), Sweep(began_at=NOON, after=None)
    assert Sweep.following(None, now) == (fresh, now)
    assert Sweep.following(running, now) == (running, NOON)
    assert Sweep.following(ended, now) == (fresh, NOON + DAY)
    assert running.at(None) == ended


async def test_days_are_read_from_one_to_another(store: Store) -> None:
    """Both ends are included, oldest first, without days that have no row, and without rows of sweeps."""
    rows, days = HousekeepingRows(store), [date(2026, 3, n) for n in range(1, 6)]
    await rows.note_sweep(Sweep(began_at=NOON, after="k"))
    for day in days:
        await rows.change_day(day, lambda figures: figures.model_copy(update={"calls": figures.calls + 1}))
    assert await rows.days(days[1], days[3]) == [(day, DayFigures(calls=1)) for day in days[1:4]]
    assert await rows.days(days[4], days[4] + DAY) == [(days[4], DayFigures(calls=1))]


async def test_unfinished_has_days_and_both_sweeps(store: Store) -> None:
    """Each sweep has its own name, and the days are oldest first."""
    rows, sweep, plans = HousekeepingRows(store), Sweep(began_at=NOON, after="k"), Sweep(began_at=NOON, after=None)
    empty = await rows.unfinished()
    assert (empty.sweep, empty.plans, empty.days) == (None, None, [])
    await rows.note_sweep(sweep)
    await rows.note_plans(plans)
    for day in (date(2026, 3, 2), date(2026, 3, 1)):
        await rows.change_day(day, lambda figures: figures)
    found = await rows.unfinished()
    assert (found.sweep, found.plans) == (sweep, plans)
    assert [day.day for day, _ in found.days] == [1, 2]
