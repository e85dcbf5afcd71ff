"""Opening the store that the settings choose, and preparing for it."""

import gc
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from typing import Final

from shared.core.parameters import names_parameters
from shared.core.request import time_left_s
from shared.core.settings import Settings, SettingsError, StoreChoice, chosen_store
from shared.stores.port import Store

Close = Callable[[], Awaitable[None]]

_IMPORTED_TO_OPEN: Final[Mapping[StoreChoice, tuple[str, ...]]] = {
    StoreChoice.MEMORY: ("shared.stores.memory.store", "shared.stores.memory.file"),
    StoreChoice.MICRO: (
        "shared.micro_connections",
        "shared.micro",
        "shared.stores.micro.store",
        "httpcore",  # httpx imports it when it opens a pool,
        "anyio._backends._asyncio",  # and anyio this when it opens a connection
    ),
    StoreChoice.DYNAMODB: ("shared.stores.dynamo.client", "shared.stores.dynamo.store"),
}
"""Each is for those who chose the store: no other function pays for it."""


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


def prepare(env: Mapping[str, str]) -> None:
    """Do what the first event would, as far as it needs no network: import what opens the store that the environment
    asks for and what logs, load OpenSSL, read the certificates, and compile the tokenizer's patterns, by which FastAPI
    finds an endpoint's line. What is there then is never garbage."""
    sha256()
    choice = chosen_store(env)
    for module in ("aws_lambda_powertools", *_IMPORTED_TO_OPEN[choice]):
        import_module(module)
    if names_parameters(env):
        import_module("urllib.request")
    if choice is StoreChoice.MICRO:
        with suppress(OSError, ValueError):  # the first event tells what is wrong with them
            import_module("shared.micro_connections").tls_context(
                env.get("HYPR_URL") or env.get("HYPR_PLATFORM_URL") or ""
            )
    inspect.getsourcelines(prepare)
    gc.freeze()


def _open_memory(settings: Settings) -> OpenedStore:
    from shared.stores.memory.file import shared_rows  # noqa: PLC0415
    from shared.stores.memory.store import MemoryStore  # noqa: PLC0415

    rows = shared_rows(settings.memory_file) if settings.memory_file else None
    return OpenedStore(store=MemoryStore(rows=rows))


def _open_micro(settings: Settings) -> OpenedStore:
    """Its connections live as long as the container. httpx, half a second to import, is for those who chose it."""
    from shared.micro import MicroClient  # noqa: PLC0415
    from shared.micro_address import Direct, Platform  # noqa: PLC0415
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
