"""Write the planned rows, one owner after another.

Every step can be repeated: existing rows stay, and rows that have changed in the predecessor since are written again.
An owner is marked as seen once all of its rows exist, which saves the next run from reading them. So a move continues
after any stop, and a second one changes nothing.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Final

from shared.accounts.passwords import is_bcrypt
from shared.core.clock import DAY, Clock, iso, midnight
from shared.core.concurrency import in_batches
from shared.core.errors import Conflict
from shared.stores.port import AlreadyExists, Key, Store
from shared.tables import API_KEYS, Tables, UsageLogs
from shared.tables.key_rings import Entries, KeyRings, entry_of, kept, uses_prefix
from shared.tables.moved import SEEN
from shared.tables.schema import SUBSCRIPTIONS
from shared.tables.users import User
from shared.usage.rebuilding import UsageRebuild
from shared.usage.rollups import Rollups
from tools.maintain.content import row_pages
from tools.maintain.recount_users import recount_users
from tools.moving.accounts import UNUSABLE, MovedKey
from tools.moving.addresses import apart
from tools.moving.audio import AudioMover
from tools.moving.counts import CounterTarget
from tools.moving.history_writing import HistoryWriter
from tools.moving.planning import Advance, MovedOwner, Planner
from tools.moving.working_copy import HISTORY, Old, OldKind

LAST_SIX: Final = 6
"""The characters that our keys are shown by. The predecessor kept fewer, which distinguishes its keys from ours."""


class Mover:
    """Moves all users. `audio` None: memos keep the URLs of their audio. No other process may write meanwhile."""

    def __init__(self, planner: Planner, store: Store, *, clock: Clock, audio: AudioMover | None = None) -> None:
        self._planner = planner
        self._store = store
        self._tables = Tables.on(store)
        self._rings = KeyRings(store)
        self._sums = UsageRebuild(logs=UsageLogs(store), rollups=Rollups(store), clock=clock, repair=True)
        self._history = HistoryWriter(planner, store, audio)
        self._copies_audio = audio is not None

    async def move(self, advance: Advance) -> None:
        """Move all users. Raises StoreError, AudioPlaceFailed.

        The last user is marked after the counters of all rows are set: if a run is killed before, the next one sets
        them again.
        """
        copy, moved = self._planner.copy, self._tables.moved
        unmarked: tuple[str, str] | None = None
        for old in copy.users():
            seen = await self._move(old, advance)
            if seen is not None:
                if unmarked is not None:
                    await moved.mark_seen(*unmarked)
                unmarked = (old.id, seen)
        if unmarked is not None:
            await recount_users(self._store)
            if copy.count(OldKind.SUBSCRIPTIONS):
                await self._count("subscriptions", await self._number_of_subscriptions())
            await moved.mark_seen(*unmarked)

    async def _move(self, old: Old, advance: Advance) -> str | None:
        """Move a user. Returns the digest to mark; None: nothing has changed since, or the account was closed here."""
        planner, moved = self._planner, self._tables.moved
        seen = f"{planner.copy.digest(old.id)}{'+audio' if self._copies_audio else ''}"
        mapped = await moved.user(old.id)
        user_id = planner.user_id(old) if mapped is None else mapped["user_id"]
        if mapped is not None and mapped.get(SEEN) == seen:
            planner.report(old, user_id, advance)
            return None
        if mapped is None:
            await moved.add_user(old.id, user_id)
        there = await self._tables.users.get(user_id)
        if there is not None and there.is_closing:
            self._leave(old)
            return None
        owner = planner.owner(old, user_id)
        await self._write_user(owner, there)
        await self._write_keys(owner)
        await self._write_subscription(owner)
        await self._history.write(owner, advance, again=mapped is not None)
        await self._write_counts(owner)
        await self._list_active(owner)
        if planner.copy.first(old.id, *HISTORY) is not None:
            async for _ in self._sums.rebuild(user_id, date(1970, 1, 2), date(9999, 12, 30)):
                pass
        advance(1)
        return seen

    def _leave(self, old: Old) -> None:
        """Report all rows of a user who closed the account here."""
        for kind in OldKind:
            for row in self._planner.copy.of(old.id, kind):
                self._planner.findings.leave(kind.table, row.id, "its account was closed after it had moved")

    async def _write_user(self, owner: MovedOwner, there: User | None) -> None:
        """Write the row, and claim the address."""
        users, user = self._tables.users, owner.user
        if there is None:
            holder = await users.id_by_email(user.email)
            void = holder if holder and await users.get(holder) is None else None
            if holder not in (None, void, user.id):
                user = self._kept_apart(owner, str(holder))
            await users.add(user)
            await users.claim_email(user, void=void)
        else:
            await users.claim_email(there)
            await users.change(user.id, lambda row: _caught_up(row, user))

    def _kept_apart(self, owner: MovedOwner, holder: str) -> User:
        address = apart(owner.old.id, owner.user.email, holder)
        self._planner.findings.note(
            "users",
            owner.old.id,
            "its address belongs to an account of the target: this one is kept apart by another address",
            detail=f"{owner.user.email} is of {holder}: {address.email}",
        )
        return owner.user.model_copy(update={"email": address.email, "email_verified": False})

    async def _write_keys(self, owner: MovedOwner) -> None:
        """Write the keys' documents first, and then the ring, which lists them."""
        ours: list[MovedKey] = []

        async def write(moved: MovedKey) -> None:
            if await self._write_key(owner, moved):
                ours.append(moved)

        await in_batches(write(moved) for moved in owner.keys)
        gone: list[str] = []

        def change(entries: Entries) -> Entries:
            merged = _merged(entries, ours, self._planner.now)
            gone[:] = [entry["id"] for entry in merged if entry["revoked_at"] and entry["id"] not in _ids(ours)]
            return kept(merged, self._planner.now)

        if ours or await self._rings.read(owner.user.id):
            await self._rings.change(owner.user.id, change)
        await in_batches(
            self._store.extend(API_KEYS, Key(key_id), "revoked_at", iso(self._planner.now)) for key_id in gone
        )

    async def _write_key(self, owner: MovedOwner, moved: MovedKey) -> bool:
        """Write one key. Returns False if the key belongs to another account of the target."""
        key, place = moved.key, Key(moved.key.id)
        with suppress(AlreadyExists):
            await self._store.add(API_KEYS, place, key.document())
            return True
        there = await self._store.get(API_KEYS, place)
        if there is None or there["user_id"] != owner.user.id:
            self._planner.findings.leave("api_keys", moved.old_id, "another account has the same key")
            return False
        if key.revoked_at is not None and there["revoked_at"] is None:
            await self._store.extend(API_KEYS, place, "revoked_at", iso(key.revoked_at))
        return True

    async def _write_subscription(self, owner: MovedOwner) -> None:
        if owner.subscription is None:
            return
        old_id, subscription = owner.subscription
        subscriptions = self._tables.subscriptions
        try:
            there = await subscriptions.of(owner.user.id)
            if there is None:
                await subscriptions.create(subscription)
            elif there.updated_at < subscription.updated_at:
                await subscriptions.change(owner.user.id, lambda _: subscription)
        except Conflict:
            self._planner.findings.leave("subscriptions", old_id, "another account has its Stripe ids")

    async def _write_counts(self, owner: MovedOwner) -> None:
        """Raise counters to the predecessor's values. Higher counts of ours stay."""
        user_id = owner.user.id
        uses = [CounterTarget(name=f"{uses_prefix(user_id)}{moved.key.id}", value=moved.uses) for moved in owner.keys]
        there = await self._store.counters(f"{user_id}:")
        await in_batches(
            self._store.increment(target.name, target.value - there.get(target.name, 0), ends_at=target.ends_at)
            for target in (*owner.counts, *uses)
            if target.value > there.get(target.name, 0)
        )
        used = (await self._rings.beside(user_id)).used
        await in_batches(
            self._rings.mark_used(user_id, moved.key.id, moved.last_used_at)
            for moved in owner.keys
            if moved.last_used_at is not None and iso(moved.last_used_at) > used.get(moved.key.id, "")
        )

    async def _list_active(self, owner: MovedOwner) -> None:
        """Add the owner to the lists of the days that housekeeping still processes: yesterday and today."""
        today = self._planner.now.date()
        for day in (today - DAY, today):
            made = self._planner.copy.of(owner.old.id, OldKind.MADE, since=midnight(day), until=midnight(day + DAY))
            if next(made, None) is not None:
                await self._tables.active_owners.add(day, owner.user.id)

    async def _number_of_subscriptions(self) -> int:
        return sum([len(page.rows) async for page in row_pages(self._store, SUBSCRIPTIONS)])

    async def _count(self, counter: str, number: int) -> None:
        """Set a counter of rows: a killed run may have counted a row twice, or not at all."""
        there = (await self._store.counters(counter)).get(counter, 0)
        if number != there:
            await self._store.increment(counter, number - there)


def _caught_up(row: User, planned: User) -> User:
    """Return the row with the predecessor's changes since. A password that was set here stays."""
    is_old = is_bcrypt(row.password_hash) or row.password_hash == UNUSABLE
    return row.model_copy(
        update={
            "password_hash": planned.password_hash if is_old else row.password_hash,
            "tier": planned.tier,
            "role": planned.role,
            "updated_at": max(row.updated_at, planned.updated_at),
        }
    )


def _merged(entries: Entries, ours: Sequence[MovedKey], now: datetime) -> Entries:
    """Return the ring with these keys. Keys that the predecessor no longer has are revoked."""
    there = {entry["id"]: entry for entry in entries}
    for key in (moved.key for moved in ours):
        entry = there.setdefault(key.id, entry_of(key))
        if key.revoked_at is not None:
            revoked_at = entry["revoked_at"] or iso(key.revoked_at)
            there[key.id] = entry | {"revoked_at": revoked_at, "updated_at": revoked_at}
    for key_id, entry in there.items():
        if key_id not in _ids(ours) and len(entry["last_six"]) < LAST_SIX and entry["revoked_at"] is None:
            there[key_id] = entry | dict.fromkeys(("revoked_at", "updated_at"), iso(now))
    return sorted(there.values(), key=lambda entry: (entry["created_at"], entry["id"]))


def _ids(ours: Iterable[MovedKey]) -> set[str]:
    return {moved.key.id for moved in ours}
