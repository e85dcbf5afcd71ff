"""One of Stripe's customers for each owner, under any concurrency and any crash.

1. Stripe's customers are searched for one that was made for this owner: a crash before step 3 may have left it.
2. If there is none, one is made under an idempotency key of the owner, so requests at the same moment get the same one.
3. The customer is claimed and written to the owner's row; only then can anything be bought with it.

A key is `customer-019b…-4f1d…-first-0`: the owner, a digest of the address, the replaced customer (`first`: none), and
a number. For a day Stripe repeats its first answer to a key. So the key of a replacement contains the deleted customer,
and a key under which Stripe failed is followed by one with the next number.
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
"""Idempotency keys that are tried in turn. Stripe repeats a failure under a key for a day."""


class Customers:
    def __init__(self, *, subscriptions: Subscriptions, stripe: StripeConnection, clock: Clock, ids: Ids) -> None:
        self._subscriptions = subscriptions
        self._stripe = stripe
        self._clock = clock
        self._ids = ids

    async def ensure(self, user: User) -> str:
        """Return the id of the owner's customer, made if there is none. Raises StripeFailed, StoreError."""
        row = await self._subscriptions.of(user.id)
        if row is not None and row.stripe_customer_id is not None:
            return row.stripe_customer_id
        return await self._attach(user, instead_of=None)

    async def replace(self, user: User, deleted: str) -> str:
        """Return the customer that replaces one deleted at Stripe. Raises StripeFailed, StoreError."""
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
        address = hashlib.sha256(user.email.encode()).hexdigest()[:16]  # Stripe refuses a key with other parameters
        name = f"customer-{user.id}-{address}-{instead_of or 'first'}"
        for number in range(KEYS):
            try:
                return await self._stripe.api.create_customer(user.id, user.email, key=f"{name}-{number}")
            except StripeBroke as failed:
                if not failed.was_replayed or number == KEYS - 1:
                    raise
        raise AssertionError("the last key returns or raises")
