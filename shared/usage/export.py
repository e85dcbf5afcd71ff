"""An owner's memos and daily usage as one file: CSV for spreadsheets, NDJSON for programs.

A Lambda function can return at most 6 MB, counted as the JSON text that contains the body. The file is built page by
page, and abandoned as soon as it is larger.
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import date
from typing import Final

from shared.core.clock import DAY, Clock, iso, midnight
from shared.core.errors import PayloadTooLarge
from shared.core.text import LINE_ENDS, sent_bytes
from shared.stores.port import PAGE_BYTES
from shared.tables import Memos, Window
from shared.tables.memos import Memo
from shared.usage.reports import UsageReports

ANSWER_BYTES: Final = 6_000_000
"""Bytes of JSON text. Lambda's limit is 6,291,556 bytes for the body and the rest of the answer."""

FIRST_PAGE: Final = 100
"""Memos of the first page. Their size decides how many are read next; a larger first page could be cut off."""

LARGEST_PAGE: Final = 1000
"""Memos a page at most: as many as a store reads at once."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a cell that begins with one of these as a formula."""


class Exports:
    def __init__(
        self, *, memos: Memos, reports: UsageReports, public_url: str, clock: Clock, answer_bytes: int = ANSWER_BYTES
    ) -> None:
        self._memos = memos
        self._reports = reports
        self._public_url = public_url
        self._clock = clock
        self._answer_bytes = answer_bytes

    async def csv(self, user_id: str, days: int) -> str:
        """Return the memos of the last days, newest first, then each day's calls and characters.

        Today is the last of the days. Raises PayloadTooLarge, whose text contains the number of days that would fit, or
        the route to page through if a single day does not.
        """
        daily = await self._reports.last_days(user_id, days)
        usage = "\n" + _lines([[f"# Daily Usage (Last {days} Days)"], ["Date", "Calls", "Characters"]])
        usage += _lines([day.name, day.calls, day.characters] for day in reversed(daily))
        head = _lines(
            [
                ["# Memo History"],
                ["ID", "Date", "Voice", "Character Count", "Duration (seconds)", "Audio URL"],
            ]
        )
        return head + await self._every_memo(user_id, days, self._csv_line, spent=sent_bytes(head + usage)) + usage

    async def ndjson(self, user_id: str, days: int, line: Callable[[Memo], str]) -> str:
        """Return the same memos, one JSON object a line. Raises PayloadTooLarge as `csv` does."""
        return await self._every_memo(user_id, days, lambda memo: line(memo).translate(LINE_ENDS) + "\n", spent=0)

    def _csv_line(self, memo: Memo) -> str:
        url = memo.audio_at(self._public_url)
        return _lines([[memo.id, iso(memo.created_at), memo.voice, memo.character_count, memo.audio_seconds, url]])

    async def _every_memo(self, user_id: str, days: int, line: Callable[[Memo], str], *, spent: int) -> str:
        today, lines = self._clock().date(), list[str]()
        async for memo in self._memos_since(user_id, today - (days - 1) * DAY):
            written = line(memo)
            spent += sent_bytes(written)
            if spent > self._answer_bytes:
                raise _too_large(days, fits=(today - memo.created_at.date()).days)
            lines.append(written)
        return "".join(lines)

    async def _memos_since(self, user_id: str, first: date) -> AsyncIterator[Memo]:
        window = Window(limit=FIRST_PAGE, since=midnight(first))
        while True:
            page = await self._memos.page(user_id, window)
            for memo in page.rows:
                yield memo
            if page.after is None:
                return
            # A page of the store ends at PAGE_BYTES: memos that are read beyond it are read again. A text's own length
            # counts, since a memo that moved in has the predecessor's count, which may be any number.
            size = sum(len(memo.text) + 500 for memo in page.rows) // len(page.rows)
            limit = min(LARGEST_PAGE, PAGE_BYTES // size)
            window = Window(limit=limit, since=window.since, after=page.after)


def _too_large(days: int, *, fits: int) -> PayloadTooLarge:
    instead = f"Ask for days={fits}" if fits else "Page through GET /api/v1/memos"
    return PayloadTooLarge(f"The export of {days} days exceeds {ANSWER_BYTES // 1_000_000} MB. {instead} instead.")


def _lines(rows: Iterable[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue()


def _plain(cell: object) -> object:
    """Return a cell that a spreadsheet shows as text, and does not run as a formula."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
