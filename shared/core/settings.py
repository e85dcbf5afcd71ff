"""Settings from environment variables: each variable, its default and its unit. All problems are reported at once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from shared.core.billing_settings import BillingSettings, read_billing
from shared.core.mail_settings import MailSettings, read_mail
from shared.core.speech_settings import AudioSettings, SpeechSettings, read_audio, read_speech
from shared.core.urls import is_url, normal_origin, origin_of

DEVELOPMENT_SECRET: Final = "development-only-secret-that-everyone-knows"  # noqa: S105 no secret: production refuses it
DYNAMODB_TABLE: Final = "agent-talk"
PUBLIC_URL: Final = "http://localhost:8000"
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")


class StoreChoice(StrEnum):
    MEMORY = "memory"
    MICRO = "micro"
    DYNAMODB = "dynamodb"


class SettingsError(Exception):
    """The environment cannot be used. `problems` has one sentence for each problem, with the variables' names."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class AttemptLimits:
    """Attempts that a window admits. A window is 15 minutes for failed logins, an hour for all other attempts."""

    failed_logins_per_account: int = 10
    failed_logins_per_address: int = 100
    signups_per_address: int = 20
    demos_per_address: int = 60
    key_changes_per_owner: int = 60
    resets_per_account: int = 3
    resets_per_address: int = 20
    verifications_per_account: int = 3
    verifications_per_address: int = 20

    @classmethod
    def read(cls, read: "_Reader") -> Self:
        """Read each from the variable of its name in capitals."""
        names = [limit.name for limit in fields(cls)]
        return cls(**{name: read.count(name.upper(), default=getattr(cls, name)) for name in names})


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """The settings that answers and logs need, even if the other settings are wrong."""

    production: bool = False
    cors_origins: tuple[str, ...] = ()
    public_origin: str = PUBLIC_URL
    """The origin of PUBLIC_URL: its pages are this service's own."""

    log_level: str = "INFO"
    metrics: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read these settings. A wrong variable gets its default; `Settings.from_env` reports it."""
        return cls.read(_Reader(env))

    @classmethod
    def read(cls, read: "_Reader") -> Self:
        environment = read.choice("AGENT_TALK_ENV", ("development", "production"), default="development")
        return cls(
            production=environment == "production",
            cors_origins=read.origins("CORS_ORIGINS", production=environment == "production"),
            public_origin=origin_of(read.env.get("PUBLIC_URL", "")) or PUBLIC_URL,
            log_level=read.choice("LOG_LEVEL", LOG_LEVELS, default="INFO"),
            metrics=read.choice("METRICS", ("0", "1"), default="1" if read.in_lambda else "0") == "1",
        )


@dataclass(frozen=True, kw_only=True)
class Settings:
    edge: WebSettings = field(default_factory=WebSettings)
    store: StoreChoice = StoreChoice.MEMORY
    session_secret: str = field(default=DEVELOPMENT_SECRET, repr=False)
    public_url: str = PUBLIC_URL
    memory_file: Path | None = None
    hypr_url: str = ""
    hypermicro_api_key: str = field(default="", repr=False)
    hypr_platform_url: str = ""
    hypr_app_slug: str = field(default="", repr=False)
    hypr_private_network: bool = False
    """Only the functions reach HYPR Micro, so HYPR_URL may be http://, and the server may give keys to any caller."""

    dynamodb_table: str = DYNAMODB_TABLE
    attempts: AttemptLimits = field(default_factory=AttemptLimits)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    billing: BillingSettings = field(default_factory=BillingSettings)
    app_url: str = f"{PUBLIC_URL}/app"
    """The page that mails link to."""

    forgot_password_ms: int = 2000
    """Milliseconds after which forgot-password answers in every case: longer than sending a mail takes."""

    failed_login_ms: int = 2000
    """Milliseconds after which a failed login is answered: longer than checking the slowest hash takes, so that the
    time does not reveal which accounts moved in."""

    warnings: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read all settings. Raises SettingsError, with every problem, if any variable is missing or wrong."""
        env = {name: value for name, value in env.items() if value}
        read = _Reader(env)
        edge = WebSettings.read(read)
        production = edge.production
        speech, public_url = read_speech(read, production=production), _public_url(read, production=production)
        private = read.choice("HYPR_PRIVATE_NETWORK", ("0", "1"), default="0") == "1"
        settings = cls(
            edge=edge,
            store=_store(read, production=production),
            session_secret=_session_secret(read, production=production),
            public_url=public_url,
            memory_file=Path(env["AGENT_TALK_MEMORY_FILE"]) if env.get("AGENT_TALK_MEMORY_FILE") else None,
            hypr_url=read.encrypted_url("HYPR_URL", production=production and not private),
            hypermicro_api_key=env.get("HYPERMICRO_API_KEY", ""),
            hypr_platform_url=read.encrypted_url("HYPR_PLATFORM_URL", production=production),
            hypr_app_slug=env.get("HYPR_APP_SLUG", ""),
            hypr_private_network=private,
            dynamodb_table=read.table("DYNAMODB_TABLE", default=DYNAMODB_TABLE),
            attempts=AttemptLimits.read(read),
            speech=speech,
            audio=read_audio(read, speech, production=production),
            mail=read_mail(read, production=production),
            billing=read_billing(read, production=production),
            app_url=read.encrypted_url("APP_URL", production=production) or f"{public_url}/app",
            forgot_password_ms=read.count("FORGOT_PASSWORD_MS", default=cls.forgot_password_ms, most=10_000),
            failed_login_ms=read.count("FAILED_LOGIN_MS", default=cls.failed_login_ms, most=10_000),
            warnings=tuple(read.warnings),
        )
        if read.problems:
            raise SettingsError(read.problems)
        return settings

    @property
    def production(self) -> bool:
        return self.edge.production


def chosen_store(env: Mapping[str, str]) -> StoreChoice:
    """Return the store that the environment chooses. It is memory if the environment names none or an unknown one."""
    named = env.get("AGENT_TALK_STORE", "")
    if named in tuple(StoreChoice):
        return StoreChoice(named)
    micro = ("HYPR_URL", "HYPERMICRO_API_KEY", "HYPERMICRO_API_KEY_PARAMETER")
    if env.get("HYPR_MODE") == "production" or any(env.get(name) for name in micro):
        return StoreChoice.MICRO
    return StoreChoice.MEMORY


def in_lambda(env: Mapping[str, str]) -> bool:
    """Return whether this is Lambda itself. Tools that emulate it set `IS_LOCAL`."""
    return bool(env.get("AWS_LAMBDA_FUNCTION_NAME")) and not env.get("IS_LOCAL")


class _Reader:
    """Reads variables and collects their problems. An empty variable counts as unset."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.in_lambda = in_lambda(env)

    def choice(self, name: str, options: tuple[str, ...], *, default: str) -> str:
        value = self.env.get(name) or default
        if value in options:
            return value
        self.problems.append(f"{name} must be one of {', '.join(options)}, not {value!r}")
        return default

    def count(self, name: str, *, default: int, most: int = 999_999_999) -> int:
        value = self.env.get(name) or str(default)
        if value.isascii() and value.isdigit() and len(value) < 10 and 0 < int(value) <= most:
            return int(value)
        self.problems.append(f"{name} must be a whole number above 0, and at most {most}, not {value!r}")
        return default

    def url(self, name: str) -> str:
        """Return the URL without a final slash; empty if it is unset."""
        url = self.env.get(name, "").rstrip("/")
        if url and not is_url(url):
            self.problems.append(f"{name} must be an absolute http(s) URL without credentials{_but(url)}")
        return url

    def encrypted_url(self, name: str, *, production: bool) -> str:
        """Return the URL as `url` does. In production an http:// URL is a problem."""
        url = self.url(name)
        if production:
            self.refuse_plain(name, url)
        return url

    def refuse_plain(self, name: str, url: str) -> None:
        if url.lower().startswith("http://"):
            self.problems.append(f"{name} must be https:// in production{_but(url)}")

    def table(self, name: str, *, default: str) -> str:
        value = self.env.get(name) or default
        if _TABLE.fullmatch(value):
            return value
        self.problems.append(f"{name} must be 3 to 255 letters, digits and _.-, not {value!r}")
        return default

    def origins(self, name: str, *, production: bool) -> tuple[str, ...]:
        words = [word.strip().rstrip("/") for word in self.env.get(name, "").split(",") if word.strip()]
        origins = [(word, normal_origin(word)) for word in words]
        self.problems.extend(
            f"{name} must be origins like https://example.org{_but(word)}" for word, origin in origins if origin is None
        )
        named = tuple(origin for _, origin in origins if origin is not None)
        for origin in named if production else ():
            self.refuse_plain(name, origin)
        return named


def _but(url: str) -> str:
    """Return `, not <value>` for a problem's text. Empty, if the value may contain a password or a key."""
    return "" if "@" in url or "?" in url else f", not {url!r}"


def _session_secret(read: _Reader, *, production: bool) -> str:
    secret = read.env.get("SESSION_SECRET", "")
    if not secret:
        if production or read.in_lambda:
            read.problems.append("SESSION_SECRET is required in production, and in Lambda in every stage")
        return DEVELOPMENT_SECRET
    if len(secret.encode()) < 32:
        read.problems.append("SESSION_SECRET must be at least 32 bytes")
    elif (production or read.in_lambda) and secret == DEVELOPMENT_SECRET:
        read.problems.append("SESSION_SECRET must not be the development secret, which stands in the source")
    elif production and _is_weak(secret):
        read.problems.append("SESSION_SECRET can be guessed: make one with `openssl rand -base64 32`")
    return secret


def _is_weak(secret: str) -> bool:
    """Return whether a secret repeats itself, or has fewer than 8 different characters.

    The secret has 32 bytes or more. A repetition may be cut short: `12345678901234567890123456789012`. Random secrets
    have more characters: of 32 random digits one in ten million has fewer than 8.
    """
    repeats = any(secret.startswith(secret[period:]) for period in range(1, len(secret) // 2 + 1))
    return repeats or len(set(secret)) < 8


def _public_url(read: _Reader, *, production: bool) -> str:
    url = read.encrypted_url("PUBLIC_URL", production=production)
    if not url and production:
        read.problems.append("PUBLIC_URL is required in production")
    return url or PUBLIC_URL


def _store(read: _Reader, *, production: bool) -> StoreChoice:
    store = StoreChoice(read.choice("AGENT_TALK_STORE", tuple(StoreChoice), default=chosen_store(read.env)))
    if store is StoreChoice.MICRO:
        _check_micro(read)
    if store is not StoreChoice.MEMORY:
        if read.env.get("AGENT_TALK_MEMORY_FILE"):
            read.problems.append(f"AGENT_TALK_MEMORY_FILE is set, but AGENT_TALK_STORE is {store}")
    elif not read.env.get("AGENT_TALK_STORE") and (read.env.get("HYPR_PLATFORM_URL") or read.env.get("HYPR_APP_SLUG")):
        read.problems.append("HYPR_PLATFORM_URL and HYPR_APP_SLUG need AGENT_TALK_STORE=micro")
    elif read.in_lambda and not read.env.get("AGENT_TALK_STORE"):
        read.problems.append(
            "no store is configured: set AGENT_TALK_STORE, or HYPR_URL and HYPERMICRO_API_KEY (in Lambda, every "
            "container would keep its own rows in memory and lose them)"
        )
    elif read.in_lambda and production:
        read.problems.append("AGENT_TALK_STORE=memory cannot serve production in Lambda: each container loses its rows")
    elif read.in_lambda:
        read.warnings.append("AGENT_TALK_STORE=memory: each container keeps its own rows and loses them")
    return store


def _check_micro(read: _Reader) -> None:
    """Check that one way to HYPR Micro is configured completely. It is a server, or the platform's proxy."""
    ways = (("HYPR_URL", "HYPERMICRO_API_KEY"), ("HYPR_PLATFORM_URL", "HYPR_APP_SLUG"))
    begun = [way for way in ways if any(read.env.get(name) for name in way)]
    if len(begun) == len(ways):
        read.problems.append("HYPR_URL and HYPERMICRO_API_KEY contradict HYPR_PLATFORM_URL and HYPR_APP_SLUG")
    elif not begun:
        read.problems.append("HYPR Micro needs HYPR_URL and HYPERMICRO_API_KEY, or HYPR_PLATFORM_URL and HYPR_APP_SLUG")
    else:
        read.problems.extend(f"{name} is missing" for name in begun[0] if not read.env.get(name))
    for name in ("HYPERMICRO_API_KEY", "HYPR_APP_SLUG"):
        if any(not "!" <= character <= "~" for character in read.env.get(name, "")):
            read.problems.append(f"{name} has characters that no header can carry")
