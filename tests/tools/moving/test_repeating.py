"""A move that is stopped anywhere and run again equals an uninterrupted one; later runs import the changes since."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import httpx
import pytest

from shared.api_keys.minting import digest
from shared.plans import Tier
from shared.stores.port import Store, StoreError
from shared.tables import Tables, Window, key_id
from shared.tables.users import User
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import CLOSED, LOST, REFUSED, Fault, Faults
from tests.fakes.standin_steps import Seen
from tests.live.processes import ROOT, stand_in
from tests.support import CountingStore, FailingStore, cheap_passwords, racing_store
from tests.tools.moving.predecessor import (
    BCRYPT_4,
    LIVE,
    MOVED_AT,
    OTHER,
    TEST,
    GivenSource,
    content,
    documents,
    key_row,
    log_row,
    memo_row,
    micro_store,
    move,
    small,
    sqlite_file,
    user_row,
)

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

PROGRAM: Final = """
import sys
from datetime import UTC, datetime
from tools.moving.__main__ import main
sys.exit(main(sys.argv[1:], clock=lambda: datetime(2026, 11, 28, 12, tzinfo=UTC)))
"""
"""The command at a given time."""


async def moved_user(store: Store, old_id: str = "user_1") -> User:
    tables = Tables.on(store)
    mapped = await tables.moved.user(old_id)
    assert mapped is not None
    return await tables.users.load(mapped["user_id"])


@pytest.mark.parametrize("lost", [False, True])
async def test_move_killed_at_any_call_and_rerun_is_as_once(*, lost: bool) -> None:
    """If a move is killed before or after a store call, and run again, all rows and counters are as after one move."""
    once = CountingStore(racing_store(0))
    await move(GivenSource(small()), once)
    whole, calls = await content(once), once.calls.total()
    for number in range(calls - len(whole)):
        store = racing_store(number)
        with pytest.raises(StoreError):
            await move(GivenSource(small()), FailingStore(store, at=number, lost=lost, for_good=True))
        await move(GivenSource(small()), store)
        assert await content(store) == whole, number


@pytest.mark.parametrize("fault", [CLOSED, LOST], ids=["before", "after"])
async def test_move_killed_at_any_request_and_rerun_is_as_once(fault: Fault) -> None:
    """The same holds at every request to HYPR Micro, with the first row of each table."""
    rows = {table: some[:1] for table, some in small().items()}
    sent: list[Seen] = []
    server = StandIn()
    await move(GivenSource(rows), micro_store(server, 1, noting(sent)))
    whole = await content(micro_store(server, 2))
    for number in range(1, len(sent) + 1):
        server = StandIn()
        with pytest.raises(StoreError):
            await move(GivenSource(rows), micro_store(server, 1, ending(number, fault)))
        await move(GivenSource(rows), micro_store(server, 2))
        assert await content(micro_store(server, 3)) == whole, number


def noting(sent: list[Seen]) -> Faults:
    def note(seen: Seen) -> None:
        sent.append(seen)

    return note


def ending(number: int, fault: Fault) -> Faults:
    """Return faults that fail the `number`th request, and let no later one take effect: its sender was killed."""
    count = 0

    def strike(_: Seen) -> Fault | None:
        nonlocal count
        count += 1
        return None if count < number else fault if count == number else REFUSED

    return strike


@pytest.mark.parametrize("name", ["agent-talk", "micro-docs"])
def test_time_zone_of_the_machine_changes_no_byte(name: str, tmp_path: Path) -> None:
    """A move in Tokyo writes the same bytes as one at Greenwich: the predecessor's times are UTC, as ours."""
    if name == "agent-talk":
        source = sqlite_file(tmp_path)
        written = [moved_in_zone(zone, f"sqlite:{source}", tmp_path) for zone in ("UTC", "Asia/Tokyo")]
    else:
        with stand_in(KEY) as url:
            write_documents(url)
            written = [moved_in_zone(zone, f"micro:{url}", tmp_path) for zone in ("UTC", "Asia/Tokyo")]
    assert written[0] == written[1]


def moved_in_zone(zone: str, source: str, folder: Path) -> tuple[bytes, bytes]:
    """Move into a memory file on a machine of this time zone. Returns the file, and the report."""
    rows, report = folder / f"{zone[:3]}.json", folder / f"{zone[:3]}.ndjson"
    environ = {"AGENT_TALK_STORE": "memory", "AGENT_TALK_MEMORY_FILE": str(rows), "MOVING_HYPERMICRO_API_KEY": KEY}
    moved = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM, "--from", source, "--write", "--report", str(report)],
        cwd=ROOT,
        env={**os.environ, "TZ": zone, **environ},
        capture_output=True,
        check=False,
    )
    assert moved.returncode == 0, moved.stderr.decode()
    return rows.read_bytes(), report.read_bytes()


def write_documents(url: str) -> None:
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, trust_env=False) as http:
        for database, given in documents().items():
            for document in given:
                assert http.post(f"/api/dbs/{database}/docs", json=document).status_code == 201


async def test_later_move_brings_what_has_changed() -> None:
    """New memos, uses, revocations, plans and passwords are imported; deleted memos and keys are removed, but count."""
    store, rows = racing_store(0), small()
    await move(GivenSource(rows), store)
    rows["users"][0] |= {
        "tier": "pro",
        "password_hash": BCRYPT_4.replace("2b", "2a"),
        "updated_at": "2026-11-28T11:00:00Z",
    }
    rows["api_keys"] = [
        key_row(LIVE, is_active=0, usage_count=9, updated_at="2026-11-28T11:00:00Z"),
        rows["api_keys"][2],
    ]
    rows["memos"] = [rows["memos"][0], memo_row("memo_3", created_at="2026-11-28T10:00:00.000Z")]
    rows["usage_logs"].append(log_row("log_5", created_at="2026-11-28T10:00:00.002Z"))
    await move(GivenSource(rows), store)
    tables, user = Tables.on(store), await moved_user(store)
    assert (user.tier, user.password_hash[:4]) == (Tier.PRO, "$2a$")
    keys = {key.id: key for key in await tables.api_keys.of(user.id, MOVED_AT)}
    assert keys[key_id(digest(LIVE))].usage_count == 9
    for secret in (LIVE, TEST):
        issued = await tables.api_keys.get_by_hash(digest(secret))
        assert issued is not None
        assert issued.revoked_at is not None, secret
        assert keys[issued.id].revoked_at is not None, secret
    memos = (await tables.memos.page(user.id, Window())).rows
    assert [memo.created_at.hour for memo in memos] == [10, 9]
    logs = (await tables.usage_logs.page(user.id, Window())).rows
    assert len(logs) == 4
    assert await tables.moved.memo_id(user.id, "memo_2") is None


async def test_later_move_leaves_what_changed_here() -> None:
    """A password that was set here, uses that were counted here, and a memo that was deleted here stay unchanged."""
    store = racing_store(0)
    await move(GivenSource(small()), store)
    tables, user = Tables.on(store), await moved_user(store)
    ours = await cheap_passwords().hash("a new password")
    await tables.users.change(user.id, lambda row: row.model_copy(update={"password_hash": ours}))
    await store.increment(f"{user.id}:uses:{key_id(digest(LIVE))}", 10)
    memo = (await tables.memos.page(user.id, Window())).rows[0]
    await tables.memos.delete(memo)
    rows = small()
    rows["users"][0]["tier"] = "enterprise"
    await move(GivenSource(rows), store)
    user = await moved_user(store)
    assert (user.tier, user.password_hash) == (Tier.ENTERPRISE, ours)
    key = await tables.api_keys.load(user.id, key_id(digest(LIVE)), MOVED_AT)
    assert key.usage_count == 13
    assert await tables.memos.get(user.id, memo.id) is None


async def test_closed_account_does_not_come_back() -> None:
    """A user who closed the account after the move is left out by a later one, and reported."""
    store, rows = racing_store(0), small()
    await move(GivenSource(rows), store)
    user = await moved_user(store)
    closed = await Tables.on(store).users.change(user.id, lambda row: row.closed(MOVED_AT))
    rows["users"][0]["tier"] = "pro"
    lines = await move(GivenSource(rows), store)
    left = {line["table"] for line in lines if "was closed" in line.get("why", "")}
    assert left == {"users", "api_keys", "memos", "usage_logs", "rate_limits"}
    assert await moved_user(store) == closed


async def test_address_of_the_target_stays_its_owner_s() -> None:
    """An address that an account of the target has stays that account's: the one that moves is kept apart."""
    store, tables = racing_store(0), Tables.on(racing_store(0))
    tables = Tables.on(store)
    await move(GivenSource({"users": [user_row("user_9", email="ada@example.org")]}), store)
    first = await moved_user(store, "user_9")
    lines = await move(GivenSource({"users": [user_row(email="ada@example.org")]}), store)
    assert await tables.users.by_email("ada@example.org") == first
    user = await moved_user(store)
    assert user.email.startswith("ada+moved-")
    assert await tables.users.by_email(user.email) == user
    assert [line["id"] for line in lines if "of the target" in line.get("why", "")] == ["user_1"]


async def test_key_of_another_account_is_left_out() -> None:
    """A key that another account of the target has is reported, and stays that account's."""
    store = racing_store(0)
    await move(GivenSource({"users": [user_row("user_9")], "api_keys": [key_row(OTHER, user="user_9")]}), store)
    lines = await move(GivenSource({"users": [user_row()], "api_keys": [key_row(OTHER)]}), store)
    assert [line["why"] for line in lines if line.get("outcome") == "left out"] == ["another account has the same key"]
    issued = await Tables.on(store).api_keys.get_by_hash(digest(OTHER))
    assert issued is not None
    assert issued.user_id == (await moved_user(store, "user_9")).id
    assert await Tables.on(store).api_keys.of((await moved_user(store)).id, MOVED_AT) == []


async def test_memo_that_comes_after_its_log_counts_once() -> None:
    """If a log was read before its memo was written, the next move joins both to one call."""
    store = racing_store(0)
    await move(GivenSource({"users": [user_row()], "usage_logs": [log_row()]}), store)
    await move(GivenSource({"users": [user_row()], "usage_logs": [log_row()], "memos": [memo_row()]}), store)
    user, tables = await moved_user(store), Tables.on(store)
    (log,) = (await tables.usage_logs.page(user.id, Window())).rows
    (memo,) = (await tables.memos.page(user.id, Window())).rows
    assert log.id == memo.id
