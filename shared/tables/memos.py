"""Memos, by owner."""

from enum import StrEnum
from typing import Final

from shared.core.clock import Instant
from shared.core.errors import MemoNotFound
from shared.core.ids import is_id
from shared.stores.port import Key, Page, Store
from shared.tables.lists import Window, newest
from shared.tables.model import RowModel
from shared.tables.moved import MovedIds
from shared.tables.schema import MEMOS

ENDED: Final = "ended"
"""The extension of a long memo and of its log: how the memo ended."""


class AudioStatus(StrEnum):
    READY = "ready"
    PROCESSING = "processing"
    FAILED = "failed"


class Ended(RowModel):
    """How a long memo ended: with `seconds` of audio; None: it failed.

    Stored beside the memo and beside its log as `"ended": {"seconds": 481.25}` or `"ended": {"seconds": null}`.
    """

    seconds: float | None


class Memo(RowModel):
    """`audio_url` is relative to `PUBLIC_URL`; `character_count` counts UTF-16 code units.

    `api_key_id` is the key that made it; None: no key made it. A long memo (`is_long`) is said after the request that
    made it: its `duration_seconds` are an estimate, and `ended` is None until its end is written.
    """

    id: str
    user_id: str
    api_key_id: str | None = None
    text: str
    audio_url: str
    duration_seconds: float
    voice: str
    character_count: int
    title: str | None
    created_at: Instant
    is_long: bool = False
    ended: Ended | None = None

    @property
    def status(self) -> AudioStatus:
        if not self.is_long or (self.ended is not None and self.ended.seconds is not None):
            return AudioStatus.READY
        return AudioStatus.PROCESSING if self.ended is None else AudioStatus.FAILED

    @property
    def audio_seconds(self) -> float:
        """The length of the audio; for a long memo that is not ready, the estimate."""
        return self.duration_seconds if self.ended is None else self.ended.seconds or self.duration_seconds

    def audio_at(self, public_url: str) -> str:
        """Return the absolute URL of the audio. An absolute one, as memos that moved in may have, is unchanged."""
        return self.audio_url if "://" in self.audio_url else public_url + self.audio_url


class Memos:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._moved = MovedIds(store)

    async def get(self, user_id: str, memo_id: str) -> Memo | None:
        """Return the memo with this id, or with this id in the predecessor. None: the owner has no such memo."""
        current = memo_id if is_id(memo_id) else await self._moved.memo_id(user_id, memo_id)
        document = None if current is None else await self._store.get(MEMOS, Key(user_id, current))
        return None if document is None else Memo.read(document)

    async def load(self, user_id: str, memo_id: str) -> Memo:
        """Return the memo. Raises MemoNotFound if its owner has none with this id."""
        memo = await self.get(user_id, memo_id)
        if memo is None:
            raise MemoNotFound(memo_id)
        return memo

    async def page(self, user_id: str, window: Window, *, voice: str | None = None) -> Page[Memo]:
        """Return an owner's memos, newest first. With `voice` a page may be short though more memos follow."""
        page = await newest(
            self._store,
            MEMOS,
            user_id,
            window,
            keep=None if voice is None else lambda document: bool(document["voice"] == voice),
        )
        return Page(rows=[Memo.read(row.document) for row in page.rows], after=page.after)

    async def add(self, memo: Memo) -> None:
        await self._store.add(MEMOS, Key(memo.user_id, memo.id), memo.document())

    async def retitle(self, memo: Memo, title: str | None) -> Memo:
        await self._store.extend(MEMOS, Key(memo.user_id, memo.id), "title", title)
        return memo.model_copy(update={"title": title})

    async def end(self, user_id: str, memo_id: str, ended: Ended) -> None:
        """Write how a long memo ended. If the memo does not exist, the call has no effect."""
        await self._store.extend(MEMOS, Key(user_id, memo_id), ENDED, ended.document())

    async def delete(self, memo: Memo) -> None:
        await self.remove(memo.user_id, memo.id)

    async def remove(self, user_id: str, memo_id: str) -> None:
        """Delete a memo. An absent one is no error."""
        await self._store.delete(MEMOS, Key(user_id, memo_id))
