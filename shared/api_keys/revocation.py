"""Revoking a key: by its owner, or by an operator or admin, such as when the key was published."""

from datetime import datetime
from typing import Any

from shared.activity import UsageRecorder
from shared.core.ids import derived_id
from shared.tables import ApiKeys
from shared.tables.issued_keys import IssuedKey
from shared.tables.usage_logs import Action


async def revoke(
    keys: ApiKeys,
    recorder: UsageRecorder,
    user_id: str,
    api_key_id: str,
    at: datetime,
    *,
    metadata: dict[str, Any] | None = None,
) -> IssuedKey:
    """Revoke a key for good, in force at once, and record it once. Raises NotFound.

    Repeatable: the log's id is derived from the revocation, so a repeat adds the log only if an interrupted call did
    not.
    """
    key = await keys.revoke(user_id, api_key_id, at)
    assert key.revoked_at is not None, "it was just revoked"
    log_id = derived_id(key.revoked_at, key.id)
    await recorder.record(
        Action.KEY_REVOKED, user_id=user_id, at=key.revoked_at, key=key, metadata=metadata, log_id=log_id
    )
    return key
