"""Work that requests left unfinished: jobs, each from its own list, 12 s at a time.

| job | list | work |
|---|---|---|
| days and counters | `active_owners`, `housekeeping` | sum days; drop ended counters; compare plans with Stripe |
| long memos | `long_memos` | queue memos again whose worker stopped |
| closed accounts | `closing` | finish the erasing that a request began, and erase once more a day later |

Each job can stop anywhere, any later run can repeat it, and two runs may overlap. A run without work costs three
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
"""Seconds after which a run begins no further piece of work. The function has a minute; a longer share of one job would
only delay the next one, and the schedule starts another run."""

_log = logging.getLogger("agent_talk.housekeeping")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The outcome of one run. `oldest_s`: seconds for which the oldest remaining piece has been due; None: unknown,
    since a job failed."""

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
        """Continue the last sweep of a list, or begin one a day after it began. `last` of None: this is the first."""


class DaysAndCounters:
    """Three jobs whose progress is read in one request."""

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
    """Runs jobs in their order. Each has a name, for logs and metrics."""

    def __init__(
        self, jobs: Mapping[str, Job], *, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.jobs = jobs
        self._clock = clock
        self._monotonic = monotonic

    async def run(self, *, run_s: float = RUN_S) -> Run:
        """Run each job for its share of `run_s` and the rest of earlier shares. Exceptions of jobs are logged."""
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
        """Run a job until `ends`. None: it failed; the next run repeats it."""
        try:
            return await job(partial(self._is_before, ends), silent)
        except Exception:  # noqa: BLE001 the other jobs run after any failure of one
            _log.exception("a job of housekeeping failed: the next run repeats it", extra={"job": name})
            return None

    def _is_before(self, ends: float) -> bool:
        return self._monotonic() < ends
