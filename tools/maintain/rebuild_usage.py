"""Recount the logs of summed days, and correct sums that differ."""

import argparse
from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import Any

from rich.console import Console
from rich.progress import Progress

from shared.core.clock import Clock
from shared.tables import UsageLogs, Users, Window
from shared.usage.rebuilding import UsageRebuild
from shared.usage.rollups import Rollups
from tools.maintain.accounts import account
from tools.maintain.opened import Impossible, maintenance_settings, opened_existing

PAGE = 100
"""Accounts a page."""


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "rebuild-usage",
        help="count summed days again",
        description="Count the logs of summed days again, and correct sums that do not match, also those of days that "
        "have not ended. Prints what did not match. Exits with 1 if anything did not.",
    )
    parser.add_argument("--email", help="of one account (default: every account)")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, default=date(1970, 1, 2), metavar="DAY")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, default=date(9999, 12, 30), metavar="DAY")
    parser.add_argument(
        "--check", action="store_true", help="compare only; days that were never summed are summed all the same"
    )
    parser.set_defaults(command=run)


async def run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    if options.first > options.last:
        raise Impossible("--from must not be after --to")
    days, wrong, console = 0, 0, Console()
    settings = maintenance_settings(environ)
    async with opened_existing(settings, writes=not options.check, clock=clock) as opened:
        store = opened.store
        rebuilding = UsageRebuild(
            logs=UsageLogs(store), rollups=Rollups(store), clock=opened.clock, repair=not options.check
        )
        with Progress(console=console) as progress:
            async for user_id, email in _accounts(Users(store), options.email):
                task = progress.add_task(email, total=len(rebuilding.months(user_id, options.first)))
                async for month in rebuilding.rebuild(user_id, options.first, options.last):
                    days, wrong = days + month.days, wrong + len(month.wrong)
                    for name in month.wrong:
                        console.print(f"{email}: {name} {'does' if options.check else 'did'} not match")
                    progress.advance(task)
                progress.remove_task(task)
    console.print(f"{days} days counted again" + (f": {wrong} sums did not match" if wrong else ": all match"))
    return 1 if wrong else 0


async def _accounts(users: Users, email: str | None) -> AsyncIterator[tuple[str, str]]:
    """Yield the ids and addresses of accounts. Raises Impossible if no account has this address."""
    if email is not None:
        user = await account(users, email)
        yield user.id, user.email
        return
    window = Window(limit=PAGE)
    while True:
        page = await users.page(window)
        for user in page.rows:
            yield user.id, user.email
        if page.after is None:
            return
        window = Window(limit=PAGE, after=page.after)
