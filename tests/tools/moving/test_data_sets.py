"""Both data sets, moved into all three stores: keys and passwords work, and figures are those of SQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shared.stores.port import Store
from shared.tables import Tables, UsageLogs
from shared.tables.users import User
from shared.usage.history import History
from shared.usage.reports import UsageReports
from shared.usage.rollups import Rollups
from tests.fakes.standin import StandIn
from tests.handlers.world import World
from tests.tools.moving.predecessor import MOVED_AT, Person, content, micro_source, move, move_file, people, sqlite_file

pytestmark = pytest.mark.thorough

STORES = ("memory", "micro", "dynamodb")
SETS = ("agent-talk", "micro-docs")


async def move_set(name: str, store: Store, folder: Path) -> list[dict[str, Any]]:
    if name == "agent-talk":
        return await move_file(sqlite_file(folder), store)
    return await move(await micro_source(StandIn()), store)


@pytest.fixture(params=[(name, store) for name in SETS for store in STORES], ids="-".join)
def moved(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, World]]:
    """Move a data set into a store. Yields the data set's name, and all functions on the store."""
    name, store = request.param
    world = World(store=store)
    world.clock.at = MOVED_AT
    world.run(move_set(name, world.store, tmp_path))
    yield name, world
    world.close()


def user_of(world: World, person: Person) -> User:
    async def find() -> User:
        tables = Tables.on(world.store)
        mapped = await tables.moved.user(person.old_id)
        assert mapped is not None
        return await tables.users.load(mapped["user_id"])

    return world.run(find())


def test_all_keys_and_passwords_work(moved: tuple[str, World]) -> None:
    """Every live key and password works immediately, also of accounts with a new address; revoked keys are 403.

    The exceptions are the seed's key of 40 characters and its password of a bare SHA-256. No bcrypt hash is left.
    """
    name, world = moved
    for person in people(name):
        user = user_of(world, person)
        for key in person.live:
            answer = world.get("/api/v1/usage/limits", token=key)
            assert (answer.status, answer.json["tier"]) == (200, user.tier), person
        assert all(world.get("/api/v1/memos", token=key).refusal[:2] == (403, "REVOKED_KEY") for key in person.revoked)
        assert all(world.get("/api/v1/memos", token=key).status == 401 for key in person.odd)
        body = {"email": user.email, "password": person.password}
        assert world.post("/api/v1/auth/login", json=body).status == (401 if person.odd else 200), person
        kept = user_of(world, person).password_hash
        assert kept == "!" if person.odd else kept.startswith("$argon2id$")
        assert user.moved_in


def test_moved_account_works_as_any_other(moved: tuple[str, World]) -> None:
    """A live key makes a memo, and the day's limit continues from the predecessor's count."""
    name, world = moved
    person = people(name)[3 if name == "micro-docs" else 2]
    before = world.get("/api/v1/usage/limits", token=person.live[0]).json
    assert before["daily"]["used"] == 4
    world.memo(person.live[0])
    after = world.get("/api/v1/usage/limits", token=person.live[0]).json
    assert after["daily"]["used"] == before["daily"]["used"] + 1
    assert after["monthly"]["used"] == before["monthly"]["used"] + 1


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(store=request.param)
    world.clock.at = MOVED_AT
    yield world
    world.close()


def test_figures_equal_sql_s(world: World, tmp_path: Path) -> None:
    """Summary, charts and voices of all users add up to SQL's sums of the predecessor's own logs."""
    path = sqlite_file(tmp_path)
    world.run(move_file(path, world.store))
    made = "FROM usage_logs WHERE action = 'memo_created' AND user_id = ?"
    said = "CASE WHEN json_valid(metadata) THEN json_extract(metadata, '$.{}') END"
    length = f"coalesce(sum({said.format('characterCount')}), 0)"
    with closing(sqlite3.connect(path)) as sql:
        for (old_id,) in sql.execute("SELECT id FROM users"):
            summary, days, voices = world.run(figures(world.store, old_id))
            assert [summary] == sql.execute(f"SELECT count(*), {length} {made}", (old_id,)).fetchall()
            by_day = f"SELECT date(created_at), count(*), {length} {made} GROUP BY 1 ORDER BY 1"
            assert days == sql.execute(by_day, (old_id,)).fetchall()
            by_voice = f"SELECT coalesce({said.format('voice')}, 'unknown'), count(*) {made} GROUP BY 1"
            assert voices == dict(sql.execute(by_voice, (old_id,)).fetchall())
        november = f"SELECT count(*) {made} AND created_at LIKE '2026-11-%'"
        ((in_november,),) = sql.execute(november, ("user_15666c4b79144e32adb4",)).fetchall()
    joan = next(person for person in people("agent-talk") if person.password == "colossus-1944")
    data = world.get("/api/v1/analytics/summary", token=joan.live[0]).json["data"]
    assert (data["totalCalls"], data["callsThisMonth"], data["mostUsedVoice"]) == (121, in_november, "rachel")


async def figures(store: Store, old_id: str) -> tuple[tuple[int, int], list[tuple[str, int, int]], dict[str, int]]:
    mapped = await Tables.on(store).moved.user(old_id)
    assert mapped is not None
    user_id, clock = mapped["user_id"], lambda: MOVED_AT
    reports = UsageReports(History(logs=UsageLogs(store), rollups=Rollups(store), clock=clock), clock)
    total = (await reports.summary(user_id)).total
    days = [(day.name, day.calls, day.characters) for day in await reports.last_days(user_id, 366) if day.calls]
    voices = {share.name: share.count for share in await reports.voices(user_id)}
    return (total.calls, total.characters), days, voices


@pytest.mark.parametrize("name", SETS)
def test_moving_twice_is_once(name: str, world: World, tmp_path: Path) -> None:
    """A second move leaves every row and counter unchanged, and reports the same."""
    first = world.run(move_set(name, world.store, tmp_path))
    before = world.run(content(world.store))
    (tmp_path / "again").mkdir()
    assert world.run(move_set(name, world.store, tmp_path / "again")) == first
    assert world.run(content(world.store)) == before
