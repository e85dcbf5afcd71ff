"""The services of one container, built once from its settings."""

import asyncio
from dataclasses import dataclass
from functools import partial

from shared.accounts.accounts import Accounts
from shared.accounts.administration import Administration
from shared.accounts.closing import Closing, PaidServices
from shared.accounts.erasure import Erasure
from shared.accounts.export import AccountExports
from shared.accounts.passwords import Passwords
from shared.accounts.recovery import Links, Recovery, RecoveryTokens, Sleep
from shared.accounts.sessions import Sessions
from shared.activity import UsageRecorder
from shared.api_keys.api_keys import ApiKeyService
from shared.audio.opening import AudioPlace, open_audio
from shared.billing.billing import Billing, ReturnUrls, origins_of
from shared.billing.customers import Customers
from shared.billing.daily import DailyComparison
from shared.billing.opening import OpenStripe, StripeConnection, stripe_opener
from shared.billing.syncing import PlanSync
from shared.core.clock import Clock, utc_now
from shared.core.cursors import Cursors
from shared.core.derived import Pseudonyms
from shared.core.ids import Ids
from shared.core.settings import Settings
from shared.jobs.days import ActiveDays
from shared.jobs.housekeeping import DaysAndCounters, Housekeeping
from shared.jobs.opening import open_queue
from shared.jobs.queue import MemoQueue
from shared.jobs.sweep import CounterSweep
from shared.jobs.worked import CanGoOn, Progress, Worked
from shared.limits.attempts import Attempts
from shared.limits.quotas import Quotas
from shared.mail.opening import mailer_opener
from shared.mail.sender import Mailer, MailSender
from shared.memos.endings import LongMemoEndings
from shared.memos.idempotency import KeyedMemos
from shared.memos.memos import MemoService
from shared.memos.sdk_repeats import SdkMemos
from shared.memos.speaking import STOPPED, LongMemoSpeaker
from shared.plans import Tier
from shared.speech.opening import Speakers, open_speakers
from shared.stores.opening import Close, IsOpenToAll, needs_credentials, nothing_to_close, open_store
from shared.stores.port import Store
from shared.tables import Tables


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: Settings
    store: Store
    clock: Clock
    accounts: Accounts
    recovery: Recovery
    closing: Closing
    administration: Administration
    billing: Billing
    exports: AccountExports
    api_keys: ApiKeyService
    memos: MemoService
    keyed_memos: KeyedMemos
    sdk_memos: SdkMemos
    speaker: LongMemoSpeaker
    queue: MemoQueue
    housekeeping: Housekeeping
    audio: AudioPlace
    mail: MailSender
    quotas: Quotas
    cursors: Cursors
    pseudonyms: Pseudonyms
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
        audio: AudioPlace | None = None,
        speakers: Speakers | None = None,
        mailer: Mailer | None = None,
        paid: PaidServices | None = None,
        stripe: OpenStripe | None = None,
        sleep: Sleep = asyncio.sleep,
        queue: MemoQueue | None = None,
        close: Close = nothing_to_close,
        is_open_to_all: IsOpenToAll = needs_credentials,
    ) -> "Services":
        """Build all services on one store. `close` closes the store: the services' own `close` calls it last.

        If `audio`, `speakers`, `mailer`, `stripe` or `queue` is None, the settings choose it. Raises SettingsError if
        the file of voices is wrong.
        """
        audio = audio or open_audio(settings.audio)
        speakers = speakers or open_speakers(settings.speech, audio)
        ids = Ids()
        tables = Tables.on(store)
        pseudonyms = Pseudonyms(settings.session_secret)
        open_mailer = mailer_opener(settings.mail, clock) if mailer is None else partial(_given, mailer)
        mail = MailSender(open_mailer, pseudonyms=pseudonyms)
        quotas, recorder = Quotas(store), UsageRecorder(tables.usage_logs, tables.active_owners, ids)
        attempts = Attempts(store, settings.attempts, pseudonyms=pseudonyms, clock=clock)
        passwords = passwords or Passwords()
        recovery = Recovery(
            users=tables.users,
            keys=tables.api_keys,
            passwords=passwords,
            tokens=RecoveryTokens(settings.session_secret, clock),
            attempts=attempts,
            recorder=recorder,
            mail=mail,
            links=Links(app_url=settings.app_url, answer_after_s=settings.forgot_password_ms / 1000),
            clock=clock,
            ids=ids,
            sleep=sleep,
        )
        billing = _billing(settings, tables, recorder, stripe or stripe_opener(settings.billing), clock=clock, ids=ids)
        closing = Closing(
            tables=tables,
            erasure=Erasure(store=store, tables=tables, audio=audio, clock=clock),
            audio=audio,
            paid=paid or billing,
            mail=mail,
            clock=clock,
        )
        endings = LongMemoEndings(store, tables, quotas=quotas, recorder=recorder, clock=clock)
        speaker = LongMemoSpeaker(tables, endings=endings, speakers=speakers, audio=audio, clock=clock)
        queue = queue or open_queue(settings.speech, speaker.work)

        async def send_stopped(can_go_on: CanGoOn, progress: Progress) -> Worked:
            return await speaker.send_stopped(queue, idle=STOPPED, can_go_on=can_go_on, progress=progress)

        days = ActiveDays(store, tables, quotas=quotas, clock=clock)
        counters = CounterSweep(store, tables.housekeeping, clock=clock)
        plans = DailyComparison(billing, tables.housekeeping, clock=clock)
        housekeeping = Housekeeping(
            {
                "days and counters": DaysAndCounters(tables.housekeeping, days, counters, plans).work,
                "long memos": send_stopped,
                "closed accounts": closing.work,
            },
            clock=clock,
        )
        memos = MemoService(
            tables,
            quotas=quotas,
            attempts=attempts,
            recorder=recorder,
            speakers=speakers,
            audio=audio,
            endings=endings,
            queue=queue,
            clock=clock,
            ids=ids,
        )
        keyed_memos = KeyedMemos(memos, tables, quotas=quotas, recorder=recorder, clock=clock, ids=ids)
        return cls(
            settings=settings,
            store=store,
            clock=clock,
            accounts=Accounts(
                users=tables.users,
                keys=tables.api_keys,
                passwords=passwords,
                recovery=recovery,
                closing=closing,
                sessions=Sessions(settings.session_secret, clock),
                attempts=attempts,
                recorder=recorder,
                clock=clock,
                ids=ids,
                refuse_after_s=settings.failed_login_ms / 1000,
                sleep=sleep,
            ),
            recovery=recovery,
            closing=closing,
            administration=Administration(tables=tables, closing=closing, recorder=recorder, clock=clock),
            billing=billing,
            exports=AccountExports(tables=tables, clock=clock),
            api_keys=ApiKeyService(
                keys=tables.api_keys, quotas=quotas, attempts=attempts, recorder=recorder, clock=clock
            ),
            memos=memos,
            keyed_memos=keyed_memos,
            sdk_memos=SdkMemos(keyed_memos, tables.speech_calls, clock=clock, ids=ids),
            speaker=speaker,
            queue=queue,
            housekeeping=housekeeping,
            audio=audio,
            mail=mail,
            quotas=quotas,
            cursors=Cursors(settings.session_secret),
            pseudonyms=pseudonyms,
            tables=tables,
            close=partial(_close, queue, speakers, audio, mail, billing, close),
            is_open_to_all=is_open_to_all,
        )


def _given(mailer: Mailer) -> Mailer:
    return mailer


def _billing(
    settings: Settings, tables: Tables, recorder: UsageRecorder, open_stripe: OpenStripe, *, clock: Clock, ids: Ids
) -> Billing:
    stripe = StripeConnection(open_stripe)
    tiers = {price: Tier(name) for name, prices in settings.billing.prices.items() for price in prices}
    return Billing(
        settings=settings.billing,
        tables=tables,
        customers=Customers(subscriptions=tables.subscriptions, stripe=stripe, clock=clock, ids=ids),
        plans=PlanSync(tables=tables, recorder=recorder, stripe=stripe, tiers=tiers, clock=clock),
        stripe=stripe,
        returns=ReturnUrls(
            app=settings.app_url,
            origins=origins_of([settings.app_url, settings.public_url, *settings.edge.cors_origins]),
        ),
        sales_email=settings.billing.sales_email or settings.mail.sender,
        clock=clock,
    )


async def _close(
    queue: MemoQueue, speakers: Speakers, audio: AudioPlace, mail: MailSender, billing: Billing, close: Close
) -> None:
    await queue.close()
    await speakers.close()
    await audio.close()
    await mail.close()
    await billing.close()
    await close()


def build_services(settings: Settings) -> Services:
    opened = open_store(settings)
    return Services.on(
        opened.store, settings, clock=opened.clock, close=opened.close, is_open_to_all=opened.is_open_to_all
    )
