"""The end of a long memo: ready, failed or deleted. It is decided once; if its worker dies, the next one writes it.

The outcome is written into the memo's row of the list, once. The steps that follow are repeatable up to the row's
removal: an extension of the memo and one of its log, a new count of sums that exist, logs of a failure, deleting audio.
Only the caller that removes the row gives the places of a failed memo back, so they are never given back twice.
"""

import logging
from datetime import datetime
from typing import Final

from shared.activity import UsageRecorder
from shared.audio.files import AudioFiles, delete_file, delete_parts
from shared.core.clock import HOUR, Clock, floor
from shared.core.concurrency import gather_settled
from shared.core.ids import derived_id
from shared.limits.quotas import Quotas
from shared.stores.port import Store, StoreUnavailable
from shared.tables import Tables
from shared.tables.long_memos import LongMemo, MemoEnd, Outcome
from shared.tables.memos import Ended
from shared.tables.usage_logs import Action
from shared.usage.periods import Calendar
from shared.usage.rebuilding import UsageRebuild
from shared.usage.rollups import Rollups

COUNTS: Final = 5
"""The most comparisons of a day's sums with its logs, until they agree: another memo of that day may end at the same
time. More would help only with a store that loses acknowledged writes."""

_log = logging.getLogger("agent_talk.memos")


class LongMemoEndings:
    def __init__(self, store: Store, tables: Tables, *, quotas: Quotas, recorder: UsageRecorder, clock: Clock) -> None:
        self._tables = tables
        self._quotas = quotas
        self._recorder = recorder
        self._clock = clock
        self._rebuild = UsageRebuild(logs=tables.usage_logs, rollups=Rollups(store), clock=clock, repair=True)

    async def decide(
        self, files: AudioFiles, memo_id: str, end: MemoEnd, *, seconds: float | None = None, code: str | None = None
    ) -> LongMemo | None:
        """Decide the end of a memo, write it, and return its row.

        The row has the outcome that was decided first, which may be another one. None: the end was written before.
        Raises StoreUnavailable, AudioPlaceFailed; then it can be repeated.
        """
        outcome = Outcome(end=end, at=self._clock(), seconds=seconds, code=code)
        row = await self._tables.long_memos.decide(memo_id, outcome)
        if row is not None:
            await self.write(files, row)
        return row

    async def delete(self, files: AudioFiles, memo_id: str) -> bool:
        """End a memo as deleted, and return whether it did. False: it ended otherwise, and its worker writes that."""
        row = await self._tables.long_memos.decide(memo_id, Outcome(end=MemoEnd.DELETED, at=self._clock()))
        if row is None or row.outcome is None or row.outcome.end is not MemoEnd.DELETED:
            return False
        await self.write(files, row)
        return True

    async def write(self, files: AudioFiles, row: LongMemo) -> None:
        """Carry out a row's outcome, and remove the row. Repeatable, also by several callers at the same time."""
        outcome = row.outcome
        assert outcome is not None, "it was decided"
        match outcome.end:
            case MemoEnd.READY:
                await self._write_end(row, outcome.seconds)
                await delete_parts(files, row.file)
            case MemoEnd.FAILED:
                await self._write_end(row, None)
                await self._record_failure(row, outcome)
                await delete_file(files, row.file)
            case MemoEnd.DELETED:
                await self._recorder.note_long_deleted(row.user_id, row.memo_id, f"/audio/{row.file}")
                await delete_file(files, row.file)
                await self._tables.memos.remove(row.user_id, row.memo_id)
        if await self._tables.long_memos.remove(row.memo_id):
            _log.info("a long memo ended", extra={"memo_id": row.memo_id, "end": outcome.end, "code": outcome.code})
            if outcome.end is MemoEnd.FAILED:
                await self._give_back(row)

    async def _write_end(self, row: LongMemo, seconds: float | None) -> None:
        ended = Ended(seconds=seconds)
        await gather_settled(
            self._tables.memos.end(row.user_id, row.memo_id, ended),
            self._tables.usage_logs.end_memo(row.user_id, row.memo_id, ended),
        )
        await self._count_again(row.user_id, row.created_at)

    async def _record_failure(self, row: LongMemo, outcome: Outcome) -> None:
        """Record a failure as of its time. Ids are derived from the outcome, so repeats write the same logs."""
        memo = await self._tables.memos.get(row.user_id, row.memo_id)
        if memo is None:  # its owner deleted it meanwhile
            return
        key = None if memo.api_key_id is None else await self._tables.api_keys.get_issued(memo.api_key_id)
        metadata = {
            "code": outcome.code,
            "voice": memo.voice,
            "characters": memo.character_count,
            "test": False,
            "memoId": memo.id,
        }
        for action in (Action.MEMO_FAILED, Action.ERROR_TTS):
            await self._recorder.record(
                action,
                user_id=row.user_id,
                at=outcome.at,
                key=key,
                metadata=metadata,
                log_id=derived_id(outcome.at, f"{row.memo_id}:{action}"),
            )
        await self._count_again(row.user_id, outcome.at)

    async def _count_again(self, user_id: str, at: datetime) -> None:
        """Count the logs of a day again if its sums, or those of its hours, may exist.

        Raises StoreUnavailable if sums and logs still differ after COUNTS comparisons.
        """
        if not Calendar(user_id=user_id, now=self._clock()).has_ended(floor(at, HOUR) + HOUR):
            return
        for _ in range(COUNTS):
            months = [month async for month in self._rebuild.rebuild(user_id, at.date(), at.date())]
            if not any(month.wrong for month in months):
                return
        raise StoreUnavailable(f"the sums of {at:%Y-%m-%d} of {user_id} still differ from its logs")

    async def _give_back(self, row: LongMemo) -> None:
        now = self._clock()
        places = [place.bound() for place in row.places if place.ends_at is None or place.ends_at > now]
        await self._quotas.reservation(taken=places).give_back()
