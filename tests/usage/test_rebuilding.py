"""Summed days are recounted, and wrong sums corrected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from shared.core.clock import midnight
from shared.stores.memory.file import shared_rows
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Store, Table
from shared.tables import TABLES, USAGE_DAYS, USAGE_MONTHS
from shared.usage.rebuilding import CheckedMonth, UsageRebuild
from tests.fakes.usage_world import BORN, MEMO, Owner, lived
from tests.support import FakeClock, services_on, signed_up
from tests.usage.test_history import ALL, STORES, check
from tools.maintain.__main__ import main

pytestmark = pytest.mark.anyio

EVER = date(1970, 1, 2)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    opened: AbstractAsyncContextManager[Store] = STORES[request.param]()
    async with opened as store:
        yield store


@pytest.fixture
async def owner(store: Store) -> Owner:
    """Return an owner with 70 summed days, over three months."""
    owner = Owner(store, FakeClock(BORN))
    await lived(owner, 70)
    await check(owner, ALL)
    return owner


async def rebuilt(
    owner: Owner, *, first: date = EVER, last: date | None = None, repair: bool = True
) -> list[CheckedMonth]:
    rebuilding = UsageRebuild(logs=owner.logs, rollups=owner.rollups, clock=owner.clock, repair=repair)
    found = [month async for month in rebuilding.rebuild(owner.id, first, last or owner.clock.at.date())]
    assert [month.month for month in found] == rebuilding.months(owner.id, first)
    return found


def wrong(checked: list[CheckedMonth]) -> list[str]:
    return [name for month in checked for name in month.wrong]


async def late(owner: Owner, day: date) -> None:
    """Write a log of a day that has been summed."""
    at, owner.clock.at = owner.clock.at, midnight(day) + timedelta(hours=5)
    await owner.log(MEMO)
    owner.clock.at = at


async def test_what_matches_is_left_alone(owner: Owner, store: Store) -> None:
    before = await documents(store)
    checked = await rebuilt(owner)
    assert wrong(checked) == []
    assert sum(month.days for month in checked) == 72  # with two days before the sign-up, without today
    assert await documents(store) == before


async def test_late_logs_are_counted_after_a_rebuild_of_their_days(owner: Owner) -> None:
    await late(owner, date(2025, 12, 1))
    await late(owner, date(2026, 1, 28))
    expected = ["2025-12-01", "2025-12", "2026-01-28"]
    assert wrong(await rebuilt(owner, repair=False)) == expected
    assert wrong(await rebuilt(owner)) == expected
    await check(owner, ALL)
    assert wrong(await rebuilt(owner)) == []


async def test_rebuild_corrects_a_day_and_the_months_after_it(owner: Owner) -> None:
    """A late log on a day without any corrects the day, its month, and the totals of all later months."""
    owner.clock.advance(timedelta(days=40))
    await check(owner, ALL)
    empty = date(2026, 2, 5)
    await late(owner, empty)
    assert wrong(await rebuilt(owner, first=empty, last=empty)) == ["2026-02-05", "2026-02"]
    await check(owner, ALL)
    for _ in range(2):
        await late(owner, date(2025, 11, 25))
    assert wrong(await rebuilt(owner, first=date(2025, 11, 25), last=date(2025, 11, 25))) == [
        "2025-11-25",
        "2025-11",
        "2025-12",
        "2026-01",
        "2026-02",
    ]
    await check(owner, ALL)


async def test_only_the_days_asked_for_are_counted_again(owner: Owner) -> None:
    await late(owner, date(2025, 12, 1))
    await late(owner, date(2025, 12, 3))
    assert wrong(await rebuilt(owner, first=date(2025, 12, 2), last=date(2025, 12, 4))) == ["2025-12-03", "2025-12"]
    checked = await rebuilt(owner, first=date(2025, 11, 20), last=date(2025, 12, 15))
    assert wrong(checked) == ["2025-12-01", "2025-12"]
    assert [month.days for month in checked] == [11, 15, 0]


async def test_figures_that_were_never_summed_are_summed_first(store: Store) -> None:
    owner = Owner(store, FakeClock(BORN))
    await lived(owner, 40)
    assert wrong(await rebuilt(owner)) == []
    await check(owner, ALL)


async def documents(store: Store) -> list[object]:
    tables: tuple[Table, ...] = (USAGE_DAYS, USAGE_MONTHS)
    return [row for table in tables for row in (await store.scan(table)).rows]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    environ: dict[str, str]
    clock: FakeClock
    owner: Owner

    def rebuild_usage(self, *options: str) -> int:
        return main(["rebuild-usage", *options], environ=self.environ, clock=self.clock)


@pytest.fixture
async def deployment(tmp_path: Path) -> Deployment:
    """Return a deployment with one account, which has a late log."""
    path, clock = tmp_path / "memory.json", FakeClock(BORN)
    store = MemoryStore(rows=shared_rows(path))
    made = await signed_up(services_on(store, clock))
    owner = Owner(store, clock, user_id=made.user.id)
    await lived(owner, 20, every=timedelta(hours=20))
    await check(owner, ALL)
    await late(owner, date(2025, 12, 1))
    return Deployment(environ={"AGENT_TALK_MEMORY_FILE": str(path)}, clock=clock, owner=owner)


async def run(deployment: Deployment, *options: str) -> int:
    """Run the command in another thread, since it runs an event loop. Returns its exit status."""
    return await asyncio.to_thread(deployment.rebuild_usage, *options)


async def test_the_command_says_what_did_not_match_and_puts_it_right(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(deployment, "--check") == 1
    assert "ada@example.org: 2025-12-01 does not match" in capsys.readouterr().out
    assert await run(deployment) == 1
    assert "ada@example.org: 2025-12-01 did not match" in capsys.readouterr().out
    await check(deployment.owner, ALL)
    assert await run(deployment, "--email", " Ada@example.org") == 0
    assert "22 days counted again: all match" in capsys.readouterr().out


async def test_the_command_refuses_what_it_cannot_do(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(deployment, "--email", "nobody@example.org") == 2
    assert capsys.readouterr().err == "there is no account nobody@example.org\n"
    assert await run(deployment, "--from", "2026-01-02", "--to", "2026-01-01") == 2
    assert "--from must not be after --to" in capsys.readouterr().err
    deployment.environ["AGENT_TALK_STORE"] = "micro"
    assert await run(deployment) == 2
    assert "HYPR Micro needs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        deployment.rebuild_usage("--from", "yesterday")


@pytest.mark.parametrize(
    ("file", "said"),
    [("", "no store is chosen"), ("absent.json", "there is no"), ("empty.json", "the store holds no rows")],
)
async def test_a_store_that_is_not_there_is_none_that_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, said: str
) -> None:
    path = tmp_path / file
    if file == "empty.json":
        await MemoryStore(rows=shared_rows(path)).verify(TABLES)
    environ = {"AGENT_TALK_MEMORY_FILE": str(path)} if file else {}
    status = await asyncio.to_thread(main, ["rebuild-usage"], environ=environ)
    assert (status, said in capsys.readouterr().err) == (2, True)
    assert path.exists() is (file != "absent.json")


async def test_the_command_needs_no_secret_in_production_either(deployment: Deployment) -> None:
    deployment.environ["AGENT_TALK_ENV"] = "production"
    assert await run(deployment) == 1
    assert await run(deployment) == 0
