"""The answer for a usage log: in lists, and as a line of an export."""

from typing import Any

from handlers.models.base import Answer
from shared.core.clock import Instant
from shared.tables.usage_logs import Action


class LogAnswer(Answer):
    """One event. The key's name and prefix are those of that time."""

    id: str
    action: Action
    metadata: dict[str, Any]
    created_at: Instant
    api_key_id: str | None
    api_key_name: str | None
    api_key_prefix: str | None
