"""The tables and their typed helpers over a store; `schema.py` declares every table and counter."""

from dataclasses import dataclass
from typing import Self

from shared.stores.port import Store
from shared.tables.active_owners import ActiveOwners
from shared.tables.api_keys import ApiKeys
from shared.tables.closing import ClosingAccounts
from shared.tables.housekeeping import HousekeepingRows
from shared.tables.idempotency_keys import IdempotencyKeys
from shared.tables.issued_keys import key_id, uses_counter
from shared.tables.lists import Window
from shared.tables.long_memos import LongMemoList
from shared.tables.memos import Memos
from shared.tables.moved import MovedIds
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
from shared.tables.speech_calls import SpeechCalls
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
    "ActiveOwners",
    "ApiKeys",
    "ClosingAccounts",
    "HousekeepingRows",
    "IdempotencyKeys",
    "LogKind",
    "LongMemoList",
    "Memos",
    "MovedIds",
    "SpeechCalls",
    "Subscriptions",
    "Tables",
    "UsageLogs",
    "Users",
    "Window",
    "key_id",
    "uses_counter",
]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The typed helpers of all tables on one store, by noun."""

    users: Users
    api_keys: ApiKeys
    idempotency_keys: IdempotencyKeys
    speech_calls: SpeechCalls
    memos: Memos
    long_memos: LongMemoList
    usage_logs: UsageLogs
    active_owners: ActiveOwners
    subscriptions: Subscriptions
    closing: ClosingAccounts
    moved: MovedIds
    housekeeping: HousekeepingRows

    @classmethod
    def on(cls, store: Store) -> Self:
        return cls(
            users=Users(store),
            api_keys=ApiKeys(store),
            idempotency_keys=IdempotencyKeys(store),
            speech_calls=SpeechCalls(store),
            memos=Memos(store),
            long_memos=LongMemoList(store),
            usage_logs=UsageLogs(store),
            active_owners=ActiveOwners(store),
            subscriptions=Subscriptions(store),
            closing=ClosingAccounts(store),
            moved=MovedIds(store),
            housekeeping=HousekeepingRows(store),
        )
