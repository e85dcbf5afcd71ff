"""Record events: usage logs, and the list of owners who made memos on a day. `shared/usage/` sums the logs."""

from datetime import date, datetime
from functools import partial
from typing import Any, Final

from shared.core.ids import Ids
from shared.core.remembered import Remembered
from shared.stores.best_effort import best_effort, repeated
from shared.tables import ActiveOwners, UsageLogs
from shared.tables.issued_keys import IssuedKey
from shared.tables.memos import Memo
from shared.tables.usage_logs import Action, UsageLog

OWNERS_REMEMBERED: Final = 10_000
"""Owners whom a container remembers to be on today's list, some 100 bytes each. A forgotten one costs a request."""


class UsageRecorder:
    def __init__(self, logs: UsageLogs, active_owners: ActiveOwners, ids: Ids) -> None:
        self._logs = logs
        self._active_owners = active_owners
        self._ids = ids
        self._listed = Remembered[str, date](OWNERS_REMEMBERED)

    async def note_deleted(self, memo: Memo) -> None:
        """Mark a memo's log before its row is deleted, so that reconciling keeps the log. Raises StoreUnavailable."""
        await self._logs.mark_memo_deleted(memo.user_id, memo.id, memo.audio_url, is_long=memo.is_long)

    async def note_long_deleted(self, user_id: str, memo_id: str, audio_url: str) -> None:
        """Mark the log of a long memo that is deleted before its audio is ready. Raises StoreUnavailable."""
        await self._logs.mark_memo_deleted(user_id, memo_id, audio_url, is_long=True)

    async def record(
        self,
        action: Action,
        *,
        user_id: str,
        at: datetime,
        key: IssuedKey | None = None,
        metadata: dict[str, Any] | None = None,
        log_id: str | None = None,
    ) -> None:
        """Store a log. Raises StoreUnavailable if it may be missing.

        Repeated calls with one `log_id` store one log. `log_id` None: the log gets a new id.
        """
        await self._store(
            UsageLog(
                id=log_id or self._ids.mint(at),
                user_id=user_id,
                api_key_id=key.id if key else None,
                api_key_name=key.name if key else None,
                api_key_prefix=key.prefix if key else None,
                action=action,
                metadata=metadata or {},
                created_at=at,
            )
        )

    async def try_record(
        self,
        action: Action,
        *,
        user_id: str,
        at: datetime,
        key: IssuedKey | None = None,
        metadata: dict[str, Any] | None = None,
        log_id: str | None = None,
    ) -> None:
        """Store a log of an event that is valid without it. If it cannot be stored, an error is logged."""
        with best_effort("an event could not be recorded", action=action, user_id=user_id):
            await self.record(action, user_id=user_id, at=at, key=key, metadata=metadata, log_id=log_id)

    async def record_memo(self, memo: Memo, key: IssuedKey) -> None:
        """Store the log of a memo, under the memo's id. Raises StoreUnavailable if it may be missing."""
        await self._store(log_of_memo(memo, key))

    async def retract_memo(self, user_id: str, memo_id: str) -> None:
        """Delete the log of a memo that failed. If that fails too, `maintain reconcile-memos` deletes it."""
        with best_effort("the log of a failed memo was not deleted: run maintain reconcile-memos", memo_id=memo_id):
            await repeated(partial(self._logs.delete_memo, user_id, memo_id), "a log was not deleted", memo_id=memo_id)

    async def note_active(self, user_id: str, at: datetime) -> None:
        """Put an owner on the list of a UTC day, once a day and container. Raises StoreUnavailable.

        Await it before the owner's memo is written: only owners on the list have their memos compared with their logs.
        """
        if self._listed.get(user_id) == at.date():
            return
        await self._active_owners.add(at.date(), user_id)
        self._listed[user_id] = at.date()

    async def _store(self, log: UsageLog) -> None:
        """Send a log until it is acknowledged. `add` accepts a log that an unanswered attempt has stored."""
        await repeated(partial(self._logs.add, log), "a usage log was not stored", id=log.id)


def log_of_memo(memo: Memo, key: IssuedKey | None) -> UsageLog:
    """Return the log of a memo, which has the memo's id. `key` None: the key is unknown."""
    return UsageLog(
        id=memo.id,
        user_id=memo.user_id,
        api_key_id=key.id if key else None,
        api_key_name=key.name if key else None,
        api_key_prefix=key.prefix if key else None,
        action=Action.MEMO_CREATED,
        metadata={
            "memoId": memo.id,
            "voice": memo.voice,
            "characters": memo.character_count,
            "audioSeconds": memo.duration_seconds,
            "test": key.is_test if key else False,
        },
        created_at=memo.created_at,
    )
