"""All rows and counters of an owner, in one list: closing the account deletes them. A test compares it with all tables
and counters."""

from collections.abc import Mapping
from typing import Final

from shared.stores.port import Table
from shared.tables.schema import (
    ACTIVE_OWNERS,
    API_KEYS,
    CLOSING,
    EMAILS,
    HOUSEKEEPING,
    IDEMPOTENCY_KEYS,
    KEY_RINGS,
    KEY_USES,
    LONG_MEMOS,
    MEMOS,
    MOVED,
    SPEECH_CALLS,
    STRIPE_IDS,
    SUBSCRIPTIONS,
    USAGE_DAYS,
    USAGE_LOGS,
    USAGE_MONTHS,
    USERS,
)

BY_OWNER: Final[Mapping[Table, tuple[str, ...]]] = {
    MEMOS: ("{owner}",),
    USAGE_LOGS: ("{owner}.memos", "{owner}.events"),
    USAGE_DAYS: ("{owner}",),
    USAGE_MONTHS: ("{owner}",),
    KEY_USES: ("{owner}",),
    MOVED: ("{owner}",),
}
"""Tables with partitions of the owner's own, which are erased whole. Rows of MOVED lead to rows that go first."""

BY_KEY: Final = (IDEMPOTENCY_KEYS, SPEECH_CALLS, API_KEYS)
"""Tables with a partition for each of the owner's API keys."""

KEPT_A_DAY: Final[Mapping[Table, tuple[str, ...]]] = {KEY_RINGS: ("{owner}",)}
"""Tables of the same form, erased a day later: a closed ring refuses a key that is still being made."""

ONE_BY_ONE: Final = (LONG_MEMOS, ACTIVE_OWNERS, SUBSCRIPTIONS, STRIPE_IDS, EMAILS, USERS, CLOSING)
"""Tables in which single rows are the owner's: its long memos, days, subscription, customer, address and account."""

OF_THE_SERVICE: Final = (HOUSEKEEPING,)
"""Tables without rows of an owner. A pass over a day contains the id of the owner it stopped at, until it continues."""

COUNTERS: Final = ("calls", "testcalls", "uses", "refused", "stripe")
"""The counters `<owner>:<name>:…`. All counters that begin with the owner are dropped, whatever their names."""

NOT_OWNED: Final = ("login", "signup", "demo", "keys", "reset", "verify", "users", "subscriptions")
"""The first parts of counters that belong to no owner: attempts, by pseudonyms, whose windows end; and sums."""


def partitions(tables: Mapping[Table, tuple[str, ...]], owner: str) -> list[tuple[Table, str]]:
    return [(table, form.format(owner=owner)) for table, forms in tables.items() for form in forms]
