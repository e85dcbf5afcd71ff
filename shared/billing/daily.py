"""The comparison of all plans with Stripe, once a day: a job of housekeeping."""

from shared.billing.billing import Billing
from shared.core.clock import Clock
from shared.jobs.worked import CanGoOn, Progress, Worked
from shared.tables import HousekeepingRows
from shared.tables.housekeeping import Sweep


class DailyComparison:
    """The job. While Stripe is off it has nothing to do."""

    def __init__(self, billing: Billing, rows: HousekeepingRows, *, clock: Clock) -> None:
        self._billing = billing
        self._rows = rows
        self._clock = clock

    async def work(self, last: Sweep | None, can_go_on: CanGoOn, progress: Progress) -> Worked:
        """Continue the last comparison, or begin one a day after it began.

        `last` of None: this is the first. An owner that could not be compared is logged and counted; the next day's
        comparison includes it.
        """
        now = self._clock()
        sweep, due_since = Sweep.following(last, now)
        if not self._billing.is_on or now < due_since:
            return Worked()
        if not can_go_on():
            return Worked(is_done=False, due_since=due_since)
        piece = await self._billing.reconcile(can_go_on=can_go_on, after=sweep.after)
        for difference in piece.differed:
            progress(difference.user_id)
        await self._rows.note_plans(sweep.at(piece.after))
        return Worked(
            done=len(piece.differed),
            failed=piece.failed,
            is_done=piece.after is None,
            due_since=None if piece.after is None else due_since,
        )
