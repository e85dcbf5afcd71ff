"""One of Stripe's customers for each owner, under any concurrency and any crash.

1. Stripe is asked for a customer that was made for this owner: a crash before step 3 left one, perhaps days ago.
2. One is made under an idempotency key that names the owner, so requests at the same moment get the same one.
3. It is claimed and written to the owner's row; only then can anything be bought with it.

The key of a customer that replaces a deleted one names the deleted one: under the old key Stripe would repeat its
answer about that one for a day. It repeats failures as well, so a key whose failure is repeated is followed by another.
"""

import hashlib
from typing import Final

from shared.billing.opening import StripeConnection
from shared.billing.stripe_errors import StripeBroke
from shared.core.clock import Clock
from shared.core.ids import Ids
from shared.plans import Tier
from shared.tables.subscriptions import Subscription, Subscriptions, SubscriptionStatus
from shared.tables.users import User

KEYS: Final = 3
"""Idempotency keys that are tried one after the other. Each is stuck for a day if Stripe failed under it."""


class Customers:
    def __init__(self, *, subscriptions: Subscriptions, stripe: StripeConnection, clock: Clock, ids: Ids) -> None:
        self._subscriptions = subscriptions
        self._stripe = stripe
        self._clock = clock
        self._ids = ids

    async def ensure(self, user: User) -> str:
        """Return the owner's customer; make it if there is none. Raises StripeFailed, StoreError."""
        row = await self._subscriptions.of(user.id)
        if row is not None and row.stripe_customer_id is not None:
            return row.stripe_customer_id
        return await self._attach(user, instead_of=None)

    async def replace(self, user: User, deleted: str) -> str:
        """Return a customer in the place of one that Stripe has no more. Raises StripeFailed, StoreError."""
        return await self._attach(user, instead_of=deleted)

    async def _attach(self, user: User, *, instead_of: str | None) -> str:
        there = [one for one in await self._stripe.api.customers(user.id, user.email) if one != instead_of]
        customer = there[0] if there else await self._create(user, instead_of)
        at = self._clock()
        new = Subscription(
            id=self._ids.mint(at),
            user_id=user.id,
            stripe_customer_id=customer,
            tier=Tier.HOBBY,
            status=SubscriptionStatus.ACTIVE,
            created_at=at,
            updated_at=at,
        )
        return await self._subscriptions.attach(new, instead_of=instead_of)

    async def _create(self, user: User, instead_of: str | None) -> str:
        address = hashlib.sha256(user.email.encode()).hexdigest()[:16]  # a key must not come with another address
        name = f"customer-{user.id}-{address}-{instead_of or 'first'}"
        for number in range(KEYS):
            try:
                return await self._stripe.api.create_customer(user.id, user.email, key=f"{name}-{number}")
            except StripeBroke as failed:
                if not failed.was_replayed or number == KEYS - 1:
                    raise
        raise AssertionError("the last key returns or raises")
