"""Usage logs: the events of an owner."""

from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, Self

from shared.core.clock import Instant
from shared.core.concurrency import gather_settled
from shared.core.ids import is_id
from shared.stores.port import AlreadyExists, Document, Key, Page, Row, Store
from shared.tables.lists import Window, merged, newest
from shared.tables.memos import ENDED, Ended
from shared.tables.model import RowModel
from shared.tables.schema import USAGE_LOGS


class Action(StrEnum):
    """The actions that usage logs record."""

    MEMO_CREATED = "memo_created"
    MEMO_FAILED = "memo_failed"
    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_LIMITED = "key_limited"
    KEY_REVOKED = "key_revoked"
    USER_SIGNUP = "user_signup"
    USER_LOGIN = "user_login"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 an action
    PLAN_CHANGED = "plan_changed"
    ADMIN_CHANGED = "admin_changed"
    ERROR_API = "error_api"
    ERROR_TTS = "error_tts"
    ERROR_RATE_LIMIT = "error_rate_limit"


class UsageLog(RowModel):
    """An event of an owner. The key's name and prefix are those of that time; None: no key was involved.

    Stored under `<owner>.memos` or `<owner>.events` and the log's id, a memo's under the memo's own, as

        {"id": "019c…", "user_id": "019b…", "api_key_id": "5c1d…", "api_key_name": "Default Key",
         "api_key_prefix": "at_live_", "action": "memo_created", "created_at": "2026-03-02T08:00:00.000Z",
         "metadata": {"memoId": "019c…", "voice": "sam", "characters": 7, "audioSeconds": 0.4, "test": false}}
    """

    id: str
    user_id: str
    api_key_id: str | None = None
    api_key_name: str | None = None
    api_key_prefix: str | None = None
    action: Action
    metadata: dict[str, Any]
    created_at: Instant

    @classmethod
    def read(cls, document: Document) -> Self:
        """Return the log. If it is of a long memo that is ready, its metadata contain the exact seconds."""
        log, seconds = cls.model_validate(document), (document.get(ENDED) or {}).get("seconds")
        return log if seconds is None else log.model_copy(update={"metadata": log.metadata | {"audioSeconds": seconds}})


MEMO_DELETED: Final = "memo_deleted"
"""The extension of a memo's log: its owner deleted the memo, which stays in every count. Repeats of the memo's request
are answered from it: `{"audio_url": "/audio/4f1d…-9c07….mp3", "is_long": false}`."""


class LogKind(StrEnum):
    """The two partitions of an owner's logs: one for memos made, one for all other events."""

    MEMOS = "memos"
    EVENTS = "events"


class UsageLogs:
    """Most logs are of memos made. They are kept apart from events, so that pages of both are full."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, log: UsageLog) -> None:
        """Write a log. Repeatable: a log that is already stored under its id stays unchanged."""
        kind = LogKind.MEMOS if log.action is Action.MEMO_CREATED else LogKind.EVENTS
        with suppress(AlreadyExists):
            await self._store.add(USAGE_LOGS, Key(f"{log.user_id}.{kind}", log.id), log.document())

    async def get(self, user_id: str, log_id: str) -> UsageLog | None:
        if not is_id(log_id):
            return None
        found = await gather_settled(
            *(self._store.get(USAGE_LOGS, Key(f"{user_id}.{kind}", log_id)) for kind in LogKind)
        )
        return next((UsageLog.read(document) for document in found if document is not None), None)

    async def get_of_memo(self, user_id: str, memo_id: str) -> Document | None:
        """Return the log of a memo with its extensions; None: no such memo was made."""
        return await self._store.get(USAGE_LOGS, Key(f"{user_id}.{LogKind.MEMOS}", memo_id))

    async def mark_memo_deleted(self, user_id: str, memo_id: str, audio_url: str, *, is_long: bool) -> None:
        """Mark a memo's log, since its owner deletes the memo. Reconciling then keeps a log without a memo."""
        deleted = {"audio_url": audio_url, "is_long": is_long}
        await self._store.extend(USAGE_LOGS, Key(f"{user_id}.{LogKind.MEMOS}", memo_id), MEMO_DELETED, deleted)

    async def end_memo(self, user_id: str, memo_id: str, ended: Ended) -> None:
        """Write how a long memo ended beside its log. It counts with its exact seconds, or not if it failed."""
        await self._store.extend(USAGE_LOGS, Key(f"{user_id}.{LogKind.MEMOS}", memo_id), ENDED, ended.document())

    async def delete_memo(self, user_id: str, log_id: str) -> None:
        """Delete the log of a memo that was not made."""
        await self._store.delete(USAGE_LOGS, Key(f"{user_id}.{LogKind.MEMOS}", log_id))

    async def page(self, user_id: str, window: Window, *, action: Action | None = None) -> Page[UsageLog]:
        """Return an owner's logs, newest first.

        With an `action` other than memo_created a page may be short though more logs follow.
        """
        if action is None:
            page = merged(
                await gather_settled(
                    newest(self._store, USAGE_LOGS, f"{user_id}.{LogKind.MEMOS}", window),
                    newest(self._store, USAGE_LOGS, f"{user_id}.{LogKind.EVENTS}", window),
                ),
                window.limit,
            )
        elif action is Action.MEMO_CREATED:
            page = await newest(self._store, USAGE_LOGS, f"{user_id}.{LogKind.MEMOS}", window)
        else:
            page = await newest(
                self._store,
                USAGE_LOGS,
                f"{user_id}.{LogKind.EVENTS}",
                window,
                keep=lambda document: bool(document["action"] == action),
            )
        return Page(rows=[UsageLog.read(row.document) for row in page.rows], after=page.after)

    async def rows(self, user_id: str, kind: LogKind, window: Window, *, newest_first: bool = True) -> Page[Row]:
        """Return the documents of one kind, for counting. Building models of them would take most of the time."""
        return await self._store.page(
            USAGE_LOGS,
            f"{user_id}.{kind}",
            after=window.after,
            limit=window.limit,
            newest_first=newest_first,
            between=window.between,
        )
