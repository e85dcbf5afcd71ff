"""Explore the schedules of changing rows: all of them, within the given time.

    python -m tests.proofs.prove --seconds 600 --deviations 3

By default each client runs until it waits or ends, and waiting clients take turns. For each scenario the search tries
every choice of the scheduler, with at most `--deviations` deviations from that default; faults are counted separately.
A schedule that leads to a visited state is not followed further.
"""

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final, Protocol

from shared.stores.micro.ballots import Ballots
from shared.stores.micro.layout import Address
from tests.proofs.plans import STORIES, PlanSchedule
from tests.proofs.repeats import Repeats, RepeatSchedule
from tests.proofs.schedules import Choose, Option, Pruned, Scenario, Schedules
from tests.support import seeded

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "two claims": Scenario(scripts=[["claim"], ["claim"]]),
    "two appends": Scenario(scripts=[["append"], ["append"]], there=True),
    "append and read": Scenario(scripts=[["append"], ["read", "read"]], there=True),
    "append and delete": Scenario(scripts=[["append"], ["delete"]], there=True),
    "claims with a fault": Scenario(scripts=[["claim"], ["claim"]], crashes=1, losses=1),
    "appends with a fault": Scenario(scripts=[["append"], ["append"]], there=True, crashes=1, losses=1),
    "appends with lost answers": Scenario(scripts=[["append"], ["append"]], there=True, losses=2),
    "delete and claim with a fault": Scenario(scripts=[["delete"], ["claim", "read"]], there=True, crashes=1, losses=1),
    "three claims": Scenario(scripts=[["claim"]] * 3, crashes=1),
    "three appends": Scenario(scripts=[["append"]] * 3, there=True, crashes=1, losses=1),
    "all verbs": Scenario(scripts=[["claim", "append"], ["delete", "claim"], ["append", "read"]], crashes=1, losses=1),
    "long": Scenario(scripts=[["claim", "append", "append"], ["claim", "append"], ["read", "append"]], losses=2),
}


REPEATS: Final[Mapping[str, Repeats]] = {
    "two": Repeats(clients=2),
    "two, one dies": Repeats(clients=2, crashes=1),
    "two, one dies, and a minute passes": Repeats(clients=2, crashes=1, minutes=1),
    "two, one stands still": Repeats(clients=2, minutes=2),
    "two, an answer is lost": Repeats(clients=2, losses=1, minutes=1),
    "three, with all that may happen": Repeats(clients=3, crashes=2, losses=2, minutes=2),
}
"""Repeats of a request with an Idempotency-Key."""


class NoCheck(Ballots):
    """Broken on purpose: it does not check whether a later ballot was drawn."""

    async def _outbid_by(self, row: Address, ballot: int, *, deadline: float) -> None:
        await super()._outbid_by(row, ballot, deadline=deadline)


@dataclass(kw_only=True)
class Explored:
    schedules: int = 0
    steps: int = 0
    states: int = 0
    complete: bool = False
    deviations: int = 0
    at_random: int = 0


@dataclass(kw_only=True)
class _Branch:
    chosen: int
    costs: list[int]
    left: int


@dataclass(kw_only=True)
class _Search:
    """A depth-first search without stored states: each schedule runs from the start, along `path`, then by default."""

    deviations: int
    path: list[_Branch] = field(default_factory=list)
    met: dict[object, int] = field(default_factory=dict)
    depth: int = 0

    def choose(self, options: Sequence[Option], digest: Callable[[], object]) -> int:
        if self.depth < len(self.path):
            self.depth += 1
            return self.path[self.depth - 1].chosen
        left = self.deviations
        if self.path:
            last = self.path[-1]
            left = last.left - last.costs[last.chosen]
        state = digest()
        if self.met.get(state, -1) >= left:
            raise Pruned
        self.met[state] = left
        costs = [0 if option.fault or number == 0 else 1 for number, option in enumerate(options)]
        self.path.append(_Branch(chosen=0, costs=costs, left=left))
        self.depth += 1
        return 0

    def turn_back(self) -> bool:
        """Move to the last choice that was not taken. Returns False if there is none."""
        self.depth = 0
        while self.path:
            branch = self.path[-1]
            for other in range(branch.chosen + 1, len(branch.costs)):
                if branch.costs[other] <= branch.left:
                    branch.chosen = other
                    return True
            self.path.pop()
        return False


class Run(Protocol):
    """One schedule of a scenario. `taken` are its choices."""

    @property
    def taken(self) -> list[str]: ...

    async def run(self) -> None: ...


async def explore(
    scenario: Scenario, *, deviations: int, ends_at: float, ballots: type[Ballots] = Ballots, tell: bool = False
) -> Explored:
    """Explore a scenario. Raises AssertionError, which names the schedule, if a promise is broken."""

    def run(choose: Choose) -> Run:
        return Schedules(scenario, choose, ballots=ballots)

    return await explore_runs(run, deviations=deviations, ends_at=ends_at, tell=tell)


async def explore_runs(
    begin: Callable[[Choose], Run], *, deviations: int, ends_at: float, tell: bool = False
) -> Explored:
    """Explore the runs that `begin` returns. Raises AssertionError if a promise is broken."""
    search, explored, told = _Search(deviations=deviations), Explored(deviations=deviations), time.monotonic()
    while True:
        run = begin(search.choose)
        with contextlib.suppress(Pruned):
            await run.run()
        explored.schedules += 1
        explored.steps += len(run.taken)
        explored.states = len(search.met)
        if not search.turn_back():
            explored.complete = True
            return explored
        now = time.monotonic()
        if tell and now > told + 1:
            told = now
            sys.stderr.write(f"\r  {explored.schedules} schedules, {explored.states} states, {len(search.path)} deep  ")
        if now > ends_at:
            return explored


async def at_random(scenario: Scenario, random: Random, *, ballots: type[Ballots] = Ballots) -> Schedules:
    """Run one random schedule, with random lengths of undisturbed steps. Raises AssertionError."""
    run = Schedules(scenario, wandering(random), ballots=ballots)
    await run.run()
    return run


async def half_at_random(
    begin: Callable[[Choose], Run], *, deviations: int, ends_at: float, tell: bool = False
) -> Explored:
    """Explore runs with some deviations for half of the time, and at random for the rest."""
    half = (time.monotonic() + ends_at) / 2
    explored = await explore_runs(begin, deviations=deviations, ends_at=half, tell=tell)
    while time.monotonic() < ends_at:
        await begin(wandering(seeded(explored.at_random))).run()
        explored.at_random += 1
    return explored


def wandering(random: Random) -> Choose:
    """Return a random choice, with random lengths of undisturbed steps."""
    steady = random.choice([0.2, 0.5, 0.8, 0.95])
    return lambda options, _: 0 if random.random() < steady else random.randrange(len(options))


def _run(name: str, choose: Choose) -> Run:
    if name in STORIES:
        return PlanSchedule(story=STORIES[name], choose=choose)
    return RepeatSchedule(repeats=REPEATS[name], choose=choose)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.prove", description="Explore schedules exhaustively.")
    parser.add_argument("--seconds", type=float, default=120.0, help="for each scenario")
    parser.add_argument("--deviations", type=int, default=3)
    parser.add_argument("--scenario", choices=[*SCENARIOS, *REPEATS, *STORIES], action="append")
    parser.add_argument("--broken", action="store_true", help="explore the variant without the counter check")
    chosen = parser.parse_args()
    logging.getLogger("agent_talk").setLevel(logging.CRITICAL)  # there are thousands of intended failures
    for name in chosen.scenario or [*SCENARIOS, *REPEATS, *STORIES]:
        began = time.monotonic()
        ends_at, tell = began + chosen.seconds, sys.stderr.isatty()
        try:
            if name in REPEATS or name in STORIES:
                explored = asyncio.run(half_at_random(partial(_run, name), deviations=2, ends_at=ends_at, tell=tell))
            else:
                ballots = NoCheck if chosen.broken else Ballots
                exploring = explore(
                    SCENARIOS[name], deviations=chosen.deviations, ends_at=ends_at, ballots=ballots, tell=tell
                )
                explored = asyncio.run(exploring)
        except AssertionError as error:
            sys.stdout.write(f"{name}: BROKEN: {error}\n")
            return 1
        share = "all" if explored.complete else "not all"
        sys.stdout.write(
            f"{name}: {share} schedules with up to {explored.deviations} deviations: {explored.schedules} run, "
            f"{explored.at_random} more at random, {time.monotonic() - began:.0f} s\n"
        )
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
