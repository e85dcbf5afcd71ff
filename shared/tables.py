"""The tables and the typed helpers over a store.

| table | key | kind |
|---|---|---|
| users | all / user | changing, extended by `ended_<session>` |
| emails | digest of the address | changing: the claim of a user on it |
| api_keys | key id, which derives from the key's SHA-256 | facts, extended by `name` and `revoked_at` |
| key_rings | owner | changing: all of an owner's keys, oldest first |
| key_uses | owner / key | registers: the minute of the last use |
| memos | owner / memo | facts, extended by `title` |
| usage_logs | owner.memos or owner.events / log | facts |
| logs_by_day | action.day / log | facts: copies of the events, over all owners |
| subscriptions | owner | changing |
| stripe_ids | customer or subscription / Stripe's id | changing: the claim of an owner on it |

Counters: `uses:<owner>:<key>` memos made with a key; `users`, `subscriptions` how many there are.
"""

import hashlib
import heapq
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.clock import first_id, is_id, iso
from shared.errors import Conflict, MemoNotFound, NotFound, ValidationFailed
from shared.rows import ENDED, Action, ApiKey, IssuedKey, Memo, Subscription, UsageLog, User
from shared.store import AlreadyExists, Document, Key, Kind, Page, Row, Store, Table, is_key_part
from shared.together import together

USERS: Final = Table(name="users", kind=Kind.CHANGING, database="users")
EMAILS: Final = Table(name="emails", kind=Kind.CHANGING, database="indexes")
API_KEYS: Final = Table(name="api_keys", kind=Kind.FACTS, database="api_keys")
KEY_RINGS: Final = Table(name="key_rings", kind=Kind.CHANGING, database="indexes")
KEY_USES: Final = Table(name="key_uses", kind=Kind.REGISTERS, database="indexes")
MEMOS: Final = Table(name="memos", kind=Kind.FACTS, database="memos")
USAGE_LOGS: Final = Table(name="usage_logs", kind=Kind.FACTS, database="usage_logs")
LOGS_BY_DAY: Final = Table(name="logs_by_day", kind=Kind.FACTS, database="indexes")
SUBSCRIPTIONS: Final = Table(name="subscriptions", kind=Kind.CHANGING, database="subscriptions")
STRIPE_IDS: Final = Table(name="stripe_ids", kind=Kind.CHANGING, database="indexes")

TABLES: Final = (
    USERS,
    EMAILS,
    API_KEYS,
    KEY_RINGS,
    KEY_USES,
    MEMOS,
    USAGE_LOGS,
    LOGS_BY_DAY,
    SUBSCRIPTIONS,
    STRIPE_IDS,
)

ENDED_KEPT: Final = 20
"""How many sessions that have ended by themselves a user's row may carry before they are dropped."""

FILTERED_READ: Final = 500
"""A filtered page reads this many rows beyond its own before it ends early."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a list, newest first. `since` is inclusive, `until` exclusive; None: open. `after` continues a page."""

    limit: int = 20
    after: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def between(self) -> tuple[str, str]:
        return first_id(self.since) if self.since else "0", first_id(self.until) if self.until else "g"


class Users:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, user_id: str) -> User | None:
        document = await self._store.get(USERS, _user_key(user_id)) if is_id(user_id) else None
        return None if document is None else User.read(document)

    async def load(self, user_id: str) -> User:
        """Raises NotFound."""
        user = await self.get(user_id)
        if user is None:
            raise NotFound("User not found")
        return user

    async def by_email(self, email: str) -> User | None:
        user_id = await self.id_by_email(email)
        user = None if user_id is None else await self.get(user_id)
        return user if user and user.email == email else None

    async def id_by_email(self, email: str) -> str | None:
        """Whom the address is claimed for. The claim is void if that user is absent."""
        claim = await self._store.get(EMAILS, _email_key(email))
        return None if claim is None else claim["user_id"]

    async def page(self, window: Window) -> Page[User]:
        """All users, newest first. Those whose sign-up was not completed are skipped."""
        page = await _newest(self._store, USERS, "all", window)
        users = [User.read(row.document) for row in page.rows]
        claims = await together(*(self.id_by_email(user.email) for user in users))
        return Page(
            rows=[user for user, claimed in zip(users, claims, strict=True) if claimed == user.id], after=page.after
        )

    async def count(self) -> int:
        return (await self._store.counters("users")).get("users", 0)

    async def add(self, user: User) -> None:
        """Write the row. Nobody can reach it until `claim_email`."""
        await self._store.add(USERS, _user_key(user.id), user.document())

    async def claim_email(self, user: User, *, void: str | None = None) -> None:
        """Make the user known by its address: the commit of a sign-up. `void` is a user id whose claim may be replaced.

        Raises Conflict.
        """

        def change(claim: Document | None) -> Document:
            if claim is not None and claim["user_id"] not in (void, user.id):
                raise Conflict("An account with this email already exists")
            return {"user_id": user.id}

        await self._store.update(EMAILS, _email_key(user.email), change)

    async def counted(self) -> None:
        await self._store.increment("users")

    async def discard(self, user: User) -> None:
        """Remove a row whose address was never claimed."""
        await self._store.delete(USERS, _user_key(user.id))

    async def change(self, user_id: str, change: Callable[[User], User]) -> User:
        """Change a user. Raises NotFound, and what `change` raises."""

        def changed(document: Document | None) -> Document:
            if document is None:
                raise NotFound("User not found")
            before, after = User.read(document), change(User.read(document))
            kept = {field: value for field, value in document.items() if field.startswith(ENDED)}
            return after.document() | (kept if after.session_version == before.session_version else {})

        document = await self._store.update(USERS, _user_key(user_id), changed)
        assert document is not None, "the change never deletes"
        return User.read(document)

    async def end_session(self, user: User, session_id: str, *, ends_at: int, now: int) -> None:
        """End one session, which would have ended by itself at `ends_at`. Both are epoch seconds."""
        await self._store.extend(USERS, _user_key(user.id), ENDED + session_id, ends_at)
        over = [ENDED + ended for ended, end in user.ended_sessions.items() if end < now]
        if len(over) >= ENDED_KEPT:  # the row is read at every check: drop what has ended by itself
            await self._store.update(USERS, _user_key(user.id), lambda row: row and _without(row, over))

    async def delete(self, user: User) -> None:
        """Free the address, then forget the user. Repeatable until done."""
        existed = False

        def claim_of_another(claim: Document | None) -> Document | None:
            return claim if claim and claim["user_id"] != user.id else None

        def gone(row: Document | None) -> None:
            nonlocal existed
            existed = row is not None

        await self._store.update(EMAILS, _email_key(user.email), claim_of_another)
        await self._store.update(USERS, _user_key(user.id), gone)
        if existed:
            await self._store.increment("users", -1)


class ApiKeys:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def check(self, key_hash: str) -> IssuedKey | None:
        """The key with this SHA-256, in one read."""
        document = await self._store.get(API_KEYS, Key(key_id(key_hash)))
        return None if document is None else IssuedKey.read(document)

    async def of(self, user_id: str) -> list[ApiKey]:
        """An owner's keys, newest first, revoked ones included."""
        ring, uses, last = await together(
            self._store.get(KEY_RINGS, Key(user_id)),
            self._store.counters(f"uses:{user_id}:"),
            self._store.page(KEY_USES, user_id, limit=1000),
        )
        last_used = {row.key.sort: row.document["at"] for row in last.rows}
        return [
            ApiKey.read(
                entry
                | {
                    "usage_count": uses.get(f"uses:{user_id}:{entry['id']}", 0),
                    "last_used_at": last_used.get(entry["id"]),
                }
            )
            for entry in reversed(_entries(ring))
        ]

    async def get(self, user_id: str, api_key_id: str) -> ApiKey | None:
        return next((key for key in await self.of(user_id) if key.id == api_key_id), None)

    async def count(self, user_id: str, at: datetime) -> int:
        """How many of an owner's keys are active."""
        return _active(_entries(await self._store.get(KEY_RINGS, Key(user_id))), at)

    async def begin_ring(self, key: IssuedKey) -> None:
        """Write a new owner's first key. The owner must be new: nothing else may write this ring yet."""
        await together(
            self._store.add(API_KEYS, Key(key.id), key.document()),
            self._store.add(KEY_RINGS, Key(key.user_id), {"keys": [_entry(key)]}),
        )

    async def discard_ring(self, key: IssuedKey) -> None:
        """Undo `begin_ring`."""
        await together(
            self._store.delete(API_KEYS, Key(key.id)),
            self._store.delete(KEY_RINGS, Key(key.user_id)),
        )

    async def create(self, key: IssuedKey, *, max_active: int) -> None:
        """Put a key on its owner's ring. Raises ValidationFailed when `max_active` are there.

        The check document comes first: the ring is the commit, and until then nobody has the key.
        """

        def change(ring: Document | None) -> Document:
            entries = _entries(ring)
            if _active(entries, key.created_at) >= max_active:
                raise ValidationFailed(
                    f"Maximum number of API keys ({max_active}) reached", details={"limit": max_active}
                )
            return {"keys": [*entries, _entry(key)]}

        await self._store.add(API_KEYS, Key(key.id), key.document())
        try:
            await self._store.update(KEY_RINGS, Key(key.user_id), change)
        except ValidationFailed:
            await self._store.delete(API_KEYS, Key(key.id))
            raise

    async def rename(self, user_id: str, api_key_id: str, name: str, at: datetime) -> None:
        """Raises NotFound."""
        await self._change_entry(user_id, api_key_id, {"name": name, "updated_at": iso(at)})
        await self._store.extend(API_KEYS, Key(api_key_id), "name", name)

    async def revoke(self, user_id: str, api_key_id: str, at: datetime) -> IssuedKey | None:
        """End a key for good, in force at once. Returns it; None: it was revoked before. Raises NotFound.

        The fact that every check sees comes first, then the ring. Repeatable until done.
        """
        ring = _entries(await self._store.get(KEY_RINGS, Key(user_id)))
        entry = next((entry for entry in ring if entry["id"] == api_key_id), None)
        if entry is None:
            raise key_not_found()
        if entry["revoked_at"] is not None:
            return None
        await self._store.extend(API_KEYS, Key(api_key_id), "revoked_at", iso(at))
        revoked = {"revoked_at": iso(at), "updated_at": iso(at)}
        return IssuedKey.read(entry) if await self._change_entry(user_id, api_key_id, revoked) else None

    async def mark_used(self, user_id: str, api_key_id: str, minute: datetime) -> None:
        await self._store.put(KEY_USES, Key(user_id, api_key_id), {"at": iso(minute)})

    async def _change_entry(self, user_id: str, api_key_id: str, fields: Document) -> bool:
        """Change one entry of a ring; a revoked one stays as it is, and False tells. Raises NotFound."""
        changed = False

        def change(ring: Document | None) -> Document:
            nonlocal changed
            entries = _entries(ring)
            found = next((entry for entry in entries if entry["id"] == api_key_id), None)
            if found is None:
                raise key_not_found()
            changed = "revoked_at" not in fields or found["revoked_at"] is None
            return {"keys": [entry | fields if entry is found and changed else entry for entry in entries]}

        await self._store.update(KEY_RINGS, Key(user_id), change)
        return changed


class Memos:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, user_id: str, memo_id: str) -> Memo | None:
        document = await self._store.get(MEMOS, Key(user_id, memo_id)) if is_id(memo_id) else None
        return None if document is None else Memo.read(document)

    async def load(self, user_id: str, memo_id: str) -> Memo:
        """Raises MemoNotFound."""
        memo = await self.get(user_id, memo_id)
        if memo is None:
            raise MemoNotFound(memo_id)
        return memo

    async def page(self, user_id: str, window: Window, *, voice: str | None = None) -> Page[Memo]:
        """An owner's memos, newest first. With `voice` a page may end early, before it is full."""
        page = await _newest(
            self._store,
            MEMOS,
            user_id,
            window,
            keep=None if voice is None else lambda document: bool(document["voice"] == voice),
        )
        return Page(rows=[Memo.read(row.document) for row in page.rows], after=page.after)

    async def count(self, user_id: str) -> int:
        """How many memos the owner has made, deleted ones included."""
        return sum((await self._store.counters(f"uses:{user_id}:")).values())

    async def add(self, memo: Memo) -> None:
        await self._store.add(MEMOS, Key(memo.user_id, memo.id), memo.document())

    async def retitle(self, memo: Memo, title: str | None) -> Memo:
        await self._store.extend(MEMOS, Key(memo.user_id, memo.id), "title", title)
        return memo.model_copy(update={"title": title})

    async def delete(self, memo: Memo) -> None:
        await self._store.delete(MEMOS, Key(memo.user_id, memo.id))


class UsageLogs:
    """Memos made are by far the most, and are kept apart from the other events, so that neither hides the other."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, log: UsageLog) -> None:
        if log.action is Action.MEMO_CREATED:
            await self._store.add(USAGE_LOGS, Key(f"{log.user_id}.memos", log.id), log.document())
            return
        await together(
            self._store.add(USAGE_LOGS, Key(f"{log.user_id}.events", log.id), log.document()),
            self._store.add(LOGS_BY_DAY, Key(f"{log.action}.{log.created_at:%Y-%m-%d}", log.id), log.document()),
        )

    async def get(self, user_id: str, log_id: str) -> UsageLog | None:
        if not is_id(log_id):
            return None
        found = await together(
            *(self._store.get(USAGE_LOGS, Key(f"{user_id}.{part}", log_id)) for part in ("memos", "events"))
        )
        return next((UsageLog.read(document) for document in found if document is not None), None)

    async def delete_memo(self, user_id: str, log_id: str) -> None:
        """Forget a memo_created."""
        await self._store.delete(USAGE_LOGS, Key(f"{user_id}.memos", log_id))

    async def page(self, user_id: str, window: Window, *, action: Action | None = None) -> Page[UsageLog]:
        """An owner's logs, newest first. With an `action` other than memo_created a page may end early."""
        if action is None:
            page = _merged(
                await together(
                    _newest(self._store, USAGE_LOGS, f"{user_id}.memos", window),
                    _newest(self._store, USAGE_LOGS, f"{user_id}.events", window),
                ),
                window.limit,
            )
        elif action is Action.MEMO_CREATED:
            page = await _newest(self._store, USAGE_LOGS, f"{user_id}.memos", window)
        else:
            page = await _newest(
                self._store,
                USAGE_LOGS,
                f"{user_id}.events",
                window,
                keep=lambda document: bool(document["action"] == action),
            )
        return Page(rows=[UsageLog.read(row.document) for row in page.rows], after=page.after)

    async def on_day(self, action: Action, day: datetime, window: Window) -> Page[UsageLog]:
        """Events of one kind on a UTC day over all owners, newest first; of any action but memo_created."""
        page = await _newest(self._store, LOGS_BY_DAY, f"{action}.{day:%Y-%m-%d}", window)
        return Page(rows=[UsageLog.read(row.document) for row in page.rows], after=page.after)

    async def count(self, user_id: str, action: Action) -> int:
        """How often this happened to the owner. Reads the owner's events by pages, except for memo_created."""
        if action is Action.MEMO_CREATED:
            uses: Mapping[str, int] = await self._store.counters(f"uses:{user_id}:")
            return sum(uses.values())
        total, window = 0, Window(limit=1000)
        while True:
            page = await _newest(self._store, USAGE_LOGS, f"{user_id}.events", window)
            total += [row.document["action"] for row in page.rows].count(action)
            if page.after is None:
                return total
            window = Window(limit=1000, after=page.after)


class Subscriptions:
    """A user has one at most; its Stripe ids are claimed, so that an event finds its owner by one read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, user_id: str) -> Subscription | None:
        document = await self._store.get(SUBSCRIPTIONS, Key(user_id)) if is_id(user_id) else None
        return None if document is None else Subscription.read(document)

    async def by_customer(self, stripe_customer_id: str) -> Subscription | None:
        return await self._by("customer", stripe_customer_id)

    async def by_subscription(self, stripe_subscription_id: str) -> Subscription | None:
        return await self._by("subscription", stripe_subscription_id)

    async def count(self) -> int:
        return (await self._store.counters("subscriptions")).get("subscriptions", 0)

    async def create(self, subscription: Subscription) -> None:
        """Raises Conflict when the owner has one, or another owner has its Stripe ids."""
        await self._claim_ids(subscription)
        try:
            await self._store.claim(SUBSCRIPTIONS, Key(subscription.user_id), subscription.document())
        except AlreadyExists as exc:
            raise Conflict("A subscription already exists") from exc
        await self._store.increment("subscriptions")

    async def change(self, user_id: str, change: Callable[[Subscription], Subscription]) -> Subscription:
        """Raises NotFound, Conflict, and what `change` raises."""

        def changed(document: Document | None) -> Document:
            if document is None:
                raise NotFound("Subscription not found")
            return change(Subscription.read(document)).document()

        await self._claim_ids(Subscription.read(changed(await self._store.get(SUBSCRIPTIONS, Key(user_id)))))
        document = await self._store.update(SUBSCRIPTIONS, Key(user_id), changed)
        assert document is not None, "the change never deletes"
        return Subscription.read(document)

    async def delete(self, user_id: str) -> None:
        """Repeatable until done."""
        subscription = await self.of(user_id)
        if subscription is None:
            return
        for key in _stripe_keys(subscription):
            await self._store.delete(STRIPE_IDS, key)
        await self._store.delete(SUBSCRIPTIONS, Key(user_id))
        await self._store.increment("subscriptions", -1)

    async def _by(self, kind: str, stripe_id: str) -> Subscription | None:
        claim = await self._store.get(STRIPE_IDS, Key(kind, stripe_id)) if is_key_part(stripe_id) else None
        subscription = None if claim is None else await self.of(claim["user_id"])
        return subscription if subscription and Key(kind, stripe_id) in _stripe_keys(subscription) else None

    async def _claim_ids(self, subscription: Subscription) -> None:
        """The ids come before the row that has them: a claim without its row is void to readers."""

        def change(claim: Document | None) -> Document:
            if claim is not None and claim["user_id"] != subscription.user_id:
                raise Conflict("This Stripe id belongs to another account")
            return {"user_id": subscription.user_id}

        for key in _stripe_keys(subscription):
            await self._store.update(STRIPE_IDS, key, change)


def key_id(key_hash: str) -> str:
    """An API key's id: half of its SHA-256, in hexadecimal. Of 256 random bits this tells nothing."""
    return key_hash[:32]


def uses_counter(key: IssuedKey) -> str:
    """Counts the memos made with a key."""
    return f"uses:{key.user_id}:{key.id}"


def key_not_found() -> NotFound:
    return NotFound("API key not found")


def _user_key(user_id: str) -> Key:
    return Key("all", user_id)


def _email_key(email: str) -> Key:
    return Key(hashlib.sha256(f"email:{email}".encode()).hexdigest())


def _stripe_keys(subscription: Subscription) -> list[Key]:
    ids = (("customer", subscription.stripe_customer_id), ("subscription", subscription.stripe_subscription_id))
    return [Key(kind, stripe_id) for kind, stripe_id in ids if stripe_id is not None]


def _without(row: Document, fields: list[str]) -> Document:
    return {field: value for field, value in row.items() if field not in fields}


def _entry(key: IssuedKey) -> Document:
    return key.document() | {"updated_at": iso(key.created_at)}


def _entries(ring: Document | None) -> list[Document]:
    return [] if ring is None else ring["keys"]


def _active(entries: list[Document], at: datetime) -> int:
    return sum(IssuedKey.read(entry).is_active(at) for entry in entries)


async def _newest(
    store: Store,
    table: Table,
    partition: str,
    window: Window,
    *,
    keep: Callable[[Document], bool] | None = None,
) -> Page[Row]:
    """A page, newest first. With `keep` it reads on, once, for what a first read left unfilled."""

    def read(after: str | None, limit: int) -> Awaitable[Page[Row]]:
        return store.page(table, partition, after=after, limit=limit, newest_first=True, between=window.between)

    page = await read(window.after, window.limit)
    if keep is None:
        return page
    kept = [row for row in page.rows if keep(row.document)]
    if page.after is None or len(kept) == window.limit:
        return Page(rows=kept, after=page.after)
    more = await read(page.after, FILTERED_READ)
    for row in more.rows:
        if keep(row.document):
            kept.append(row)
            if len(kept) == window.limit:
                return Page(rows=kept, after=None if row is more.rows[-1] and more.after is None else row.key.sort)
    return Page(rows=kept, after=more.after)


def _merged(pages: list[Page[Row]], limit: int) -> Page[Row]:
    """One page of several, newest first. Behind where the first of them ends, nothing is known."""
    known_to = max((page.after for page in pages if page.after is not None), default="")
    rows = [
        row
        for row in heapq.merge(*(page.rows for page in pages), key=lambda row: row.key.sort, reverse=True)
        if row.key.sort >= known_to
    ]
    more = known_to != "" or len(rows) > limit
    return Page(rows=rows[:limit], after=rows[:limit][-1].key.sort if more and rows else None)
