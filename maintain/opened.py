"""The store of a deployment, opened for maintenance."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from shared.opening import open_store
from shared.parameters import with_secrets
from shared.settings import Settings
from shared.store import Store
from shared.tables import TABLES


class Impossible(Exception):
    """What was asked for cannot be done; the text says why."""


@asynccontextmanager
async def opened_store(environ: Mapping[str, str]) -> AsyncIterator[Store]:
    """Raises SettingsError, StoreError."""
    opened = open_store(Settings.from_env(with_secrets(environ)))
    try:
        await opened.store.verify(TABLES)
        yield opened.store
    finally:
        await opened.close()
