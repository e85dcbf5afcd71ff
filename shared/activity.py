"""Recording what happened. What the records add up to: `history`."""

from datetime import datetime
from typing import Any

from shared.core.ids import Ids
from shared.stores.best_effort import best_effort
from shared.tables import UsageLogs
from shared.tables.api_keys import IssuedKey
from shared.tables.usage_logs import Action, UsageLog


class UsageRecorder:
    """Recording never fails the request that it records: what could not be written is logged."""

    def __init__(self, logs: UsageLogs, ids: Ids) -> None:
        self._logs = logs
        self._ids = ids

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
        """A memo's log has the memo's id; others get one of their own."""
        log = UsageLog(
            id=log_id or self._ids.mint(at),
            user_id=user_id,
            api_key_id=key.id if key else None,
            api_key_name=key.name if key else None,
            api_key_prefix=key.prefix if key else None,
            action=action,
            metadata=metadata or {},
            created_at=at,
        )
        with best_effort("an event could not be recorded", action=action, user_id=user_id):
            await self._logs.add(log)

    async def retract_memo(self, user_id: str, memo_id: str) -> None:
        """Take back the record of a memo that was not made after all."""
        with best_effort("a record could not be taken back", memo_id=memo_id, user_id=user_id):
            await self._logs.delete_memo(user_id, memo_id)
