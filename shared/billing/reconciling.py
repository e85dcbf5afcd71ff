"""The comparison of all plans with Stripe: it finds changes without an event.

Stripe stops repeating an event after three days, and an event of a moved account may never have been sent. An owner
whose plan agrees with Stripe costs no write.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from shared.billing.standing import Standing
from shared.billing.stripe_errors import StripeFailed
from shared.billing.syncing import PlanSync
from shared.jobs.worked import CanGoOn
from shared.plans import Tier
from shared.stores.port import StoreError
from shared.tables import Tables
from shared.tables.subscriptions import Customer, Subscription
from shared.tables.users import User

_log = logging.getLogger("agent_talk.billing")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An owner whose plan here differs from Stripe. `says` is the status at Stripe; None: no known subscription."""

    user_id: str
    tier: Tier | None
    status: str
    says: str | None
    live: int

    def __str__(self) -> str:
        return f"{self.user_id}: {self.tier or 'no account'}, {self.status}; Stripe: {self.says}, {self.live} live"


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """A piece of the comparison. `after` is where the next piece begins; None: all owners with a customer were seen."""

    checked: int
    failed: int
    differed: Sequence[Difference]
    after: str | None


class Reconciling:
    def __init__(self, *, tables: Tables, plans: PlanSync) -> None:
        self._tables = tables
        self._plans = plans

    async def reconcile(self, *, can_go_on: CanGoOn, after: str | None = None, writes: bool = True) -> Reconciled:
        """Compare owners, from `after` on, while `can_go_on`. With `writes`, synchronise those that differ.

        Repeatable, and two may overlap. Costs two reads and one request to Stripe for each owner, and a synchronisation
        for each that differs. An owner that fails is logged and counted. Raises StoreError if the list fails.
        """
        checked = failed = 0
        differed: list[Difference] = []
        more = True
        while more:
            page = await self._tables.subscriptions.customers(after)
            for customer in page.rows:
                if checked and not can_go_on():  # a piece without an owner would look like the end
                    return Reconciled(checked=checked, failed=failed, differed=differed, after=after)
                checked, after = checked + 1, customer.id
                try:
                    difference = await self._compare(customer, writes=writes)
                except (StoreError, StripeFailed):
                    failed += 1
                    _log.exception("a plan could not be compared with Stripe", extra={"user_id": customer.user_id})
                    continue
                differed += [] if difference is None else [difference]
            more = page.after is not None
        return Reconciled(checked=checked, failed=failed, differed=differed, after=None)

    async def _compare(self, customer: Customer, *, writes: bool) -> Difference | None:
        row = await self._tables.subscriptions.of(customer.user_id)
        if row is None or row.stripe_customer_id != customer.id:
            return None  # a claim that no row confirms
        user = await self._tables.users.get(customer.user_id)
        standing = await self._plans.standing(customer.id)
        if _agree(row, user, standing):
            return None
        difference = Difference(
            user_id=customer.user_id,
            tier=None if user is None else user.tier,
            status=row.status,
            says=None if standing.best is None else standing.best.subscription.status,
            live=len(standing.live),
        )
        _log.warning("a plan is not what Stripe says: %s", difference)
        if writes:
            await self._plans.sync(customer.user_id, customer.id)
        return difference


def _agree(row: Subscription, user: User | None, standing: Standing) -> bool:
    if user is None or user.is_closing:
        return not standing.live
    if not standing.decides:
        return False  # a price or status that is unknown may give a plan: an operator has to look
    says = standing.on(row, row.updated_at)
    return says == row and len(standing.live) < 2 and (row.stripe_subscription_id is None or user.tier == row.tier)
