"""The days on which owners made memos: passes sum each day from its list of owners, and then the list is erased.

| a pass begins | for each owner | for the service |
|---|---|---|
| every hour of the day itself | the counter of the day is read | the calls until then |
| 10 minutes after the day | memos are compared with logs, and the day is summed | the calls of the day |
| a day later | the same once more, and the logs are counted again | the same, for good; the list is erased |

The last pass includes late rows: the end of a long memo, the log of a container that was frozen. A pass that is too
long for one run is continued by the next. If two runs overlap, the first to store its pass wins.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import Final

from shared.core.clock import DAY, HOUR, Clock, midnight
from shared.core.concurrency import gather_settled
from shared.jobs.worked import CanGoOn, Progress, Worked, oldest
from shared.limits.quotas import Quotas
from shared.stores.port import Store, StoreError
from shared.tables import Tables
from shared.tables.housekeeping import DayFigures, DayPass
from shared.usage.history import History
from shared.usage.periods import GRACE
from shared.usage.rebuilding import UsageRebuild
from shared.usage.reconcile import MemoReconciliation
from shared.usage.rollups import Rollups

AT_ONCE: Final = 4
"""Owners counted at the same time. Each takes two requests at once; more owners would wait for connections."""

BEFORE: Final = timedelta(days=30)
"""The time that the first run of a deployment searches back for days: the range of an admin's figures."""

TODAY_EVERY: Final = HOUR
"""The time between two passes over the day itself, each a request for every owner who made memos. A shorter one costs
more requests, a longer one makes the figures older."""

LAST: Final = datetime.max.replace(tzinfo=UTC)
"""The time at which a finished day is due again: never."""

_log = logging.getLogger("agent_talk.housekeeping")


class Stage(IntEnum):
    """The completeness of a day's rows when a pass begins."""

    UNDER_WAY = 0
    ENDED = 1
    FINAL = 2

    @classmethod
    def of(cls, day: date, at: datetime) -> "Stage":
        """Return the stage of a pass that begins at this time."""
        since = at - GRACE - midnight(day) - DAY
        return cls.UNDER_WAY if since < timedelta() else cls.ENDED if since < DAY else cls.FINAL

    def begins(self, day: date) -> datetime:
        return midnight(day) + self * DAY + GRACE


class ActiveDays:
    def __init__(self, store: Store, tables: Tables, *, quotas: Quotas, clock: Clock) -> None:
        rollups = Rollups(store)
        self._tables = tables
        self._quotas = quotas
        self._clock = clock
        self._history = History(logs=tables.usage_logs, rollups=rollups, clock=clock)
        self._rebuild = UsageRebuild(logs=tables.usage_logs, rollups=rollups, clock=clock, repair=True)
        self._reconciliation = MemoReconciliation(
            active_owners=tables.active_owners,
            memos=tables.memos,
            logs=tables.usage_logs,
            keys=tables.api_keys,
            clock=clock,
            repair=True,
        )

    async def work(self, known: Sequence[tuple[date, DayFigures]], can_go_on: CanGoOn, progress: Progress) -> Worked:
        """Make the passes that are due, oldest day first. `known` are the newest days with figures, in order."""
        now, done = self._clock(), 0
        due = list(_due(known, await self._first_day(known, now), now))
        for number, (day, figures) in enumerate(due):
            if not can_go_on() or not await self._work_through(day, figures, now, can_go_on):
                left = [_due_since(day, figures, now) for day, figures in due[number:]]
                return Worked(done=done, is_done=False, due_since=oldest(*left))
            done += 1
            progress(day.isoformat())
        return Worked(done=done)

    async def _first_day(self, known: Sequence[tuple[date, DayFigures]], now: datetime) -> date:
        """Return the first day that may be unfinished. Without figures: the first day with a list, or today."""
        if known:
            return known[0][0]
        day = now.date() - BEFORE
        while day < now.date() and not (await self._tables.active_owners.page(day, after=None))[0]:
            day += DAY
        return day

    async def _work_through(self, day: date, figures: DayFigures, now: datetime, can_go_on: CanGoOn) -> bool:
        """Make a pass over a day, or continue one, and return whether it ended. If not, the next run continues it."""
        stage, running = Stage.of(day, now), figures.running
        if running is None or Stage.of(day, running.began_at) < stage:
            running = DayPass(began_at=now)
        counted = await self._count(day, stage, running, can_go_on)
        if counted.is_whole and stage is not Stage.FINAL:
            return await self._note(day, figures, _ended(counted))
        noted = figures.model_copy(update={"running": counted})  # before the list is erased: it cannot be counted again
        if not await self._note(day, figures, noted) or not counted.is_whole:
            return False
        while not await self._tables.active_owners.erase(day):
            if not can_go_on():
                return False
        return await self._note(day, noted, _ended(counted))

    async def _count(self, day: date, stage: Stage, running: DayPass, can_go_on: CanGoOn) -> DayPass:
        """Count the calls of owners from where a pass stopped, while time is left."""
        after, more = running.after, not running.is_whole
        while more:
            owners, after = await self._tables.active_owners.page(day, after=after)
            for some in (owners[number : number + AT_ONCE] for number in range(0, len(owners), AT_ONCE)):
                if not can_go_on():
                    return running
                try:
                    calls = await gather_settled(*(self._calls(user_id, day, stage) for user_id in some))
                except StoreError:
                    _log.exception("a day could not be worked through: it is tried again", extra={"day": f"{day}"})
                    return running
                running = running.plus(calls, after=some[-1])
            more = after is not None
        return running.model_copy(update={"after": None, "is_whole": True})

    async def _calls(self, user_id: str, day: date, stage: Stage) -> int:
        """Return the number of an owner's calls on a day. Once it has ended, correct and sum its logs first."""
        if stage is Stage.UNDER_WAY:
            return (await self._quotas.used_by(user_id, midnight(day))).day
        mismatch = await self._reconciliation.of_owner(user_id, day)
        if mismatch.differs:
            _log.warning("memos and logs differed: the logs were corrected", extra=mismatch.line())
        if mismatch.differs or stage is Stage.FINAL:
            async for _ in self._rebuild.rebuild(user_id, day, day):
                pass  # each step corrects sums of this day and of the months after it
        counts = await self._history.days(user_id, day, day)
        return sum(count.total.calls for count in counts.values())

    async def _note(self, day: date, before: DayFigures, after: DayFigures) -> bool:
        """Store figures in place of `before`, and return whether that is done. False: another run stored others."""
        if before == after:
            return True
        return after == await self._tables.housekeeping.change_day(day, lambda row: after if row == before else row)


def _ended(counted: DayPass) -> DayFigures:
    return DayFigures(as_of=counted.began_at, calls=counted.calls, owners=counted.owners)


def _due(known: Sequence[tuple[date, DayFigures]], day: date, now: datetime) -> Iterator[tuple[date, DayFigures]]:
    """Yield the days with a due pass from `day` on, oldest first."""
    figures = dict(known)
    while day <= now.date():
        there = figures.get(day, DayFigures())
        if _due_since(day, there, now) <= now:
            yield day, there
        day += DAY


def _due_since(day: date, figures: DayFigures, now: datetime) -> datetime:
    """Return the time at which the next pass over a day became due, or becomes due."""
    if figures.as_of is None:
        return Stage.UNDER_WAY.begins(day)
    stage = Stage.of(day, figures.as_of)
    if stage is Stage.FINAL:
        return LAST
    if day == now.date():
        return figures.as_of + TODAY_EVERY
    return Stage(stage + 1).begins(day)
