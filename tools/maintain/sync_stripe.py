"""Compare all plans with Stripe, and correct those that differ."""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from shared.billing.opening import OpenStripe
from shared.core.clock import Clock
from shared.core.settings import Settings
from shared.services import Services
from tools.maintain.opened import Impossible, maintenance_settings, opened_existing

PIECE_S: Final = 60.0
"""Seconds between two reports of progress."""


def add_to(commands: Any, *, stripe: Callable[[Settings], OpenStripe] | None = None) -> None:
    """Add the command to argparse's subparsers. `stripe` None: the settings choose Stripe's client."""
    parser = commands.add_parser(
        "sync-stripe",
        help="make plans what Stripe says",
        description="Compare the plan of each owner who has a customer at Stripe with what Stripe says, and make it "
        "that. What differed is printed. Repeatable; it may be interrupted, and run while the service serves. Exits "
        "with 1 if some could not be compared, or differ with --check.",
    )
    parser.add_argument("--check", action="store_true", help="only say what differs")
    parser.set_defaults(command=partial(run, stripe=stripe))


async def run(
    options: argparse.Namespace,
    environ: Mapping[str, str],
    clock: Clock,
    *,
    stripe: Callable[[Settings], OpenStripe] | None = None,
) -> int:
    settings = maintenance_settings(environ)
    if not settings.billing.is_on:
        raise Impossible("Stripe is off: set STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET and STRIPE_PRICE_PRO")
    async with opened_existing(settings, writes=not options.check, clock=clock) as opened:
        services = Services.on(
            opened.store, settings, clock=opened.clock, stripe=None if stripe is None else stripe(settings)
        )
        try:
            return await _worked(services, writes=not options.check)
        finally:
            await services.close()


async def _worked(services: Services, *, writes: bool) -> int:
    checked = failed = differed = 0
    after: str | None = None
    while True:
        ends = time.monotonic() + PIECE_S
        piece = await services.billing.reconcile(can_go_on=partial(_is_before, ends), after=after, writes=writes)
        checked, failed, differed = checked + piece.checked, failed + piece.failed, differed + len(piece.differed)
        for difference in piece.differed:
            print(difference)
        after = piece.after
        if after is None:
            break
        print(f"{checked} compared so far")
    print(f"{checked} compared, {differed} {'made as Stripe says' if writes else 'differ'}, {failed} failed")
    return 1 if failed or (differed and not writes) else 0


def _is_before(ends: float) -> bool:
    return time.monotonic() < ends
