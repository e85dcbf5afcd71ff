"""A resource's routes as a Lambda function: `handler(event, context)`.

An import of a handler builds the FastAPI app, and in Lambda imports the modules that the environment needs; it opens no
connection. The first event builds the chain of middleware, and by `startup` the services.
"""

import asyncio
import binascii
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
from shared.core.clock import Clock, utc_now
from shared.core.errors import AgentTalkError, InternalError, ValidationFailed
from shared.core.mail_settings import mailing_modules
from shared.core.parameters import names_parameters
from shared.core.request import request_id
from shared.core.settings import StoreChoice, WebSettings, chosen_store, in_lambda
from shared.core.speech_settings import SpeechChoice, chosen_speech
from shared.observability.logs import configure_logging
from shared.observability.metrics import emit
from shared.services import Services, build_services
from shared.web import cold_start
from shared.web.auth import client_network
from shared.web.cookies import CookieMiddleware
from shared.web.cors import Cors
from shared.web.error_answers import EXCEPTION_HANDLERS, envelope
from shared.web.events import complete, given_request_id, is_http, normal_event, without_server
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
from shared.web.startup import BuildServices, Startup

TEXT: Final = [*DEFAULT_TEXT_MIME_TYPES, "application/x-ndjson"]
"""Media types whose bodies are text in Lambda's answer; all others are in base64."""

_log = logging.getLogger("agent_talk.function")


class Function:
    """One resource's routes. Call it with an API Gateway event; `asgi` serves the same routes to any ASGI server.

    `answers_outages`: the routes answer also when the store cannot be used. `sends_mail`: the modules of the chosen
    mailer are imported ahead. `around` wraps the whole chain of middleware.
    """

    def __init__(
        self,
        routes: APIRouter,
        *,
        title: str,
        answers_outages: bool = False,
        sends_mail: bool = False,
        around: Callable[[App], App] | None = None,
        environ: Mapping[str, str] = os.environ,
        build: BuildServices = build_services,
        startup: Startup | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.routes = routes
        self.title = title
        self.answers_outages = answers_outages
        self.sends_mail = sends_mail
        self.around = around
        self.app = FastAPI(
            title=f"Agent Talk: {title}",
            version=VERSION,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            exception_handlers=EXCEPTION_HANDLERS,
        )
        self.app.router.routes.extend(routes.routes)  # `include_router` would build each route and its models once more
        self.app.state.function = self
        self.began_at = 0.0
        """The time of the first event, in seconds of the monotonic clock."""

        self.clock = clock
        self._environ = environ
        self._startup = startup or Startup(environ, build)
        self._services: Services | None = None
        self._chain: App | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mangum: Mangum | None = None
        self._has_request = False
        if in_lambda(environ):
            signs = ("urllib.request",) if names_parameters(environ) else ()
            mails = mailing_modules(environ) if sends_mail else ()
            cold_start.prepare(environ, store=chosen_store(environ), also=(*signs, *mails))
        cold_start.finish()

    def with_environment(
        self,
        environ: Mapping[str, str],
        build: BuildServices = build_services,
        *,
        startup: Startup | None = None,
        clock: Clock = utc_now,
    ) -> "Function":
        """Return the same routes as another container."""
        return Function(
            self.routes,
            title=self.title,
            answers_outages=self.answers_outages,
            sends_mail=self.sends_mail,
            around=self.around,
            environ=environ,
            build=build,
            startup=startup,
            clock=clock,
        )

    async def services(self) -> Services:
        """Return the verified services. Raises ServiceUnavailable if they cannot be built."""
        self.app.state.services = self._services = services = await self._startup.services()
        return services

    @property
    def store_choice(self) -> StoreChoice:
        """The store that the environment chooses, usable or not."""
        return chosen_store(self._environ)

    @property
    def speech_choice(self) -> SpeechChoice:
        """The default voices that the environment chooses, usable or not."""
        return chosen_speech(self._environ)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._chain is None:
            self.began_at = time.monotonic()
            self._chain = self._build_chain()
        complete(scope)
        self._has_request = True
        await self._chain(scope, receive, send)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer an API Gateway event: an HTTP API's (payload 2.0) or a REST API's (1.0)."""
        if not is_http(event):
            return self._refuse(
                event, ValidationFailed("This function answers HTTP requests through API Gateway alone")
            )
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)  # Mangum serves on the current loop, to which open connections belong
        if self._mangum is None:
            self._mangum = Mangum(self.asgi, lifespan="off", text_mime_types=TEXT)
        self._has_request = False
        try:
            return self._mangum(without_server(normal_event(event)), context)
        except Exception as exc:  # noqa: BLE001 Mangum could not read the event, or the answer broke off after it began
            return self._refuse(event, InternalError() if self._has_request else _unreadable(exc))

    def close(self) -> None:
        """Close the services and the event loop. Lambda never calls it; tests and `make invoke` do."""
        if self._loop is not None:
            self._loop.run_until_complete(self._startup.close())
            asyncio.set_event_loop(None)
            self._loop.close()
            self._loop = self._mangum = None

    def _build_chain(self) -> App:
        settings = WebSettings.from_env(self._environ)
        configure_logging(settings.log_level)
        admission = AdmissionMiddleware(self.app, ready=_nothing if self.answers_outages else self.services)
        cookies = CookieMiddleware(admission, origins=(*settings.cors_origins, settings.public_origin))
        cors: Any = Cors(cookies, origins=settings.cors_origins, production=settings.production)
        name = self._environ.get("AWS_LAMBDA_FUNCTION_NAME") or self.title
        observe = partial(emit, function=name) if settings.metrics else None
        chain = RequestMiddleware(
            cors, production=settings.production, pseudonym_of=self._pseudonym_of, observe=observe
        )
        return chain if self.around is None else self.around(chain)

    def _pseudonym_of(self, address: str) -> str | None:
        return None if self._services is None else self._services.pseudonyms.of(client_network(address))

    def _refuse(self, event: Any, error: AgentTalkError) -> dict[str, Any]:
        """Return an error in API Gateway's form. The event became no request, or no whole answer."""
        settings = WebSettings.from_env(self._environ)
        if self._chain is None:
            configure_logging(settings.log_level)
        context = request_id.set(request_id_from(given_request_id(event)))
        keys = sorted(map(str, event)) if isinstance(event, dict) else None
        level = logging.ERROR if error.status >= 500 else logging.WARNING
        _log.log(level, "refused an event", exc_info=sys.exc_info()[0] is not None, extra={"event_keys": keys})
        headers = standard_headers(request_id.get() or "", production=settings.production)
        request_id.reset(context)
        return {
            "statusCode": error.status,
            "headers": headers | {"content-type": "application/json"},
            "body": json.dumps(envelope(error)),
            "isBase64Encoded": False,
        }


def _unreadable(exc: Exception) -> ValidationFailed:
    if isinstance(exc, UnicodeError | binascii.Error):
        return ValidationFailed("The request could not be read: it is not valid Unicode or base64")
    return ValidationFailed("The request could not be read: the event is not as API Gateway sends it")


async def _nothing() -> None:
    """Admit requests without services: the routes build them themselves."""
