"""The daily comparison with Stripe, as housekeeping runs it."""

from datetime import timedelta

import pytest

from shared.billing.daily import DailyComparison
from shared.core.billing_settings import BillingSettings
from shared.jobs.worked import CanGoOn, Worked, always, silent
from shared.stores.port import Key
from shared.tables import HousekeepingRows
from shared.tables.schema import STRIPE_IDS
from shared.tables.subscriptions import CUSTOMERS
from tests.fakes.billing_world import BillingWorld
from tests.fakes.stripe_network import StripeFault, StripeTransport
from tests.fakes.stripe_server import PRO
from tests.fakes.stripe_world import BILLING

pytestmark = pytest.mark.anyio


async def compared(
    world: BillingWorld,
    can_go_on: CanGoOn = always,
    *,
    settings: BillingSettings = BILLING,
    network: StripeTransport | None = None,
) -> Worked:
    """Run the job once, in a new container."""
    rows = HousekeepingRows(world.store)
    job = DailyComparison(world.billing(settings=settings, network=network), rows, clock=world.clock)
    return await job.work((await rows.unfinished()).plans, can_go_on, silent)


async def a_lost_event() -> BillingWorld:
    world = BillingWorld()
    await world.begin()
    world.stripe.objects.subscribe(await world.customer(), PRO)
    return world


async def test_lost_event_is_found_within_a_day() -> None:
    """The owner gets Stripe's plan, though no event arrived. Until the next day no request is sent."""
    world = await a_lost_event()
    assert await compared(world) == Worked(done=1)
    assert (await world.seen()).tier == "pro"
    asked = len(world.stripe.calls)
    world.clock.advance(timedelta(hours=23))
    assert await compared(world) == Worked()
    assert len(world.stripe.calls) == asked
    world.clock.advance(timedelta(hours=1))
    assert await compared(world) == Worked()
    assert len(world.stripe.calls) > asked


async def test_comparison_shows_whom_it_changed() -> None:
    """It reports progress once for each owner."""
    world, shown = await a_lost_event(), list[str]()
    await DailyComparison(world.billing(), HousekeepingRows(world.store), clock=world.clock).work(
        None, always, shown.append
    )
    assert shown == [world.user.id]


async def test_comparison_goes_on_where_it_stopped() -> None:
    """A run compares at least one owner, stores its place, and returns since when the rest has been due."""
    world = await a_lost_event()
    await world.store.claim(STRIPE_IDS, Key(CUSTOMERS, "cus_zz_void"), {"user_id": "somebody"})
    turns, began = [True, False], world.clock()
    assert await compared(world, lambda: turns.pop(0)) == Worked(done=1, is_done=False, due_since=began)
    world.clock.advance(timedelta(minutes=10))
    assert await compared(world) == Worked()
    assert (await world.seen()).tier == "pro"


async def test_run_without_time_leaves_the_comparison_due() -> None:
    """Otherwise a run that is always too short would hide that plans are not compared."""
    world = await a_lost_event()
    assert await compared(world, lambda: False) == Worked(is_done=False, due_since=world.clock())
    assert (await world.seen()).tier == "hobby"


async def test_nothing_is_asked_while_stripe_is_off() -> None:
    world = await a_lost_event()
    asked = len(world.stripe.calls)
    assert await compared(world, settings=BillingSettings()) == Worked()
    assert len(world.stripe.calls) == asked


async def test_run_counts_the_owners_that_failed() -> None:
    """The run finishes its list, counts the failures, and the next day's run compares those owners again."""
    world = await a_lost_event()
    down = StripeTransport(world.stripe, fault=lambda _: StripeFault.UNREACHED)
    assert await compared(world, network=down) == Worked(failed=1)
    assert await compared(world) == Worked()
    world.clock.advance(timedelta(days=1))
    assert await compared(world) == Worked(done=1)
