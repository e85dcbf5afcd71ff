"""Sources of any content: rows left out are reported, and an invalid source gives one clear sentence."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.stores.memory.store import MemoryStore
from shared.tables import Tables, Window
from tests.fakes.standin import KEY, StandIn
from tests.live.processes import stand_in
from tests.support import repeatable
from tests.tools.moving.predecessor import (
    MOVED_AT,
    content,
    micro_client,
    move_file,
    sqlite_file,
)
from tools.moving.__main__ import main
from tools.moving.sources import TABLES, MicroSource

pytestmark = pytest.mark.thorough

TEXTS: Final = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        (
            "a@example.org",
            "A@example.org",
            "é@example.org",
            "user_1",
            "key-1",
            "memo_1",
            "sam",
            "memo_created",
            "error_tts",
        )
    ),
)
TIMES: Final = st.one_of(
    st.datetimes().map(str),
    st.sampled_from(
        ("2026-11-28T01:02:03.004Z", "2026-11-28 01:02:03", "2026-11-28T23:59:59.999+02:00", "0001-01-01", "")
    ),
)
VALUES: Final = st.one_of(
    st.none(),
    TEXTS,
    TIMES,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=6),
    st.just('{"voice":"sam"}'),
)
OWNERS: Final = st.one_of(st.sampled_from(("user_1", "user_2", b"user_1")), VALUES)
HASHES: Final = st.one_of(st.sampled_from(("a" * 64, "b" * 64, "A" * 64, "c" * 63)), VALUES)

COLUMNS: Final[Mapping[str, Mapping[str, st.SearchStrategy[Any]]]] = {
    "users": {
        "id": TEXTS,
        "email": VALUES,
        "password_hash": VALUES,
        "tier": VALUES,
        "role": VALUES,
        "created_at": TIMES,
    },
    "api_keys": {"id": VALUES, "user_id": OWNERS, "key_hash": HASHES, "prefix": VALUES, "name": VALUES}
    | {"usage_count": VALUES, "last_used_at": VALUES, "is_active": VALUES, "created_at": VALUES},
    "memos": {
        "id": VALUES,
        "user_id": OWNERS,
        "api_key_id": VALUES,
        "text": VALUES,
        "voice": VALUES,
        "audio_url": VALUES,
    }
    | {"duration_seconds": VALUES, "character_count": VALUES, "created_at": VALUES},
    "usage_logs": {"id": VALUES, "user_id": OWNERS, "api_key_id": VALUES, "action": TEXTS, "metadata": VALUES}
    | {"created_at": VALUES},
    "subscriptions": {"id": VALUES, "user_id": OWNERS, "stripe_customer_id": VALUES, "stripe_subscription_id": VALUES}
    | {"status": VALUES, "tier": VALUES, "current_period_end": VALUES, "updated_at": VALUES},
    "rate_limits": {"id": VALUES, "user_id": OWNERS, "api_key_id": VALUES, "date": VALUES, "count": VALUES},
}
"""The predecessor's columns, without its constraints."""


def a_file() -> st.SearchStrategy[dict[str, list[dict[str, Any]]]]:
    return st.fixed_dictionaries(
        {table: st.lists(st.fixed_dictionaries(dict(columns)), max_size=4) for table, columns in COLUMNS.items()}
    )


def write(path: Path, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as sql, sql:
        for table, columns in COLUMNS.items():
            sql.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            marks = ", ".join("?" for _ in columns)
            sql.executemany(f"INSERT INTO {table} VALUES ({marks})", [tuple(row.values()) for row in rows[table]])  # noqa: S608


@given(rows=a_file())
@repeatable
def test_every_row_of_a_random_file_moves_or_is_reported(
    rows: dict[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For any content of the columns: no crash, all rows are imported or reported, and a second run changes nothing."""
    path, store = tmp_path_factory.getbasetemp() / "random.sqlite", MemoryStore()
    write(path, rows)
    lines = asyncio.run(move_file(path, store))
    totals = {line["table"]: line for line in lines if "rows" in line}
    for table in TABLES:
        left = [line["id"] for line in lines if line["table"] == table and line.get("outcome") == "left out"]
        assert totals[table]["rows"] == len(rows[table])
        assert totals[table]["come"] == len(rows[table]) - len(left)
    moved = asyncio.run(counts(store))
    assert moved == {table: totals[table]["come"] for table in moved}
    before = asyncio.run(content(store))
    asyncio.run(move_file(path, store))
    assert asyncio.run(content(store)) == before


async def counts(store: MemoryStore) -> dict[str, int]:
    """Return the numbers of users, keys, memos and logs."""
    tables, found = Tables.on(store), {"users": 0, "api_keys": 0, "memos": 0}
    for user in (await tables.users.page(Window(limit=100))).rows:
        found["users"] += 1
        found["api_keys"] += len(await tables.api_keys.of(user.id, MOVED_AT))
        found["memos"] += len((await tables.memos.page(user.id, Window(limit=100))).rows)
    return found


Capture = pytest.CaptureFixture[str]


def said(capsys: Capture, tmp_path: Path, source: str, *options: str, **environ: str) -> str:
    """Run the command, which must refuse. Returns its one sentence."""
    report = str(tmp_path / "report.ndjson")
    assert main(["--from", source, "--report", report, *options], environ=environ, clock=lambda: MOVED_AT) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    return sentence


def test_command_refuses_what_is_no_source(capsys: Capture, tmp_path: Path) -> None:
    """A missing file, a file of other content, a foreign database and an empty one are each refused in one sentence."""
    assert said(capsys, tmp_path, f"sqlite:{tmp_path}/absent") == f"there is no file {tmp_path}/absent"
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at as one\n" * 20)
    assert said(capsys, tmp_path, f"sqlite:{tmp_path}/text").endswith(
        "cannot be read as a SQLite database: file is not a database"
    )
    with closing(sqlite3.connect(tmp_path / "other")) as sql:
        sql.execute("CREATE TABLE users (id)")
    assert said(capsys, tmp_path, f"sqlite:{tmp_path}/other").endswith(
        "is no database of the predecessor: it has no table api_keys"
    )
    write(tmp_path / "empty", {table: [] for table in TABLES})
    assert said(capsys, tmp_path, f"sqlite:{tmp_path}/empty") == "the source has no users: is it the right one?"
    assert said(capsys, tmp_path, "postgres:x").startswith("--from must be sqlite:FILE or micro:URL")


def test_command_refuses_a_server_that_does_not_answer(capsys: Capture, tmp_path: Path) -> None:
    """An unreachable HYPR Micro, and one that refuses the key, are each reported in one sentence."""
    unreachable = said(capsys, tmp_path, "micro:http://127.0.0.1:9", HYPERMICRO_API_KEY="k")
    assert unreachable.startswith("HYPR Micro cannot be read: ")
    assert "MOVING_HYPERMICRO_API_KEY" in said(capsys, tmp_path, "micro:http://127.0.0.1:9")
    with stand_in("the right key") as url:
        assert said(capsys, tmp_path, f"micro:{url}", HYPERMICRO_API_KEY="wrong").startswith(
            "HYPR Micro cannot be read: "
        )


def test_command_says_when_the_target_is_full(capsys: Capture, tmp_path: Path) -> None:
    """A server with seven other databases has no room for ours, which is reported in one sentence."""
    source = sqlite_file(tmp_path)
    with stand_in(KEY) as url:
        asyncio.run(fill(url))
        environ = {"AGENT_TALK_STORE": "micro", "HYPR_URL": url, "HYPERMICRO_API_KEY": KEY}
        sentence = said(capsys, tmp_path, f"sqlite:{source}", "--write", **environ)
    assert sentence.startswith("the store failed: ")


def test_command_needs_a_store_that_lasts(capsys: Capture, tmp_path: Path) -> None:
    source = sqlite_file(tmp_path)
    assert said(capsys, tmp_path, f"sqlite:{source}", "--write").startswith("no store is chosen but this process's own")
    folder = str(tmp_path / "nowhere")
    assert said(capsys, tmp_path, f"sqlite:{source}", "--audio", folder) == f"there is no folder {folder}"


async def fill(url: str) -> None:
    """Create as many databases as the server has room for."""
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {KEY}"}, trust_env=False) as http:
        for number in range(7):
            assert (await http.post(f"/api/dbs/other{number}")).status_code == 201


@pytest.mark.anyio
async def test_server_of_both_is_read_past_our_own_rows() -> None:
    """Among rows of ours, each of the predecessor's documents is read once, over any number of pages."""
    server = StandIn()
    client = micro_client(server)
    names = [f"{name}{number:03}" for name in ("", "memo_", "z") for number in range(35)]
    for number, name in enumerate(names):
        await client.create("memos", f"memos!o!{number:05}!v000000000000", {"doc": "{}"})
        await client.create("memos", name, {"id": name})
    read = [key async for page in MicroSource(client, limit=10).pages("memos") for key, _ in page]
    assert read == sorted(names)
