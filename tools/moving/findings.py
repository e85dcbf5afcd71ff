"""The findings of a move: the number of imported rows by table, and each row that is left out or changed, with why."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table

from shared.core.text import LINE_ENDS
from tools.moving.sources import TABLES

LEFT: Final = "left out"
CHANGED: Final = "comes, but"


class Findings:
    """Writes each finding to `lines` immediately, as NDJSON: a hundred thousand of them take no memory.

    A line: `{"table": "users", "id": "…", "outcome": "left out", "why": "…", "detail": "…"}`; `detail` only if there is
    one. The last lines are totals: `{"table": "memos", "rows": 137, "come": 137, "left": 0}`.
    """

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self.rows: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self._whys: Counter[tuple[str, str, str]] = Counter()

    def read(self, table: str, rows: int) -> None:
        self.rows[table] += rows

    def leave(self, table: str, row: str, why: str, *, detail: str = "") -> None:
        """Report a row that is left out. `why` is a reason that rows share; `detail` belongs to this row."""
        self.left[table] += 1
        self._write(table, row, LEFT, why, detail)

    def note(self, table: str, row: str, why: str, *, detail: str = "") -> None:
        """Report a row that is imported with a change."""
        self._write(table, row, CHANGED, why, detail)

    def come(self, table: str) -> int:
        return self.rows[table] - self.left[table]

    def whys(self) -> Iterator[tuple[str, str, str, int]]:
        """Yield table, outcome, reason and number of rows, in the order of the tables, the most frequent first."""
        for (table, outcome, why), rows in sorted(
            self._whys.items(), key=lambda item: (TABLES.index(item[0][0]), item[0][1] != LEFT, -item[1], item[0][2])
        ):
            yield table, outcome, why, rows

    def conclude(self) -> None:
        """Write the totals of each table."""
        for table in TABLES:
            line = {"table": table, "rows": self.rows[table], "come": self.come(table), "left": self.left[table]}
            self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()

    def show(self, console: Console) -> None:
        totals = Table("table", title="Rows")
        for name in ("rows", "come", "left out"):
            totals.add_column(name, justify="right")
        for table in TABLES:
            totals.add_row(table, *(f"{n:,}" for n in (self.rows[table], self.come(table), self.left[table])))
        console.print(totals)
        reasons = Table("table", "row", "why", title="What is not as it was")
        reasons.add_column("rows", justify="right")
        for table, outcome, why, rows in self.whys():
            reasons.add_row(table, outcome, why, f"{rows:,}")
        if reasons.row_count:
            console.print(reasons)

    def _write(self, table: str, row: str, outcome: str, why: str, detail: str) -> None:
        self._whys[table, outcome, why] += 1
        line = {"table": table, "id": row, "outcome": outcome, "why": why} | ({"detail": detail} if detail else {})
        self._lines.write(json.dumps(line, ensure_ascii=False).translate(LINE_ENDS) + "\n")
