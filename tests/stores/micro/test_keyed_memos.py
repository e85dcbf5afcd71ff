"""Memos with an Idempotency-Key over HTTP on the HYPR Micro stand-in: runs that die, and runs that took over and die.

With EVERY_COMBINATION set, a first run dies at each of its requests, and after each of these the run that takes over
dies at each of its own, with each fate of their last requests; otherwise some of each.
"""

import asyncio
from collections import Counter
from typing import Final

import pytest

from tests.fakes.standin_network import none
from tests.fakes.standin_steps import Gate
from tests.stores.micro.test_operations import (
    EVERY,
    MAKE_KEYED_MEMO,
    Container,
    Fate,
    Findings,
    Morgue,
    Scene,
    Trial,
    dying,
    make_keyed_memo,
    race,
    scene,
)

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

MOST: Final = 40
"""A bound above the number of requests of a run that takes over."""

FATES: Final = tuple(Fate)


async def dies(client: Container, played: Scene, number: int, fate: Fate, morgue: Morgue) -> bool:
    """Run a client that dies with its `number`th request in flight. Returns whether it died before its answer."""
    call = asyncio.create_task(client.send(played.ask))

    def die() -> None:
        call.cancel()
        if fate is Fate.LATE:
            morgue.hold(client.name)

    client.network.faults = dying(number, fate, die)
    await asyncio.wait([call])
    client.network.faults = none
    await Gate().settle()
    return call.cancelling() > 0


async def two_die(
    played: Scene, taker: Container, morgue: Morgue, at: tuple[int, int], fates: tuple[Fate, Fate]
) -> int:
    """Kill a run and the run that takes over, and let a third make the memo. Returns the number of deaths."""
    trial = played.trial()
    trial.answers.append(None)
    assert await dies(played.actor, played, at[0], fates[0], morgue)
    played.world.clock.advance(61)
    died = 1 + await dies(taker, played, at[1], fates[1], morgue)
    if died == 2:
        trial.answers.append(None)
        await played.operation.holds(trial)
        played.world.clock.advance(61)
    await played.repeat(trial, played.reader)
    await one_is_done(played, trial)
    morgue.open()
    await Gate().settle()
    await one_is_done(played, trial)
    return died


async def one_is_done(played: Scene, trial: Trial) -> None:
    await played.operation.holds(trial)
    trial.answers.append(await played.reader.send(played.ask))
    assert len(trial.acknowledged) >= 2, trial.answers
    await played.operation.holds(trial)


@pytest.mark.parametrize("fate", FATES)
async def test_a_take_over_that_dies_is_taken_over(fate: Fate) -> None:
    """If a run and the run that took over die anywhere, even with late requests, there is one memo and one answer."""
    findings, morgue, died = Findings(), Morgue(), Counter[int]()
    async with scene(MAKE_KEYED_MEMO, morgue) as played:
        taker = await played.world.container()

        async def trial(first: int, second: int, other: Fate) -> None:
            died[await two_die(played, taker, morgue, (first, second), (fate, other))] += 1

        for first in range(1, played.requests + 1, 1 if EVERY else 3):
            seconds = range(1, MOST) if EVERY else range(1 + first % 6, MOST, 6)
            for second in seconds:
                before = died[2]
                for other in FATES if EVERY else [FATES[(first + second) % 3]]:
                    what = f"request {first} {fate}, and of the next {second} {other}"
                    await findings.note(what, trial(first, second, other))
                if died[2] == before:
                    break
    findings.conclude()
    assert died[2] > 10


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_repeats_on_two_containers_make_one_memo(seed: int) -> None:
    """One of fifty concurrent repeats on two containers makes the memo, charged once; each answer is it or 409."""
    async with race(seed) as raced:
        answers = await raced.run([make_keyed_memo(raced.owner.key)] * 50)
        kinds = Counter((answer.status_code, "idempotency-replayed" in answer.headers) for answer in answers)
        assert kinds[201, False] == 1
        assert kinds.keys() <= {(201, False), (201, True), (409, False)}
        made = [answer.json() for answer in answers if answer.status_code == 201]
        assert made == [made[0]] * len(made)
        before = len(raced.owner.memos)
        assert len((await raced.load("/api/v1/memos"))["memos"]) == before + 1
        limits = await raced.load("/api/v1/usage/limits")
        assert (limits["daily"]["used"], limits["monthly"]["used"]) == (before + 1, before + 1)
        assert sum(key["usageCount"] for key in (await raced.load("/api/keys"))["keys"]) == before + 1
