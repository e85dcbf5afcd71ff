"""The tables: their keys, and the kind of their rows.

| table | key | kind |
|---|---|---|
| users | all / user | changing, extended by `ended_<session>` |
| emails | digest of the address | changing: the claim of a user on it |
| api_keys | key id, which derives from the key's SHA-256 | facts, extended by name, limits, ends, `revoked_at` |
| key_rings | owner | changing: all of an owner's keys, oldest first |
| key_uses | owner / key, key.name, key.limits, key.ends | registers: the last use; what the ring lacks |
| idempotency_keys | API key id / digest of the given key | changing, extended by `failed_<run>`: the newest run |
| speech_calls | API key id / digest of a body | registers: an SDK's newest call with that body |
| memos | owner / memo | facts, extended by `title`, a long one's by `ended` |
| long_memos | all / memo | changing: a long memo, until its end is written |
| usage_logs | owner.memos or owner.events / log | facts, a memo's extended by `memo_deleted` and `ended` |
| active_owners | day / owner | registers: an owner who made a memo on that UTC day |
| usage_days | owner / day, or day.hour | facts, extended by `sums` when repaired: the sums of its logs |
| usage_months | owner / month | facts, extended likewise: the sums of its days, and of all time before |
| subscriptions | owner | changing |
| closing | all / owner | registers: a closed account that is being erased |
| stripe_ids | customer / Stripe's id | changing: the claim of an owner on it |
| housekeeping | all / day, `sweep` or `plans` | changing: the figures of days, and the positions of sweeps |
| moved | users, audio or owner / digest of the predecessor's id | facts, extended by `seen`: the id or file here |

All users share the partition of `users`, all long memos that of `long_memos`, and a day's owners that of
`active_owners`, so they are spread over shards.
`owned.py` lists the rows and counters of an owner, which closing the account deletes.

| counter | what |
|---|---|
| `<owner>:calls:<day or month>` | memos made with live keys |
| `<owner>:testcalls:<day>` | memos made with test keys |
| `<owner>:uses:<key>` | memos made with a key |
| `<owner>:uses:<key>:revocations` | revocations that began: a list then reads the key's check document too |
| `<owner>:uses:<key>:<day>:memos`, `<owner>:uses:<key>:<day or month>:characters` | used of the key's own limits |
| `<owner>:refused:<live, test or key>:<day or month>` | memos refused by a limit |
| `<owner>:stripe` | numbers of synchronisations, drawn before Stripe is asked |
| `login.<window>.<address>:<account>`, `login.<window>.<address>` | failed passwords |
| `reset.<window>.<address>`, `reset.<window>.for.<account>`, `verify.<window>.…` likewise | requested mails |
| `signup.<window>.<address>`, `demo.<window>.<address>` | attempts |
| `users:new:<day>` | existing users who signed up on that day; `users` counts those from before there were days |
| `users:tier:<pro or enterprise>` | users on that plan |
| `subscriptions` | subscriptions |
"""

from typing import Final

from shared.stores.port import Kind, Table

LOGS_BYTES: Final = 5_000_000
"""Bytes of a page of usage logs, which are counted by thousands. A page of an answer has 100 logs at most."""

USERS: Final = Table(name="users", kind=Kind.CHANGING, database="users", shards=16)
EMAILS: Final = Table(name="emails", kind=Kind.CHANGING, database="indexes")
API_KEYS: Final = Table(name="api_keys", kind=Kind.FACTS, database="api_keys")
KEY_RINGS: Final = Table(name="key_rings", kind=Kind.CHANGING, database="indexes")
KEY_USES: Final = Table(name="key_uses", kind=Kind.REGISTERS, database="indexes")
IDEMPOTENCY_KEYS: Final = Table(name="idempotency_keys", kind=Kind.CHANGING, database="indexes")
SPEECH_CALLS: Final = Table(name="speech_calls", kind=Kind.REGISTERS, database="indexes")
MEMOS: Final = Table(name="memos", kind=Kind.FACTS, database="memos")
LONG_MEMOS: Final = Table(name="long_memos", kind=Kind.CHANGING, database="indexes", shards=4)
USAGE_LOGS: Final = Table(name="usage_logs", kind=Kind.FACTS, database="usage_logs", page_bytes=LOGS_BYTES)
ACTIVE_OWNERS: Final = Table(name="active_owners", kind=Kind.REGISTERS, database="indexes", shards=8)
USAGE_DAYS: Final = Table(name="usage_days", kind=Kind.FACTS, database="usage_logs")
USAGE_MONTHS: Final = Table(name="usage_months", kind=Kind.FACTS, database="usage_logs")
SUBSCRIPTIONS: Final = Table(name="subscriptions", kind=Kind.CHANGING, database="subscriptions")
CLOSING: Final = Table(name="closing", kind=Kind.REGISTERS, database="indexes")
HOUSEKEEPING: Final = Table(name="housekeeping", kind=Kind.CHANGING, database="indexes")
STRIPE_IDS: Final = Table(name="stripe_ids", kind=Kind.CHANGING, database="indexes")
MOVED: Final = Table(name="moved", kind=Kind.FACTS, database="indexes")

TABLES: Final = (
    USERS,
    EMAILS,
    API_KEYS,
    KEY_RINGS,
    KEY_USES,
    IDEMPOTENCY_KEYS,
    SPEECH_CALLS,
    MEMOS,
    LONG_MEMOS,
    USAGE_LOGS,
    ACTIVE_OWNERS,
    USAGE_DAYS,
    USAGE_MONTHS,
    SUBSCRIPTIONS,
    STRIPE_IDS,
    CLOSING,
    MOVED,
    HOUSEKEEPING,
)
