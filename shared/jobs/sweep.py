"""Dropping the counters of ended windows, of attempts and of limits: some stores keep counters for good.

Counters have no list, so a sweep reads all of them once a day, by pages; each run continues where the last one stopped.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from shared.core.clock import Clock
from shared.jobs.worked import CanGoOn, Progress, Worked
from shared.limits import attempts, windows
from shared.stores.port import Counter, Store
from shared.tables.housekeeping import HousekeepingRows, Sweep

DROPPED: Final = 100
"""Counters that one call drops: a request each on HYPR Micro, 8 at once. With more a verb could run out of time."""


class CounterSweep:
    def __init__(self, store: Store, rows: HousekeepingRows, *, clock: Clock) -> None:
        self._store = store
        self._rows = rows
        self._clock = clock

    async def work(self, last: Sweep | None, can_go_on: CanGoOn, progress: Progress) -> Worked:
        """Continue the last sweep, or begin one a day after it began. `last` of None: this is the first."""
        now = self._clock()
        sweep, due_since = Sweep.following(last, now)
        if not self._store.keeps_ended_counters or now < due_since:
            return Worked()
        done, is_whole = 0, False
        while can_go_on() and not is_whole:
            page = await self._store.scan_counters(after=sweep.after)
            done += await drop_ended(self._store, page.rows, now, progress)
            sweep, is_whole = sweep.at(page.after), page.after is None
        if done or sweep.after is not None or is_whole:
            await self._rows.note_sweep(sweep)
        return Worked(done=done, is_done=is_whole, due_since=None if is_whole else due_since)


async def drop_ended(store: Store, counters: Iterable[Counter], at: datetime, progress: Progress) -> int:
    """Drop the counters whose windows have ended, and return how many."""
    ended = [counter.name for counter in counters if has_ended(counter.name, at)]
    for number in range(0, len(ended), DROPPED):
        some = ended[number : number + DROPPED]
        await store.drop(some)
        for name in some:
            progress(name)
    return len(ended)


def has_ended(counter: str, at: datetime) -> bool:
    return attempts.has_ended(counter, at) or windows.has_ended(counter, at)
