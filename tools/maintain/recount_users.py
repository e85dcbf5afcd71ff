"""Recount all users, by plan, and correct the counters of the admin's figures."""

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from shared.core.clock import Clock
from shared.plans import Tier
from shared.stores.port import Store
from shared.tables.schema import USERS
from shared.tables.users import NEW, tier_counter
from tools.maintain.opened import maintenance_settings, opened_existing

READ = 1000
"""Users a page."""


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "recount-users",
        help="count users again",
        description="Count all users by plan, and correct the counters of them. Prints how many were wrong. Run "
        "it while few users sign up: one who does meanwhile may be counted twice or not at all.",
    )
    parser.set_defaults(command=run)


async def run(_: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    async with opened_existing(maintenance_settings(environ), writes=True, clock=clock) as opened:
        wrong = await recount_users(opened.store)
    print(f"{wrong} counters were wrong" if wrong else "all counters were right")
    return 0


async def recount_users(store: Store) -> int:
    """Correct the counters of users, except those of sign-ups by day. Returns the number of wrong ones.

    `users` becomes the total less the sign-ups by day: users who moved in, and the errors of the days' counters.
    """
    tiers, after = Counter[str](), None
    while True:
        page = await store.page(USERS, "all", after=after, limit=READ)
        tiers.update(row.document["tier"] for row in page.rows)
        after = page.after
        if after is None:
            break
    there = await store.counters("users")
    by_day = sum(count for name, count in there.items() if name.startswith(NEW))
    right = {"users": tiers.total() - by_day}
    right |= {tier_counter(tier): tiers[tier] for tier in Tier if tier is not Tier.HOBBY}
    wrong = {name: number for name, number in right.items() if there.get(name, 0) != number}
    for name, number in wrong.items():
        await store.increment(name, number - there.get(name, 0))
    return len(wrong)
