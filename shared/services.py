"""What a function works with, built once a container from its settings."""

from dataclasses import dataclass

from shared.accounts.accounts import Accounts
from shared.accounts.passwords import Passwords
from shared.accounts.sessions import Sessions
from shared.activity import UsageRecorder
from shared.api_keys.api_keys import KeyService
from shared.core.clock import Clock, utc_now
from shared.core.cursors import Cursors
from shared.core.ids import Ids
from shared.core.settings import Settings
from shared.limits.attempts import Attempts
from shared.limits.quotas import Quotas
from shared.memos.memos import MemoService
from shared.speech.simulated import SimulatedSpeech
from shared.stores.opening import Close, nothing_to_close, open_store
from shared.stores.port import Store
from shared.tables import ApiKeys, Memos, Subscriptions, UsageLogs, Users


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: Settings
    store: Store
    clock: Clock
    accounts: Accounts
    keys: KeyService
    memos: MemoService
    quotas: Quotas
    cursors: Cursors
    users: Users
    api_key_rows: ApiKeys
    memo_rows: Memos
    usage_logs: UsageLogs
    subscriptions: Subscriptions
    close: Close

    @classmethod
    def on(
        cls,
        store: Store,
        settings: Settings,
        *,
        passwords: Passwords | None = None,
        clock: Clock = utc_now,
        close: Close = nothing_to_close,
    ) -> "Services":
        """Everything on one store. `close` is for whoever opened it."""
        ids = Ids()
        users, keys, memos, logs = Users(store), ApiKeys(store), Memos(store), UsageLogs(store)
        quotas, recorder = Quotas(store), UsageRecorder(logs, ids)
        attempts = Attempts(store, settings.attempts, secret=settings.session_secret, clock=clock)
        return cls(
            settings=settings,
            store=store,
            clock=clock,
            accounts=Accounts(
                users=users,
                keys=keys,
                passwords=passwords or Passwords(),
                sessions=Sessions(settings.session_secret, clock),
                attempts=attempts,
                recorder=recorder,
                clock=clock,
                ids=ids,
            ),
            keys=KeyService(keys=keys, quotas=quotas, recorder=recorder, clock=clock),
            memos=MemoService(
                users=users,
                keys=keys,
                memos=memos,
                quotas=quotas,
                attempts=attempts,
                recorder=recorder,
                speech=SimulatedSpeech(),
                clock=clock,
                ids=ids,
            ),
            quotas=quotas,
            cursors=Cursors(settings.session_secret),
            users=users,
            api_key_rows=keys,
            memo_rows=memos,
            usage_logs=logs,
            subscriptions=Subscriptions(store),
            close=close,
        )


def build_services(settings: Settings) -> Services:
    opened = open_store(settings)
    return Services.on(opened.store, settings, close=opened.close)
