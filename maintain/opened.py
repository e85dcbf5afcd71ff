"""The store of a deployment, opened for maintenance. Nothing is created that one did not ask for."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from maintain.content import row_pages
from shared.opening import open_store
from shared.parameters import with_secrets
from shared.settings import Settings
from shared.store import Store
from shared.tables import TABLES

_SERVING = ("AGENT_TALK_ENV", "SESSION_SECRET", "SESSION_SECRET_PARAMETER")
"""What only those need who answer requests: maintenance is the same in production, and signs nothing."""


class Impossible(Exception):
    """What was asked for cannot be done; the text says why."""


def maintenance_settings(environ: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    return Settings.from_env(with_secrets({name: value for name, value in environ.items() if name not in _SERVING}))


@asynccontextmanager
async def opened_store(settings: Settings, *, creates_table: bool = False) -> AsyncIterator[Store]:
    """Verified, so that it can be written to. Raises SettingsError, StoreError."""
    opened = open_store(settings, creates_table=creates_table)
    try:
        await opened.store.verify(TABLES)
        yield opened.store
    finally:
        await opened.close()


@asynccontextmanager
async def opened_source(settings: Settings) -> AsyncIterator[Store]:
    """Only to be read: nothing is created, so that a wrong name is not taken for a store that lost everything.

    Raises SettingsError, StoreError, and Impossible when it holds no rows.
    """
    if settings.memory_file is not None and not settings.memory_file.exists():
        raise Impossible(f"there is no {settings.memory_file}")
    opened = open_store(settings, creates_table=False)
    try:
        if not await _holds_rows(opened.store):
            raise Impossible("the source holds no rows: is it the right one?")
        yield opened.store
    finally:
        await opened.close()


async def _holds_rows(store: Store) -> bool:
    for table in TABLES:
        async for page in row_pages(store, table):
            if page.rows:
                return True
    return False
