"""The composition root: from a resource's routes to a Lambda function, and from errors to answers.

Importing builds the FastAPI app, and in Lambda imports what the environment asks for; it opens nothing. The first
event reads the settings, opens the store, verifies its tables and builds the services; if that fails it is answered
503, and the next event tries again.
"""

import asyncio
import binascii
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from shared import VERSION
from shared.core.errors import (
    ServiceUnavailable,
    ValidationFailed,
)
from shared.core.parameters import names_parameters, with_secrets
from shared.core.request import request_id
from shared.core.settings import (
    Settings,
    SettingsError,
    StoreChoice,
    WebSettings,
    chosen_store,
    in_lambda,
)
from shared.observability.logs import configure_logging
from shared.observability.metrics import emit
from shared.services import Services, build_services
from shared.stores.port import StoreError, StoreNotReady
from shared.tables import TABLES
from shared.web.cold_start import prepare
from shared.web.cors import Cors
from shared.web.error_answers import EXCEPTION_HANDLERS, envelope
from shared.web.events import given_request_id, is_http, stage_of
from shared.web.middleware import (
    AdmissionMiddleware,
    App,
    Receive,
    RequestMiddleware,
    Scope,
    Send,
    request_id_from,
    standard_headers,
)

_log = logging.getLogger("agent_talk.app")

TEXT: Final = [*DEFAULT_TEXT_MIME_TYPES, "application/x-ndjson"]
"""Media types that are answered as text; all others are in base64."""

SECRETS_S: Final = 6.0
"""How long an event waits for the parameters of secrets; half of a request's time."""

BuildServices = Callable[[Settings], Services]


class Function:
    """One resource's routes as a Lambda function: `handler(event, context)`; `asgi` is the same for any ASGI server.

    `answers_outages`: the routes see to an unusable store themselves.
    """

    def __init__(
        self,
        routes: APIRouter,
        *,
        title: str,
        answers_outages: bool = False,
        environ: Mapping[str, str] = os.environ,
        build: BuildServices = build_services,
    ) -> None:
        self.routes = routes
        self.title = title
        self.answers_outages = answers_outages
        self.app = FastAPI(
            title=f"Agent Talk: {title}",
            version=VERSION,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            exception_handlers=EXCEPTION_HANDLERS,
        )
        self.app.router.routes.extend(routes.routes)  # to include them would build each one, and its models, once more
        self.app.state.function = self
        self.began_at = 0.0
        """When the first event came, on the monotonic clock."""

        if in_lambda(environ):  # an initialisation has a whole CPU, and the first event a part of one
            prepare(environ)
        gc.enable()  # see handlers/__init__.py
        self._environ = environ
        self._with_secrets: Mapping[str, str] | None = None
        self._build = build
        self._services: Services | None = None
        self._starting = asyncio.Lock()
        self._chain: App | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mangum: Mangum | None = None

    def with_environment(self, environ: Mapping[str, str], build: BuildServices = build_services) -> "Function":
        """The same routes in a container of their own."""
        return Function(
            self.routes, title=self.title, answers_outages=self.answers_outages, environ=environ, build=build
        )

    async def services(self) -> Services:
        """Built and verified once. Raises ServiceUnavailable."""
        async with self._starting:
            if self._services is None:
                self._services = await self._start()
                self.app.state.services = self._services
        return self._services

    @property
    def store_choice(self) -> StoreChoice:
        """The store that the environment asks for, whether it can be used or not."""
        return chosen_store(self._environ)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._chain is None:
            self.began_at = time.monotonic()
            self._chain = self._build_chain()
        stage = stage_of(scope)
        if stage is not None:
            scope["root_path"] = stage
        await self._chain(scope, receive, send)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer an API Gateway event: an HTTP API's (payload 2.0) or a REST API's (1.0)."""
        if not is_http(event):
            return self._refuse(event, "This function answers HTTP events from API Gateway")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)  # Mangum serves on the current loop, and what the services hold lives on one
        if self._mangum is None:
            self._mangum = Mangum(self.asgi, lifespan="off", text_mime_types=TEXT)
        whole = event | {name: event.get(name) or empty for name, empty in (("headers", {}), ("rawQueryString", ""))}
        try:
            return self._mangum(whole, context)
        except (UnicodeError, binascii.Error):
            return self._refuse(event, "The request could not be read: it is not valid Unicode or base64")
        except Exception:  # noqa: BLE001 what escapes here is Mangum's reading of the event: our own never does
            return self._refuse(event, "The request could not be read: the event is not as API Gateway sends it")

    def close(self) -> None:
        """Give back the event loop, and what was opened on it. A Lambda container never ends this way; others do."""
        if self._loop is not None:
            if self._services is not None:
                self._loop.run_until_complete(self._services.close())
            asyncio.set_event_loop(None)
            self._loop.close()
            self._loop = self._mangum = None

    async def _start(self) -> Services:
        try:
            settings = Settings.from_env(await self._secrets_read())
            for warning in settings.warnings:
                _log.warning(warning)
            services = self._build(settings)
            await _verify(services)
        except SettingsError as exc:
            _log.error("cannot serve: %s", exc, extra={"problems": exc.problems})
            self._with_secrets = None  # the next event reads what may have been put right
            raise ServiceUnavailable from exc
        except StoreError as exc:
            _log.error("cannot serve: %s", exc)
            if isinstance(exc, StoreNotReady):  # a key that it refuses, for one
                self._with_secrets = None
            raise ServiceUnavailable from exc
        return services

    async def _secrets_read(self) -> Mapping[str, str]:
        """The environment with its secrets, read once: an outage of the store asks for them no second time."""
        if not names_parameters(self._environ):
            return self._environ
        if self._with_secrets is None:
            try:
                async with asyncio.timeout(SECRETS_S):
                    self._with_secrets = await asyncio.to_thread(with_secrets, self._environ)
            except TimeoutError as exc:
                raise SettingsError([f"the parameters of secrets could not be read in {SECRETS_S:.0f} s"]) from exc
        return self._with_secrets

    def _build_chain(self) -> App:
        settings = WebSettings.from_env(self._environ)
        configure_logging(settings.log_level)

        async def nothing() -> None:
            """The routes ask for the services themselves."""

        gate: Any = AdmissionMiddleware(self.app, ready=nothing if self.answers_outages else self.services)
        cors: Any = Cors(gate, origins=settings.cors_origins, production=settings.production)
        name = self._environ.get("AWS_LAMBDA_FUNCTION_NAME") or self.title
        observe = partial(emit, function=name) if settings.metrics else None
        return RequestMiddleware(cors, production=settings.production, observe=observe)

    def _refuse(self, event: Any, message: str) -> dict[str, Any]:
        """An answer in API Gateway's form to what never becomes a request."""
        settings = WebSettings.from_env(self._environ)
        if self._chain is None:
            configure_logging(settings.log_level)
        context = request_id.set(request_id_from(given_request_id(event)))
        keys = sorted(map(str, event)) if isinstance(event, dict) else None
        _log.warning("refused an event", exc_info=sys.exc_info()[0] is not None, extra={"event_keys": keys})
        headers = standard_headers(request_id.get() or "", production=settings.production)
        request_id.reset(context)
        return {
            "statusCode": ValidationFailed.status,
            "headers": headers | {"content-type": "application/json"},
            "body": json.dumps(envelope(ValidationFailed(message))),
            "isBase64Encoded": False,
        }


async def _verify(services: Services) -> None:
    """Raises StoreError, and then leaves nothing open: the next event opens it anew."""
    try:
        await services.store.verify(TABLES)
    except BaseException:
        await services.close()
        raise
