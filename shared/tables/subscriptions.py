"""Subscriptions, and the claims on the ids of Stripe's customers."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from shared.core.clock import Instant
from shared.core.errors import Conflict, NotFound
from shared.core.ids import is_id
from shared.plans import Tier
from shared.stores.port import AlreadyExists, Document, Key, Page, Store, is_key_part
from shared.tables.model import RowModel
from shared.tables.schema import STRIPE_IDS, SUBSCRIPTIONS

CUSTOMERS: Final = "customer"
"""The partition of the claims: `customer / cus_Na…` → `{"user_id": "019c…"}`."""


class SubscriptionStatus(StrEnum):
    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    UNPAID = "unpaid"
    PAUSED = "paused"
    INCOMPLETE = "incomplete"


class Subscription(RowModel):
    """An owner's subscription. With a customer alone nothing was bought yet: its tier is Hobby, its status active."""

    id: str
    user_id: str
    stripe_customer_id: str | None = None
    stripe_subscription_id: str | None = None
    tier: Tier
    status: SubscriptionStatus
    current_period_start: Instant | None = None
    current_period_end: Instant | None = None
    cancel_at_period_end: bool = False
    synced: int = 0
    """The number of the synchronisation that wrote this row: drawn before Stripe was asked. A lower one is older."""

    former_customers: tuple[str, ...] = ()
    """Further customers that the owner has claimed: replaced ones, and those of a request that came second. `erase`
    deletes their claims. Until then an event of one of them is logged as this owner's."""

    created_at: Instant
    updated_at: Instant

    def beside(self, customer: str | None) -> Self:
        """Return the row with this customer among the former ones, unless it is its own, or among them already."""
        if customer in (None, self.stripe_customer_id, *self.former_customers):
            return self
        return self.model_copy(update={"former_customers": (*self.former_customers, customer)})


@dataclass(frozen=True, kw_only=True)
class Customer:
    """One of Stripe's customers, and the owner who claims it."""

    id: str
    user_id: str


class Subscriptions:
    """Each owner has one at most. Its customer is claimed, so that one read finds the owner of a Stripe event."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, user_id: str) -> Subscription | None:
        document = await self._store.get(SUBSCRIPTIONS, Key(user_id)) if is_id(user_id) else None
        return None if document is None else Subscription.read(document)

    async def owner_of(self, stripe_customer_id: str) -> str | None:
        """Return the owner who claims this customer; None: no owner does. The owner's row may have another customer."""
        known = is_key_part(stripe_customer_id)
        claim = await self._store.get(STRIPE_IDS, Key(CUSTOMERS, stripe_customer_id)) if known else None
        return None if claim is None else claim["user_id"]

    async def by_customer(self, stripe_customer_id: str) -> Subscription | None:
        owner = await self.owner_of(stripe_customer_id)
        subscription = None if owner is None else await self.of(owner)
        return subscription if subscription and subscription.stripe_customer_id == stripe_customer_id else None

    async def customers(self, after: str | None = None, *, limit: int = 100) -> Page[Customer]:
        """Return a page of the claimed customers, in the order of their ids. A claim is void if its owner's row has
        another customer, or none."""
        page = await self._store.page(STRIPE_IDS, CUSTOMERS, after=after, limit=limit)
        rows = [Customer(id=row.key.sort, user_id=row.document["user_id"]) for row in page.rows]
        return Page(rows=rows, after=page.after)

    async def count(self) -> int:
        return (await self._store.counters("subscriptions")).get("subscriptions", 0)

    async def draw(self, user_id: str) -> int:
        """Return a number above all earlier ones of this owner. Draw it before Stripe is asked."""
        return await self._store.increment(f"{user_id}:stripe")

    async def create(self, subscription: Subscription) -> None:
        """Store a subscription. Raises Conflict if the owner has one, or another owner has its customer."""
        await self._claim(subscription)
        try:
            await self._store.claim(SUBSCRIPTIONS, Key(subscription.user_id), subscription.document())
        except AlreadyExists as exc:
            raise Conflict("A subscription already exists") from exc
        await self._store.increment("subscriptions")

    async def attach(self, new: Subscription, *, instead_of: str | None) -> str:
        """Store the customer of `new` in the owner's row, and return the row's customer.

        A row that has another customer than `instead_of` keeps it. Raises Conflict if another owner has the customer.
        """

        def change(document: Document | None) -> Document:
            row = new if document is None else Subscription.read(document)
            if row.stripe_customer_id not in (None, instead_of):
                return row.beside(new.stripe_customer_id).document()
            attached = row.model_copy(update={"stripe_customer_id": new.stripe_customer_id})
            return attached.beside(row.stripe_customer_id).document()

        await self._claim(new)
        updated = await self._store.update(SUBSCRIPTIONS, Key(new.user_id), change)
        if updated.before is None:
            await self._store.increment("subscriptions")
        assert updated.after is not None, "the change never deletes"
        customer: str = updated.after["stripe_customer_id"]
        return customer

    async def follow(
        self, user_id: str, stripe_customer_id: str, number: int, change: Callable[[Subscription], Subscription]
    ) -> tuple[Subscription | None, Subscription | None]:
        """Change the row of this customer, unless it has this number or a higher one. Returns it before and after.

        Both are None if there is no row: it was erased. A row that `change` leaves equal keeps its `updated_at`, but
        gets the number, which outdates requests that are still under way.
        """

        def changed(document: Document | None) -> Document | None:
            row = None if document is None else Subscription.read(document)
            if row is None or row.stripe_customer_id != stripe_customer_id or row.synced >= number:
                return document
            after = change(row)
            unchanged = after.model_copy(update={"updated_at": row.updated_at}) == row
            return (row if unchanged else after).model_copy(update={"synced": number}).document()

        updated = await self._store.update(SUBSCRIPTIONS, Key(user_id), changed)
        before, after = (
            None if document is None else Subscription.read(document) for document in (updated.before, updated.after)
        )
        return before, after

    async def change(self, user_id: str, change: Callable[[Subscription], Subscription]) -> Subscription:
        """Change a subscription; an exception of `change` propagates.

        Raises NotFound if the owner has none, Conflict if another owner has its customer.
        """

        def changed(document: Document | None) -> Document:
            if document is None:
                raise NotFound("Subscription not found")
            return change(Subscription.read(document)).document()

        await self._claim(Subscription.read(changed(await self._store.get(SUBSCRIPTIONS, Key(user_id)))))
        updated = await self._store.update(SUBSCRIPTIONS, Key(user_id), changed)
        assert updated.after is not None, "the change never deletes"
        return Subscription.read(updated.after)

    async def delete(self, user_id: str) -> None:
        """Delete a subscription. The claim on its customer is void after that."""
        deleted = await self._store.update(SUBSCRIPTIONS, Key(user_id), lambda _: None)
        if deleted.before is not None:
            await self._store.increment("subscriptions", -1)

    async def erase(self, user_id: str) -> None:
        """Delete a subscription and the claims on its customers, which `delete` leaves. Repeatable."""

        def claim_of_another(claim: Document | None) -> Document | None:
            return claim if claim and claim["user_id"] != user_id else None

        subscription = await self.of(user_id)
        if subscription is not None:
            for customer in (subscription.stripe_customer_id, *subscription.former_customers):
                if customer is not None:
                    await self._store.update(STRIPE_IDS, Key(CUSTOMERS, customer), claim_of_another)
            await self.delete(user_id)

    async def _claim(self, subscription: Subscription) -> None:
        """Claim a subscription's customer, before its row is written.

        A claim whose row lacks the customer is void, and may be replaced: a crash between the two writes blocks no
        owner. Raises Conflict if another owner has the customer.
        """
        if subscription.stripe_customer_id is None:
            return
        key, user_id = Key(CUSTOMERS, subscription.stripe_customer_id), subscription.user_id
        claim = await self._store.get(STRIPE_IDS, key)
        void = claim if claim and await self.by_customer(key.sort) is None else None

        def change(now: Document | None) -> Document:
            if now is not None and now["user_id"] != user_id and now != void:
                raise Conflict("This Stripe customer belongs to another account")
            return {"user_id": user_id}

        await self._store.update(STRIPE_IDS, key, change)
