"""How a usage log is answered: in lists, and line by line in an export."""

from typing import Any

from handlers.models.base import Answer
from shared.core.clock import Instant
from shared.tables.usage_logs import Action


class LogAnswer(Answer):
    """The key's name and prefix are those it had when this happened."""

    id: str
    action: Action
    metadata: dict[str, Any]
    created_at: Instant
    api_key_id: str | None
    api_key_name: str | None
    api_key_prefix: str | None
