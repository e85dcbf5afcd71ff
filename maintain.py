"""Maintenance of a deployment, from a checkout; settings come from the environment, as for the functions.

python -m maintain rebuild-usage [--email me@example.org] [--from 2026-01-01] [--to 2026-01-31] [--check]
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import date

from rich.console import Console
from rich.progress import Progress

from shared.clock import Clock, utc_now
from shared.rebuilding import Rebuilding
from shared.services import open_store
from shared.settings import Settings, SettingsError
from shared.store import Store, StoreError
from shared.tables import TABLES, Rollups, UsageLogs, Users, Window

PAGE = 100


def main(arguments: list[str] | None = None, *, environ: Mapping[str, str] = os.environ, clock: Clock = utc_now) -> int:
    parser = argparse.ArgumentParser(prog="python -m maintain", description="Maintenance of a deployment.")
    commands = parser.add_subparsers(required=True)
    rebuild = commands.add_parser(
        "rebuild-usage",
        help="count summed days again",
        description="Count days that have been summed again, from the logs, and put right what does not match. "
        "Says what did not. Exits with 1 if anything did not match.",
    )
    rebuild.add_argument("--email", help="of one account (default: every account)")
    rebuild.add_argument("--from", dest="first", type=date.fromisoformat, default=date(1970, 1, 2), metavar="DAY")
    rebuild.add_argument("--to", dest="last", type=date.fromisoformat, default=date(9999, 12, 30), metavar="DAY")
    rebuild.add_argument("--check", action="store_true", help="compare only")
    rebuild.set_defaults(command=_rebuild_usage)
    options = parser.parse_args(arguments)
    try:
        status: int = asyncio.run(_on_the_store(options, environ, clock))
    except SettingsError as exc:
        print(*exc.problems, sep="\n", file=sys.stderr)
        return 2
    except StoreError as exc:
        print(f"the store failed: {exc}", file=sys.stderr)
        return 2
    return status


async def _on_the_store(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    opened = open_store(Settings.from_env(environ))
    try:
        await opened.store.verify(TABLES)
        status: int = await options.command(opened.store, options, clock)
        return status
    finally:
        await opened.close()


async def _rebuild_usage(store: Store, options: argparse.Namespace, clock: Clock) -> int:
    rebuilding = Rebuilding(logs=UsageLogs(store), rollups=Rollups(store), clock=clock, repair=not options.check)
    days, wrong = 0, 0
    console = Console()
    with Progress(console=console) as progress:
        async for user_id, email in _accounts(Users(store), options.email):
            task = progress.add_task(email, total=len(rebuilding.months(user_id, options.first)))
            async for month in rebuilding.rebuild(user_id, options.first, options.last):
                days, wrong = days + month.days, wrong + len(month.wrong)
                for name in month.wrong:
                    console.print(f"{email}: {name} {'does' if options.check else 'did'} not match")
                progress.advance(task)
            progress.remove_task(task)
    console.print(
        f"{days} days counted again, {wrong} did not match" if wrong else f"{days} days counted again: all match"
    )
    return 1 if wrong else 0


async def _accounts(users: Users, email: str | None) -> AsyncIterator[tuple[str, str]]:
    if email is not None:
        user = await users.by_email(email.strip().lower())
        if user is None:
            raise StoreError(f"there is no account {email}")
        yield user.id, user.email
        return
    window = Window(limit=PAGE)
    while True:
        page = await users.page(window)
        for each in page.rows:
            yield each.id, each.email
        if page.after is None:
            return
        window = Window(limit=PAGE, after=page.after)


if __name__ == "__main__":
    sys.exit(main())
