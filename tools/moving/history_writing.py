"""Write an owner's memos and logs, so that a move can stop anywhere and continue."""

from collections.abc import Coroutine, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeVar

from shared.core.concurrency import AT_ONCE, gather_settled, in_batches
from shared.stores.port import AlreadyExists, Document, Key, Row, Store, Table
from shared.tables import MEMOS, LogKind, Tables, Window
from shared.tables.memos import Memo
from shared.tables.schema import MOVED, USAGE_LOGS
from tools.moving.audio import AudioMover
from tools.moving.history import Moved
from tools.moving.planning import Advance, MovedOwner, Planner
from tools.moving.there import There
from tools.moving.working_copy import OldKind

BATCH: Final = 200
"""Rows of a history that are written between two reports of progress."""

T = TypeVar("T")


class HistoryWriter:
    """Writes planned histories. `audio` None: memos keep the URLs of their audio."""

    def __init__(self, planner: Planner, store: Store, audio: AudioMover | None) -> None:
        self._planner = planner
        self._store = store
        self._tables = Tables.on(store)
        self._audio = audio

    async def write(self, owner: MovedOwner, advance: Advance, *, again: bool) -> None:
        user_id, there = owner.user.id, There(self._planner.copy)
        if again:
            await self._look(user_id, there)
        for batch in _batches(self._planner.history(owner), BATCH):
            await _drained(
                self._adopt(moved) if there.has(moved.sort) else self._write(user_id, moved) for moved in batch
            )
            advance(len(batch))
        if again:
            await self._remove_deleted(owner)
            await in_batches(self._tables.usage_logs.delete_memo(user_id, sort) for sort in there.outdated())

    async def _look(self, user_id: str, there: There) -> None:
        """Read the logs that earlier runs have written into `there`."""
        for kind in LogKind:
            after, more = None, True
            while more:
                window = Window(limit=1000, after=after)
                page = await self._tables.usage_logs.rows(user_id, kind, window, newest_first=False)
                there.add(page.rows)
                after, more = page.after, page.after is not None

    async def _write(self, user_id: str, moved: Moved) -> None:
        """Write a memo with the maps of its ids, and its log last: an existing log proves that all of it exists."""
        if moved.memo is not None:
            memo, copied = moved.memo, None
            if self._audio is not None and moved.audio is not None:
                copied = await self._audio.copy(memo, moved.old_id, moved.audio)
            old_file = moved.audio.name if moved.audio is not None and copied is not None else None
            if copied is not None:
                memo = memo.model_copy(update={"audio_url": copied})
            await gather_settled(
                self._tables.moved.add_memo(user_id, moved.old_id, memo.id, old_file=old_file),
                self._add_memo(memo, is_copied=copied is not None),
            )
        await self._add(USAGE_LOGS, Key(f"{user_id}.{_log_kind(moved)}", moved.sort), moved.document)

    async def _adopt(self, moved: Moved) -> None:
        """Copy the audio of a memo that an earlier run moved without it."""
        if self._audio is None or moved.audio is None or moved.memo is None:
            return
        memo = moved.memo
        copied = await self._audio.copy(memo, moved.old_id, moved.audio)
        there = None if copied is None else await self._tables.memos.get(memo.user_id, memo.id)
        if there is not None and there.audio_url != copied:
            await self._tables.moved.note_audio(memo.user_id, moved.old_id, moved.audio.name)
            await self._store.extend(MEMOS, Key(memo.user_id, memo.id), "audio_url", copied)

    async def _add_memo(self, memo: Memo, *, is_copied: bool) -> None:
        """Add a memo. One that an earlier run added, maybe without its audio, gets the URL of the copy."""
        key = Key(memo.user_id, memo.id)
        try:
            await self._store.add(MEMOS, key, memo.document())
        except AlreadyExists:
            if is_copied:
                await self._store.extend(MEMOS, key, "audio_url", memo.audio_url)

    async def _add(self, table: Table, key: Key, document: Document) -> None:
        """Add a row; if an earlier run has added it, keep that one."""
        with suppress(AlreadyExists):
            await self._store.add(table, key, document)

    async def _remove_deleted(self, owner: MovedOwner) -> None:
        """Remove the memos that the predecessor no longer has. It may still have their logs, which move as such."""
        copy, tables, user_id = self._planner.copy, self._tables, owner.user.id
        memos = copy.sorts_of_memos(owner.old.id)
        after: str | None = None
        while True:
            page = await tables.moved.page(user_id, after=after, limit=1000)
            gone = [row for row in page.rows if "memo_id" in row.document and row.key.sort not in memos]
            await in_batches(self._remove(user_id, row) for row in gone)
            after = page.after
            if after is None:
                return

    async def _remove(self, user_id: str, row: Row) -> None:
        memo_id = row.document["memo_id"]
        await self._tables.memos.remove(user_id, memo_id)
        await self._tables.usage_logs.delete_memo(user_id, memo_id)
        await self._tables.moved.forget(row)
        await self._store.delete(MOVED, row.key)


def _log_kind(moved: Moved) -> LogKind:
    return LogKind.MEMOS if moved.kind is OldKind.MADE else LogKind.EVENTS


async def _drained(calls: Iterator[Coroutine[Any, Any, None]]) -> None:
    """Await all calls, at most AT_ONCE at a time: in batches each row would wait for the slowest of its batch.

    After an error no further call begins, and the error is raised when the running calls have ended.
    """
    has_failed = False

    async def work() -> None:
        nonlocal has_failed
        while not has_failed and (call := next(calls, None)) is not None:
            try:
                await call
            except BaseException:
                has_failed = True
                raise

    await gather_settled(*(work() for _ in range(AT_ONCE)))


def _batches(rows: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(rows, size)):
        yield batch
