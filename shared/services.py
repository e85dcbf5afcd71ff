"""The services of one container, built once from its settings."""

from dataclasses import dataclass
from functools import partial

from shared.accounts.accounts import Accounts
from shared.accounts.passwords import Passwords
from shared.accounts.sessions import Sessions
from shared.activity import UsageRecorder
from shared.api_keys.api_keys import ApiKeyService
from shared.audio.opening import AudioPlace, open_audio
from shared.core.clock import Clock, utc_now
from shared.core.cursors import Cursors
from shared.core.derived import Pseudonyms
from shared.core.ids import Ids
from shared.core.settings import Settings
from shared.jobs.opening import open_queue
from shared.jobs.queue import MemoQueue
from shared.limits.attempts import Attempts
from shared.limits.quotas import Quotas
from shared.memos.endings import LongMemoEndings
from shared.memos.idempotency import KeyedMemos
from shared.memos.memos import MemoService
from shared.memos.speaking import LongMemoSpeaker
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
    api_keys: ApiKeyService
    memos: MemoService
    keyed_memos: KeyedMemos
    speaker: LongMemoSpeaker
    queue: MemoQueue
    audio: AudioPlace
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
        queue: MemoQueue | None = None,
        close: Close = nothing_to_close,
        is_open_to_all: IsOpenToAll = needs_credentials,
    ) -> "Services":
        """Everything on one store. `close` closes the store; what is opened here is closed with it.

        `audio`, `speakers` and `queue` None: what the settings choose. Raises SettingsError if the file of voices is
        wrong.
        """
        audio = audio or open_audio(settings.audio)
        speakers = speakers or open_speakers(settings.speech, audio)
        ids = Ids()
        tables = Tables.on(store)
        pseudonyms = Pseudonyms(settings.session_secret)
        quotas, recorder = Quotas(store), UsageRecorder(tables.usage_logs, tables.active_owners, ids)
        attempts = Attempts(store, settings.attempts, pseudonyms=pseudonyms, clock=clock)
        endings = LongMemoEndings(store, tables, quotas=quotas, recorder=recorder, clock=clock)
        speaker = LongMemoSpeaker(tables, endings=endings, speakers=speakers, audio=audio, clock=clock)
        queue = queue or open_queue(settings.speech, speaker.work)
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
            api_keys=ApiKeyService(
                keys=tables.api_keys, quotas=quotas, attempts=attempts, recorder=recorder, clock=clock
            ),
            memos=memos,
            keyed_memos=KeyedMemos(memos, tables, quotas=quotas, recorder=recorder, clock=clock, ids=ids),
            speaker=speaker,
            queue=queue,
            audio=audio,
            quotas=quotas,
            cursors=Cursors(settings.session_secret),
            pseudonyms=pseudonyms,
            tables=tables,
            close=partial(_close, queue, speakers, audio, close),
            is_open_to_all=is_open_to_all,
        )


async def _close(queue: MemoQueue, speakers: Speakers, audio: AudioPlace, close: Close) -> None:
    await queue.close()
    await speakers.close()
    await audio.close()
    await close()


def build_services(settings: Settings) -> Services:
    opened = open_store(settings)
    return Services.on(
        opened.store, settings, clock=opened.clock, close=opened.close, is_open_to_all=opened.is_open_to_all
    )
