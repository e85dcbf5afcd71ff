"""Opening the store that the settings choose, and preparing for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.core.request import time_left_s
from shared.core.settings import Settings, SettingsError, StoreChoice
from shared.stores.port import Store

Close = Callable[[], Awaitable[None]]


async def nothing_to_close() -> None:
    """Memory has no connections."""


@dataclass(frozen=True, kw_only=True)
class OpenedStore:
    """A store, and what its opener must await when it is done with it."""

    store: Store
    close: Close = nothing_to_close


def open_store(settings: Settings, *, creates_table: bool | None = None) -> OpenedStore:
    """The store that the settings choose. Raises SettingsError.

    With `creates_table`, verifying DynamoDB's table makes it if it is missing; None: in development.
    """
    match settings.store:
        case StoreChoice.MEMORY:
            return _open_memory(settings)
        case StoreChoice.MICRO:
            return _open_micro(settings)
        case StoreChoice.DYNAMODB:
            return _open_dynamodb(settings, creates_table=creates_table)


def _open_memory(settings: Settings) -> OpenedStore:
    from shared.stores.memory.file import shared_rows  # noqa: PLC0415
    from shared.stores.memory.store import MemoryStore  # noqa: PLC0415

    rows = shared_rows(settings.memory_file) if settings.memory_file else None
    return OpenedStore(store=MemoryStore(rows=rows))


def _open_micro(settings: Settings) -> OpenedStore:
    """Its connections live as long as the container. httpx, half a second to import, is for those who chose it."""
    from shared.micro import (  # noqa: PLC0415
        Direct,
        MicroClient,
        Platform,
    )
    from shared.micro_connections import http_client  # noqa: PLC0415
    from shared.stores.micro.store import MicroStore  # noqa: PLC0415

    server: Direct | Platform
    if settings.hypr_platform_url:
        server = Platform(url=settings.hypr_platform_url, app_slug=settings.hypr_app_slug)
    else:
        server = Direct(url=settings.hypr_url, api_key=settings.hypermicro_api_key)
    try:
        http = http_client(server.url)
    except OSError as exc:
        raise SettingsError([f"the certificates cannot be read: check SSL_CERT_FILE and SSL_CERT_DIR ({exc})"]) from exc
    return OpenedStore(store=MicroStore(MicroClient(http, server), time_left_s=time_left_s), close=http.aclose)


def _open_dynamodb(settings: Settings, *, creates_table: bool | None) -> OpenedStore:
    """Its client is made with the first call, and lives as long as the container. boto3 is for those who chose it."""
    try:
        from shared.stores.dynamo.client import Dynamo, open_client  # noqa: PLC0415
        from shared.stores.dynamo.store import DynamoStore  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        problem = f"AGENT_TALK_STORE=dynamodb needs boto3, which Lambda has and this Python has not ({exc})"
        raise SettingsError([problem]) from exc

    dynamo = Dynamo(open_client, table=settings.dynamodb_table)
    creates = not settings.production if creates_table is None else creates_table
    store = DynamoStore(dynamo, time_left_s=time_left_s, creates_table=creates)
    return OpenedStore(store=store, close=dynamo.aclose)
