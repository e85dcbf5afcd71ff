"""The predecessor in tests: its SQLite file and its documents, as its own code made them, and a move of them.

`data/agent-talk.sql` is the dump of the file, `data/micro-docs.json` the documents by database; the file beside each
contains its people's passwords and plain keys. All of them are invented.
"""

import io
import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import bcrypt

from shared.api_keys.minting import digest
from shared.audio.files import AudioFiles
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.stores.micro.store import MicroStore
from shared.stores.port import Document, Store
from shared.tables import TABLES, Tables
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import Faults, ManualClock, StandInTransport, none
from tools.maintain.content import Content, counters_content, table_content
from tools.moving.audio import AudioMover
from tools.moving.findings import Findings
from tools.moving.mover import Mover
from tools.moving.planning import Planner
from tools.moving.sources import MicroSource, OldRows, Source, opened_source
from tools.moving.working_copy import working_copy

DATA: Final = Path(__file__).parent / "data"

LIVE: Final = "at_live_" + 42 * "a" + "A"
TEST: Final = "at_test_" + 42 * "b" + "A"
OTHER: Final = "at_live_" + 42 * "c" + "A"

PASSWORD: Final = "analytical-engine-1"
BCRYPT_4: Final = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$" + 22 * b".").decode()
"""The hash of PASSWORD at the lowest cost."""

MOVED_AT: Final = datetime(2026, 11, 28, 12, tzinfo=UTC)
"""Some hours after the newest rows."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user's secrets. `revoked` are refused keys, and `odd` ones that the service never issues."""

    old_id: str
    password: str = field(repr=False)
    live: tuple[str, ...] = field(repr=False)
    revoked: tuple[str, ...] = field(repr=False)
    odd: tuple[str, ...] = field(repr=False)


def people(name: str) -> list[Person]:
    found = []
    for secrets in json.loads((DATA / f"{name}.secrets.json").read_text()):
        keys = {key["id"]: key["key"] for key in secrets["keys"]}
        revoked = [keys.pop(secrets["revoked"])] if secrets["revoked"] else []
        live = [key for key in keys.values() if len(key) == 51]
        odd = [key for key in keys.values() if len(key) != 51]
        found.append(
            Person(
                old_id=secrets["user"],
                password=secrets["password"],
                live=tuple(live),
                revoked=tuple(revoked),
                odd=tuple(odd),
            )
        )
    return found


def sqlite_file(folder: Path) -> Path:
    """Write the file that the predecessor's own server made. Returns its path."""
    path = folder / "agent-talk.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "agent-talk.sql").read_text())
    return path


def documents() -> dict[str, list[Document]]:
    given: dict[str, list[Document]] = json.loads((DATA / "micro-docs.json").read_text())
    return given


class GivenSource:
    """A source of the given rows, by table."""

    def __init__(self, rows: Mapping[str, Iterable[Document]]) -> None:
        self.rows = {table: list(given) for table, given in rows.items()}

    async def pages(self, table: str) -> AsyncIterator[OldRows]:
        yield [(f"row {number}", dict(values)) for number, values in enumerate(self.rows.get(table, []))]


def micro_client(server: StandIn, faults: Faults = none) -> MicroClient:
    clock = ManualClock()
    wire = HttpxWire(StandInTransport(server, faults=faults, clock=clock))
    return MicroClient(wire, Direct(url="http://micro", api_key=KEY), monotonic=clock.monotonic, sleep=clock.sleep)


def micro_store(server: StandIn, node: int, faults: Faults = none) -> MicroStore:
    return MicroStore(
        micro_client(server, faults), node=f"{node:016x}", clock=lambda: MOVED_AT, sleep=ManualClock().sleep
    )


async def micro_source(server: StandIn) -> MicroSource:
    """Write the predecessor's documents into a server. Returns a source that reads them."""
    client = micro_client(server)
    for database, given in documents().items():
        for document in given:
            await client.create(database, document["key"], document["value"])
    return MicroSource(client)


async def move(
    source: Source,
    store: Store,
    *,
    now: datetime = MOVED_AT,
    files: AudioFiles | None = None,
    folder: Path | None = None,
) -> list[dict[str, Any]]:
    """Move, and return the lines of the report."""
    lines = io.StringIO()
    findings = Findings(lines)
    with working_copy(now=now) as copy:
        await copy.fill(source, findings)
        audio = None
        if files is not None and folder is not None:
            audio = AudioMover(Tables.on(store), files, folder, findings)
        await Mover(Planner(copy, findings, now=now), store, clock=lambda: now, audio=audio).move(lambda _: None)
    findings.conclude()
    return [json.loads(line) for line in lines.getvalue().splitlines()]


async def move_file(path: Path, store: Store, **how: Any) -> list[dict[str, Any]]:
    async with opened_source(f"sqlite:{path}", {}) as source:
        return await move(source, store, **how)


async def content(store: Store, now: datetime = MOVED_AT) -> dict[str, Content]:
    """Return digests of all tables of a store."""
    found: dict[str, Content] = {}
    for table in TABLES:
        async for part in table_content(store, table):
            found[table.name] = part
    async for part in counters_content(store, lambda: now):
        found["counters"] = part
    return found


def user_row(old_id: str = "user_1", **fields: Any) -> Document:
    """Return a user's row; `fields` replace its values."""
    row = {
        "id": old_id,
        "email": f"{old_id}@example.org",
        "password_hash": BCRYPT_4,
        "tier": "hobby",
        "role": "user",
        "created_at": "2026-11-01T08:00:00.000Z",
        "updated_at": "2026-11-01T08:00:00.000Z",
    }
    return row | fields


def key_row(secret: str, *, user: str = "user_1", **fields: Any) -> Document:
    row = {
        "id": f"key-{digest(secret)[:8]}",
        "user_id": user,
        "key_hash": digest(secret),
        "prefix": secret[:8],
        "name": "build",
        "usage_count": 3,
        "last_used_at": "2026-11-28T09:10:11.000Z",
        "is_active": 1,
        "created_at": "2026-11-01T08:00:00.000Z",
    }
    return row | fields


def memo_row(old_id: str = "memo_1", *, user: str = "user_1", **fields: Any) -> Document:
    row = {
        "id": old_id,
        "user_id": user,
        "api_key_id": f"key-{digest(LIVE)[:8]}",
        "text": "Hello",
        "voice": "sam",
        "audio_url": f"https://talk.example.org/audio/{old_id}.mp3",
        "duration_seconds": 0.4,
        "character_count": 5,
        "created_at": "2026-11-28T09:10:11.000Z",
    }
    return row | fields


def log_row(old_id: str = "log_1", *, user: str = "user_1", **fields: Any) -> Document:
    row = {
        "id": old_id,
        "user_id": user,
        "api_key_id": f"key-{digest(LIVE)[:8]}",
        "action": "memo_created",
        "metadata": '{"voice":"sam","characterCount":5,"duration":0.4}',
        "created_at": "2026-11-28T09:10:11.004Z",
    }
    return row | fields


def small() -> dict[str, list[Document]]:
    """Return some rows of every table: two users of one address, keys, memos, logs, a subscription and a count."""
    return {
        "users": [user_row(), user_row("user_2", email="User_1@example.org", tier="pro")],
        "api_keys": [key_row(LIVE), key_row(TEST), key_row(OTHER, user="user_2", is_active=0)],
        "memos": [memo_row(), memo_row("memo_2", created_at="2026-10-05T10:00:00.000Z", text=None)],
        "usage_logs": [
            log_row(),
            log_row("log_2", created_at="2026-10-05 10:00:01"),
            log_row("log_3", created_at="2026-10-06 10:00:01"),
            log_row("log_4", user="user_2", action="key_revoked", metadata="{}"),
        ],
        "subscriptions": [{"id": "s", "user_id": "user_2", "stripe_customer_id": "cus_1", "status": "active"}],
        "rate_limits": [
            {"id": 1, "user_id": "user_1", "api_key_id": key_row(LIVE)["id"], "date": "2026-11-28", "count": 7}
        ],
    }
