"""Changing rows keep their promises under every schedule, and the check finds rows that do not."""

import time
from random import Random

import pytest

from shared.stores.micro.ballots import Ballots
from tests.proofs.prove import SCENARIOS, NoCheck, at_random, explore
from tests.proofs.schedules import Done, Scenario, explains
from tests.support import one_quickly, seeded

pytestmark = pytest.mark.anyio

CHUNKS = 4
SCHEDULES = {2: 27, 3: 11}
"""Random schedules in each chunk, by the number of clients."""


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("chunk", one_quickly(*range(CHUNKS)))
async def test_ballots_keep_every_change_once_in_all_schedules(name: str, chunk: int) -> None:
    """In all schedules searched, no change is lost, made twice or blocked."""
    random: Random = seeded(chunk)
    scenario = SCENARIOS[name]
    await _all_at_random([scenario] * SCHEDULES[len(scenario.scripts)], random)


@pytest.mark.parametrize("name", ["two claims", "two appends", "append and read", "append and delete"])
@pytest.mark.thorough
async def test_ballots_hold_in_all_schedules_with_two_deviations(name: str) -> None:
    """The promises hold in all schedules with two deviations."""
    explored = await explore(SCENARIOS[name], deviations=2, ends_at=time.monotonic() + 60)
    assert explored.complete


async def test_search_finds_a_fault_without_the_counter_check() -> None:
    """Without the counter check the same search finds a broken promise."""
    with pytest.raises(AssertionError, match="no order explains"):
        await explore(SCENARIOS["two claims"], deviations=4, ends_at=time.monotonic() + 60, ballots=NoCheck)


@pytest.mark.thorough
async def test_random_finds_a_fault_without_the_counter_check() -> None:
    """Without the counter check random schedules find a broken promise too."""
    random: Random = seeded(0)
    scenarios = [SCENARIOS["two claims"]] * 500
    with pytest.raises(AssertionError, match="no order explains"):
        await _all_at_random(scenarios, random, ballots=NoCheck)


def test_explanation_refuses_impossible_histories() -> None:
    """The search for an order refuses histories that no order explains."""
    won = Done(name="claim", token="a", began=1, ended=3)
    assert explains([won, Done(name="claim", token="b", began=2, ended=4, answer="AlreadyExists")])
    assert not explains([won, Done(name="claim", token="b", began=2, ended=4)])
    assert not explains([won, Done(name="read", token="r", began=4, ended=5, answer=None)])
    assert explains([won, Done(name="read", token="r", began=2, ended=5, answer=None)])
    lost = Done(name="append", token="c", began=4)
    assert explains([won, lost, Done(name="read", token="r", began=5, ended=6, answer=("a", "c"))])
    assert explains([won, lost, Done(name="read", token="r", began=5, ended=6, answer=("a",))])
    assert not explains([won, lost, Done(name="read", token="r", began=5, ended=6, answer=("a", "c", "c"))])


async def _all_at_random(scenarios: list[Scenario], random: Random, *, ballots: type[Ballots] = Ballots) -> None:
    for scenario in scenarios:
        await at_random(scenario, random, ballots=ballots)
