"""The logs of an owner that earlier runs wrote, kept in the working copy: an owner may have any number of them."""

import sqlite3
from collections.abc import Iterator, Sequence

from shared.stores.port import Row
from shared.tables.usage_logs import MEMO_DELETED
from tools.moving.history import LONE
from tools.moving.working_copy import WorkingCopy


class There:
    def __init__(self, copy: WorkingCopy) -> None:
        self._sql: sqlite3.Connection = copy.sql
        self._sql.execute(
            "CREATE TABLE IF NOT EXISTS there (sort TEXT PRIMARY KEY, is_lone INTEGER, is_planned INTEGER)"
        )
        self._sql.execute("DELETE FROM there")

    def add(self, rows: Sequence[Row]) -> None:
        found = ((row.key.sort, row.document.get(MEMO_DELETED) == LONE) for row in rows)
        self._sql.executemany("INSERT OR IGNORE INTO there VALUES (?, ?, 0)", found)

    def has(self, sort: str) -> bool:
        """Return whether this log exists, and mark it as planned again, so that it stays."""
        return self._sql.execute("UPDATE there SET is_planned = 1 WHERE sort = ?", (sort,)).rowcount > 0

    def outdated(self) -> Iterator[str]:
        """Yield the logs without a memo that are not planned again: their memos have been imported since."""
        for (sort,) in self._sql.execute("SELECT sort FROM there WHERE is_lone AND NOT is_planned").fetchall():
            yield sort
