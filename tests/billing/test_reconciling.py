"""The comparison of plans with Stripe, by the service and by the command."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.billing.opening import OpenStripe
from shared.core.settings import Settings
from shared.plans import Tier
from shared.stores.memory.store import MemoryStore
from shared.stores.opening import open_store
from shared.stores.port import Key
from shared.tables.schema import STRIPE_IDS
from shared.tables.subscriptions import CUSTOMERS
from tests.fakes.billing_world import BillingWorld, Seen
from tests.fakes.stripe_network import StripeFault, StripeTransport
from tests.fakes.stripe_server import PRO
from tests.fakes.stripe_world import SELLING, stripe_at
from tests.support import CountingStore, FailingStore, FakeClock
from tools.maintain.__main__ import main


def always() -> bool:
    return True


async def lost_event(world: BillingWorld) -> str:
    """Subscribe the owner without an event. Returns the subscription."""
    await world.begin()
    customer = await world.customer()
    return world.stripe.objects.subscribe(customer, PRO)


def for_pieces(pieces: list[bool]) -> Callable[[], bool]:
    return lambda: pieces.pop(0)


@pytest.mark.anyio
async def test_reconcile_makes_plans_what_stripe_says() -> None:
    """Each difference is corrected, and returned once."""
    world = BillingWorld()
    one = await lost_event(world)
    first = await world.billing().reconcile(can_go_on=always)
    assert (first.checked, first.failed, first.after) == (1, 0, None)
    assert [str(found) for found in first.differed] == [f"{world.user.id}: hobby, active; Stripe: active, 1 live"]
    assert await world.seen() == Seen(tier="pro", of_row="pro", status="active", subscription=one)
    assert (await world.billing().reconcile(can_go_on=always)).differed == []


@pytest.mark.anyio
async def test_reconcile_writes_nothing_where_plans_agree() -> None:
    """An owner whose plan agrees costs a page of the list, two reads and one request to Stripe."""
    world = BillingWorld()
    await lost_event(world)
    await world.billing().reconcile(can_go_on=always)
    counting, asked = CountingStore(world.store), len(world.stripe.calls)
    await world.billing(counting).reconcile(can_go_on=always)
    assert counting.calls == {"page": 1, "get": 2}
    assert len(world.stripe.calls) == asked + 1


@pytest.mark.anyio
async def test_reconcile_only_says_what_differs_when_told() -> None:
    """With `writes=False` the difference is returned, and the tier is unchanged."""
    world = BillingWorld()
    await lost_event(world)
    found = await world.billing().reconcile(can_go_on=always, writes=False)
    assert len(found.differed) == 1
    assert (await world.seen()).tier == "hobby"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        lambda objects, _, one: objects.end(one),
        lambda objects, _, one: objects.become(one, "unpaid"),
        lambda objects, _, one: objects.change(one, cancel_at=1_800_000_000),
        lambda objects, _, one: objects.renew(one),
        lambda objects, customer, _: objects.subscribe(customer, PRO),
        lambda objects, customer, _: objects.delete_customer(customer),
    ],
    ids=["end", "unpaid", "cancel_at", "renewed", "two live", "deleted"],
)
async def test_reconcile_finds_every_difference(change: Any) -> None:
    """One comparison corrects any kind of difference, and the next one returns none."""
    world = BillingWorld()
    one = await lost_event(world)
    await world.billing().reconcile(can_go_on=always)
    change(world.stripe.objects, world.stripe.objects.subscription(one)["customer"], one)
    assert len((await world.billing().reconcile(can_go_on=always)).differed) == 1
    assert (await world.billing().reconcile(can_go_on=always)).differed == []


@pytest.mark.anyio
async def test_reconcile_finds_a_tier_without_its_row() -> None:
    """If a crash left the row without the tier, and Stripe gave up its event, the comparison sets the tier."""
    world = BillingWorld()
    await lost_event(world)
    await world.billing().reconcile(can_go_on=always)
    await world.tables.users.change(world.user.id, lambda user: user.model_copy(update={"tier": Tier.HOBBY}))
    assert len((await world.billing().reconcile(can_go_on=always)).differed) == 1
    assert (await world.seen()).tier == "pro"


@pytest.mark.anyio
async def test_reconcile_works_in_pieces() -> None:
    """It compares at least one owner, stops at the end of its time, and continues after that owner."""
    world = BillingWorld()
    await lost_event(world)
    await world.store.claim(STRIPE_IDS, Key(CUSTOMERS, "cus_zz_void"), {"user_id": "somebody"})
    stopped = await world.billing().reconcile(can_go_on=for_pieces([False]))
    assert (stopped.checked, stopped.after) == (1, next(iter(world.stripe.objects.customers)))
    done = await world.billing().reconcile(can_go_on=always, after=stopped.after)
    assert (done.checked, done.after) == (1, None)


@pytest.mark.anyio
async def test_reconcile_counts_what_fails() -> None:
    """A failed request to Stripe is counted, and a repeat sets Stripe's plan."""
    world = BillingWorld()
    await lost_event(world)
    down = StripeTransport(world.stripe, fault=lambda _: StripeFault.UNREACHED)
    found = await world.billing(network=down).reconcile(can_go_on=always)
    assert (found.checked, found.failed, found.differed) == (1, 1, [])
    assert (await world.billing().reconcile(can_go_on=always)).failed == 0
    assert (await world.seen()).tier == "pro"


@pytest.mark.anyio
async def test_reconcile_counts_what_the_store_refuses() -> None:
    """An owner whose row cannot be read is counted as failed, and the list is finished."""
    world = BillingWorld()
    await lost_event(world)
    found = await world.billing(FailingStore(world.store, at=1)).reconcile(can_go_on=always)
    assert (found.checked, found.failed, found.after) == (1, 1, None)


@pytest.mark.anyio
async def test_reconcile_asks_nothing_of_a_void_claim() -> None:
    """Only the customer in the owner's row counts; no request is sent for the owner's other customers."""
    world = BillingWorld()
    await lost_event(world)
    await world.billing().reconcile(can_go_on=always)
    await world.store.claim(STRIPE_IDS, Key(CUSTOMERS, "cus_zz_old"), {"user_id": world.user.id})
    asked = len(world.stripe.calls)
    found = await world.billing().reconcile(can_go_on=always)
    assert (found.checked, found.differed, len(world.stripe.calls)) == (2, [], asked + 1)


@pytest.mark.anyio
async def test_reconcile_leaves_a_plan_that_was_never_bought() -> None:
    """An owner whom an admin put on Enterprise keeps it, though a checkout was never paid."""
    world = BillingWorld()
    await world.begin()
    await world.customer()
    await world.tables.users.change(world.user.id, lambda user: user.model_copy(update={"tier": Tier.ENTERPRISE}))
    assert (await world.billing().reconcile(can_go_on=always)).differed == []
    assert (await world.load_user()).tier is Tier.ENTERPRISE


@pytest.mark.anyio
async def test_reconcile_names_what_is_unknown_every_time() -> None:
    """A price in no setting is a difference at every comparison, and changes nothing."""
    world = BillingWorld()
    await world.begin()
    world.stripe.objects.subscribe(await world.customer(), "price_of_something_else")
    for _ in range(2):
        found = await world.billing().reconcile(can_go_on=always)
        assert [str(one) for one in found.differed] == [f"{world.user.id}: hobby, active; Stripe: None, 0 live"]
    assert (await world.seen()).tier == "hobby"


@pytest.mark.anyio
@pytest.mark.parametrize("erased", [False, True])
async def test_reconcile_cancels_what_a_closed_account_pays_for(*, erased: bool) -> None:
    """The subscription is cancelled even if the user's row is already deleted, and the next comparison agrees."""
    world = BillingWorld()
    one = await lost_event(world)
    await world.billing().reconcile(can_go_on=always)
    await world.tables.users.change(world.user.id, lambda user: user.closed(world.clock.at))
    if erased:
        await world.tables.users.delete(await world.load_user())
    assert len((await world.billing().reconcile(can_go_on=always)).differed) == 1
    assert world.stripe.objects.subscription(one)["status"] == "canceled"
    assert (await world.billing().reconcile(can_go_on=always)).differed == []


def run_command(tmp_path: Path, *options: str, fault: StripeFault | None = None) -> tuple[int, BillingWorld]:
    """Run the command on a world in a file, in which an event was lost. Returns the exit status, and the world."""
    environ = {"AGENT_TALK_MEMORY_FILE": str(tmp_path / "rows.json"), **SELLING}
    store = open_store(Settings.from_env(environ)).store
    assert isinstance(store, MemoryStore)
    world = BillingWorld(store)
    asyncio.run(lost_event(world))
    network = StripeTransport(world.stripe, fault=lambda _: fault)

    def stripe(settings: Settings) -> OpenStripe:
        return stripe_at(network, settings.billing)

    return main(["sync-stripe", *options], environ=environ, clock=FakeClock(), stripe=stripe), world


def test_sync_stripe_says_what_differed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints each difference, and corrects it."""
    status, world = run_command(tmp_path)
    assert status == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{world.user.id}: hobby, active; Stripe: active, 1 live",
        "1 compared, 1 made as Stripe says, 0 failed",
    ]
    assert (tmp_path / "rows.json").read_text().count('\\"tier\\":\\"pro\\"') == 2


def test_sync_stripe_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --check it writes nothing, and its exit status is 1 if something differs."""
    status, _ = run_command(tmp_path, "--check")
    assert status == 1
    assert "1 compared, 1 differ, 0 failed" in capsys.readouterr().out
    assert '\\"tier\\":\\"pro\\"' not in (tmp_path / "rows.json").read_text()


def test_sync_stripe_says_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints failures, and its exit status is 1."""
    status, _ = run_command(tmp_path, fault=StripeFault.UNREACHED)
    assert status == 1
    assert "1 compared, 0 made as Stripe says, 1 failed" in capsys.readouterr().out


def test_sync_stripe_needs_stripe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Stripe's settings the command compares nothing."""
    environ = {"AGENT_TALK_MEMORY_FILE": str(tmp_path / "rows.json")}
    assert main(["sync-stripe"], environ=environ) == 2
    assert "Stripe is off" in capsys.readouterr().err
