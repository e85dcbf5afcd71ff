"""Memos, by owner."""

from shared.core.clock import Instant
from shared.core.errors import MemoNotFound
from shared.core.ids import is_id
from shared.stores.port import Key, Page, Store
from shared.tables.lists import Window, newest
from shared.tables.model import RowModel
from shared.tables.schema import MEMOS


class Memo(RowModel):
    """`audio_url` is relative to `PUBLIC_URL`; `character_count` counts UTF-16 code units.

    `api_key_id` is the key that made it; None: no key did, as in a demo.
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

    def audio_at(self, public_url: str) -> str:
        """Return the absolute URL of the audio. Memos that moved in may have an absolute one: it stays."""
        return self.audio_url if "://" in self.audio_url else public_url + self.audio_url


class Memos:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, user_id: str, memo_id: str) -> Memo | None:
        document = await self._store.get(MEMOS, Key(user_id, memo_id)) if is_id(memo_id) else None
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

    async def delete(self, memo: Memo) -> None:
        await self._store.delete(MEMOS, Key(memo.user_id, memo.id))
