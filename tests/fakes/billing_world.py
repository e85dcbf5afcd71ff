"""An owner, a store and a fake Stripe; containers on them, each with its own network."""

from dataclasses import dataclass
from typing import Any

from shared.activity import UsageRecorder
from shared.billing.billing import Billing, ReturnUrls
from shared.billing.customers import Customers
from shared.billing.opening import StripeConnection
from shared.billing.syncing import PlanSync
from shared.core.billing_settings import BillingSettings
from shared.core.ids import Ids
from shared.plans import Tier
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Store
from shared.tables import Tables, Users
from shared.tables.subscriptions import Subscription, SubscriptionStatus
from shared.tables.users import User
from tests.fakes.stripe_network import StripeTransport
from tests.fakes.stripe_objects import Json
from tests.fakes.stripe_server import FakeStripe
from tests.fakes.stripe_world import BILLING, stripe_at
from tests.support import FakeClock, a_user

TELLING = ("customer.subscription.", "customer.deleted", "checkout.session.completed", "invoice.")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The visible state of a plan: the user's tier, and the row's tier, status and subscription."""

    tier: str
    of_row: str | None
    status: str | None
    subscription: str | None


class BillingWorld:
    """A world in which `user` has an account on Hobby. Nothing waits, and only `deliver` delivers events."""

    def __init__(self, store: Store | None = None, *, deleted_are_missing: bool = False) -> None:
        self.clock = FakeClock()
        self.store = store or MemoryStore(clock=self.clock)
        self.stripe = FakeStripe(now=self._now, deleted_are_missing=deleted_are_missing)
        self.tables = Tables.on(self.store)
        self.user = a_user()
        self.network = StripeTransport(self.stripe)

    async def begin(self) -> Billing:
        """Write the user, and return the billing of one container."""
        await Users(self.store).add(self.user)
        await Users(self.store).claim_email(self.user)
        return self.billing()

    def billing(
        self,
        store: Store | None = None,
        network: StripeTransport | None = None,
        *,
        protocol: type[PlanSync] = PlanSync,
        settings: BillingSettings = BILLING,
    ) -> Billing:
        """Return the billing of one container, without its other services."""
        tables, ids = Tables.on(store or self.store), Ids()
        stripe = StripeConnection(stripe_at(network or self.network, settings))
        tiers = {price: Tier(name) for name, prices in settings.prices.items() for price in prices}
        recorder = UsageRecorder(tables.usage_logs, tables.active_owners, ids)
        return Billing(
            settings=settings,
            tables=tables,
            customers=Customers(subscriptions=tables.subscriptions, stripe=stripe, clock=self.clock, ids=ids),
            plans=protocol(tables=tables, recorder=recorder, stripe=stripe, tiers=tiers, clock=self.clock),
            stripe=stripe,
            returns=ReturnUrls(app="https://app.example.org", origins=frozenset({"https://app.example.org"})),
            sales_email="sales@example.org",
            clock=self.clock,
        )

    async def customer(self) -> str:
        """Give the owner a customer, as a first checkout does."""
        customer: str = self.stripe.objects.make_customer(email=self.user.email, metadata={"user_id": self.user.id})[
            "id"
        ]
        row = Subscription(
            id=self.user.id,
            user_id=self.user.id,
            stripe_customer_id=customer,
            tier=self.user.tier,
            status=SubscriptionStatus.ACTIVE,
            created_at=self.clock.at,
            updated_at=self.clock.at,
        )
        await self.tables.subscriptions.attach(row, instead_of=None)
        return customer

    async def deliver(self, billing: Billing, event: Json, **how: Any) -> None:
        body, signature = self.stripe.signed(event, **how)
        await billing.receive(body, signature)

    def events(self) -> list[Json]:
        """Return the events about plans so far, oldest first."""
        return [event for event in self.stripe.objects.events if event["type"].startswith(TELLING)]

    async def load_user(self) -> User:
        return await self.tables.users.load(self.user.id)

    async def seen(self) -> Seen:
        user, row = await self.load_user(), await self.tables.subscriptions.of(self.user.id)
        return Seen(
            tier=user.tier,
            of_row=None if row is None else row.tier,
            status=None if row is None else row.status,
            subscription=None if row is None else row.stripe_subscription_id,
        )

    def _now(self) -> float:
        return self.clock.at.timestamp()
