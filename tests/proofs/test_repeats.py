"""Repeats of one request with an Idempotency-Key on schedules of a scheduler; `make prove` searches deeper."""

from math import inf
from typing import Final

import pytest

from tests.proofs.prove import REPEATS, explore_runs, wandering
from tests.proofs.repeats import (
    Protocol,
    Repeats,
    RepeatSchedule,
    as_it_is,
    with_a_new_id_on_take_over,
    without_a_decision,
)
from tests.support import seeded

pytestmark = pytest.mark.anyio

SCHEDULES: Final = 60
BROKEN_SCHEDULES: Final = 400


async def many_at_random(repeats: Repeats, protocol: Protocol, *, schedules: int) -> None:
    for seed in range(schedules):
        await RepeatSchedule(repeats=repeats, choose=wandering(seeded(seed)), protocol=protocol).run()


@pytest.mark.parametrize("name", REPEATS)
@pytest.mark.thorough
async def test_repeats_make_one_memo_on_any_schedule(name: str) -> None:
    """Random schedules with deaths, lost answers and minutes that pass end with one memo and one answer."""
    await many_at_random(REPEATS[name], as_it_is, schedules=SCHEDULES)


async def test_two_repeats_make_one_memo_with_a_deviation() -> None:
    """This holds on every schedule of two repeats with at most one deviation from undisturbed clients."""
    explored = await explore_runs(
        lambda choose: RepeatSchedule(repeats=REPEATS["two"], choose=choose), deviations=1, ends_at=inf
    )
    assert explored.complete
    assert explored.schedules > 20


@pytest.mark.parametrize("broken", [without_a_decision, with_a_new_id_on_take_over])
async def test_a_broken_protocol_is_caught(broken: Protocol) -> None:
    """Without the decision of the row, and with a new id on a take-over, the same schedules find two memos."""
    with pytest.raises(AssertionError, match=r"two memos|two answers"):
        await many_at_random(REPEATS["three, with all that may happen"], broken, schedules=BROKEN_SCHEDULES)
