"""What a function works with, built once a container from its settings."""

from dataclasses import dataclass

from shared.accounts.accounts import Accounts
from shared.accounts.passwords import Passwords
from shared.accounts.sessions import Sessions
from shared.activity import UsageRecorder
from shared.api_keys.api_keys import ApiKeyService
from shared.core.clock import Clock, utc_now
from shared.core.cursors import Cursors
from shared.core.ids import Ids
from shared.core.settings import Settings
from shared.limits.attempts import Attempts
from shared.limits.quotas import Quotas
from shared.memos.memos import MemoService
from shared.speech.simulated import SimulatedSpeech
from shared.stores.opening import Close, IsOpenToAll, needs_credentials, nothing_to_close, open_store
from shared.stores.port import Store
from shared.tables import Tables


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: Settings
    store: Store
    clock: Clock
    accounts: Accounts
    api_keys: ApiKeyService
    memos: MemoService
    quotas: Quotas
    cursors: Cursors
    tables: Tables
    close: Close
    is_open_to_all: IsOpenToAll

    @classmethod
    def on(
        cls,
        store: Store,
        settings: Settings,
        *,
        passwords: Passwords | None = None,
        clock: Clock = utc_now,
        close: Close = nothing_to_close,
        is_open_to_all: IsOpenToAll = needs_credentials,
    ) -> "Services":
        """Everything on one store. `close` is for whoever opened it."""
        ids = Ids()
        tables = Tables.on(store)
        quotas, recorder = Quotas(store), UsageRecorder(tables.usage_logs, tables.active_owners, ids)
        attempts = Attempts(store, settings.attempts, secret=settings.session_secret, clock=clock)
        return cls(
            settings=settings,
            store=store,
            clock=clock,
            accounts=Accounts(
                users=tables.users,
                keys=tables.api_keys,
                passwords=passwords or Passwords(),
                sessions=Sessions(settings.session_secret, clock),
                attempts=attempts,
                recorder=recorder,
                clock=clock,
                ids=ids,
            ),
            api_keys=ApiKeyService(keys=tables.api_keys, quotas=quotas, recorder=recorder, clock=clock),
            memos=MemoService(
                users=tables.users,
                keys=tables.api_keys,
                memos=tables.memos,
                quotas=quotas,
                attempts=attempts,
                recorder=recorder,
                speech=SimulatedSpeech(),
                clock=clock,
                ids=ids,
            ),
            quotas=quotas,
            cursors=Cursors(settings.session_secret),
            tables=tables,
            close=close,
            is_open_to_all=is_open_to_all,
        )


def build_services(settings: Settings) -> Services:
    opened = open_store(settings)
    return Services.on(
        opened.store, settings, clock=opened.clock, close=opened.close, is_open_to_all=opened.is_open_to_all
    )
