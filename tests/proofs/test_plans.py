"""Stripe's events on schedules of a scheduler: the plan is never stale at the end. `make prove` searches deeper."""

import logging
from collections.abc import Iterator
from math import inf
from typing import Final

import pytest

from shared.billing.syncing import PlanSync
from tests.proofs.plans import STORIES, NeverStamps, NumberedLate, PlanSchedule, Story
from tests.proofs.prove import Explored, explore_runs, wandering
from tests.support import one_quickly, seeded

pytestmark = pytest.mark.anyio

SCHEDULES: Final = 40


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Silence the logs: there are hundreds of intended failures, each with a traceback."""
    logger = logging.getLogger("agent_talk")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


async def many_at_random(story: Story, protocol: type[PlanSync], *, schedules: int) -> None:
    for seed in range(schedules):
        await PlanSchedule(story=story, choose=wandering(seeded(seed)), protocol=protocol).run()


async def explored_with(story: Story, protocol: type[PlanSync], *, deviations: int) -> Explored:
    return await explore_runs(
        lambda choose: PlanSchedule(story=story, choose=choose, protocol=protocol), deviations=deviations, ends_at=inf
    )


@pytest.mark.parametrize("name", one_quickly(*STORIES))
async def test_plan_is_never_stale_on_any_schedule(name: str) -> None:
    """Row and tier are Stripe's at the end, on schedules at random, with deaths and lost answers."""
    await many_at_random(STORIES[name], PlanSync, schedules=SCHEDULES)


@pytest.mark.parametrize("name", ["subscribe and end", "end and subscribe"])
@pytest.mark.thorough
async def test_plan_is_never_stale_with_two_deviations(name: str) -> None:
    """This holds on every schedule of two events with at most two deviations from undisturbed handlers."""
    explored = await explored_with(STORIES[name], PlanSync, deviations=2)
    assert explored.complete
    assert explored.schedules > 30


@pytest.mark.parametrize("broken", [NumberedLate, NeverStamps])
async def test_broken_synchronisation_is_caught(broken: type[PlanSync]) -> None:
    """With a number drawn late, and without the number on a user who has the tier, these schedules end stale."""
    with pytest.raises(AssertionError, match="Stripe says"):
        await explored_with(STORIES["subscribe and end"], broken, deviations=2)
