"""Compare memos with their usage logs, and correct the logs after a crash.

A memo, its log and its counts are written in parallel. A container that is killed in between leaves a memo without a
log, which its owner sees and no report counts, or a log without a memo, which reports count and its owner never got.
The memos decide: the missing log is written from the memo, and the log without a memo is deleted, unless its owner
deleted the memo.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from shared.activity import log_of_memo
from shared.core.clock import DAY, Clock, midnight
from shared.tables import ActiveOwners, ApiKeys, LogKind, Memos, UsageLogs, Window
from shared.tables.usage_logs import MEMO_DELETED
from shared.usage.periods import GRACE
from shared.usage.recount import LOGS_READ

MEMOS_READ: Final = 500
"""Memos a page. A larger page would often be cut off at 900 kB, since each memo contains its text."""


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """The differences for one owner on one day, by memo id."""

    user_id: str
    day: date
    without_log: Sequence[str]
    without_memo: Sequence[str]

    @property
    def differs(self) -> bool:
        return bool(self.without_log or self.without_memo)

    def line(self) -> dict[str, object]:
        """Return the fields of a log line."""
        return {
            "user_id": self.user_id,
            "day": self.day.isoformat(),
            "without_log": list(self.without_log),
            "without_memo": list(self.without_memo),
        }


class MemoReconciliation:
    """Compares the memos of a day's active owners with their logs. With `repair`, corrects the logs that differ."""

    def __init__(
        self,
        *,
        active_owners: ActiveOwners,
        memos: Memos,
        logs: UsageLogs,
        keys: ApiKeys,
        clock: Clock,
        repair: bool,
    ) -> None:
        self._active_owners = active_owners
        self._memos = memos
        self._logs = logs
        self._keys = keys
        self._clock = clock
        self._repair = repair

    async def of_day(self, day: date) -> AsyncIterator[Mismatch]:
        """Yield the owners whose memos and logs of a UTC day differ. Raises StoreUnavailable. Repeatable.

        The last ten minutes are left out: their requests may still be under way. If the day's sums are stored, rebuild
        them after its logs were corrected.
        """
        async for user_id in self._active_owners.of(day):
            mismatch = await self.of_owner(user_id, day)
            if mismatch.differs:
                yield mismatch

    async def of_owner(self, user_id: str, day: date) -> Mismatch:
        """Compare one owner's memos and logs of a UTC day, as `of_day` does."""
        until = min(midnight(day) + DAY, self._clock() - GRACE)
        # Memos first: if an owner deletes a memo in between, its log, which is read later, is already marked.
        memos = await self._memos_between(user_id, midnight(day), until)
        logs = await self._logs_between(user_id, midnight(day), until)
        without_log = [memo_id for memo_id in memos if memo_id not in logs]
        without_memo = [memo_id for memo_id, is_deleted in logs.items() if memo_id not in memos and not is_deleted]
        if self._repair:
            for memo_id in without_log:
                await self._add_log(user_id, memo_id)
            for memo_id in without_memo:
                await self._logs.delete_memo(user_id, memo_id)
        return Mismatch(user_id=user_id, day=day, without_log=without_log, without_memo=without_memo)

    async def _add_log(self, user_id: str, memo_id: str) -> None:
        memo = await self._memos.get(user_id, memo_id)
        if memo is None:  # its owner deleted it meanwhile
            return
        key = None if memo.api_key_id is None else await self._keys.get_issued(memo.api_key_id)
        await self._logs.add(log_of_memo(memo, key))
        if memo.ended is not None:
            await self._logs.end_memo(memo.user_id, memo.id, memo.ended)

    async def _memos_between(self, user_id: str, since: datetime, until: datetime) -> dict[str, None]:
        """Return the ids of memos, newest first. A day of them with their texts could fill the container's memory."""
        memos: dict[str, None] = {}
        window = Window(limit=MEMOS_READ, since=since, until=until)
        while True:
            page = await self._memos.page(user_id, window)
            memos |= dict.fromkeys(memo.id for memo in page.rows)
            if page.after is None:
                return memos
            window = replace(window, after=page.after)

    async def _logs_between(self, user_id: str, since: datetime, until: datetime) -> dict[str, bool]:
        """Return by the ids of logs whether the owner has deleted the memo."""
        logs: dict[str, bool] = {}
        window = Window(limit=LOGS_READ, since=since, until=until)
        while True:
            page = await self._logs.rows(user_id, LogKind.MEMOS, window)
            logs |= {row.key.sort: MEMO_DELETED in row.document for row in page.rows}
            if page.after is None:
                return logs
            window = replace(window, after=page.after)
