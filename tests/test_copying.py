"""Everything of one store is copied to another, again and again, until both hold the same."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from maintain.__main__ import main
from maintain.copying import Copying
from shared.clock import Clock
from shared.memory import MemoryStore
from shared.memory_file import shared_rows
from shared.plans import Tier
from shared.rows import Role
from shared.store import Store, StoreUnavailable
from shared.tables import MEMOS, TABLES
from tests.handlers.stores import STORES
from tests.handlers.world import NOON, Account, World
from tests.standin import KEY
from tests.support import FailingStore
from tests.test_micro_served import Served

PATHS = (
    "/api/v1/auth/me",
    "/api/keys",
    "/api/v1/memos?limit=100",
    "/api/v1/usage?limit=100",
    "/api/v1/usage/limits",
    "/api/v1/analytics/summary",
    "/api/v1/analytics/charts?days=60",
    "/api/v1/dashboard/stats",
    "/api/v1/billing/subscription",
)


def lived_in(world: World) -> Account:
    """Some of everything that a store can hold."""
    world.clock.at = NOON - timedelta(days=4)  # in February
    ada = world.sign_up("ada@example.org")
    world.put_on(ada, Tier.PRO, Role.ADMIN)
    kept, gone = world.memo(ada.key, "Kept"), world.memo(ada.key, "Gone")
    world.patch(f"/api/v1/memo/{kept['id']}", token=ada.key, json={"title": "A title"})
    world.delete(f"/api/v1/memo/{gone['id']}", token=ada.key)
    key_id, _ = world.new_key(ada, name="Another")
    world.patch(f"/api/keys/{key_id}", token=ada.session, json={"name": "Renamed"})
    world.later(days=5)
    world.get("/api/v1/analytics/summary", token=ada.key)  # which sums the days
    world.delete(f"/api/keys/{key_id}", token=ada.session)
    logged_in = world.post("/api/v1/auth/login", json={"email": ada.email, "password": "correct horse battery"})
    world.post("/api/v1/auth/logout", token=logged_in.json["token"])
    return ada


def answers(world: World, account: Account) -> list[Any]:
    found = []
    for path in PATHS:
        where, _, query = path.partition("?")
        asked = dict(each.split("=") for each in query.split("&")) if query else {}
        answer = world.get(where, token=account.session, query=asked)
        assert answer.status == 200, answer
        found.append(answer.json)
    return found


async def copied(source: Store, target: Store, clock: Clock = lambda: NOON) -> dict[str, bool]:
    """What is the same afterwards, by name."""
    copying = Copying(source, target, clock=clock)
    for table in TABLES:
        async for _ in copying.copy(table):
            pass
        async for _ in copying.prune(table):
            pass
    async for _ in copying.copy_counters():
        pass
    source_counters, target_counters = await copying.compare_counters()
    same = {"counters": source_counters == target_counters}
    for table in TABLES:
        there, here = await copying.compare(table)
        same[table.name] = there == here
    return same


@pytest.fixture(params=[(one, other) for one in STORES for other in STORES if one != other or one == "memory"])
def worlds(request: pytest.FixtureRequest) -> Iterator[tuple[World, World]]:
    one, other = request.param
    source, target = World(store=one), World(store=other)
    yield source, target
    source.close()
    target.close()


def test_a_copy_answers_as_the_source_does(worlds: tuple[World, World]) -> None:
    source, target = worlds
    ada = lived_in(source)
    target.clock.at = source.clock.at
    assert all(source.run(copied(source.store, target.store, source.clock)).values())
    target.clock.at = source.clock.at
    assert answers(target, ada) == answers(source, ada)
    assert target.memo(ada.key)["text"] == "Hello there"


def test_a_second_copy_catches_up_with_all_that_has_changed(worlds: tuple[World, World]) -> None:
    source, target = worlds
    ada = lived_in(source)
    target.clock.at = source.clock.at
    source.run(copied(source.store, target.store, source.clock))
    memo = source.get("/api/v1/memos", token=ada.key).json["memos"][0]
    source.delete(f"/api/v1/memo/{memo['id']}", token=ada.key)
    kept = source.memo(ada.key)
    source.patch(f"/api/v1/memo/{kept['id']}", token=ada.key, json={"title": "Later"})
    source.run(copied(source.store, target.store, source.clock))
    source.patch(f"/api/v1/memo/{kept['id']}", token=ada.key, json={"title": "Later still"})
    source.sign_up()
    source.later(days=1)
    source.get("/api/v1/analytics/summary", token=ada.key)
    target.clock.at = source.clock.at
    assert all(source.run(copied(source.store, target.store, source.clock)).values())
    target.clock.at = source.clock.at
    assert answers(target, ada) == answers(source, ada)


def test_what_differs_is_named() -> None:
    source, target = World(), World()
    lived_in(source)
    source.run(copied(source.store, target.store, source.clock))
    source.run(target.store.increment("users"))
    memo = source.run(target.store.scan(MEMOS)).rows[0]
    source.run(target.store.extend(MEMOS, memo.key, "title", "Another"))

    async def compared() -> dict[str, bool]:
        copying = Copying(source.store, target.store, clock=source.clock)
        same = {table.name: len(set(await copying.compare(table))) == 1 for table in TABLES}
        return same | {"counters": len(set(await copying.compare_counters())) == 1}

    found = source.run(compared())
    assert [name for name, same in found.items() if not same] == ["memos", "counters"]
    for world in (source, target):
        world.close()


@pytest.mark.anyio
async def test_a_copy_that_is_interrupted_anywhere_can_be_done_again() -> None:
    world = World()
    await asyncio.to_thread(lived_in, world)
    await asyncio.to_thread(world.close)
    source, at = world.store, 0
    while True:
        target = MemoryStore()
        failing = FailingStore(target, at=at, lost=bool(at % 2), for_good=True)
        try:
            await copied(source, failing)
        except StoreUnavailable:
            at += 3
        else:
            break
        assert all((await copied(source, target)).values())
    assert at > 40


@pytest.fixture
def served() -> Iterator[str]:
    served = Served()
    yield served.start()
    served.stop()


def test_the_command_copies_a_memory_file_to_a_server_and_goes_on_where_it_was(
    served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {
        "AGENT_TALK_MEMORY_FILE": str(tmp_path / "rows.json"),
        "HYPR_URL": served,
        "HYPERMICRO_API_KEY": KEY,
    }
    state = tmp_path / "state.json"
    command = ["copy", "--from", "memory", "--to", "micro", "--state", str(state)]
    world, file = World(), MemoryStore(rows=shared_rows(tmp_path / "rows.json"))
    lived_in(world)
    world.run(copied(world.store, file))
    state.write_text(json.dumps({"what": "memory to micro", "name": "rows of stripe_ids", "after": None}))
    assert main(command, environ=environ) == 1
    told = capsys.readouterr().out
    assert "Going on with rows of stripe_ids" in told
    assert "users: 1 there, 0 here, NOT the same" in told
    assert not state.exists()
    assert main(command, environ=environ) == 0
    assert "Both hold the same" in capsys.readouterr().out
    world.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "micro", "--to", "micro"], "name the same store"),
        (["--from", "memory", "--to", "micro"], "AGENT_TALK_MEMORY_FILE is missing"),
        (["--from", "micro", "--to", "memory"], "HYPR Micro needs"),
    ],
)
def test_a_copy_that_makes_no_sense_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["copy", *arguments], environ={}) == 2
    assert said in capsys.readouterr().err
