"""Compare memos with their usage logs, and correct what a crash left incomplete."""

import argparse
from collections.abc import Mapping
from datetime import date
from typing import Any

from shared.core.clock import DAY, Clock
from shared.stores.port import Store
from shared.tables import Tables
from shared.usage.rebuilding import UsageRebuild
from shared.usage.reconcile import MemoReconciliation
from shared.usage.rollups import Rollups
from tools.maintain.opened import Impossible, maintenance_settings, opened_existing


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "reconcile-memos",
        help="compare memos with their usage logs",
        description="Compare the memos of the owners who were active on some days with their usage logs, and correct "
        "the logs, and the sums of days that had been summed. Prints what differed. Exits with 1 if anything did.",
    )
    parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DAY", help="default: yesterday")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, metavar="DAY", help="default: today")
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.set_defaults(command=run)


async def run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    last = options.last or clock().date()
    first = options.first or last - DAY
    if first > last:
        raise Impossible("--from must not be after --to")
    differing = unlisted = 0
    settings = maintenance_settings(environ)
    async with opened_existing(settings, writes=not options.check, clock=clock) as opened:
        for day in (first + number * DAY for number in range((last - first).days + 1)):
            differing += await _reconcile(opened.store, day, opened.clock, repair=not options.check)
            unlisted += day < opened.clock().date() - DAY and not await _is_listed(opened.store, day)
    if unlisted:
        print(
            f"{unlisted} days were not compared: no owner is on their lists, which housekeeping erases after two days"
        )
    print(f"{differing} memos differ from their logs" if differing else "memos and logs agree")
    return 1 if differing else 0


async def _is_listed(store: Store, day: date) -> bool:
    """Return whether the list of a day's owners has one."""
    owners, _ = await Tables.on(store).active_owners.page(day, after=None)
    return bool(owners)


async def _reconcile(store: Store, day: date, clock: Clock, *, repair: bool) -> int:
    """Reconcile a day. Returns the number of memos and logs that differed."""
    tables, differing = Tables.on(store), 0
    reconciliation = MemoReconciliation(
        active_owners=tables.active_owners,
        memos=tables.memos,
        logs=tables.usage_logs,
        keys=tables.api_keys,
        clock=clock,
        repair=repair,
    )
    rebuild = UsageRebuild(logs=tables.usage_logs, rollups=Rollups(store), clock=clock, repair=True)
    async for mismatch in reconciliation.of_day(day):
        for memo_id in mismatch.without_log:
            print(f"{day} {mismatch.user_id}: memo {memo_id} has no log{', it was written' if repair else ''}")
        for memo_id in mismatch.without_memo:
            print(f"{day} {mismatch.user_id}: log {memo_id} has no memo{', it was deleted' if repair else ''}")
        differing += len(mismatch.without_log) + len(mismatch.without_memo)
        if repair:
            async for _ in rebuild.rebuild(mismatch.user_id, day, day):
                pass  # only to correct the sums of this day and of the months after it
    return differing
