"""Work that requests leave behind, from lists: each job can stop anywhere, and be repeated by anybody.

| job | list | work |
|---|---|---|
| closed accounts | `closing` | close and erase what a request could not, and look once more a day later |
"""

import argparse
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shared.accounts.closing import Worked
from shared.core.clock import Clock
from shared.services import Services
from tools.maintain.opened import maintenance_settings, opened_existing

RUN_S: Final = 12.0
"""Seconds of one run over a list: what a function on a schedule would have."""

Job = Callable[[Services, Callable[[], bool], Callable[[str], object]], Awaitable[Worked]]


def add_to(commands: Any) -> None:
    """Add the command. `commands` is what argparse calls subparsers."""
    parser = commands.add_parser(
        "housekeeping",
        help="do what requests left behind",
        description="Erase closed accounts as far as requests could not. Repeatable; it may be interrupted, and run "
        "while the service serves, and twice at once. Exits with 1 if something failed: run it again.",
    )
    parser.set_defaults(command=run)


async def run(_: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    settings = maintenance_settings(environ)
    async with opened_existing(settings, writes=True, clock=clock) as opened:
        services = Services.on(opened.store, settings, clock=opened.clock)
        try:
            failed = [await _finished(name, job, services) for name, job in JOBS.items()]
        finally:
            await services.close()
    return 1 if any(failed) else 0


async def _finished(name: str, job: Job, services: Services) -> int:
    """Run a job until its list is worked through. Returns how much of it failed."""
    console, done = Console(), 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None)
        while True:
            worked = await job(
                services, partial(_is_before, time.monotonic() + RUN_S), lambda _: progress.advance(task)
            )
            done += worked.erased
            if worked.is_done or not worked.erased:
                break
    console.print(f"{name}: {done} done, {worked.waiting} wait for their last look, {worked.failed} failed")
    return worked.failed + (0 if worked.is_done else 1)


def _is_before(ends: float) -> bool:
    return time.monotonic() < ends


async def _closed_accounts(
    services: Services, can_go_on: Callable[[], bool], progress: Callable[[str], object]
) -> Worked:
    return await services.closing.work(can_go_on=can_go_on, progress=progress)


JOBS: Final[Mapping[str, Job]] = {"closed accounts": _closed_accounts}
"""The jobs, by what they are told of as. A new one is an entry here, and a row above."""
