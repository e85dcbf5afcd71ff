"""The tables and the typed helpers over a store; `declared.py` says what lies where."""

from shared.tables.api_keys import ApiKeys, key_id, uses_counter
from shared.tables.lists import Window
from shared.tables.memos import Memos
from shared.tables.schema import (
    API_KEYS,
    EMAILS,
    KEY_RINGS,
    MEMOS,
    TABLES,
    USAGE_DAYS,
    USAGE_MONTHS,
    USERS,
)
from shared.tables.subscriptions import Subscriptions
from shared.tables.usage_logs import LogKind, UsageLogs
from shared.tables.users import ENDED_KEPT, ENDED_MOST, Users

__all__ = [
    "API_KEYS",
    "EMAILS",
    "ENDED_KEPT",
    "ENDED_MOST",
    "KEY_RINGS",
    "MEMOS",
    "TABLES",
    "USAGE_DAYS",
    "USAGE_MONTHS",
    "USERS",
    "ApiKeys",
    "LogKind",
    "Memos",
    "Subscriptions",
    "UsageLogs",
    "Users",
    "Window",
    "key_id",
    "uses_counter",
]
