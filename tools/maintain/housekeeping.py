"""Do the work of housekeeping now, without a schedule: run the jobs of `shared/jobs/housekeeping.py` to their ends."""

import argparse
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shared.core.clock import Clock
from shared.jobs.housekeeping import RUN_S
from shared.jobs.worked import Job
from shared.services import Services
from tools.maintain.opened import maintenance_settings, opened_existing


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "housekeeping",
        help="do what requests left behind",
        description="Sum past days, drop the counters of ended windows, queue long memos that stopped, and erase "
        "closed accounts as far as requests could not. Repeatable; it may be interrupted, and run while the service "
        "serves, and twice at once. Exits with 1 if something failed: run it again.",
    )
    parser.set_defaults(command=run)


async def run(_: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    settings = maintenance_settings(environ, audio=True, queue=True)
    async with opened_existing(settings, writes=True, clock=clock) as opened:
        services = Services.on(opened.store, settings, clock=opened.clock)
        jobs = dict(services.housekeeping.jobs)
        if not settings.speech.queue_url:
            del jobs["long memos"]  # this process speaks none; `make run` queues its own when it starts
        try:
            failed = [await finished(name, job) for name, job in jobs.items()]
        finally:
            await services.close()
    return 1 if any(failed) else 0


async def finished(name: str, job: Job, *, run_s: float = RUN_S) -> int:
    """Run a job, `run_s` seconds at a time, until its list is done. Returns the number of failures.

    It ends early if a run stops with time left, and without any work done: the next one would do no more.
    """
    console, done, failed = Console(), 0, 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        while True:
            can_go_on = partial(_is_before, time.monotonic() + run_s)
            worked = await job(can_go_on, lambda _: progress.advance(task))
            done, failed = done + worked.done, failed + worked.failed
            if worked.is_done or (not worked.done and can_go_on()):
                break
    console.print(f"{name}: {done} done, {worked.waiting} wait for their time, {failed} failed")
    return failed + (0 if worked.is_done else 1)


def _is_before(ends: float) -> bool:
    return time.monotonic() < ends
