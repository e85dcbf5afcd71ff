"""Writing what moves in, one owner after another.

Every step can be repeated: what is there already is left as it is, and what has changed in the predecessor since is
written again. An owner is marked as seen once all of it is there, which saves the next run from asking for it. So a
move goes on after any stop, and a second one changes nothing.
"""

from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from itertools import islice
from typing import Any, Final, TypeVar

from shared.accounts.passwords import is_bcrypt
from shared.core.clock import DAY, Clock, iso, midnight
from shared.core.concurrency import AT_ONCE, gather_settled, in_batches
from shared.core.errors import Conflict
from shared.stores.port import AlreadyExists, Document, Key, Row, Store, Table
from shared.tables import API_KEYS, MEMOS, USERS, LogKind, Tables, UsageLogs, Window
from shared.tables.key_rings import Entries, KeyRings, entry_of, kept, uses_prefix
from shared.tables.moved import SEEN
from shared.tables.schema import MOVED, SUBSCRIPTIONS, USAGE_LOGS
from shared.tables.users import User
from shared.usage.rebuilding import UsageRebuild
from shared.usage.rollups import Rollups
from tools.maintain.content import row_pages
from tools.moving.accounts import UNUSABLE, MovedKey
from tools.moving.addresses import apart
from tools.moving.audio import AudioMover
from tools.moving.counts import Target
from tools.moving.history import Moved
from tools.moving.planning import Advance, Owner, Planner
from tools.moving.there import There
from tools.moving.working_copy import HISTORY, Kind, Old

BATCH: Final = 200
"""Rows of a history that are looked for and written together. A larger number reads longer pages at once."""

LAST_SIX: Final = 6
"""Characters of a key that ours are shown by. The predecessor kept fewer, which tells its keys from ours."""

T = TypeVar("T")


class Mover:
    """`audio` None: memos keep the URLs of their audio. Nothing else may write to the store meanwhile."""

    def __init__(self, planner: Planner, store: Store, *, clock: Clock, audio: AudioMover | None = None) -> None:
        self._planner = planner
        self._store = store
        self._tables = Tables.on(store)
        self._rings = KeyRings(store)
        self._sums = UsageRebuild(logs=UsageLogs(store), rollups=Rollups(store), clock=clock, repair=True)
        self._audio = audio

    async def move(self, advance: Advance) -> None:
        """Move all users. Raises StoreError, AudioPlaceFailed."""
        for old in self._planner.copy.users():
            await self._move(old, advance)
        await self._count("users", USERS)
        await self._count("subscriptions", SUBSCRIPTIONS)

    async def _move(self, old: Old, advance: Advance) -> None:
        planner, moved = self._planner, self._tables.moved
        seen = f"{planner.copy.digest(old.id)}{'+audio' if self._audio else ''}"
        mapped = await moved.user(old.id)
        user_id = planner.user_id(old) if mapped is None else mapped["user_id"]
        if mapped is not None and mapped.get(SEEN) == seen:
            planner.report(old, user_id, advance)
            return
        if mapped is None:
            await moved.add_user(old.id, user_id)
        owner = planner.owner(old, user_id)
        if not await self._write_user(owner):
            return
        await self._write_keys(owner)
        await self._write_subscription(owner)
        await self._write_history(owner, advance, again=mapped is not None)
        await self._write_counts(owner)
        await self._list_active(owner)
        if planner.copy.first(old.id, *HISTORY) is not None:
            async for _ in self._sums.rebuild(user_id, date(1970, 1, 2), date(9999, 12, 30)):
                pass
        await moved.mark_seen(old.id, seen)
        advance(1)

    async def _write_user(self, owner: Owner) -> bool:
        """Write the row, and claim the address. Returns False if the account was closed since it moved."""
        users, user = self._tables.users, owner.user
        there = await users.get(user.id)
        if there is not None and there.is_closing:
            self._planner.findings.leave("users", owner.old.id, "its account was closed after it had moved")
            return False
        if there is None:
            holder = await users.id_by_email(user.email)
            void = holder if holder and await users.get(holder) is None else None
            if holder not in (None, void, user.id):
                user = self._kept_apart(owner, str(holder))
            await users.add(user)
            await users.claim_email(user, void=void)
            return True
        await users.claim_email(there)
        await users.change(user.id, lambda row: _caught_up(row, user))
        return True

    def _kept_apart(self, owner: Owner, holder: str) -> User:
        address = apart(owner.old.id, owner.user.email, holder)
        self._planner.findings.note(
            "users",
            owner.old.id,
            "its address belongs to an account of the target: this one is kept apart by another address",
            detail=f"{owner.user.email} is of {holder}: {address.email}",
        )
        return owner.user.model_copy(update={"email": address.email, "email_verified": False})

    async def _write_keys(self, owner: Owner) -> None:
        """Write the keys' documents, and then the ring, which lists them."""
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

    async def _write_key(self, owner: Owner, moved: MovedKey) -> bool:
        """Return False if the key belongs to another account of the target."""
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

    async def _write_subscription(self, owner: Owner) -> None:
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

    async def _write_history(self, owner: Owner, advance: Advance, *, again: bool) -> None:
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
        """Note which logs earlier runs have written."""
        for kind in LogKind:
            after, more = None, True
            while more:
                window = Window(limit=1000, after=after)
                page = await self._tables.usage_logs.rows(user_id, kind, window, newest_first=False)
                there.add(page.rows)
                after, more = page.after, page.after is not None

    async def _write(self, user_id: str, moved: Moved) -> None:
        """Write a memo with what leads to it, and then its log: a log that is there says that all of it is."""
        if moved.memo is not None:
            memo, copied = moved.memo, None
            if self._audio is not None and moved.audio is not None:
                copied = await self._audio.copy(memo, moved.old_id, moved.audio)
            old_file = moved.audio.name if moved.audio is not None and copied is not None else None
            if copied is not None:
                memo = memo.model_copy(update={"audio_url": copied})
            await gather_settled(
                self._tables.moved.add_memo(user_id, moved.old_id, memo.id, old_file=old_file),
                self._add(MEMOS, Key(user_id, memo.id), memo.document()),
            )
        await self._add(USAGE_LOGS, Key(f"{user_id}.{_log_kind(moved)}", moved.sort), moved.document)

    async def _adopt(self, moved: Moved) -> None:
        """Copy the audio of a memo that moved before without it."""
        if self._audio is None or moved.audio is None or moved.memo is None:
            return
        memo = moved.memo
        copied = await self._audio.copy(memo, moved.old_id, moved.audio)
        there = None if copied is None else await self._tables.memos.get(memo.user_id, memo.id)
        if there is not None and there.audio_url != copied:
            await self._tables.moved.note_audio(memo.user_id, moved.old_id, moved.audio.name)
            await self._store.extend(MEMOS, Key(memo.user_id, memo.id), "audio_url", copied)

    async def _add(self, table: Table, key: Key, document: Document) -> None:
        """Add a row that an earlier run may have added: then it stays."""
        with suppress(AlreadyExists):
            await self._store.add(table, key, document)

    async def _remove_deleted(self, owner: Owner) -> None:
        """Remove the memos that the predecessor has not any more. Their logs come by themselves, if it has those."""
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

    async def _write_counts(self, owner: Owner) -> None:
        """Raise counters to what the predecessor counted. What was counted here since then stays."""
        user_id = owner.user.id
        uses = [Target(name=f"{uses_prefix(user_id)}{moved.key.id}", value=moved.uses) for moved in owner.keys]
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

    async def _list_active(self, owner: Owner) -> None:
        """Put the owner on the lists of the days that housekeeping has still to look at."""
        today = self._planner.now.date()
        for day in (today - DAY, today):
            made = self._planner.copy.of(owner.old.id, Kind.MADE, since=midnight(day), until=midnight(day + DAY))
            if next(made, None) is not None:
                await self._tables.active_owners.add(day, owner.user.id)

    async def _count(self, counter: str, table: Table) -> None:
        """Set the number of all rows of a table, since an interrupted run may have counted one twice or not at all."""
        rows = 0
        async for page in row_pages(self._store, table):
            rows += len(page.rows)
        there = (await self._store.counters(counter)).get(counter, 0)
        if rows != there:
            await self._store.increment(counter, rows - there)


def _caught_up(row: User, planned: User) -> User:
    """Return a row with what has changed in the predecessor since. A password that was set here stays."""
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
    """Return a ring with these keys. Keys of the predecessor that it has not any more are revoked."""
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


def _log_kind(moved: Moved) -> LogKind:
    return LogKind.MEMOS if moved.kind is Kind.MADE else LogKind.EVENTS


async def _drained(calls: Iterator[Coroutine[Any, Any, None]]) -> None:
    """Await all, `AT_ONCE` at any time: in batches each row would wait for the slowest of its batch.

    After an error no further call begins, and the error is raised when those that began have ended.
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
