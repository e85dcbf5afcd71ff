"""Open the store of a deployment for maintenance. Nothing is created unless requested."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from shared.core.clock import Clock, utc_now
from shared.core.parameters import with_secrets
from shared.core.settings import Settings, StoreChoice
from shared.stores.opening import OpenedStore, open_store
from shared.stores.port import Store
from shared.tables import TABLES
from tools.maintain.content import has_rows

_SERVING = ("AGENT_TALK_ENV", "SESSION_SECRET", "SESSION_SECRET_PARAMETER", "SPEECH", "ELEVENLABS_", "OPENAI_")
"""The prefixes of settings that only functions behind requests need: maintenance signs nothing and speaks nothing."""

_AUDIO = ("AUDIO",)
"""The same for the place of audio. A deployment's environment may lack the name of a bucket that its stack made."""


class Impossible(Exception):
    """A command cannot be carried out; the text has the reason."""


_QUEUE = "SPEECH_QUEUE_URL"


def maintenance_settings(environ: Mapping[str, str], *, audio: bool = False, queue: bool = False) -> Settings:
    """Return the store's settings, with `audio` also the audio place's, and with `queue` the queue's of long memos.

    Raises SettingsError if a setting is missing or two contradict.
    """
    left_out = _SERVING if audio else (*_SERVING, *_AUDIO)
    kept = {name: value for name, value in environ.items() if not name.startswith(left_out)}
    if queue and _QUEUE in environ:
        kept[_QUEUE] = environ[_QUEUE]
    return Settings.from_env(with_secrets(kept))


@asynccontextmanager
async def opened_store(settings: Settings, *, creates_table: bool = False) -> AsyncIterator[Store]:
    """Open a store and verify its tables, so that it can be written to. Raises SettingsError, StoreError."""
    opened = open_store(settings, creates_table=creates_table)
    try:
        await opened.store.verify(TABLES)
        yield opened.store
    finally:
        await opened.close()


@asynccontextmanager
async def opened_existing(
    settings: Settings, *, writes: bool = False, clock: Clock = utc_now
) -> AsyncIterator[OpenedStore]:
    """Open a store that must exist and have rows: a wrong name must not look like a store that lost its rows.

    Nothing is created, unless it `writes`. `clock` is the machine's. Raises SettingsError, StoreError, and Impossible
    if the store does not exist or has no rows.
    """
    if settings.store is StoreChoice.MEMORY and settings.memory_file is None:
        raise Impossible("no store is chosen but this process's own memory: set AGENT_TALK_STORE and what it needs")
    if settings.memory_file is not None and not settings.memory_file.exists():
        raise Impossible(f"there is no {settings.memory_file}")
    opened = open_store(settings, creates_table=False, clock=clock)
    try:
        if not await _holds_rows(opened.store):
            raise Impossible("the store holds no rows: is it the right one?")
        if writes:
            await opened.store.verify(TABLES)
        yield opened
    finally:
        await opened.close()


async def _holds_rows(store: Store) -> bool:
    for table in TABLES:
        if await has_rows(store, table):
            return True
    return False
