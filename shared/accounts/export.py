"""An owner's whole account as NDJSON, in parts: a function's answer is limited to 6 MB, and a request to 12 s.

A part ends before a row, and its place is where the next part begins: `memos.019b…` is after that memo, `memos.` before
the first one. Every row that exists throughout the export is in it once; one written or deleted meanwhile may be.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.core.clock import Clock
from shared.core.request import time_left_s
from shared.core.text import LINE_ENDS, sent_bytes
from shared.tables import LogKind, Tables, Window
from shared.tables.issued_keys import ApiKey
from shared.tables.memos import Memo
from shared.tables.subscriptions import Subscription
from shared.tables.usage_logs import UsageLog
from shared.tables.users import User

PART_BYTES: Final = 5_000_000
"""Bytes of a part as Lambda sends it: as a JSON string in an answer of at most 6 MB."""

PAGE: Final = 200
"""Rows of one page of the store. The last page of a part is read again by the next part: a larger one costs more."""

REST_S: Final = 4.0
"""Seconds of the request that a part leaves: reading a page may take as long."""

Exported = User | ApiKey | Memo | UsageLog | Subscription

Line = Callable[[Exported], str]
"""Return a row as one JSON object, in one line."""


class Section(StrEnum):
    ACCOUNT = "account"
    KEYS = "keys"
    MEMOS = "memos"
    MEMO_LOGS = "memologs"
    EVENTS = "events"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, kw_only=True)
class ExportPart:
    """`place` is where the next part begins; None: this is the last one."""

    text: str
    place: str | None


class AccountExports:
    def __init__(self, *, tables: Tables, clock: Clock, part_bytes: int = PART_BYTES) -> None:
        self._tables = tables
        self._clock = clock
        self._part_bytes = part_bytes

    async def part(self, user: User, place: str | None, line: Line) -> ExportPart:
        """Return the lines from a place on, as many as fit, but at least one.

        A place comes from an earlier part; None is the start.
        """
        lines, spent = list[str](), 0
        begin, _, after = (place or Section.ACCOUNT).partition(".")
        sections = list(Section)
        for section in sections[sections.index(Section(begin)) :]:
            async for key, row in self._rows(user, section, after or None):
                written = line(row).translate(LINE_ENDS) + "\n"
                spent += sent_bytes(written)
                if lines and (spent > self._part_bytes or time_left_s() < REST_S):
                    return ExportPart(text="".join(lines), place=f"{section}.{after}")
                lines.append(written)
                after = key
            after = ""
        return ExportPart(text="".join(lines), place=None)

    def _rows(self, user: User, section: Section, after: str | None) -> AsyncIterator[tuple[str, Exported]]:
        """Return the rows of a section after a key, each with its key. None: from the first row on."""
        match section:
            case Section.ACCOUNT:
                return self._account(user, after)
            case Section.KEYS:
                return self._keys(user, after)
            case Section.MEMOS:
                return self._memos(user, after)
            case Section.MEMO_LOGS:
                return self._logs(user, LogKind.MEMOS, after)
            case Section.EVENTS:
                return self._logs(user, LogKind.EVENTS, after)
            case Section.SUBSCRIPTION:
                return self._subscription(user, after)

    async def _account(self, user: User, after: str | None) -> AsyncIterator[tuple[str, Exported]]:
        if after is None:
            yield user.id, user

    async def _keys(self, user: User, after: str | None) -> AsyncIterator[tuple[str, Exported]]:
        keys = await self._tables.api_keys.of(user.id, self._clock())
        ids = [key.id for key in keys]
        for key in keys[ids.index(after) + 1 if after in ids else 0 :]:
            yield key.id, key

    async def _memos(self, user: User, after: str | None) -> AsyncIterator[tuple[str, Exported]]:
        while True:
            page = await self._tables.memos.page(user.id, Window(limit=PAGE, after=after))
            for memo in page.rows:
                yield memo.id, memo
            after = page.after
            if after is None:
                return

    async def _logs(self, user: User, kind: LogKind, after: str | None) -> AsyncIterator[tuple[str, Exported]]:
        while True:
            page = await self._tables.usage_logs.rows(user.id, kind, Window(limit=PAGE, after=after))
            for row in page.rows:
                yield row.key.sort, UsageLog.read(row.document)
            after = page.after
            if after is None:
                return

    async def _subscription(self, user: User, after: str | None) -> AsyncIterator[tuple[str, Exported]]:
        subscription = await self._tables.subscriptions.of(user.id)
        if after is None and subscription is not None:
            yield subscription.id, subscription
