"""Local use: all functions behind one gateway, or one function invoked with one event.

python -m tools.local run [--host 127.0.0.1] [--port 8000]
python -m tools.local invoke users tests/events/signup.json
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import Match

from handlers import admin, health, keys, mcp, memos, subscriptions, usage, users
from shared import VERSION
from shared.audio.files import AudioPlaceFailed
from shared.audio.opening import open_audio
from shared.core.mail_settings import MailChoice
from shared.core.parameters import with_secrets
from shared.core.settings import Settings, SettingsError, StoreChoice, chosen_store
from shared.core.speech_settings import AudioChoice
from shared.jobs.process import ProcessQueue
from shared.mail.console import ConsoleMailer
from shared.memos.speaking import NotYet
from shared.services import Services, build_services
from shared.speech.opening import open_speakers
from shared.stores.opening import OpenedStore, open_store
from shared.stores.port import StoreError
from shared.tables import TABLES
from shared.web.error_answers import EXCEPTION_HANDLERS
from shared.web.function import Function
from shared.web.middleware import App, Receive, RequestMiddleware, Scope, Send
from shared.web.startup import BuildServices, check_exposure
from tools.dev_mails import PATH as MAILS
from tools.dev_mails import POLICY, mails_app
from tools.serving import AnnouncedServer, Impossible
from tools.turns import Turns

FUNCTIONS: Final = {
    "users": users.handler,
    "keys": keys.handler,
    "memos": memos.handler,
    "mcp": mcp.handler,
    "usage": usage.handler,
    "subscriptions": subscriptions.handler,
    "admin": admin.handler,
    "health": health.handler,
}

MEMORY_FILE: Final = ".local/memory.json"
"""The file of rows between invocations, unless AGENT_TALK_MEMORY_FILE names another."""

SPEAKING: Final = {"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": ".local/audio"}
"""Our own voices, which need no key and no network, unless the environment chooses others."""

MOST_PORT: Final = 65_535

QUIET: Final = {"LOG_LEVEL": "WARNING"}
"""An invocation prints its answer without log lines of requests, unless the environment sets LOG_LEVEL."""

DOCS_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)
DOCS_INTRODUCTION: Final = """\
**To get a key**, execute `POST /api/v1/auth/signup` below as it is, and copy two texts of its answer.
Then press **Authorize** and paste `apiKey.key`: it makes memos, and reads memos and usage.
For accounts, keys and plans press **Authorize** again and paste `token`, which is a session.
Each is shown once; `POST /api/v1/auth/login` begins another session.
"""

DOCS_CREDENTIAL: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (`apiKey.key`, begins with `at_`) or a session (`token`) of a sign-up's answer.",
}
"""The one way to authorize on the page. Each function's own document names the credential of a route."""

_ABSOLUTE: Final = re.compile(r"\Ahttps?://[^/]*", re.IGNORECASE)
"""Scheme and host of an absolute-form target, as clients of a proxy send it. The gateway ignores the host."""

DOCS_PATHS: Final = ("/docs", "/openapi.json")
DOCS_ASSETS: Final = "/static-offline-docs/"


class Gateway:
    """Routes a request to the function of its path, as API Gateway does; an unknown path goes to health."""

    def __init__(self, functions: Mapping[str, Function], mailer: ConsoleMailer | None = None) -> None:
        self.functions = functions
        self._mails = None if mailer is None else RequestMiddleware(mails_app(mailer), production=False, policy=POLICY)
        self._docs = RequestMiddleware(_documentation(functions), production=False, policy=DOCS_POLICY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = path = _ABSOLUTE.sub("", scope["path"]) or "/"
        app: App = self.functions[function_of(path)].asgi
        if path in DOCS_PATHS or path.startswith(DOCS_ASSETS):
            app = self._docs
        elif path == MAILS and self._mails is not None:
            app = self._mails
        await app(scope, receive, send)


def local_gateway(environ: Mapping[str, str], build: BuildServices, *, mailer: ConsoleMailer | None = None) -> Gateway:
    """Return a gateway to all functions, each in its own container, with services that `build` makes.

    A page shows the mails of `mailer`; None: there is no such page.
    """
    return Gateway({name: function.with_environment(environ, build) for name, function in FUNCTIONS.items()}, mailer)


def function_of(path: str) -> str:
    """Return the name of the function of a path, for any method; an unknown path belongs to health."""
    scope = {"type": "http", "method": "GET", "path": path}
    for name, function in FUNCTIONS.items():
        if any(route.matches(scope)[0] is not Match.NONE for route in function.routes.routes):
            return name
    return "health"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.local", description="Agent Talk on this machine.")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="serve all functions", description="Serve all functions behind one gateway.")
    run.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    run.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    run.set_defaults(command=_run)
    invoke = commands.add_parser(
        "invoke",
        help="invoke one function with one event",
        description="Invoke one function with one event, and print its answer. Rows are kept in a file in between.",
    )
    invoke.add_argument("function", choices=sorted(FUNCTIONS))
    invoke.add_argument("event", help="a JSON file with an API Gateway event; - for standard input")
    invoke.set_defaults(command=_invoke)
    options = parser.parse_args(arguments)
    status: int = options.command(options)
    return status


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {MOST_PORT}")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    url = f"http://localhost:{options.port}"
    environ: Mapping[str, str] = {"PUBLIC_URL": url} | _speaking(_environment())
    try:
        environ = with_secrets(environ)
        settings = Settings.from_env(environ)
        audio = open_audio(settings.audio)
        speakers = open_speakers(settings.speech, audio)
        opened = open_store(settings)
    except SettingsError as exc:
        print(*exc.problems, sep="\n", file=sys.stderr)
        return 2

    async def check() -> None:
        await verify(opened, settings)
        await _go_on(built(settings))

    mailer = ConsoleMailer() if settings.mail.choice is MailChoice.CONSOLE else None

    def built(settings: Settings) -> Services:
        """Build the services of one function. All functions share the voices: a model is 100 MB."""
        return Services.on(opened.store, settings, clock=opened.clock, audio=audio, speakers=speakers, mailer=mailer)

    gateway = local_gateway(environ, built, mailer=mailer)
    AnnouncedServer(
        Turns(gateway), host=options.host, port=options.port, welcome=_welcome(url, settings), check=check
    ).run()
    return 0


async def verify(opened: OpenedStore, settings: Settings) -> None:
    """Check the tables and the store's exposure, as a container's start does. Raises Impossible."""
    try:
        await opened.store.verify(TABLES)
        await check_exposure(settings, opened.is_open_to_all)
    except StoreError as exc:
        raise Impossible(f"the store cannot be used: {exc}") from exc


async def _go_on(services: Services) -> None:
    """Queue the unfinished long memos of an earlier process in the queue of this one."""
    if services.settings.speech.queue_url:
        return
    try:
        sent = (await services.speaker.send_stopped(services.queue, idle=timedelta())).done
    except (StoreError, AudioPlaceFailed, NotYet) as exc:
        print(f"long memos of an earlier run could not be gone on with: {exc}", file=sys.stderr)
        return
    if sent:
        print(f"Going on with {sent} long memos of an earlier run.", flush=True)


def _invoke(options: argparse.Namespace) -> int:
    environ = QUIET | {"IS_LOCAL": "true"} | _speaking(_environment())
    if chosen_store(environ) is StoreChoice.MEMORY:
        environ.setdefault("AGENT_TALK_MEMORY_FILE", MEMORY_FILE)
    try:
        event = json.loads(sys.stdin.buffer.read() if options.event == "-" else Path(options.event).read_bytes())
    except (OSError, ValueError) as exc:
        print(f"cannot read the event: {exc}", file=sys.stderr)
        return 2
    function = FUNCTIONS[options.function].with_environment(environ, _finishing)
    print(json.dumps(function(event, None), indent=2), flush=True)
    function.close()
    return 0


def _finishing(settings: Settings) -> Services:
    """Build the services of one event, which close after the long memos that it queued are spoken."""
    services = build_services(settings)

    async def close() -> None:
        if isinstance(services.queue, ProcessQueue):
            await services.queue.drained()
        await services.close()

    return replace(services, close=close)


def _environment() -> dict[str, str]:
    """Return the variables that are set; an empty one counts as unset."""
    return {name: value for name, value in os.environ.items() if value}


def _speaking(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment with SPEAKING's values for missing variables; with another AUDIO only SPEECH's."""
    defaults = SPEAKING if environ.get("AUDIO", "folder") == "folder" else {"SPEECH": SPEAKING["SPEECH"]}
    return {**defaults, **environ}


def _documentation(functions: Mapping[str, Function]) -> App:
    """Return an app with the documentation of every route on one page; the functions serve the requests."""
    app: FastAPI = FastAPIOffline(
        title="Agent Talk",
        version=VERSION,
        redoc_url=None,
        description=DOCS_INTRODUCTION,
        exception_handlers=EXCEPTION_HANDLERS,
    )
    for function in functions.values():
        app.include_router(function.routes)
    app.openapi = partial(_with_one_credential, app.openapi)  # type: ignore[method-assign] # as FastAPI's manual does
    return app


def _with_one_credential(document_of: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the document of all routes with one credential: a page with two would send only one of them."""
    document = document_of()
    document["components"]["securitySchemes"] = {"credential": DOCS_CREDENTIAL}
    for operations in document["paths"].values():
        for operation in operations.values():
            if "security" in operation:
                operation["security"] = [{"credential": []}]
    return document


def _welcome(url: str, settings: Settings) -> str:
    match settings.store:
        case StoreChoice.MICRO:
            kept = f"HYPR Micro at {settings.hypr_url or settings.hypr_platform_url}"
        case StoreChoice.DYNAMODB:
            kept = f"the DynamoDB table {settings.dynamodb_table}"
        case StoreChoice.MEMORY:
            kept = str(settings.memory_file or "memory, until you stop it")
    audio = settings.audio
    keeps = f"the bucket {audio.bucket}" if audio.place is AudioChoice.S3 else str(audio.folder)
    heard = "nothing (silence)" if audio.place is None else f"{settings.speech.default} voices, kept in {keeps}"
    printed = settings.mail.choice is MailChoice.CONSOLE
    mails = f"printed here, and on {url}{MAILS}" if printed else f"sent by {settings.mail.choice}"
    return f"""Agent Talk {VERSION} answers on {url}, its rows are in {kept}.
Speech:        {heard}
Documentation: {url}/docs
Console:       {url}/app
Mails:         {mails}

Try, in another terminal:

  curl -s {url}/api/v1/auth/signup -d '{{"email": "me@example.org", "password": "correct horse"}}'
  export KEY=at_live_...     # apiKey.key of the answer
  curl -s {url}/api/v1/memo -H "Authorization: Bearer $KEY" -d '{{"text": "Hello, world", "voice": "rachel"}}'
  curl -s {url}/api/v1/memos -H "Authorization: Bearer $KEY"
"""


if __name__ == "__main__":
    sys.exit(main())
