"""The command that recounts users."""

from datetime import timedelta

import pytest

from shared.plans import Tier
from shared.stores.memory.store import MemoryStore
from tests.support import FakeClock, services_on, signed_up
from tools.maintain.recount_users import recount_users

pytestmark = pytest.mark.anyio


async def test_recount_corrects_totals_and_plans_and_keeps_days() -> None:
    """For any values of the counters, the number of users becomes right, and a day's sign-ups stay unchanged."""
    store, clock = MemoryStore(), FakeClock()
    services = services_on(store, clock)
    users = services.tables.users
    people = [await signed_up(services, f"p{number}@example.org") for number in range(3)]
    clock.advance(timedelta(days=1))
    await signed_up(services)
    await users.change(people[0].user.id, lambda row: row.model_copy(update={"tier": Tier.PRO}))
    right = await users.counts(clock.at.date())
    assert (right.total, right.by_tier[Tier.PRO], right.by_tier[Tier.HOBBY]) == (4, 1, 3)
    assert await recount_users(store) == 0
    for counter, by in (("users", 7), ("users:tier:pro", -2), ("users:tier:enterprise", 1)):
        await store.increment(counter, by)
    assert await recount_users(store) == 3
    assert await users.counts(clock.at.date()) == right
