"""The list of long memos: each from the answer `processing` until its end is written.

A row is stored under `all` and the memo's id, as

    {"memo_id": "019c…", "user_id": "019b…", "file": "4f1d…-9c07….mp3", "speech": "polly",
     "places": [{"counter": "019b…:calls:2026-03-02", "by": 1, "ends_at": "2026-03-03T00:00:00.000Z"}, …],
     "created_at": "2026-03-02T08:00:00.000Z", "sent_at": "2026-03-02T08:00:00.000Z", "sendings": 1,
     "keyed_at": null, "outcome": null}

and its `outcome`, which is written once, is one of these:

    {"end": "ready", "at": "2026-03-02T08:01:00.000Z", "seconds": 481.25}
    {"end": "failed", "at": "2026-03-02T08:01:00.000Z", "code": "TTS_SERVICE_ERROR"}
    {"end": "deleted", "at": "2026-03-02T08:01:00.000Z"}
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.core.clock import Instant
from shared.stores.port import Bound, Document, Key, Store
from shared.tables.model import RowModel
from shared.tables.schema import LONG_MEMOS

LISTED: Final = 1000
"""Rows a page: the most that a store reads at once."""

_ALL: Final = "all"


class MemoEnd(StrEnum):
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"


class Outcome(RowModel):
    """How a long memo ended. `seconds` of audio if it is ready; `code` of the error if it failed."""

    end: MemoEnd
    at: Instant
    seconds: float | None = None
    code: str | None = None


class Place(RowModel):
    """A counted place of the memo: the store's `Bound`, without `most`."""

    counter: str
    by: int
    ends_at: Instant | None

    @classmethod
    def of(cls, bound: Bound) -> "Place":
        return cls(counter=bound.counter, by=bound.by, ends_at=bound.ends_at)

    def bound(self) -> Bound:
        return Bound(counter=self.counter, by=self.by, ends_at=self.ends_at)


class LongMemo(RowModel):
    """`speech` names the voices that say it. `sent_at` is when it was last queued, `sendings` how often it was.

    `keyed_at` is when a run of its idempotency key last listed it: that run may be about to write the memo. None: it
    has no idempotency key.
    """

    memo_id: str
    user_id: str
    file: str
    speech: str
    places: tuple[Place, ...]
    created_at: Instant
    sent_at: Instant
    sendings: int = 1
    keyed_at: Instant | None = None
    outcome: Outcome | None = None


class LongMemoList:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, memo_id: str) -> LongMemo | None:
        """Return the row of a long memo. None: there is none, or the memo's end was written."""
        document = await self._store.get(LONG_MEMOS, _key(memo_id))
        return None if document is None else LongMemo.read(document)

    async def add(self, row: LongMemo) -> None:
        await self._store.add(LONG_MEMOS, _key(row.memo_id), row.document())

    async def add_again(self, row: LongMemo) -> None:
        """List a memo that an earlier run may have listed. An existing row gets this one's `keyed_at`.

        It keeps its places, which are those of the run that may have written the memo.
        """

        def listed(document: Document | None) -> Document:
            there = row if document is None else LongMemo.read(document)
            return there.model_copy(update={"keyed_at": row.keyed_at}).document()

        await self._store.update(LONG_MEMOS, _key(row.memo_id), listed)

    async def drop(self, row: LongMemo) -> None:
        """Remove the row of a memo that was never written, unless a run listed it again."""

        def dropped(document: Document | None) -> Document | None:
            same = document is None or LongMemo.read(document).keyed_at == row.keyed_at
            return None if same else document

        await self._store.update(LONG_MEMOS, _key(row.memo_id), dropped)

    async def every(self) -> AsyncIterator[LongMemo]:
        """Yield all rows, oldest first. One request for LISTED rows."""
        after: str | None = None
        while True:
            page = await self._store.page(LONG_MEMOS, _ALL, after=after, limit=LISTED)
            for row in page.rows:
                yield LongMemo.read(row.document)
            after = page.after
            if after is None:
                return

    async def decide(self, memo_id: str, outcome: Outcome) -> LongMemo | None:
        """Write the outcome unless the row has one. Returns the row after that: all callers get the same outcome.

        None: there is no row any more.
        """

        def decided(row: LongMemo) -> LongMemo:
            return row if row.outcome is not None else row.model_copy(update={"outcome": outcome})

        return await self._change(memo_id, decided)

    async def sent_again(self, memo_id: str, at: datetime) -> LongMemo | None:
        """Store that the memo is queued again. None: there is no row any more."""
        return await self._change(
            memo_id, lambda row: row.model_copy(update={"sent_at": at, "sendings": row.sendings + 1})
        )

    async def remove(self, memo_id: str) -> bool:
        """Remove the row. Returns True to the one caller that removed it."""
        updated = await self._store.update(LONG_MEMOS, _key(memo_id), lambda _: None)
        return updated.before is not None

    async def _change(self, memo_id: str, change: Callable[[LongMemo], LongMemo]) -> LongMemo | None:
        def changed(document: Document | None) -> Document | None:
            return None if document is None else change(LongMemo.read(document)).document()

        updated = await self._store.update(LONG_MEMOS, _key(memo_id), changed)
        return None if updated.after is None else LongMemo.read(updated.after)


def _key(memo_id: str) -> Key:
    return Key(_ALL, memo_id)
