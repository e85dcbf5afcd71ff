"""One customer for each owner, under any concurrency and any crash."""

import asyncio
from typing import TYPE_CHECKING, Final, cast

import pytest

from shared.billing.billing import Billing, CheckoutStarted
from shared.billing.customers import Customers
from shared.billing.opening import StripeConnection
from shared.billing.stripe_errors import StripeBroke, StripeFailed
from shared.stores.port import StoreUnavailable
from tests.fakes.billing_world import BillingWorld
from tests.fakes.stripe_network import StripeFault, StripeTransport
from tests.support import IDS, FailingStore, outcomes, racing_store, seeded_pause

if TYPE_CHECKING:
    from shared.billing.client import StripeApi

pytestmark = pytest.mark.anyio

CALLS: Final = 12
"""More calls of the store, or of Stripe, than a first checkout makes."""


def living(world: BillingWorld) -> list[str]:
    return [one["id"] for one in world.stripe.objects.customers.values() if not one.get("deleted")]


async def check_one_customer(world: BillingWorld) -> None:
    """Check that there is one customer, in the owner's row, and that its claim leads to the owner."""
    row = await world.tables.subscriptions.of(world.user.id)
    assert row is not None
    assert [row.stripe_customer_id] == living(world)
    assert await world.tables.subscriptions.by_customer(living(world)[0]) == row


@pytest.mark.parametrize("seed", range(5))
async def test_checkouts_at_once_make_one_customer(seed: int) -> None:
    """Twenty concurrent checkouts in twenty containers make one customer, and each returns its own session."""
    world = BillingWorld(racing_store(seed))
    await world.begin()

    async def check_out(number: int) -> CheckoutStarted:
        network = StripeTransport(world.stripe, pause=seeded_pause(100 * seed + number))
        return await world.billing(network=network).check_out(world.user)

    returned, raised = await outcomes(check_out(number) for number in range(20))
    assert raised == []
    assert len({started.session_id for started in returned}) == 20
    await check_one_customer(world)
    assert {one["customer"] for one in world.stripe.objects.sessions.values()} == set(living(world))


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("at", range(CALLS))
async def test_checkout_makes_one_customer_after_a_crash(at: int, lost: bool) -> None:  # noqa: FBT001
    """After a crash at any store call, the next checkout has one customer, though Stripe has forgotten the key."""
    world = BillingWorld()
    await world.begin()
    failing = FailingStore(world.store, at=at, lost=lost, for_good=True)
    await outcomes([world.billing(failing).check_out(world.user)])
    world.stripe.forget_keys()
    assert (await world.billing().check_out(world.user)).url
    await check_one_customer(world)


@pytest.mark.parametrize("fault", StripeFault)
@pytest.mark.parametrize("at", range(4))
async def test_checkout_makes_one_customer_after_a_fault(at: int, fault: StripeFault) -> None:
    """If Stripe fails from any request on, three times in a row, the next checkout has one customer."""
    world = BillingWorld()
    await world.begin()
    network = StripeTransport(world.stripe, fault=lambda sent: fault if at <= sent < at + 3 else None)
    _, raised = await outcomes([world.billing(network=network).check_out(world.user)])
    assert all(isinstance(error, StripeFailed) for error in raised)
    assert (await world.billing().check_out(world.user)).url
    await check_one_customer(world)


async def test_checkout_replaces_a_deleted_customer() -> None:
    """A deleted customer is replaced even while Stripe would repeat its answer about that customer."""
    world = BillingWorld()
    billing = await world.begin()
    first = await billing.check_out(world.user)
    (old,) = living(world)
    world.stripe.objects.delete_customer(old)
    second = await billing.check_out(world.user)
    assert first.session_id != second.session_id
    await check_one_customer(world)
    assert living(world) != [old]


async def test_replacements_at_once_make_one_customer() -> None:
    """Six concurrent checkouts that find the customer deleted agree on one new customer."""
    world = BillingWorld(racing_store(1))
    billing = await world.begin()
    await billing.check_out(world.user)
    world.stripe.objects.delete_customer(living(world)[0])
    networks = [StripeTransport(world.stripe, pause=seeded_pause(seed)) for seed in range(6)]
    await asyncio.gather(*(world.billing(network=network).check_out(world.user) for network in networks))
    await check_one_customer(world)


async def test_checkout_gets_past_a_key_that_is_stuck() -> None:
    """Stripe repeats a failure under its key for a day, so the checkout tries another key."""
    world = BillingWorld()
    billing: Billing = await world.begin()
    once = StripeTransport(world.stripe, fault=lambda sent: StripeFault.FAILED if sent == 1 else None)
    assert (await world.billing(network=once).check_out(world.user)).url
    names = [call.key for call in world.stripe.calls if call.name == "POST customers"]
    assert len(names) == 4, "one that fails, two repeats by the SDK, and one more"
    assert len(set(names)) == 2
    assert (await billing.check_out(world.user)).url
    await check_one_customer(world)


async def test_checkout_fails_if_stripe_fails_under_every_key() -> None:
    """Three keys are stuck, each with a repeated failure: the checkout fails as Stripe did, and no session is made."""
    world = BillingWorld()
    await world.begin()
    stuck = StripeTransport(world.stripe, fault=lambda sent: StripeFault.FAILED if sent in (1, 4, 7) else None)
    with pytest.raises(StripeBroke) as failed:
        await world.billing(network=stuck).check_out(world.user)
    assert failed.value.was_replayed
    assert len({call.key for call in world.stripe.calls if call.name == "POST customers"}) == 3
    assert world.stripe.objects.sessions == {}


async def test_checkout_fails_if_the_store_does() -> None:
    """Without a claim on the customer no session is made: its events would lead to no owner."""
    world = BillingWorld()
    await world.begin()
    with pytest.raises(StoreUnavailable):
        await world.billing(FailingStore(world.store, at=2, for_good=True)).check_out(world.user)
    assert world.stripe.objects.sessions == {}


class StaleStripe:
    """Lists a customer that was just deleted, and fails to make one `fails` times."""

    def __init__(self, *, fails: list[StripeBroke]) -> None:
        self.keys: list[str] = []
        self._fails = fails

    async def customers(self, _user_id: str, _email: str) -> list[str]:
        return ["cus_deleted"]

    async def create_customer(self, _user_id: str, _email: str, *, key: str) -> str:
        self.keys.append(key)
        if self._fails:
            raise self._fails.pop(0)
        return "cus_new"


def customers_at(stripe: StaleStripe, world: BillingWorld) -> Customers:
    connection = StripeConnection(lambda: cast("StripeApi", stripe))
    return Customers(subscriptions=world.tables.subscriptions, stripe=connection, clock=world.clock, ids=IDS)


async def test_deleted_customer_is_never_its_own_replacement() -> None:
    """A deleted customer is not chosen again, even while Stripe's list has it; an owner without one gets it."""
    world = BillingWorld()
    await world.begin()
    customers = customers_at(StaleStripe(fails=[]), world)
    assert await customers.ensure(world.user) == "cus_deleted"
    assert await customers.replace(world.user, "cus_deleted") == "cus_new"
    assert await customers.ensure(world.user) == "cus_new"


@pytest.mark.parametrize(("was_replayed", "keys"), [(False, 1), (True, 2)])
async def test_new_key_is_tried_after_a_repeated_failure_alone(*, was_replayed: bool, keys: int) -> None:
    """A failed request may have made a customer: a repeat under another key could make a second one."""
    world = BillingWorld()
    await world.begin()
    stripe = StaleStripe(fails=[StripeBroke("failed", was_replayed=was_replayed)])
    _, raised = await outcomes([customers_at(stripe, world).replace(world.user, "cus_deleted")])
    assert (len(stripe.keys), len(raised)) == (keys, 0 if was_replayed else 1)
