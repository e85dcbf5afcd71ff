"""Saying long memos, which the queue hands over. A worker may stop anywhere, and two may have the same memo."""

import logging
from collections.abc import Callable
from datetime import timedelta
from math import inf
from typing import Final

from shared.audio.files import AudioFiles, delete_parts, is_closed
from shared.audio.opening import AudioPlace
from shared.core.clock import Clock
from shared.core.errors import AgentTalkError, InternalError
from shared.jobs.queue import MemoQueue
from shared.jobs.worked import CanGoOn, Progress, Worked, always, silent
from shared.memos.endings import LongMemoEndings
from shared.speech.opening import Speakers
from shared.speech.piecewise import NotWanted, Unfinished
from shared.speech.reading import read_text
from shared.speech.voices import VOICES
from shared.tables import Tables
from shared.tables.long_memos import LongMemo, MemoEnd
from shared.tables.memos import AudioStatus, Memo

TRIES: Final = 3
"""The number of tries from which a failure ends a memo. Each try says only the missing pieces."""

SENDINGS: Final = 5
"""The times that a memo is queued before it fails: it stopped its workers each time."""

WRITTEN_S: Final = 60.0
"""Seconds after which a memo's request has ended: a memo that does not exist by then will not be written."""

STOPPED: Final = timedelta(hours=1)
"""The age at which a queued memo is no longer in the queue: SQS hands it over five times, six minutes apart."""

_log = logging.getLogger("agent_talk.speaker")


class NotYet(Exception):
    """The memo is neither finished nor failed: hand it over again."""


class LongMemoSpeaker:
    def __init__(
        self, tables: Tables, *, endings: LongMemoEndings, speakers: Speakers, audio: AudioPlace, clock: Clock
    ) -> None:
        self._tables = tables
        self._endings = endings
        self._speakers = speakers
        self._audio = audio
        self._clock = clock

    async def say(self, memo_id: str, tries: int, *, time_left_s: Callable[[], float] = lambda: inf) -> bool:
        """Say a long memo, or the rest of it, and write its end. False: some pieces were said, and more are left.

        `tries` is how often it was handed over. From TRIES on a failure of speech or of the audio place ends the memo;
        before, it is raised. Raises NotYet, AudioPlaceFailed, StoreUnavailable: hand the memo over again. A memo that
        has ended costs one read.
        """
        row = await self._tables.long_memos.get(memo_id)
        memo = None if row is None else await self._wanted(self._files(), row)
        if row is None or memo is None:
            return True
        files = self._files()
        try:
            seconds = await self._said(memo, row, time_left_s)
        except NotWanted as exc:
            if await self._tables.long_memos.get(memo_id) is not None:
                raise NotYet("another worker writes its end") from exc
            await delete_parts(files, row.file)  # pieces that this worker kept after the end was written
            return True
        except Unfinished as exc:
            if not exc.bought:
                raise NotYet("another worker says it, or the time was too short") from exc
            return False
        except Exception as exc:
            if tries < TRIES:
                raise
            _log.exception("a long memo failed", extra={"memo_id": memo_id, "tries": tries})
            code = exc.code if isinstance(exc, AgentTalkError) else InternalError.code
            await self._endings.decide(files, memo_id, MemoEnd.FAILED, code=code)
            return True
        ended = await self._endings.decide(files, memo_id, MemoEnd.READY, seconds=seconds)
        if ended is None or await is_closed(files, row.user_id):
            await self._discard(memo_id, row)
        return True

    async def work(self, memo_id: str, tries: int) -> None:
        """Say a memo to its end, without a limit of time. This is the work of a queue in this process."""
        while not await self.say(memo_id, tries):
            pass

    async def send_stopped(
        self, queue: MemoQueue, *, idle: timedelta, can_go_on: CanGoOn = always, progress: Progress = silent
    ) -> Worked:
        """Queue listed memos again that were last queued over `idle` ago.

        Stops when its time is up. A memo that was queued SENDINGS times fails. Costs a request if the list is short.
        Raises StoreUnavailable, AudioPlaceFailed, QueueFailed.
        """
        worked = Worked()
        async for row in self._tables.long_memos.every():
            now, due_at = self._clock(), row.created_at + idle
            due_since = due_at if due_at <= now else None
            if now < row.sent_at + idle:
                worked = worked.plus(waiting=1, due_since=due_since)
                continue
            if not can_go_on():
                return worked.plus(is_done=False, due_since=due_since)
            if row.sendings >= SENDINGS and row.outcome is None:
                _log.error("a long memo stopped its workers: it fails", extra={"memo_id": row.memo_id})
                await self._endings.decide(self._files(), row.memo_id, MemoEnd.FAILED, code=InternalError.code)
                due_since = None
            elif await self._tables.long_memos.sent_again(row.memo_id, now) is not None:
                await queue.send(row.memo_id)
            worked = worked.plus(done=1, due_since=due_since)
            progress(row.memo_id)
        return worked

    def _files(self) -> AudioFiles:
        files = self._audio.files
        if files is None:
            raise NotYet("there is no place for audio, though there are long memos: AUDIO was unset meanwhile")
        return files

    async def _said(self, memo: Memo, row: LongMemo, time_left_s: Callable[[], float]) -> float:
        speaker = self._speakers.named(row.speech)
        reading = await read_text(speaker, memo.text)
        return await speaker.speak_long(reading, VOICES[memo.voice], file=row.file, time_left_s=time_left_s)

    async def _wanted(self, files: AudioFiles, row: LongMemo) -> Memo | None:
        """Return the memo to say. None: it has ended, and its end is written, or it will never exist.

        A memo that its request never wrote ends as deleted; that of an idempotency key only leaves the list. Raises
        NotYet while the request may still write it.
        """
        if row.outcome is not None:
            await self._endings.write(files, row)
            return None
        memo = await self._tables.memos.get(row.user_id, row.memo_id)
        if memo is None and (self._clock() - (row.keyed_at or row.created_at)).total_seconds() < WRITTEN_S:
            raise NotYet("its request may still be under way")
        if memo is None and row.keyed_at is not None:  # delete nothing else: a repeat may be about to write it
            await self._tables.long_memos.drop(row)
            return None
        if memo is None or await is_closed(files, row.user_id):
            await self._endings.decide(files, row.memo_id, MemoEnd.DELETED)
            return None
        return memo

    async def _discard(self, memo_id: str, row: LongMemo) -> None:
        """Delete the audio of a memo that was ended otherwise while it was said.

        It was deleted or failed, or its owner's account was closed.
        """
        memo = await self._tables.memos.get(row.user_id, memo_id)
        if memo is None or memo.status is not AudioStatus.READY or await is_closed(self._files(), row.user_id):
            await self._speakers.named(row.speech).discard(row.file)
