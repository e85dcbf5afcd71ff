"""Settings from environment variables: each variable, its default and its unit. All problems are reported at once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from shared.core.speech_settings import AudioSettings, SpeechSettings, read_audio, read_speech

DEVELOPMENT_SECRET: Final = "development-only-secret-that-everyone-knows"  # noqa: S105 known to everyone
DYNAMODB_TABLE: Final = "agent-talk"
PUBLIC_URL: Final = "http://localhost:8000"
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")


class StoreChoice(StrEnum):
    MEMORY = "memory"
    MICRO = "micro"
    DYNAMODB = "dynamodb"


class SettingsError(Exception):
    """The environment cannot be used. `problems` has a sentence each, with the names of the variables."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class AttemptLimits:
    """Attempts that a window admits. Windows are 15 minutes for failed logins and an hour for the others."""

    failed_logins_per_account: int = 10
    failed_logins_per_address: int = 100
    signups_per_address: int = 20
    demos_per_address: int = 60


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """What answering and logging need, even when the other settings are wrong."""

    production: bool = False
    cors_origins: tuple[str, ...] = ()
    public_origin: str = PUBLIC_URL
    """The origin of PUBLIC_URL: pages there are this service's own."""

    log_level: str = "INFO"
    metrics: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read them. A wrong variable gets its default; `Settings.from_env` reports it."""
        return cls.read(_Reader(env))

    @classmethod
    def read(cls, read: "_Reader") -> Self:
        return cls(
            production=read.choice("AGENT_TALK_ENV", ("development", "production"), default="development")
            == "production",
            cors_origins=read.origins("CORS_ORIGINS"),
            public_origin=_origin_of(read.env.get("PUBLIC_URL", "")) or PUBLIC_URL,
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
    hypr_app_slug: str = ""
    dynamodb_table: str = DYNAMODB_TABLE
    attempts: AttemptLimits = field(default_factory=AttemptLimits)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read all settings. Raises SettingsError, with every problem, if any variable is missing or wrong."""
        env = {name: value for name, value in env.items() if value}
        read = _Reader(env)
        edge = WebSettings.read(read)
        production, attempts = edge.production, AttemptLimits()
        speech = read_speech(read)
        settings = cls(
            edge=edge,
            store=_store(read, production=production),
            session_secret=_session_secret(read, production=production),
            public_url=_public_url(read, production=production),
            memory_file=Path(env["AGENT_TALK_MEMORY_FILE"]) if env.get("AGENT_TALK_MEMORY_FILE") else None,
            hypr_url=read.url("HYPR_URL"),
            hypermicro_api_key=env.get("HYPERMICRO_API_KEY", ""),
            hypr_platform_url=read.url("HYPR_PLATFORM_URL"),
            hypr_app_slug=env.get("HYPR_APP_SLUG", ""),
            dynamodb_table=read.table("DYNAMODB_TABLE", default=DYNAMODB_TABLE),
            attempts=AttemptLimits(
                failed_logins_per_account=read.count(
                    "FAILED_LOGINS_PER_ACCOUNT", default=attempts.failed_logins_per_account
                ),
                failed_logins_per_address=read.count(
                    "FAILED_LOGINS_PER_ADDRESS", default=attempts.failed_logins_per_address
                ),
                signups_per_address=read.count("SIGNUPS_PER_ADDRESS", default=attempts.signups_per_address),
                demos_per_address=read.count("DEMOS_PER_ADDRESS", default=attempts.demos_per_address),
            ),
            speech=speech,
            audio=read_audio(read, speech, production=production),
            warnings=tuple(read.warnings),
        )
        if read.problems:
            raise SettingsError(read.problems)
        return settings

    @property
    def production(self) -> bool:
        return self.edge.production


def chosen_store(env: Mapping[str, str]) -> StoreChoice:
    """Return the store that the environment asks for; memory if it asks for none or for an unknown one."""
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

    def count(self, name: str, *, default: int) -> int:
        value = self.env.get(name) or str(default)
        if value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0:
            return int(value)
        self.problems.append(f"{name} must be a whole number above 0, not {value!r}")
        return default

    def url(self, name: str) -> str:
        """Return the URL without a final slash; empty if it is unset."""
        url = self.env.get(name, "").rstrip("/")
        if url and not _is_url(url):
            self.problems.append(f"{name} must be an absolute http(s) URL without credentials{_but(url)}")
        return url

    def table(self, name: str, *, default: str) -> str:
        value = self.env.get(name) or default
        if _TABLE.fullmatch(value):
            return value
        self.problems.append(f"{name} must be 3 to 255 letters, digits and _.-, not {value!r}")
        return default

    def origins(self, name: str) -> tuple[str, ...]:
        words = [word.strip().rstrip("/") for word in self.env.get(name, "").split(",") if word.strip()]
        origins = [(word, normal_origin(word)) for word in words]
        self.problems.extend(
            f"{name} must be origins like https://example.org{_but(word)}" for word, origin in origins if origin is None
        )
        return tuple(origin for _, origin in origins if origin is not None)


def _but(url: str) -> str:
    """Return `, not <value>` for a problem's text; empty if the value may contain a password or a key."""
    return "" if "@" in url or "?" in url else f", not {url!r}"


def normal_origin(text: str) -> str | None:
    """Return an origin in one spelling: lower case, without its scheme's default port. None if it is no origin."""
    if not _is_url(text) or urlsplit(text).path:
        return None
    return _origin_of(text)


def _origin_of(url: str) -> str | None:
    """Return the origin of a URL; None if it is no URL."""
    if not _is_url(url):
        return None
    parts = urlsplit(url.lower())
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _is_url(text: str) -> bool:
    """Return whether this is an absolute http(s) URL without credentials, query and fragment."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 raises for what is no port
    except ValueError:  # urlsplit raises it too, for brackets that hold no IPv6 address
        return False
    plain = text.isascii() and text.isprintable() and " " not in text and "@" not in parts.netloc
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)


def _session_secret(read: _Reader, *, production: bool) -> str:
    secret = read.env.get("SESSION_SECRET", "")
    if not secret:
        if production:
            read.problems.append("SESSION_SECRET is required in production")
        elif read.in_lambda:
            read.warnings.append("SESSION_SECRET is not set: anyone can forge sessions")
        return DEVELOPMENT_SECRET
    if len(secret.encode()) < 32:
        read.problems.append("SESSION_SECRET must be at least 32 bytes")
    if production and secret == DEVELOPMENT_SECRET:
        read.problems.append("SESSION_SECRET must not be the development secret in production")
    return secret


def _public_url(read: _Reader, *, production: bool) -> str:
    url = read.url("PUBLIC_URL")
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
    """Check that one way to HYPR Micro is configured completely: a server directly, or the platform's proxy."""
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
