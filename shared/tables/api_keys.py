"""API keys: a check document each, and their owner's key ring."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared.core.clock import iso
from shared.core.concurrency import gather_settled, in_batches
from shared.core.errors import AgentTalkError, ValidationFailed
from shared.core.request import time_to_undo
from shared.stores.best_effort import best_effort
from shared.stores.port import Document, Key, Store, StoreError
from shared.tables.issued_keys import ENDS, ApiKey, IssuedKey, KeyLimit, earliest, end_of, key_id
from shared.tables.key_rings import (
    BesideRing,
    Entries,
    KeyRings,
    active_in,
    beside_key,
    check_id,
    entry_in,
    entry_of,
    kept,
    not_found,
    replaced,
    replaced_in,
    uses_prefix,
)
from shared.tables.schema import API_KEYS, KEY_USES

_FIELDS: Final = {"name": ("name",), "limits": tuple(limit.value for limit in KeyLimit)}
"""The fields that an owner changes, by the mark of the register that keeps them if the ring cannot be written."""


@dataclass(frozen=True, kw_only=True)
class Rotatable:
    """A key that can be rotated, with its own expiry. `ends_at` is earlier if a rotation of it was interrupted.

    `in_grace` is the number of its owner's active keys that another key replaces.
    """

    key: IssuedKey
    ends_at: datetime | None
    in_grace: int


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """A finished rotation: the key with the id `to` replaced `key`, at `at`."""

    key: IssuedKey
    to: str
    at: datetime


class ApiKeys:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._rings = KeyRings(store)

    async def get_by_hash(self, key_hash: str) -> IssuedKey | None:
        """Return the key with this SHA-256, in one read."""
        return await self.get_issued(key_id(key_hash))

    async def get_issued(self, api_key_id: str) -> IssuedKey | None:
        """Return the key with this id, of any owner, in one read."""
        document = await self._store.get(API_KEYS, Key(api_key_id))
        return None if document is None else IssuedKey.read(document)

    async def of(self, user_id: str, at: datetime) -> list[ApiKey]:
        """Return an owner's keys, newest first, revoked ones included. Their limits' use is that at `at`."""
        ring = await self._rings.whole(user_id)

        def with_history(entry: Document) -> ApiKey:
            counter = f"{uses_prefix(user_id)}{entry['id']}"
            return ApiKey.read(
                entry
                | {
                    "usage_count": ring.counts.get(counter, 0),
                    "last_used_at": ring.beside.used.get(entry["id"]),
                    "used": {
                        limit: ring.counts.get(limit.counter(counter, at), 0)
                        for limit in KeyLimit
                        if entry.get(limit) is not None
                    },
                }
            )

        return [with_history(entry) for entry in reversed(ring.entries)]

    async def get(self, user_id: str, api_key_id: str, at: datetime) -> ApiKey | None:
        return next((key for key in await self.of(user_id, at) if key.id == api_key_id), None)

    async def load(self, user_id: str, api_key_id: str, at: datetime) -> ApiKey:
        """Return the key with its history. Raises NotFound if its owner has no such key."""
        key = await self.get(user_id, api_key_id, at)
        if key is None:
            raise not_found()
        return key

    async def ring(self, user_id: str) -> list[IssuedKey]:
        """Return an owner's keys, oldest first, without their uses."""
        return [IssuedKey.read(entry) for entry in (await self._rings.whole(user_id)).entries]

    async def begin_ring(self, key: IssuedKey) -> None:
        """Write a new owner's first key. The owner must be new: no other call may write this ring yet."""
        await gather_settled(self._store.add(API_KEYS, Key(key.id), key.document()), self._rings.begin(key))

    async def discard_ring(self, key: IssuedKey) -> None:
        """Undo `begin_ring`."""
        await gather_settled(self._store.take_back(API_KEYS, Key(key.id)), self._rings.discard(key.user_id))

    async def void(self, user_id: str, until: datetime) -> list[IssuedKey]:
        """Void all keys made until then that are not in the ring yet. Returns the unrevoked ones that are in it.

        The caller revokes those next. Repeatable.
        """
        keys = [IssuedKey.read(entry) for entry in await self._rings.void(user_id, until)]
        return [key for key in keys if key.created_at <= until and key.revoked_at is None]

    async def revoke_facts(self, keys: Sequence[IssuedKey], at: datetime) -> None:
        """Revoke keys in their check documents alone, since their ring is being erased. A request or two each."""
        await in_batches(self._store.extend(API_KEYS, Key(key.id), "revoked_at", iso(at)) for key in keys)

    async def create(self, key: IssuedKey, *, max_active: int, admitted: Awaitable[None] | None = None) -> None:
        """Add a key to its owner's ring. Raises ValidationFailed if the ring has `max_active` active keys.

        The check document is written first, in parallel with awaiting `admitted`; if that raises an AgentTalkError, the
        document is removed. The ring is the commit: the key is returned to its owner only after it.
        """

        beside = BesideRing()

        def change(ring: Entries) -> Entries:
            entries = beside.merged(ring)
            if active_in(entries, key.created_at) >= max_active:
                raise too_many(max_active)
            return kept([*entries, entry_of(key)], key.created_at)

        try:
            written = self._store.add(API_KEYS, Key(key.id), key.document())
            await gather_settled(*((written,) if admitted is None else (written, admitted)))
            try:
                await self._rings.change(key.user_id, change)
            except ValidationFailed:  # a revocation that is not in the ring yet may leave room
                beside = (await self._rings.whole(key.user_id)).beside
                await self._rings.change(key.user_id, change)
        except AgentTalkError:
            await self._store.take_back(API_KEYS, Key(key.id))
            raise

    async def rename(self, user_id: str, api_key_id: str, name: str, at: datetime) -> None:
        """Rename a key, in lists and in new logs. Raises NotFound if its owner has no such key."""
        await self._change(user_id, api_key_id, "name", {"name": name}, at)

    async def limit(self, user_id: str, api_key_id: str, limits: Mapping[KeyLimit, int | None], at: datetime) -> None:
        """Change some of a key's own limits, in force at once; None removes one. Raises NotFound as `rename` does."""
        await self._change(user_id, api_key_id, "limits", {limit.value: most for limit, most in limits.items()}, at)

    async def rotatable(self, user_id: str, api_key_id: str, at: datetime) -> Rotatable | Rotation:
        """Return a key that can be rotated, or its finished rotation.

        A key that an interrupted rotation ended early can be rotated. Raises NotFound if the owner has no such key, and
        ValidationFailed if it is revoked or expired.
        """
        check_id(api_key_id)
        entries, issued = await gather_settled(self._rings.read(user_id), self._store.get(API_KEYS, Key(api_key_id)))
        entry = entry_in(entries, api_key_id)
        if issued is None:
            raise not_found()
        if entry.get("rotated_to") is not None:
            end = end_of(issued)
            if end != entry["expires_at"]:  # a parallel rotation ended it earlier, and was interrupted
                entry = await self._rings.change_entry(user_id, api_key_id, {"expires_at": end})
            return _rotation(entry)
        key = IssuedKey.model_validate(issued)
        if key.revoked_at is not None:
            raise ValidationFailed("API key has been revoked")
        if not key.is_active(at):
            raise ValidationFailed("API key has expired")
        return Rotatable(key=key, ends_at=IssuedKey.read(issued).expires_at, in_grace=replaced_in(entries, at))

    async def rotate(self, old: Rotatable, new: IssuedKey, *, ends_at: datetime) -> Rotation:
        """Replace a key, which ends at `ends_at` or earlier, by a new one. Returns the rotation that took effect.

        If two rotations overlap, one takes effect and both return it; the other's new key is removed.

        The old key's end is written first, so the key stops working then even if this call is interrupted. The ring is
        the commit. Without it the old key still ends, and can be rotated again.
        """
        key, end = old.key, iso(min(ends_at, old.ends_at or ends_at))

        def change(entries: Entries) -> Entries:
            entry = entry_in(entries, key.id)
            if entry["revoked_at"] is not None:
                raise ValidationFailed("API key has been revoked")
            ended = entry | {"expires_at": earliest(entry["expires_at"], end)}
            if entry.get("rotated_to") is not None:
                return replaced(entries, ended)
            rotated = ended | dict.fromkeys(("rotated_at", "updated_at"), iso(new.created_at)) | {"rotated_to": new.id}
            return replaced(kept([*entries, entry_of(new)], new.created_at), rotated)

        try:
            await gather_settled(
                self._store.extend(API_KEYS, Key(key.id), f"{ENDS}{new.id}", end),
                self._store.add(API_KEYS, Key(new.id), new.document()),
            )
            try:
                entries = await self._rings.change(key.user_id, change)
            except StoreError:
                with best_effort("a key's end could not be listed: rotate it again", key_id=key.id), time_to_undo():
                    await self._rings.put_beside(key.user_id, key.id, "ends", {"expires_at": end})
                raise
        except AgentTalkError:
            await self._store.take_back(API_KEYS, Key(new.id))
            raise
        done = _rotation(entry_in(entries, key.id))
        if done.to != new.id:
            await self._store.take_back(API_KEYS, Key(new.id))
        return done

    async def revoke(self, user_id: str, api_key_id: str, at: datetime) -> IssuedKey:
        """Revoke a key, in force at once. Returns the revoked key, with the time of its first revocation.

        Raises NotFound if its owner has no such key. Repeatable: the revocation is counted first, then written into the
        check document, then into the ring. Until it is in the ring, the count makes lists read the check document.
        """
        check_id(api_key_id)
        entries, issued = await gather_settled(self._rings.read(user_id), self._store.get(API_KEYS, Key(api_key_id)))
        entry = entry_in(entries, api_key_id)
        if issued is None:
            raise not_found()
        if entry["revoked_at"] is not None:
            return IssuedKey.read(entry)
        revoked_at = issued["revoked_at"] or iso(at)
        if issued["revoked_at"] is None:
            await self._rings.note_revocation(user_id, api_key_id)
            await self._store.extend(API_KEYS, Key(api_key_id), "revoked_at", revoked_at)
        revoked = {"revoked_at": revoked_at, "updated_at": revoked_at}
        with best_effort("a revocation is not in its key ring: lists read it from the key", key_id=api_key_id):
            entry = await self._rings.change_entry(user_id, api_key_id, revoked, unless="revoked_at")
        return IssuedKey.read(entry | {"revoked_at": entry["revoked_at"] or revoked_at})

    async def mark_used(self, user_id: str, api_key_id: str, minute: datetime) -> None:
        await self._rings.mark_used(user_id, api_key_id, minute)

    async def _change(self, user_id: str, api_key_id: str, mark: str, fields: dict[str, Any], at: datetime) -> None:
        """Set fields of a key, for its check and for lists. Raises NotFound if its owner has no such key.

        The check document is written first, and decides: the ring follows it, also if several calls change it at once.
        If the ring cannot be written, a register beside it keeps the fields for lists. If that fails too, the old
        fields are restored.
        """
        check_id(api_key_id)
        entries, issued, beside = await gather_settled(
            self._rings.read(user_id),
            self._store.get(API_KEYS, Key(api_key_id)),
            self._store.get(KEY_USES, beside_key(user_id, api_key_id, mark)),
        )
        entry_in(entries, api_key_id)
        if issued is None:
            raise not_found()
        before = {field: issued.get(field) for field in _FIELDS[mark]}
        await self._extend(api_key_id, fields)
        try:
            await self._follow(user_id, api_key_id, mark, before | fields, at)
        except StoreError:
            with best_effort("a key's change could not be taken back: repeat it", key_id=api_key_id), time_to_undo():
                await self._extend(api_key_id, {field: before[field] for field in fields})
            raise
        if beside is not None:
            await self._store.delete(KEY_USES, beside_key(user_id, api_key_id, mark))

    async def _extend(self, api_key_id: str, fields: dict[str, Any]) -> None:
        await gather_settled(
            *(self._store.extend(API_KEYS, Key(api_key_id), field, value) for field, value in fields.items())
        )

    async def _follow(self, user_id: str, api_key_id: str, mark: str, fields: dict[str, Any], at: datetime) -> None:
        """Copy fields of the check document to the ring until both are equal. Other calls may change them too."""
        while True:
            changed = fields | {"updated_at": iso(at)}
            try:
                await self._rings.change_entry(user_id, api_key_id, changed)
            except StoreError:
                await self._rings.put_beside(user_id, api_key_id, mark, changed)
            issued = await self._store.get(API_KEYS, Key(api_key_id))
            if issued is None or all(issued.get(field) == value for field, value in fields.items()):
                return
            fields = {field: issued.get(field) for field in fields}


def too_many(most: int) -> ValidationFailed:
    return ValidationFailed(f"Maximum number of API keys ({most}) reached", details={"limit": most})


def _rotation(entry: Document) -> Rotation:
    return Rotation(key=IssuedKey.read(entry), to=entry["rotated_to"], at=datetime.fromisoformat(entry["rotated_at"]))
