"""Work that requests leave behind: jobs, each from its own list, 12 s at a time.

| job | list | work |
|---|---|---|
| days and counters | `active_owners`, `housekeeping` | sum days; drop ended counters; compare plans with Stripe |
| long memos | `long_memos` | queue afresh what stopped in the middle |
| closed accounts | `closing` | close and erase what a request could not, and look once more a day later |

Each job can stop anywhere, be repeated by any other run, and run twice at once. A run without work costs three
requests: one for each list.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from shared.core.clock import Clock
from shared.jobs.days import ActiveDays
from shared.jobs.worked import CanGoOn, Job, Progress, Worked, oldest, silent
from shared.tables import HousekeepingRows
from shared.tables.housekeeping import Sweep

RUN_S: Final = 12.0
"""Seconds after which a run begins nothing any more. The function has a minute: a longer run would only delay the next
job of the list, and the schedule starts another one."""

_log = logging.getLogger("agent_talk.housekeeping")


@dataclass(frozen=True, kw_only=True)
class Run:
    """`oldest_s`: for how many seconds the oldest piece that is left has been due; None: a job failed, so it is not
    known."""

    jobs: Mapping[str, Worked]
    oldest_s: float | None

    @property
    def done(self) -> int:
        return sum(worked.done for worked in self.jobs.values())

    @property
    def failed(self) -> int:
        return sum(worked.failed for worked in self.jobs.values())


class Daily(Protocol):
    async def work(self, last: Sweep | None, can_go_on: CanGoOn, progress: Progress) -> Worked:
        """Go on with the last sweep of a list, or begin one a day after it began; None: there was none."""


class DaysAndCounters:
    """Jobs that read how far they are at once."""

    def __init__(self, rows: HousekeepingRows, days: ActiveDays, counters: Daily, plans: Daily) -> None:
        self._rows = rows
        self._days = days
        self._counters = counters
        self._plans = plans

    async def work(self, can_go_on: CanGoOn, progress: Progress) -> Worked:
        unfinished = await self._rows.unfinished()
        worked = await self._days.work(unfinished.days, can_go_on, progress)
        worked = worked.beside(await self._counters.work(unfinished.sweep, can_go_on, progress))
        return worked.beside(await self._plans.work(unfinished.plans, can_go_on, progress))


class Housekeeping:
    """The jobs by name, in the order in which they get their time."""

    def __init__(
        self, jobs: Mapping[str, Job], *, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.jobs = jobs
        self._clock = clock
        self._monotonic = monotonic

    async def run(self, *, run_s: float = RUN_S) -> Run:
        """Give each job its share of the time, and what the jobs before it left. What a job raises is logged."""
        began, share_s = self._monotonic(), run_s / len(self.jobs)
        results: dict[str, Worked | None] = {}
        for number, (name, job) in enumerate(self.jobs.items(), start=1):
            results[name] = await self._worked(name, job, ends=began + number * share_s)
        worked = {name: result or Worked(failed=1, is_done=False) for name, result in results.items()}
        due_since = oldest(*(result.due_since for result in worked.values()))
        is_known = None not in results.values()
        age = 0.0 if due_since is None else max(0.0, (self._clock() - due_since).total_seconds())
        return Run(jobs=worked, oldest_s=age if is_known else None)

    async def _worked(self, name: str, job: Job, *, ends: float) -> Worked | None:
        """Run a job. None: it failed; the next run repeats it."""
        try:
            return await job(partial(self._is_before, ends), silent)
        except Exception:  # noqa: BLE001 whatever one job raises, the others are done
            _log.exception("a job of housekeeping failed: the next run repeats it", extra={"job": name})
            return None

    def _is_before(self, ends: float) -> bool:
        return self._monotonic() < ends
