"""The predecessor's ids and files, each with the id or file that replaces it: written when its users move in.

| key | row |
|---|---|
| `users / <digest of the old id>` | `{"user_id": "019b…"}`, extended by `seen`: a digest of all that has moved |
| `audio / <digest of the old file>` | `{"user_id": "019b…", "file": "<owner>-<random>.mp3"}` |
| `<owner> / memo.<digest of the old id>` | `{"memo_id": "019c…", "audio": "<digest of the old file, or null>"}` |
| `<owner> / user.<digest of the old id>` | `{}`: leads to the first of these rows when the account is erased |
"""

import hashlib
from typing import Final

from shared.stores.port import AlreadyExists, Document, Key, Page, Row, Store
from shared.tables.schema import MOVED

SEEN: Final = "seen"
_USERS: Final = "users"
_AUDIO: Final = "audio"
_MEMO: Final = "memo."
_USER: Final = "user."


class MovedIds:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def user(self, old_id: str) -> Document | None:
        """Return a user's new id as `user_id`, and the last digest as `seen`. None: the user has not moved yet."""
        return await self._store.get(MOVED, Key(_USERS, digest_of(old_id)))

    async def memo_id(self, user_id: str, old_id: str) -> str | None:
        """Return the id of an owner's memo by its old id. None: none of this owner's memos had it."""
        row = await self._store.get(MOVED, Key(user_id, memo_sort(old_id)))
        return None if row is None else row["memo_id"]

    async def audio_file(self, old_file: str) -> str | None:
        """Return the file of a memo's audio by its old name. None: no audio of this name has moved in."""
        row = await self._store.get(MOVED, Key(_AUDIO, digest_of(old_file)))
        return None if row is None else row["file"]

    async def add_user(self, old_id: str, user_id: str) -> None:
        """Map a user. Await it before any row of the user is written. Repeatable."""
        digest = digest_of(old_id)
        await self._add(Key(user_id, _USER + digest), {})
        await self._add(Key(_USERS, digest), {"user_id": user_id})

    async def add_memo(self, user_id: str, old_id: str, memo_id: str, *, old_file: str | None = None) -> None:
        """Map a memo; `old_file` is the name of its audio if that was copied. Repeatable, also to add the audio later.

        Raises AlreadyExists if the old id leads to another memo.
        """
        key, audio = Key(user_id, memo_sort(old_id)), None if old_file is None else digest_of(old_file)
        try:
            await self._store.add(MOVED, key, {"memo_id": memo_id, "audio": audio})
        except AlreadyExists:
            stored = await self._store.get(MOVED, key)
            if stored is not None and stored["memo_id"] != memo_id:
                raise
            if old_file is not None:
                await self.note_audio(user_id, old_id, old_file)

    async def add_audio(self, user_id: str, old_file: str, file: str) -> bool:
        """Map a file. Repeatable. Returns False if the name leads to another memo's file already."""
        key, row = Key(_AUDIO, digest_of(old_file)), {"user_id": user_id, "file": file}
        try:
            await self._store.add(MOVED, key, row)
        except AlreadyExists:
            return await self._store.get(MOVED, key) == row
        return True

    async def note_audio(self, user_id: str, old_id: str, old_file: str) -> None:
        """Store that the audio of a mapped memo was copied. So `forget` deletes its row with the memo's."""
        await self._store.extend(MOVED, Key(user_id, memo_sort(old_id)), "audio", digest_of(old_file))

    async def mark_seen(self, old_id: str, seen: str) -> None:
        """Store a digest of the user's data in the predecessor, all of which has moved."""
        await self._store.extend(MOVED, Key(_USERS, digest_of(old_id)), SEEN, seen)

    async def page(self, user_id: str, *, after: str | None, limit: int) -> Page[Row]:
        """Return a page of an owner's rows, for `forget`."""
        return await self._store.page(MOVED, user_id, after=after, limit=limit)

    async def forget(self, row: Row) -> None:
        """Delete the row that one of an owner's rows leads to, then that row itself. Repeatable."""
        sort = row.key.sort
        leads_to = Key(_USERS, sort.removeprefix(_USER)) if sort.startswith(_USER) else None
        if row.document.get("audio") is not None:
            leads_to = Key(_AUDIO, row.document["audio"])
        if leads_to is not None:
            await self._store.delete(MOVED, leads_to)
            await self._store.delete(MOVED, row.key)

    async def _add(self, key: Key, document: Document) -> None:
        """Add a row. Raises AlreadyExists if the key has another document; `seen` is not compared."""
        try:
            await self._store.add(MOVED, key, document)
        except AlreadyExists:
            stored = await self._store.get(MOVED, key)
            if stored is not None and {**stored, SEEN: None} != {**document, SEEN: None}:
                raise


def memo_sort(old_id: str) -> str:
    """Return the sort part of a memo's row."""
    return _MEMO + digest_of(old_id)


def digest_of(old: str) -> str:
    """Return a key for any text that an old id can be."""
    return hashlib.sha256(old.encode("utf-8", "surrogatepass")).hexdigest()[:32]
