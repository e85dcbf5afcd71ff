"""A working copy of the predecessor's rows on disk: one form for both sources, by owner and in the order of time.

It is a temporary SQLite file, deleted when the move ends, so that a move of any size takes little memory.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from shared.tables.moved import memo_sort
from tools.maintain.opened import Impossible
from tools.moving.findings import Findings
from tools.moving.sources import TABLES, Source
from tools.moving.values import EARLIEST, from_milliseconds, milliseconds, moment, plain, text

AHEAD: Final = timedelta(days=2)
"""The maximum difference of a row's date after now. A later date is an error."""

LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)

_SCHEMA: Final = """
CREATE TABLE rows (
    n INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, owner TEXT,
    at INTEGER, is_dated INTEGER NOT NULL, doc TEXT NOT NULL
);
CREATE UNIQUE INDEX by_id ON rows (kind, id);
CREATE INDEX by_owner ON rows (kind, owner, at, n);
"""


class OldKind(StrEnum):
    """The predecessor's tables. Its logs of memos are separate from its other logs."""

    USERS = "users"
    KEYS = "api_keys"
    MEMOS = "memos"
    MADE = "memo logs"
    EVENTS = "other logs"
    SUBSCRIPTIONS = "subscriptions"
    COUNTS = "rate_limits"

    @property
    def table(self) -> str:
        return "usage_logs" if self in (OldKind.MADE, OldKind.EVENTS) else self.value


HISTORY: Final = (OldKind.MEMOS, OldKind.MADE, OldKind.EVENTS)


@dataclass(frozen=True, kw_only=True)
class Old:
    """A row. If it has no date of its own (`is_dated` false), `at` is its owner's."""

    kind: OldKind
    id: str
    at: datetime
    is_dated: bool
    values: dict[str, Any]


class WorkingCopy:
    def __init__(self, connection: sqlite3.Connection, *, now: datetime) -> None:
        self.sql = connection
        self._latest = now + AHEAD
        connection.executescript(_SCHEMA)

    async def fill(self, source: Source, findings: Findings) -> None:
        """Read all rows. Rows without a user are reported, and left out."""
        for table in TABLES:
            async for page in source.pages(table):
                findings.read(table, len(page))
                for name, values in page:
                    self._add(table, name, plain(values), findings)
        self._leave_orphans(findings)
        self._date()

    def count(self, kind: OldKind) -> int:
        return int(self.sql.execute("SELECT count(*) FROM rows WHERE kind = ?", (kind,)).fetchone()[0])

    def users(self) -> Iterator[Old]:
        """Yield all users, the earliest sign-up first."""
        yield from self._rows(OldKind.USERS, "", ())

    def of(self, owner: str, kind: OldKind, *, since: datetime = EARLIEST, until: datetime = LATEST) -> Iterator[Old]:
        """Yield an owner's rows from `since` up to but excluding `until`, the oldest first."""
        times = (milliseconds(since), milliseconds(until))
        yield from self._rows(kind, " AND owner = ? AND at >= ? AND at < ?", (owner, *times))

    def sorts_of_memos(self, owner: str) -> "Names":
        """Return the sort parts of an owner's memos in the map of ids."""
        self.sql.execute("CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY)")
        self.sql.execute("DELETE FROM names")
        memos = self.sql.execute("SELECT id FROM rows WHERE kind = ? AND owner = ?", (OldKind.MEMOS, owner))
        self.sql.executemany("INSERT INTO names VALUES (?)", ((memo_sort(row_id),) for (row_id,) in memos))
        return Names(self.sql)

    def first(self, owner: str, *kinds: OldKind) -> datetime | None:
        """Return the time of an owner's first row of these kinds."""
        return self._edge("min", owner, kinds)

    def last(self, owner: str, *kinds: OldKind) -> datetime | None:
        return self._edge("max", owner, kinds)

    def calls_by_key(self, owner: str) -> dict[str, int]:
        """Return the number of an owner's logs of memos for each key, by the keys' ids."""
        asked = (
            "SELECT json_extract(doc, '$.api_key_id'), count(*) FROM rows WHERE kind = ? AND owner = ?"
            " AND json_extract(doc, '$.api_key_id') IS NOT NULL GROUP BY 1"
        )
        return {str(key): calls for key, calls in self.sql.execute(asked, (OldKind.MADE, owner))}

    def digest(self, owner: str) -> str:
        """Return a digest of all rows of an owner: if it is unchanged, the owner need not be moved again."""
        digest = hashlib.sha256()
        asked = "SELECT kind, id, at, doc FROM rows WHERE owner = ? AND kind = ? ORDER BY id"
        for kind in OldKind:
            for row in self.sql.execute(asked, (owner, kind)):
                digest.update(json.dumps(row).encode())
        return digest.hexdigest()

    def _add(self, table: str, name: str, values: dict[str, Any], findings: Findings) -> None:
        row_id = text(values.get("id")) or name
        kind = OldKind(table) if table != "usage_logs" else _kind_of_log(values)
        owner = row_id if kind is OldKind.USERS else text(values.get("user_id"))
        at = moment(values.get("created_at"))
        is_dated = at is not None and at <= self._latest
        row = (kind, row_id, owner, milliseconds(at) if at and is_dated else None, is_dated, json.dumps(values))
        insert = "INSERT OR IGNORE INTO rows (kind, id, owner, at, is_dated, doc) VALUES (?, ?, ?, ?, ?, ?)"
        if not self.sql.execute(insert, row).rowcount:
            findings.leave(table, row_id, "another row has the same id")

    def _leave_orphans(self, findings: Findings) -> None:
        orphans = "kind != 'users' AND (owner IS NULL OR owner NOT IN (SELECT id FROM rows WHERE kind = 'users'))"
        for kind, row_id, owner in self.sql.execute(f"SELECT kind, id, owner FROM rows WHERE {orphans} ORDER BY n"):  # noqa: S608
            findings.leave(OldKind(kind).table, row_id, "its user does not exist", detail=f"user {owner}")
        self.sql.execute(f"DELETE FROM rows WHERE {orphans}")  # noqa: S608

    def _date(self) -> None:
        """Date users without a date by their last change or their first row, and other rows by their owners."""
        undated = self.sql.execute("SELECT id, doc FROM rows WHERE kind = 'users' AND at IS NULL").fetchall()
        for owner, doc in undated:
            changed = moment(json.loads(doc).get("updated_at"))
            at = changed if changed and changed <= self._latest else self.first(owner, *OldKind) or EARLIEST
            self.sql.execute("UPDATE rows SET at = ? WHERE kind = 'users' AND id = ?", (milliseconds(at), owner))
        self.sql.execute(
            "UPDATE rows SET at = (SELECT owners.at FROM rows owners"
            " WHERE owners.kind = 'users' AND owners.id = rows.owner) WHERE at IS NULL"
        )

    def _edge(self, function: str, owner: str, kinds: tuple[OldKind, ...]) -> datetime | None:
        asked = f"SELECT {function}(at) FROM rows WHERE kind = ? AND owner = ?"  # noqa: S608
        edges = [self.sql.execute(asked, (kind, owner)).fetchone()[0] for kind in kinds]
        known = [ms for ms in edges if ms is not None]
        return from_milliseconds((min if function == "min" else max)(known)) if known else None

    def _rows(self, kind: OldKind, condition: str, values: tuple[str | int, ...]) -> Iterator[Old]:
        asked = f"SELECT id, at, is_dated, doc FROM rows WHERE kind = ?{condition} ORDER BY at, n"  # noqa: S608
        for row_id, at, is_dated, doc in self.sql.execute(asked, (kind, *values)):
            yield Old(kind=kind, id=row_id, at=from_milliseconds(at), is_dated=bool(is_dated), values=json.loads(doc))


class Names:
    def __init__(self, sql: sqlite3.Connection) -> None:
        self._sql = sql

    def __contains__(self, name: str) -> bool:
        return self._sql.execute("SELECT 1 FROM names WHERE name = ?", (name,)).fetchone() is not None


@contextmanager
def working_copy(*, now: datetime, folder: Path | None = None) -> Iterator[WorkingCopy]:
    """Make an empty working copy in `folder`; None: in the machine's folder of temporary files.

    Raises Impossible if the disk is full.
    """
    with TemporaryDirectory(prefix="moving-", dir=folder, ignore_cleanup_errors=True) as made:
        connection = sqlite3.connect(Path(made) / "copy.sqlite", isolation_level=None)
        try:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -20000;")
            yield WorkingCopy(connection, now=now)
        except sqlite3.Error as exc:
            raise Impossible(f"the working copy in {made} cannot be written: {exc}") from exc
        finally:
            connection.close()


def _kind_of_log(values: dict[str, Any]) -> OldKind:
    return OldKind.MADE if values.get("action") == "memo_created" else OldKind.EVENTS
