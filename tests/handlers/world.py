"""All functions on one store and one clock, called as API Gateway calls them: a path, an event, an answer."""

import asyncio
import base64
import io
import json
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, TypeVar

import httpx
from argon2 import PasswordHasher

from handlers import housekeeping, speaker
from shared.accounts.passwords import Passwords
from shared.audio.opening import AudioPlace, open_audio
from shared.core.settings import Settings
from shared.jobs.queue import MemoQueue
from shared.observability.logs import configure_logging
from shared.plans import Tier
from shared.services import Services
from shared.speech.opening import Speakers
from shared.stores.memory.store import Pause
from shared.stores.port import StoreUnavailable
from shared.tables import Users
from shared.tables.users import Role, User
from shared.web.function import Function
from tests.events import SOURCE_IP, Event, LambdaContext, Query, http_event, rest_event
from tests.fakes.mails import CaughtMails
from tests.fakes.permitted import PermittedStore
from tests.fakes.stripe_network import StripeTransport
from tests.fakes.stripe_server import FakeStripe
from tests.fakes.stripe_world import stripe_at
from tests.handlers.contract import check_documented, check_error, check_openai_error, check_rpc
from tests.handlers.stores import STORES, WatchedStore
from tests.support import BY_SES, SECRET, FakeClock, seeded_pause
from tools.local import FUNCTIONS, function_of

PUBLIC_URL: Final = "https://api.example.org"
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""A Monday, in the ISO week 2026-W10."""

PASSWORD: Final = "correct horse battery"

PRODUCTION: Final = {
    **BY_SES,
    "AGENT_TALK_ENV": "production",
    "SESSION_SECRET": SECRET,
    "CORS_ORIGINS": "https://app.example.org, https://admin.example.org",
}

T = TypeVar("T")


class CheapHasher(PasswordHasher):
    """Argon2id at its lowest cost, which counts its calls."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checks: list[str | bytes] = []
        self.hashes: list[str | bytes] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.hashes.append(password)
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 argon2's name for it
        self.checks.append(hash)
        return super().verify(hash, password)


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        answer = self.json
        assert answer.keys() == {"error"}
        return answer["error"]

    @property
    def refusal(self) -> tuple[int, str, str]:
        return self.status, self.error["code"], self.error["message"]


@dataclass(frozen=True, kw_only=True)
class Account:
    id: str
    email: str
    session: str
    key: str
    key_id: str


class World:
    """The functions, their store and their clock. `seed` orders the store's verbs; while `is_down`, each verb fails."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        seed: int | None = None,
        store: str = "memory",
        audio: AudioPlace | None = None,
        queue: MemoQueue | None = None,
        speakers: Callable[[AudioPlace], Speakers] | None = None,
    ) -> None:
        self._audio = audio
        self.mails = CaughtMails()
        self.slept: list[float] = []
        self._speakers = speakers
        self._queue = queue
        self.environ = {"AGENT_TALK_STORE": "memory", "PUBLIC_URL": PUBLIC_URL, **(environ or {})}
        self.clock = FakeClock(NOON, tick=timedelta(milliseconds=1))
        self.hasher = CheapHasher()
        self.stripe = FakeStripe(now=self._now)
        self.stripe_network = StripeTransport(self.stripe)
        self.is_down = False
        self.loops: set[int] = set()
        self.built: list[Services] = []
        self._yield: Pause = (lambda: asyncio.sleep(0)) if seed is None else seeded_pause(seed)
        self._opened = ExitStack()
        self.store = WatchedStore(self._opened.enter_context(STORES[store](self._pause, self.clock)))
        self.functions = self._functions()
        self.speaker = speaker.handler.with_environment(self.environ, partial(self._build, "speaker"))
        self.housekeeping = housekeeping.handler.with_environment(self.environ, partial(self._build, "housekeeping"))
        self._accounts = 0

    def handle(self, function: str, event: Any) -> Answer:
        """Return a function's answer to an event."""
        given = self.functions[function](event, LambdaContext())
        headers = {name.lower(): value for name, value in given["headers"].items()}
        cookies = given.get("cookies") or ([headers["set-cookie"]] if "set-cookie" in headers else [])
        for name, values in (given.get("multiValueHeaders") or {}).items():
            if name.lower() == "set-cookie":
                cookies = values
            headers.setdefault(name.lower(), ", ".join(values))
        body = given["body"] or ""
        answer = Answer(
            status=given["statusCode"],
            headers=headers,
            cookies=tuple(cookies),
            body=base64.b64decode(body) if given["isBase64Encoded"] else body.encode(),
        )
        if function == "mcp" and b'"jsonrpc"' in answer.body:
            check_rpc(answer.status, answer.json)
        elif answer.status >= 400 and answer.body and not (function == "health" and answer.status == 503):
            check = check_openai_error if "param" in answer.error else check_error
            check(answer.status, headers, answer.error)
        return answer

    def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: str | bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        cookies: Sequence[str] = (),
        query: Query = (),
        source_ip: str = SOURCE_IP,
        rest: bool = False,
    ) -> Answer:
        """Send one request. `token` is a bearer's; `json` None: no body; `rest`: as a REST API's event."""
        build = rest_event if rest else http_event
        event: Event = build(
            method,
            path,
            query=query,
            headers={**(headers or {}), **({"authorization": f"Bearer {token}"} if token else {})},
            cookies=cookies,
            body=body if json is None else _dumped(json),
            source_ip=source_ip,
        )
        function = function_of(path)
        answer = self.handle(function, event)
        media_type = answer.headers.get("content-type", "").partition(";")[0] if answer.body else None
        check_documented(function, method, path, answer.status, media_type)
        return answer

    def get(self, path: str, **how: Any) -> Answer:
        return self.send("GET", path, **how)

    def post(self, path: str, **how: Any) -> Answer:
        return self.send("POST", path, **how)

    def patch(self, path: str, **how: Any) -> Answer:
        return self.send("PATCH", path, **how)

    def delete(self, path: str, **how: Any) -> Answer:
        return self.send("DELETE", path, **how)

    def sign_up(self, email: str | None = None, password: str = PASSWORD) -> Account:
        """Sign up a new account, from its own client address."""
        self._accounts += 1
        email = email or f"user{self._accounts}@example.org"
        answer = self.post(
            "/api/v1/auth/signup",
            json={"email": email, "password": password},
            source_ip=f"198.51.100.{self._accounts % 250}",
        )
        assert answer.status == 201, answer
        return account_of(answer.json)

    def new_key(self, account: Account, **fields: Any) -> tuple[str, str]:
        """Make another key. Returns its id and its secret."""
        answer = self.post("/api/keys", token=account.session, json=fields)
        assert answer.status == 201, answer
        return answer.json["key"]["id"], answer.json["key"]["key"]

    def memo(self, key: str, text: str = "Hello there", voice: str = "rachel", **fields: Any) -> Any:
        answer = self.post("/api/v1/memo", token=key, json={"text": text, "voice": voice, **fields})
        assert answer.status == 201, answer
        return answer.json

    def put_on(self, account: Account, tier: Tier, role: Role = Role.USER) -> None:
        """Change tier and role, as a payment or an administrator does."""

        def change(user: User) -> User:
            return user.model_copy(update={"tier": tier, "role": role})

        self.run(Users(self.store).change(account.id, change))

    def change_secret(self, secret: str) -> None:
        """Start every function again under another SESSION_SECRET, on the same rows."""
        self.environ["SESSION_SECRET"] = secret
        for function in self.functions.values():
            function.close()
        self.functions = self._functions()

    def disturb(self, pause: Pause) -> None:
        """Await `pause` before every verb of the store from now on; its exceptions fail the verb."""
        self._yield = pause

    def later(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))

    def spend(self, account: Account, day: int, month: int = 0) -> None:
        """Count `day` memos for today, and `month` more for earlier days of the month."""
        at = self.clock.at
        self.run(self.store.increment(f"{account.id}:calls:{at:%Y-%m-%d}", day))
        self.run(self.store.increment(f"{account.id}:calls:{at:%Y-%m}", day + month))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on a new event loop. Returns its result."""
        return asyncio.run(coroutine)

    def http(self, function: str, token: str | None = None) -> httpx.AsyncClient:
        """Return a client of the function's ASGI interface, for concurrent requests."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.functions[function].asgi, client=(SOURCE_IP, 443)),
            base_url=PUBLIC_URL,
            headers={"authorization": f"Bearer {token}"} if token else {},
        )

    def close(self) -> None:
        for function in self.functions.values():
            function.close()
        self.speaker.close()
        self.housekeeping.close()
        self._opened.close()

    def _functions(self) -> dict[str, Function]:
        return {
            name: function.with_environment(self.environ, partial(self._build, name), clock=self.clock)
            for name, function in FUNCTIONS.items()
        }

    def _build(self, function: str, settings: Settings) -> Services:
        store, audio = PermittedStore(self.store, function), self._audio or open_audio(settings.audio)
        services = Services.on(
            store,
            settings,
            passwords=Passwords(self.hasher),
            clock=self.clock,
            audio=audio,
            speakers=None if self._speakers is None else self._speakers(audio),
            mailer=self.mails,
            stripe=stripe_at(self.stripe_network, settings.billing),
            sleep=self._sleep,
            queue=self._queue,
        )
        self.built.append(services)
        return services

    def _now(self) -> float:
        return self.clock.at.timestamp()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def _pause(self) -> None:
        self.loops.add(id(asyncio.get_running_loop()))
        if self.is_down:
            raise StoreUnavailable("the store is down")
        await self._yield()


@dataclass(frozen=True, kw_only=True)
class Logs:
    """The log lines of the service, and those of all other loggers, at any level."""

    stream: io.StringIO = field(default_factory=io.StringIO)
    others: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join([self.stream.getvalue(), *self.others])

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@contextmanager
def kept_logs() -> Iterator[Logs]:
    logs = Logs()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = {name: value for name, value in vars(record).items() if name != "exc_info"}  # `format` prints it
            logs.others.append(f"{self.format(record)} {fields}")

    configure_logging("DEBUG")
    own = logging.getLogger("agent_talk").handlers[0]
    assert isinstance(own, logging.StreamHandler)
    root, keep = logging.getLogger(), Keep()
    level, stream = root.level, own.stream
    own.stream = logs.stream  # setStream would flush the old stream, which an earlier test has closed
    root.addHandler(keep)
    logging.getLogger("agent_talk").addHandler(keep)
    root.setLevel(logging.DEBUG)
    try:
        yield logs
    finally:
        root.setLevel(level)
        logging.getLogger("agent_talk").removeHandler(keep)
        root.removeHandler(keep)
        own.stream = stream


def account_of(answer: Any) -> Account:
    return Account(
        id=answer["user"]["id"],
        email=answer["user"]["email"],
        session=answer["token"],
        key=answer["apiKey"]["key"],
        key_id=answer["apiKey"]["id"],
    )


def _dumped(value: Any) -> str:
    return json.dumps(value)


def features(**own: Any) -> dict[str, Any]:
    """Return the features of the hobby plan, with those of another plan in `own`."""
    return {
        "voices": "all",
        "tts": "edge",
        "priority": False,
        "voiceCloning": False,
        "customVoices": False,
        "analytics": "basic",
        "apiAccess": True,
        "webhooks": False,
        "customBranding": False,
        "dedicatedSupport": False,
        "slaPercentage": None,
    } | own
