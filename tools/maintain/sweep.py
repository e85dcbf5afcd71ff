"""Drop the counters of ended windows, of attempts and of keys' limits: HYPR Micro never deletes them itself."""

import argparse
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console

from shared.core.clock import Clock
from shared.jobs.sweep import drop_ended, has_ended
from shared.jobs.worked import silent
from shared.stores.port import Store
from tools.maintain.opened import maintenance_settings, opened_existing


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "sweep",
        help="drop the counters of ended windows",
        description="Drop the counters of windows of attempts and of keys' limits that ended more than an hour ago. "
        "Repeatable; it may be interrupted, and run while the service serves.",
    )
    parser.add_argument("--check", action="store_true", help="count them only")
    parser.set_defaults(command=run)


async def run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    settings = maintenance_settings(environ)
    async with opened_existing(settings, writes=not options.check, clock=clock) as opened:
        ended, others = await sweep(opened.store, opened.clock(), drops=not options.check)
    Console().print(f"{ended} counters {'have ended' if options.check else 'dropped'}, {others} stay")
    return 0


async def sweep(store: Store, at: datetime, *, drops: bool = True) -> tuple[int, int]:
    """Drop the counters of ended windows. Return their number, and the number of all other counters."""
    ended, others, after = 0, 0, None
    while True:
        page = await store.scan_counters(after=after)
        over = sum(has_ended(counter.name, at) for counter in page.rows)
        ended, others = ended + over, others + len(page.rows) - over
        if drops:
            await drop_ended(store, page.rows, at, silent)
        if page.after is None:
            return ended, others
        after = page.after
