"""API keys: a check document each, and their owner's key ring."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from pydantic import Field

from shared.core.clock import Instant, iso
from shared.core.concurrency import gather_settled
from shared.core.errors import AgentTalkError, NotFound, ValidationFailed
from shared.stores.port import Document, Key, Store
from shared.tables.model import RowModel
from shared.tables.schema import API_KEYS, KEY_RINGS, KEY_USES

LIVE_PREFIX: Final = "at_live_"
TEST_PREFIX: Final = "at_test_"


class IssuedKey(RowModel):
    """All that a check of a key needs: one fact, extended by `name` and `revoked_at`. `id` derives from `key_hash`.

    Stored under its id as

        {"id": "5c1d…", "user_id": "019b…", "prefix": "at_live_", "key_hash": "5c1d…", "last_six": "Xk29fa",
         "name": "Default Key", "created_at": "2026-03-02T08:00:00.000Z", "expires_at": null, "revoked_at": null}

    and in its owner's key ring, `{"keys": [{…, "updated_at": "2026-03-02T08:00:00.000Z"}, …]}`, oldest first.
    """

    id: str
    user_id: str
    prefix: str
    key_hash: str = Field(repr=False)
    last_six: str = Field(repr=False)
    name: str
    created_at: Instant
    expires_at: Instant | None = None
    revoked_at: Instant | None = None

    @property
    def is_test(self) -> bool:
        return self.prefix == TEST_PREFIX

    def is_active(self, at: datetime) -> bool:
        """Neither revoked nor past its end."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class ApiKey(IssuedKey):
    """An owner's API key with its history. `last_used_at` is to the minute; None: never used."""

    updated_at: Instant
    usage_count: int = 0
    last_used_at: Instant | None = None


RING: Final = 500
"""How many keys a ring contains. Of more, the oldest inactive ones are dropped from the list; they stay revoked. A
larger ring makes every change of a key slower: it is one row of some 300 bytes a key."""


class ApiKeys:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_by_hash(self, key_hash: str) -> IssuedKey | None:
        """Return the key with this SHA-256, in one read."""
        return await self.get_issued(key_id(key_hash))

    async def get_issued(self, api_key_id: str) -> IssuedKey | None:
        """Return the key with this id, of any owner, in one read."""
        document = await self._store.get(API_KEYS, Key(api_key_id))
        return None if document is None else IssuedKey.read(document)

    async def of(self, user_id: str) -> list[ApiKey]:
        """Return an owner's keys, newest first, revoked ones included."""
        ring, uses, last = await gather_settled(
            self._store.get(KEY_RINGS, Key(user_id)),
            self._store.counters(f"{user_id}:uses:"),
            self._last_uses(user_id),
        )
        return [
            ApiKey.read(
                entry
                | {
                    "usage_count": uses.get(f"{user_id}:uses:{entry['id']}", 0),
                    "last_used_at": last.get(entry["id"]),
                }
            )
            for entry in reversed(_entries(ring))
        ]

    async def get(self, user_id: str, api_key_id: str) -> ApiKey | None:
        return next((key for key in await self.of(user_id) if key.id == api_key_id), None)

    async def load(self, user_id: str, api_key_id: str) -> ApiKey:
        """Raises NotFound."""
        key = await self.get(user_id, api_key_id)
        if key is None:
            raise _not_found()
        return key

    async def ring(self, user_id: str) -> list[IssuedKey]:
        """Return an owner's keys, oldest first, without their uses."""
        return [IssuedKey.read(entry) for entry in _entries(await self._store.get(KEY_RINGS, Key(user_id)))]

    async def begin_ring(self, key: IssuedKey) -> None:
        """Write a new owner's first key. The owner must be new: nothing else may write this ring yet."""
        await gather_settled(
            self._store.add(API_KEYS, Key(key.id), key.document()),
            self._store.add(KEY_RINGS, Key(key.user_id), {"keys": [_entry(key)]}),
        )

    async def discard_ring(self, key: IssuedKey) -> None:
        """Undo `begin_ring`."""
        await gather_settled(
            self._store.take_back(API_KEYS, Key(key.id)),
            self._store.take_back(KEY_RINGS, Key(key.user_id)),
        )

    async def create(self, key: IssuedKey, *, max_active: int, admitted: Awaitable[None] | None = None) -> None:
        """Add a key to its owner's ring. Raises ValidationFailed if the ring has `max_active` active keys.

        `admitted` is awaited meanwhile; if it raises, nothing is left of the key.

        The check document is written first. The ring is the commit: the key is answered only after it.
        """

        def change(ring: Document | None) -> Document:
            entries = _entries(ring)
            if _active(entries, key.created_at) >= max_active:
                raise ValidationFailed(
                    f"Maximum number of API keys ({max_active}) reached", details={"limit": max_active}
                )
            return {"keys": _kept([*entries, _entry(key)], key.created_at)}

        try:
            written = self._store.add(API_KEYS, Key(key.id), key.document())
            await gather_settled(*((written,) if admitted is None else (written, admitted)))
            await self._store.update(KEY_RINGS, Key(key.user_id), change)
        except AgentTalkError:
            await self._store.take_back(API_KEYS, Key(key.id))
            raise

    async def rename(self, user_id: str, api_key_id: str, name: str, at: datetime) -> None:
        """Raises NotFound."""
        await self._change_entry(user_id, api_key_id, lambda entry: entry | {"name": name, "updated_at": iso(at)})
        await self._store.extend(API_KEYS, Key(api_key_id), "name", name)

    async def revoke(self, user_id: str, api_key_id: str, at: datetime) -> IssuedKey:
        """End a key for good, in force at once. Returns it as it is then, with the time of its first revocation.

        Raises NotFound if its owner has no such key.

        The fact that every check sees comes first, then the ring. Repeatable until done.
        """
        ring = _entries(await self._store.get(KEY_RINGS, Key(user_id)))
        entry = next((entry for entry in ring if entry["id"] == api_key_id), None)
        if entry is None:
            raise _not_found()
        if entry["revoked_at"] is not None:
            return IssuedKey.read(entry)
        await self._store.extend(API_KEYS, Key(api_key_id), "revoked_at", iso(at))

        def revoke(entry: Document) -> Document:
            return entry if entry["revoked_at"] else entry | {"revoked_at": iso(at), "updated_at": iso(at)}

        return IssuedKey.read(await self._change_entry(user_id, api_key_id, revoke))

    async def mark_used(self, user_id: str, api_key_id: str, minute: datetime) -> None:
        await self._store.put(KEY_USES, Key(user_id, api_key_id), {"at": iso(minute)})

    async def _last_uses(self, user_id: str) -> dict[str, str]:
        found: dict[str, str] = {}
        after = None
        while True:
            page = await self._store.page(KEY_USES, user_id, after=after, limit=1000)
            found |= {row.key.sort: row.document["at"] for row in page.rows}
            if page.after is None:
                return found
            after = page.after

    async def _change_entry(self, user_id: str, api_key_id: str, change: Callable[[Document], Document]) -> Document:
        """Change one entry of a ring, and return it as it is then. Raises NotFound."""

        def change_ring(ring: Document | None) -> Document:
            entries = _entries(ring)
            if all(entry["id"] != api_key_id for entry in entries):
                raise _not_found()
            return {"keys": [change(entry) if entry["id"] == api_key_id else entry for entry in entries]}

        updated = await self._store.update(KEY_RINGS, Key(user_id), change_ring)
        return next(entry for entry in _entries(updated.after) if entry["id"] == api_key_id)


def key_id(key_hash: str) -> str:
    """Return an API key's id: half of its SHA-256, in hexadecimal. It reveals nothing of 256 random bits."""
    return key_hash[:32]


def uses_counter(key: IssuedKey) -> str:
    """Return the name of the counter of the memos made with a key."""
    return f"{key.user_id}:uses:{key.id}"


def _not_found() -> NotFound:
    return NotFound("API key not found")


def _entry(key: IssuedKey) -> Document:
    return key.document() | {"updated_at": iso(key.created_at)}


def _entries(ring: Document | None) -> list[Document]:
    return [] if ring is None else ring["keys"]


def _active(entries: list[Document], at: datetime) -> int:
    return sum(IssuedKey.read(entry).is_active(at) for entry in entries)


def _kept(entries: list[Document], at: datetime) -> list[Document]:
    """Return at most `RING` entries, without the oldest inactive ones."""
    inactive = [entry for entry in entries if not IssuedKey.read(entry).is_active(at)] if len(entries) > RING else []
    dropped = {entry["id"] for entry in inactive[: len(entries) - RING]}
    return [entry for entry in entries if entry["id"] not in dropped]
