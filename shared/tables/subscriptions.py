"""Subscriptions, and the claims on their Stripe ids."""

from collections.abc import Callable
from enum import StrEnum

from shared.core.clock import Instant
from shared.core.errors import Conflict, NotFound
from shared.core.ids import is_id
from shared.plans import Tier
from shared.stores.port import AlreadyExists, Document, Key, Store, is_key_part
from shared.tables.model import RowModel
from shared.tables.schema import STRIPE_IDS, SUBSCRIPTIONS


class SubscriptionStatus(StrEnum):
    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    UNPAID = "unpaid"
    PAUSED = "paused"
    INCOMPLETE = "incomplete"


class Subscription(RowModel):
    id: str
    user_id: str
    stripe_customer_id: str | None = None
    stripe_subscription_id: str | None = None
    tier: Tier
    status: SubscriptionStatus
    current_period_start: Instant | None = None
    current_period_end: Instant | None = None
    cancel_at_period_end: bool = False
    created_at: Instant
    updated_at: Instant


class Subscriptions:
    """A user has one at most. Its Stripe ids are claimed, so that a Stripe event leads to its owner by one read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, user_id: str) -> Subscription | None:
        document = await self._store.get(SUBSCRIPTIONS, Key(user_id)) if is_id(user_id) else None
        return None if document is None else Subscription.read(document)

    async def by_customer(self, stripe_customer_id: str) -> Subscription | None:
        return await self._by("customer", stripe_customer_id)

    async def by_subscription(self, stripe_subscription_id: str) -> Subscription | None:
        return await self._by("subscription", stripe_subscription_id)

    async def count(self) -> int:
        return (await self._store.counters("subscriptions")).get("subscriptions", 0)

    async def create(self, subscription: Subscription) -> None:
        """Store a subscription. Raises Conflict if the owner has one, or another owner has its Stripe ids."""
        await self._claim_ids(subscription)
        try:
            await self._store.claim(SUBSCRIPTIONS, Key(subscription.user_id), subscription.document())
        except AlreadyExists as exc:
            raise Conflict("A subscription already exists") from exc
        await self._store.increment("subscriptions")

    async def change(self, user_id: str, change: Callable[[Subscription], Subscription]) -> Subscription:
        """Change a subscription. Raises NotFound, Conflict as `create` does, and what `change` raises."""

        def changed(document: Document | None) -> Document:
            if document is None:
                raise NotFound("Subscription not found")
            return change(Subscription.read(document)).document()

        await self._claim_ids(Subscription.read(changed(await self._store.get(SUBSCRIPTIONS, Key(user_id)))))
        updated = await self._store.update(SUBSCRIPTIONS, Key(user_id), changed)
        assert updated.after is not None, "the change never deletes"
        return Subscription.read(updated.after)

    async def delete(self, user_id: str) -> None:
        """Delete a subscription. The claims on its Stripe ids are void from then on."""
        deleted = await self._store.update(SUBSCRIPTIONS, Key(user_id), lambda _: None)
        if deleted.before is not None:
            await self._store.increment("subscriptions", -1)

    async def erase(self, user_id: str) -> None:
        """Delete a subscription and the claims on its Stripe ids, which `delete` leaves. Repeatable until done."""

        def claim_of_another(claim: Document | None) -> Document | None:
            return claim if claim and claim["user_id"] != user_id else None

        subscription = await self.of(user_id)
        if subscription is not None:
            for key in _stripe_keys(subscription):
                await self._store.update(STRIPE_IDS, key, claim_of_another)
            await self.delete(user_id)

    async def _by(self, kind: str, stripe_id: str) -> Subscription | None:
        claim = await self._store.get(STRIPE_IDS, Key(kind, stripe_id)) if is_key_part(stripe_id) else None
        subscription = None if claim is None else await self.of(claim["user_id"])
        return subscription if subscription and Key(kind, stripe_id) in _stripe_keys(subscription) else None

    async def _claim_ids(self, subscription: Subscription) -> None:
        """Claim a subscription's Stripe ids, before its row is written.

        A claim whose row lacks the id is void, and may be replaced: a crash in between blocks nothing.
        """
        for key in _stripe_keys(subscription):
            await self._claim(key, subscription.user_id)

    async def _claim(self, key: Key, user_id: str) -> None:
        claim = await self._store.get(STRIPE_IDS, key)
        void = claim if claim and await self._by(key.partition, key.sort) is None else None

        def change(now: Document | None) -> Document:
            if now is not None and now["user_id"] != user_id and now != void:
                raise Conflict("This Stripe id belongs to another account")
            return {"user_id": user_id}

        await self._store.update(STRIPE_IDS, key, change)


def _stripe_keys(subscription: Subscription) -> list[Key]:
    ids = (("customer", subscription.stripe_customer_id), ("subscription", subscription.stripe_subscription_id))
    return [Key(kind, stripe_id) for kind, stripe_id in ids if stripe_id is not None]
