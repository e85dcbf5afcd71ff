"""API keys: a check document each, and their owner's key ring."""

from collections.abc import Awaitable
from datetime import datetime
from typing import Final

from pydantic import Field

from shared.core.clock import Instant, iso
from shared.core.concurrency import gather_settled
from shared.core.errors import AgentTalkError, NotFound, ValidationFailed
from shared.core.ids import is_id
from shared.core.request import time_to_undo
from shared.stores.best_effort import best_effort
from shared.stores.port import Document, Key, Store, StoreError
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
        ring, uses, beside = await gather_settled(
            self._store.get(KEY_RINGS, Key(user_id)),
            self._store.counters(f"{user_id}:uses:"),
            self._beside(user_id),
        )
        return [
            ApiKey.read(
                entry
                | {
                    "usage_count": uses.get(f"{user_id}:uses:{entry['id']}", 0),
                    "last_used_at": beside.used.get(entry["id"]),
                }
            )
            for entry in reversed(beside.merged(_entries(ring)))
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
        ring, beside = await gather_settled(self._store.get(KEY_RINGS, Key(user_id)), self._beside(user_id))
        return [IssuedKey.read(entry) for entry in beside.merged(_entries(ring))]

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

        beside = _BesideRing()

        def change(ring: Document | None) -> Document:
            entries = beside.merged(_entries(ring))
            if _active(entries, key.created_at) >= max_active:
                raise ValidationFailed(
                    f"Maximum number of API keys ({max_active}) reached", details={"limit": max_active}
                )
            return {"keys": _kept([*entries, _entry(key)], key.created_at)}

        try:
            written = self._store.add(API_KEYS, Key(key.id), key.document())
            await gather_settled(*((written,) if admitted is None else (written, admitted)))
            try:
                await self._store.update(KEY_RINGS, Key(key.user_id), change)
            except ValidationFailed:  # a revocation that the ring lacks may leave room
                beside = await self._beside(key.user_id)
                await self._store.update(KEY_RINGS, Key(key.user_id), change)
        except AgentTalkError:
            await self._store.take_back(API_KEYS, Key(key.id))
            raise

    async def rename(self, user_id: str, api_key_id: str, name: str, at: datetime) -> None:
        """Rename a key, for lists and for logs alike. Raises NotFound if its owner has no such key.

        The name that checks read comes first, and decides: the ring follows it, also when several rename at once. If
        the ring cannot be written, the name is stored where lists read it; if that fails too, the old name stands.
        """
        _check_id(api_key_id)
        ring, issued, beside = await gather_settled(
            self._store.get(KEY_RINGS, Key(user_id)),
            self._store.get(API_KEYS, Key(api_key_id)),
            self._store.get(KEY_USES, _name_key(user_id, api_key_id)),
        )
        if issued is None or all(entry["id"] != api_key_id for entry in _entries(ring)):
            raise _not_found()
        await self._store.extend(API_KEYS, Key(api_key_id), "name", name)
        try:
            await self._follow_name(user_id, api_key_id, name, at)
        except StoreError:
            with best_effort("a key's new name could not be taken back: rename it", key_id=api_key_id), time_to_undo():
                await self._store.extend(API_KEYS, Key(api_key_id), "name", issued["name"])
            raise
        if beside is not None:
            await self._store.delete(KEY_USES, _name_key(user_id, api_key_id))

    async def _follow_name(self, user_id: str, api_key_id: str, name: str, at: datetime) -> None:
        """Give the ring the name that checks read: of renames at once, the one that stands there."""
        while True:
            renamed = {"name": name, "updated_at": iso(at)}
            try:
                await self._change_entry(user_id, api_key_id, renamed)
            except StoreError:
                await self._store.put(KEY_USES, _name_key(user_id, api_key_id), renamed)
            issued = await self._store.get(API_KEYS, Key(api_key_id))
            if issued is None or issued["name"] == name:
                return
            name = issued["name"]

    async def revoke(self, user_id: str, api_key_id: str, at: datetime) -> IssuedKey:
        """End a key for good, in force at once. Returns it as it is then, with the time of its first revocation.

        Raises NotFound if its owner has no such key. Repeatable until done: the fact that every check reads comes
        first, then the ring. If the ring cannot be written, the revocation is stored where lists and the count of
        active keys read it, and the ring follows with its next change.
        """
        _check_id(api_key_id)
        ring, issued = await gather_settled(
            self._store.get(KEY_RINGS, Key(user_id)), self._store.get(API_KEYS, Key(api_key_id))
        )
        entry = next((entry for entry in _entries(ring) if entry["id"] == api_key_id), None)
        if entry is None or issued is None:
            raise _not_found()
        if entry["revoked_at"] is not None:
            return IssuedKey.read(entry)
        revoked_at = issued["revoked_at"] or iso(at)
        if issued["revoked_at"] is None:
            await self._store.extend(API_KEYS, Key(api_key_id), "revoked_at", revoked_at)
        revoked = {"revoked_at": revoked_at, "updated_at": revoked_at}
        try:
            return IssuedKey.read(await self._change_entry(user_id, api_key_id, revoked, unless="revoked_at"))
        except StoreError:
            await self._store.put(KEY_USES, Key(user_id, f"{api_key_id}.revoked"), revoked)
            return IssuedKey.read(entry | revoked)

    async def mark_used(self, user_id: str, api_key_id: str, minute: datetime) -> None:
        await self._store.put(KEY_USES, Key(user_id, api_key_id), {"at": iso(minute)})

    async def _beside(self, user_id: str) -> "_BesideRing":
        beside = _BesideRing()
        after = None
        while True:
            page = await self._store.page(KEY_USES, user_id, after=after, limit=1000)
            for row in page.rows:
                beside.add(row.key.sort, row.document)
            if page.after is None:
                return beside
            after = page.after

    async def _change_entry(
        self, user_id: str, api_key_id: str, fields: Document, *, unless: str | None = None
    ) -> Document:
        """Set fields of one entry of a ring, and return it as it is then; `unless` a field has a value already.

        Raises NotFound if there is no such entry.
        """

        def change_ring(ring: Document | None) -> Document:
            entries = _entries(ring)
            if all(entry["id"] != api_key_id for entry in entries):
                raise _not_found()
            return {
                "keys": [
                    entry | fields if entry["id"] == api_key_id and (unless is None or entry[unless] is None) else entry
                    for entry in entries
                ]
            }

        updated = await self._store.update(KEY_RINGS, Key(user_id), change_ring)
        return next(entry for entry in _entries(updated.after) if entry["id"] == api_key_id)


class _BesideRing:
    """The registers of an owner's keys: last uses, and revocations that the ring lacks.

    `<key>` → `{"at": "2026-03-02T08:15:00.000Z"}`, `<key>.revoked` → `{"revoked_at": …, "updated_at": …}`,
    `<key>.name` → `{"name": "build", "updated_at": …}`. The last two exist only where a write of the ring failed.
    """

    def __init__(self) -> None:
        self.used: dict[str, str] = {}
        self._fields: dict[str, Document] = {}

    def add(self, sort: str, document: Document) -> None:
        api_key_id, _, mark = sort.partition(".")
        if not mark:
            self.used[api_key_id] = document["at"]
        else:
            self._fields[api_key_id] = self._fields.get(api_key_id, {}) | document

    def merged(self, entries: list[Document]) -> list[Document]:
        """Return the entries of a ring with the revocations that it lacks. The first revocation stands."""
        return [
            entry | {name: value for name, value in fields.items() if name != "revoked_at" or entry[name] is None}
            if (fields := self._fields.get(entry["id"])) is not None
            else entry
            for entry in entries
        ]


def _name_key(user_id: str, api_key_id: str) -> Key:
    return Key(user_id, f"{api_key_id}.name")


def key_id(key_hash: str) -> str:
    """Return an API key's id: half of its SHA-256, in hexadecimal. It reveals nothing of 256 random bits."""
    return key_hash[:32]


def uses_counter(key: IssuedKey) -> str:
    """Return the name of the counter of the memos made with a key."""
    return f"{key.user_id}:uses:{key.id}"


def _check_id(api_key_id: str) -> None:
    """Raises NotFound for what no store could address."""
    if not is_id(api_key_id):
        raise _not_found()


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
