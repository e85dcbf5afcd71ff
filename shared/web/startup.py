"""A container's start: secrets and settings are read, the store is opened and verified, the services are built.

The first event starts the container, once. If that fails, the event is answered 503, and the next event tries again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from shared.core.errors import ServiceUnavailable
from shared.core.parameters import FROM_A_VPC, names_parameters, with_secrets
from shared.core.settings import Settings, SettingsError
from shared.services import Services
from shared.stores.opening import IsOpenToAll
from shared.stores.port import StoreError, StoreNotReady
from shared.tables import TABLES

SECRETS_S: Final = 6.0
"""Seconds that an event waits for the parameters of secrets: half of a request's 12. A longer wait would leave the
store too little time."""

BuildServices = Callable[[Settings], Services]

OPEN_TO_ALL: Final = (
    "HYPR Micro answers GET /api/auth without credentials, so everybody who reaches it can mint a key and read and "
    "write all rows: put it where only the functions reach it and set HYPR_PRIVATE_NETWORK=1, or let a proxy admit "
    "/health, /api/dbs and /api/cache alone"
)

ReadSecrets = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Replaces the names of parameters in an environment by their values, as `with_secrets` does. Blocks."""

_log = logging.getLogger("agent_talk.startup")


class Startup:
    """The services of one container, built once."""

    def __init__(
        self,
        environ: Mapping[str, str],
        build: BuildServices,
        *,
        read_secrets: ReadSecrets = with_secrets,
        secrets_s: float = SECRETS_S,
    ) -> None:
        self._environ = environ
        self._build = build
        self._read_secrets = read_secrets
        self._secrets_s = secrets_s
        self._with_secrets: Mapping[str, str] | None = None
        self._services: Services | None = None
        self._lock = asyncio.Lock()

    async def services(self) -> Services:
        """Return the verified services; build them at the first call. Raises ServiceUnavailable if that fails."""
        async with self._lock:
            if self._services is None:
                self._services = await self._build_services()
        return self._services

    async def close(self) -> None:
        """Close the services if they were built."""
        if self._services is not None:
            await self._services.close()

    async def _build_services(self) -> Services:
        try:
            settings = Settings.from_env(await self._environment())
            for warning in settings.warnings:
                _log.warning(warning)
            services = self._build(settings)
            await _start(services)
        except SettingsError as exc:
            _log.error("cannot serve: %s", exc, extra={"problems": exc.problems})
            self._with_secrets = None  # the next event reads secrets again: they may have been corrected
            raise ServiceUnavailable from exc
        except StoreError as exc:
            _log.error("cannot serve: %s", exc)
            if isinstance(exc, StoreNotReady):  # a wrong API key, for example
                self._with_secrets = None
            raise ServiceUnavailable from exc
        return services

    async def _environment(self) -> Mapping[str, str]:
        """Return the environment with its secrets. They are read once: an outage of the store reads none again."""
        if not names_parameters(self._environ):
            return self._environ
        if self._with_secrets is None:
            try:
                async with asyncio.timeout(self._secrets_s):
                    self._with_secrets = await asyncio.to_thread(self._read_secrets, self._environ)
            except TimeoutError as exc:
                problem = f"the Parameter Store did not answer within {self._secrets_s:g} s; {FROM_A_VPC}"
                raise SettingsError([problem]) from exc
        return self._with_secrets


async def _start(services: Services) -> None:
    """Verify the tables, and that the store is not open to all. Raises StoreError.

    After a failure the store is closed, so the next event opens a new one.
    """
    try:
        await services.store.verify(TABLES)
        # beside `verify` this would open a second connection
        await check_exposure(services.settings, services.is_open_to_all)
    except BaseException:
        await services.close()
        raise


async def check_exposure(settings: Settings, is_open_to_all: IsOpenToAll) -> None:
    """Log an error if the store is open to all. Raises StoreNotReady in production."""
    if settings.hypr_private_network or not await is_open_to_all():
        return
    if settings.production:
        raise StoreNotReady(OPEN_TO_ALL)
    _log.error(OPEN_TO_ALL)
