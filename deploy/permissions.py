"""The permissions of each function on rows, in the terms of IAM. The template's roles contain the same.

The roles are written out in the template, so that its reader sees all of them. `deploy.check_roles` compares both,
table by table. The tests of the handlers run under this table: a function that uses more fails them.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

COUNTERS: Final = "counter"
"""The prefix of counters' partition keys, in the place of a table's name."""

DESCRIBE: Final = ("DescribeTable", "DescribeTimeToLive")
"""The actions of the check at a container's start, on the table itself."""

PERMITTED: Final[Mapping[str, Mapping[str, str]]] = {
    "users": {
        "users": "GetItem PutItem UpdateItem DeleteItem",
        "emails": "GetItem PutItem DeleteItem",
        "api_keys": "GetItem PutItem UpdateItem DeleteItem Query BatchWriteItem",
        "key_rings": "GetItem PutItem DeleteItem",
        "key_uses": "PutItem Query BatchWriteItem",
        "idempotency_keys": "Query BatchWriteItem",
        "speech_calls": "Query BatchWriteItem",
        "memos": "Query BatchWriteItem",
        "long_memos": "GetItem DeleteItem Query",
        "usage_logs": "PutItem Query BatchWriteItem",
        "usage_days": "Query BatchWriteItem",
        "usage_months": "Query BatchWriteItem",
        "active_owners": "DeleteItem",
        "subscriptions": "GetItem DeleteItem",
        "stripe_ids": "GetItem DeleteItem",
        "closing": "PutItem",
        "moved": "DeleteItem Query BatchWriteItem",
        COUNTERS: "Query UpdateItem BatchWriteItem",
    },
    "keys": {
        "users": "GetItem",
        "api_keys": "GetItem PutItem UpdateItem DeleteItem",
        "key_rings": "GetItem PutItem",
        "key_uses": "GetItem Query PutItem DeleteItem",
        "usage_logs": "PutItem",
        COUNTERS: "Query UpdateItem",
    },
    "memos": {
        "users": "GetItem",
        "api_keys": "GetItem",
        "key_uses": "PutItem",
        "idempotency_keys": "GetItem PutItem UpdateItem",
        "speech_calls": "GetItem PutItem",
        "memos": "GetItem PutItem UpdateItem DeleteItem Query",
        "usage_logs": "GetItem PutItem UpdateItem DeleteItem",
        "active_owners": "PutItem",
        "long_memos": "GetItem PutItem DeleteItem",
        "moved": "GetItem",
        COUNTERS: "Query UpdateItem",
    },
    "mcp": {
        "users": "GetItem",
        "api_keys": "GetItem",
        "moved": "GetItem",
        "key_uses": "PutItem",
        "idempotency_keys": "GetItem PutItem UpdateItem",
        "memos": "GetItem PutItem DeleteItem Query",
        "usage_logs": "GetItem PutItem UpdateItem DeleteItem",
        "active_owners": "PutItem",
        "long_memos": "GetItem PutItem DeleteItem",
        COUNTERS: "Query UpdateItem",
    },
    "speaker": {
        "api_keys": "GetItem",
        "memos": "GetItem UpdateItem DeleteItem",
        "long_memos": "GetItem PutItem DeleteItem Query",
        "usage_logs": "PutItem UpdateItem Query",
        "usage_days": "PutItem UpdateItem DeleteItem Query",
        "usage_months": "PutItem UpdateItem DeleteItem Query",
        COUNTERS: "UpdateItem",
    },
    "housekeeping": {
        "users": "GetItem PutItem DeleteItem",
        "emails": "GetItem DeleteItem",
        "api_keys": "GetItem UpdateItem Query BatchWriteItem",
        "key_rings": "GetItem PutItem Query BatchWriteItem",
        "key_uses": "Query BatchWriteItem",
        "idempotency_keys": "Query BatchWriteItem",
        "speech_calls": "Query BatchWriteItem",
        "memos": "GetItem UpdateItem DeleteItem Query BatchWriteItem",
        "long_memos": "GetItem PutItem DeleteItem Query",
        "usage_logs": "PutItem UpdateItem DeleteItem Query BatchWriteItem",
        "usage_days": "PutItem UpdateItem DeleteItem Query BatchWriteItem",
        "usage_months": "PutItem UpdateItem DeleteItem Query BatchWriteItem",
        "active_owners": "Query DeleteItem BatchWriteItem",
        "subscriptions": "GetItem PutItem DeleteItem",
        "stripe_ids": "GetItem DeleteItem Query",
        "closing": "PutItem DeleteItem Query",
        "moved": "DeleteItem Query BatchWriteItem",
        "housekeeping": "GetItem PutItem Query",
        COUNTERS: "Query UpdateItem BatchWriteItem",
    },
    "usage": {
        "users": "GetItem",
        "api_keys": "GetItem",
        "key_rings": "GetItem",
        "key_uses": "Query",
        "memos": "Query",
        "usage_logs": "Query",
        "usage_days": "PutItem UpdateItem DeleteItem Query",
        "usage_months": "PutItem Query",
        COUNTERS: "Query",
    },
    "admin": {
        "users": "GetItem PutItem DeleteItem Query",
        "emails": "GetItem DeleteItem",
        "api_keys": "GetItem UpdateItem Query BatchWriteItem",
        "key_rings": "GetItem PutItem",
        "key_uses": "Query BatchWriteItem",
        "idempotency_keys": "Query BatchWriteItem",
        "speech_calls": "Query BatchWriteItem",
        "memos": "Query BatchWriteItem",
        "long_memos": "GetItem DeleteItem Query",
        "usage_logs": "PutItem Query BatchWriteItem",
        "usage_days": "PutItem UpdateItem DeleteItem Query BatchWriteItem",
        "usage_months": "PutItem Query BatchWriteItem",
        "active_owners": "DeleteItem",
        "subscriptions": "GetItem DeleteItem",
        "stripe_ids": "GetItem DeleteItem",
        "closing": "PutItem",
        "housekeeping": "Query",
        "moved": "DeleteItem Query BatchWriteItem",
        COUNTERS: "Query UpdateItem BatchWriteItem",
    },
    "subscriptions": {
        "users": "GetItem PutItem",
        "subscriptions": "GetItem PutItem",
        "stripe_ids": "GetItem PutItem",
        "usage_logs": "PutItem",
        COUNTERS: "UpdateItem",
    },
    "health": {
        "key_uses": "GetItem",
    },
}
"""By function and table, the actions on the table's items. A DynamoDB partition's key begins with `<table>#`."""


OBJECTS: Final = ("/audio/*", "/leases/*", "/making/*", "/pieces/*")
"""All objects except the marks of closed accounts: without its mark, a closed account's audio would be served."""

_CLOSES: Final = {("",): "ListBucket", OBJECTS: "DeleteObject", ("/closed/*",): "GetObject PutObject"}
_SPEAKS: Final = {("",): "ListBucket", ("/*",): "GetObject", OBJECTS: "DeleteObject PutObject"}

AUDIO: Final[Mapping[str, Mapping[tuple[str, ...], str]]] = {
    "users": _CLOSES,
    "admin": _CLOSES,
    "housekeeping": _CLOSES,
    "memos": _SPEAKS,
    "mcp": _SPEAKS,
    "speaker": _SPEAKS,
    "health": {("",): "ListBucket", ("/closed/*",): "GetObject"},
}
"""By function, the permitted actions on the audio bucket and its objects; a function not listed has none."""

QUEUE: Final[Mapping[str, str]] = {
    "housekeeping": "SendMessage",
    "memos": "SendMessage",
    "mcp": "SendMessage",
    "speaker": "DeleteMessage GetQueueAttributes ReceiveMessage SendMessage",
}
"""By function, the permitted actions on the queue of long memos; a function not listed has none."""

SPEAKERS: Final = frozenset({"memos", "mcp", "speaker"})
"""The functions that speak, and so may call Polly if it was chosen."""

MAILERS: Final = frozenset({"users", "admin"})
"""The functions that send mail, and so may call SES if it was chosen."""


def by_actions(function: str) -> dict[frozenset[str], frozenset[str]]:
    """Return the tables grouped by their permitted actions: one statement of the role for each group."""
    tables: dict[frozenset[str], set[str]] = defaultdict(set)
    for table, actions in PERMITTED[function].items():
        tables[frozenset(actions.split())].add(table)
    return {actions: frozenset(names) for actions, names in tables.items()}
