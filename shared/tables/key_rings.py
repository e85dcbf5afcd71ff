"""Key rings: one row with all keys of an owner, and registers with the changes that a ring lacks.

A ring is `{"keys": [<entry>, …]}`, oldest first. An entry is a key's row with

    {…, "updated_at": "2026-03-02T08:00:00.000Z", "rotated_to": "77ab…", "rotated_at": "2026-03-02T08:00:00.000Z"}

The last two are null until another key replaces this one. A ring also has `"void_until": "2026-03-02T08:00:00.000Z"` if
keys that were made until then are void: a reset distrusts them, or their owner closed the account.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.core.clock import iso
from shared.core.concurrency import gather_settled
from shared.core.errors import NotFound, SessionExpired
from shared.core.ids import is_id
from shared.stores.port import Document, Key, Store
from shared.tables.issued_keys import IssuedKey, earliest
from shared.tables.schema import API_KEYS, KEY_RINGS, KEY_USES

RING: Final = 500
"""Keys in a ring. Beyond this number the oldest inactive keys are dropped from the list; they stay revoked. A larger
ring makes every change of a key slower: it is one row of some 400 bytes a key."""

Entries = list[Document]

ChangeEntries = Callable[[Entries], Entries]
"""A function from a ring's entries before a change to those after it, which raises to refuse. It may be called more
than once."""


class BesideRing:
    """The registers of an owner's keys: last uses, and changes that the ring lacks because a write of it failed.

    `<key>` → `{"at": "2026-03-02T08:15:00.000Z"}`, `<key>.name` → `{"name": "build", "updated_at": …}`,
    `<key>.limits` → `{"memos_per_day": 10, …}`, `<key>.ends` → `{"expires_at": …}`.
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

    def note_revoked(self, api_key_id: str, revoked_at: str) -> None:
        self._fields.setdefault(api_key_id, {}).update(revoked_at=revoked_at, updated_at=revoked_at)

    def merged(self, entries: Entries) -> Entries:
        """Return the entries with the changes that the ring lacks. The first revocation and the earliest end count."""
        return [_merged(entry, self._fields.get(entry["id"], {})) for entry in entries]


@dataclass(frozen=True, kw_only=True)
class WholeRing:
    """`entries` are the ring's, with the changes that it lacks; `counts` the counters of the owner's keys, by name."""

    entries: Entries
    counts: Mapping[str, int]
    beside: BesideRing


class KeyRings:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, user_id: str) -> Entries:
        """Return the ring's own entries, in one read; empty if there is no ring."""
        return _entries(await self._store.get(KEY_RINGS, Key(user_id)))

    async def beside(self, user_id: str) -> BesideRing:
        """Return the last uses, and the changes that the ring lacks, except revocations."""
        beside = BesideRing()
        after = None
        while True:
            page = await self._store.page(KEY_USES, user_id, after=after, limit=1000)
            for row in page.rows:
                beside.add(row.key.sort, row.document)
            if page.after is None:
                return beside
            after = page.after

    async def whole(self, user_id: str) -> "WholeRing":
        """Return a ring with all changes that it lacks, by three reads in parallel.

        A counter shows that a key's revocation began. If the ring lacks the revocation, the key's check document shows
        whether it is in force: one more read for each such key.
        """
        entries, counts, beside = await gather_settled(
            self.read(user_id), self._store.counters(uses_prefix(user_id)), self.beside(user_id)
        )
        began = [
            entry["id"]
            for entry in entries
            if entry["revoked_at"] is None and counts.get(revocations_counter(user_id, entry["id"]))
        ]
        issued = await gather_settled(*(self._store.get(API_KEYS, Key(api_key_id)) for api_key_id in began))
        for document in issued:
            if document is not None and document["revoked_at"] is not None:
                beside.note_revoked(document["id"], document["revoked_at"])
        return WholeRing(entries=beside.merged(entries), counts=counts, beside=beside)

    async def begin(self, key: IssuedKey) -> None:
        """Write a new owner's ring. No other call may write it yet."""
        await self._store.add(KEY_RINGS, Key(key.user_id), {"keys": [entry_of(key)]})

    async def discard(self, user_id: str) -> None:
        """Undo `begin`."""
        await self._store.take_back(KEY_RINGS, Key(user_id))

    async def change(self, user_id: str, change: ChangeEntries) -> Entries:
        """Change a ring, and return its entries after the change. An exception of `change` propagates.

        Raises SessionExpired if a new entry's key is void: the session that made it has ended.
        """

        def changed(ring: Document | None) -> Document:
            after = change(_entries(ring))
            _check_void(ring, after)
            return {**(ring or {}), "keys": after}

        return _entries((await self._store.update(KEY_RINGS, Key(user_id), changed)).after)

    async def void(self, user_id: str, until: datetime) -> Entries:
        """Let the ring refuse new keys that were made until then. Returns the entries, with the changes that it lacks.

        A key that is being made may have its check document already, but its commit is the ring: so it is never made.
        """

        def voided(ring: Document | None) -> Document | None:
            if ring is None:
                return None
            return {**ring, "void_until": max(iso(until), ring.get("void_until", ""))}

        updated = await self._store.update(KEY_RINGS, Key(user_id), voided)
        return (await self.beside(user_id)).merged(_entries(updated.after))

    async def change_entry(
        self, user_id: str, api_key_id: str, fields: Document, *, unless: str | None = None
    ) -> Document:
        """Set fields of one entry of a ring, and return the entry after the change.

        If the field `unless` has a value, nothing is changed. Raises NotFound if there is no such entry.
        """

        def change(entries: Entries) -> Entries:
            found = entry_in(entries, api_key_id)
            if unless is not None and found[unless] is not None:
                return entries
            return replaced(entries, found | fields)

        return entry_in(await self.change(user_id, change), api_key_id)

    async def put_beside(self, user_id: str, api_key_id: str, mark: str, fields: Document) -> None:
        """Write a register with changes that the ring lacks, since it cannot be written."""
        await self._store.put(KEY_USES, beside_key(user_id, api_key_id, mark), fields)

    async def note_revocation(self, user_id: str, api_key_id: str) -> None:
        """Count that a revocation begins. Await it before the revocation is written: else a list could miss that."""
        await self._store.increment(revocations_counter(user_id, api_key_id))

    async def mark_used(self, user_id: str, api_key_id: str, minute: datetime) -> None:
        await self._store.put(KEY_USES, Key(user_id, api_key_id), {"at": iso(minute)})


def uses_prefix(user_id: str) -> str:
    return f"{user_id}:uses:"


def revocations_counter(user_id: str, api_key_id: str) -> str:
    return f"{uses_prefix(user_id)}{api_key_id}:revocations"


def beside_key(user_id: str, api_key_id: str, mark: str) -> Key:
    return Key(user_id, f"{api_key_id}.{mark}")


def entry_of(key: IssuedKey) -> Document:
    return key.document() | {"updated_at": iso(key.created_at), "rotated_to": None, "rotated_at": None}


def entry_in(entries: Entries, api_key_id: str) -> Document:
    """Return the entry of a key. Raises NotFound if there is none."""
    for entry in entries:
        if entry["id"] == api_key_id:
            return entry
    raise not_found()


def replaced(entries: Entries, changed: Document) -> Entries:
    """Return the entries with this one in the place of the entry with its id."""
    return [changed if entry["id"] == changed["id"] else entry for entry in entries]


def active_in(entries: Entries, at: datetime) -> int:
    return sum(IssuedKey.read(entry).is_active(at) for entry in entries)


def replaced_in(entries: Entries, at: datetime) -> int:
    """Return how many rotated keys are still active, since their grace has not ended."""
    return active_in([entry for entry in entries if entry.get("rotated_to") is not None], at)


def kept(entries: Entries, at: datetime) -> Entries:
    """Return at most `RING` entries, without the oldest inactive ones."""
    inactive = [entry for entry in entries if not IssuedKey.read(entry).is_active(at)] if len(entries) > RING else []
    dropped = {entry["id"] for entry in inactive[: len(entries) - RING]}
    return [entry for entry in entries if entry["id"] not in dropped]


def check_id(api_key_id: str) -> None:
    """Raise NotFound if this is not an id: a store could not address it."""
    if not is_id(api_key_id):
        raise not_found()


def not_found() -> NotFound:
    return NotFound("API key not found")


def _check_void(ring: Document | None, after: Entries) -> None:
    """Raise SessionExpired if a new entry is void: its key was made until `void_until`."""
    if ring is None or "void_until" not in ring:
        return
    before = {entry["id"] for entry in _entries(ring)}
    if any(entry["id"] not in before and entry["created_at"] <= ring["void_until"] for entry in after):
        raise SessionExpired("Session has ended")


def _entries(ring: Document | None) -> Entries:
    return [] if ring is None else ring["keys"]


def _merged(entry: Document, beside: Document) -> Document:
    if not beside:
        return entry
    merged = entry | beside
    if entry["revoked_at"] is not None:
        merged["revoked_at"] = entry["revoked_at"]
    if "expires_at" in beside:
        merged["expires_at"] = earliest(entry["expires_at"], beside["expires_at"])
    return merged
