"""Stored sums: written once, and completed by a later writer with more."""

from datetime import date

import pytest

from shared.stores.memory.store import MemoryStore
from shared.usage.rollups import DayRollup, Rollups

pytestmark = pytest.mark.anyio

DAY = date(2026, 3, 2)


@pytest.mark.parametrize("marks", [(False, False), (False, True), (True, False), (True, True)])
async def test_a_day_is_marked_if_one_of_its_writers_marks_it(marks: tuple[bool, bool]) -> None:
    """A mark claims that all days before are summed: only a writer that knows it adds it, and none removes it."""
    rollups = Rollups(MemoryStore())
    for mark in marks:
        await rollups.add_day("ada", DayRollup.of(DAY, {}, mark=mark))
    assert [rollup.mark for rollup in await rollups.days("ada", DAY)] == [any(marks)]
