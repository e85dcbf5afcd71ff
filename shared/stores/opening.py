"""Open the store that the settings choose."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from shared.core.checked_clock import CheckedClock
from shared.core.clock import Clock, utc_now
from shared.core.request import time_left_s
from shared.core.settings import Settings, SettingsError, StoreChoice
from shared.stores.port import Store

PROBE_S: Final = 2.0
"""Seconds that `is_open_to_all` may take, out of the first event's 12."""

Close = Callable[[], Awaitable[None]]

IsOpenToAll = Callable[[], Awaitable[bool]]
"""Returns whether the engine gives credentials to callers without any. Called once, when a container starts."""


async def nothing_to_close() -> None:
    """Close a store that has no connections."""


async def needs_credentials() -> bool:
    """Return False: only HYPR Micro gives credentials to callers without any."""
    return False


@dataclass(frozen=True, kw_only=True)
class OpenedStore:
    """A store, the clock to use with it, and `close`, which its opener awaits after the last use."""

    store: Store
    clock: Clock
    close: Close = nothing_to_close
    is_open_to_all: IsOpenToAll = needs_credentials


def open_store(settings: Settings, *, creates_table: bool | None = None, clock: Clock = utc_now) -> OpenedStore:
    """Open the store that the settings choose. Raises SettingsError if they do not fit this machine.

    `clock` is the machine's. The opened store's `clock` is corrected to its server's time (`CheckedClock`); with rows
    in memory it is the machine's.

    If DynamoDB's table is missing, `verify` creates it if `creates_table` is True; None: in development only.
    """
    match settings.store:
        case StoreChoice.MEMORY:
            return _open_memory(settings, clock)
        case StoreChoice.MICRO:
            return _open_micro(settings, CheckedClock(clock))
        case StoreChoice.DYNAMODB:
            return _open_dynamodb(settings, CheckedClock(clock), creates_table=creates_table)


def _open_memory(settings: Settings, clock: Clock) -> OpenedStore:
    from shared.stores.memory.file import shared_rows  # noqa: PLC0415 only for this store
    from shared.stores.memory.store import MemoryStore  # noqa: PLC0415 only for this store

    rows = shared_rows(settings.memory_file) if settings.memory_file else None
    return OpenedStore(store=MemoryStore(rows=rows), clock=clock)


def _open_micro(settings: Settings, clock: CheckedClock) -> OpenedStore:
    """Open HYPR Micro, with connections that live as long as the container. Other stores do not import its client."""
    from shared.micro import MicroClient  # noqa: PLC0415 only for this store
    from shared.micro_address import Direct, Platform  # noqa: PLC0415 only for this store
    from shared.micro_connections import MicroConnections  # noqa: PLC0415 only for this store
    from shared.stores.micro.store import MicroStore  # noqa: PLC0415 only for this store

    server: Direct | Platform
    if settings.hypr_platform_url:
        server = Platform(url=settings.hypr_platform_url, app_slug=settings.hypr_app_slug)
    else:
        server = Direct(url=settings.hypr_url, api_key=settings.hypermicro_api_key)
    try:
        connections = MicroConnections(server.url)
    except OSError as exc:
        raise SettingsError([f"the certificates cannot be read: check SSL_CERT_FILE and SSL_CERT_DIR ({exc})"]) from exc
    client = MicroClient(connections, server, checked_clock=clock)

    async def is_open_to_all() -> bool:
        return await client.mints_keys_for_all(deadline=client.deadline(PROBE_S))

    store = MicroStore(client, time_left_s=time_left_s)
    return OpenedStore(store=store, clock=clock, close=connections.aclose, is_open_to_all=is_open_to_all)


def _open_dynamodb(settings: Settings, clock: CheckedClock, *, creates_table: bool | None) -> OpenedStore:
    """Open DynamoDB. The first call makes its client, for the container's life. Other stores do not import boto3."""
    try:
        from shared.stores.dynamo.client import Dynamo, open_client  # noqa: PLC0415 only for this store
        from shared.stores.dynamo.store import DynamoStore  # noqa: PLC0415 only for this store
    except ModuleNotFoundError as exc:
        problem = f"AGENT_TALK_STORE=dynamodb needs boto3, which Lambda has and this Python has not ({exc})"
        raise SettingsError([problem]) from exc

    dynamo = Dynamo(open_client, table=settings.dynamodb_table, checked_clock=clock)
    creates = not settings.production if creates_table is None else creates_table
    store = DynamoStore(dynamo, time_left_s=time_left_s, clock=clock, creates_table=creates)
    return OpenedStore(store=store, clock=clock, close=dynamo.aclose)
