"""Settings of speech and of the place where audio is kept, which `shared.core.settings` reads with its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

AUDIO_DIR: Final = Path(".local/audio")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MOUNTS: Final = "/mnt/"
"""Where Lambda mounts file systems that containers share; it accepts no other path."""


class SpeechChoice(StrEnum):
    SIMULATED = "simulated"
    LOCAL = "local"
    POLLY = "polly"
    ELEVENLABS = "elevenlabs"
    OPENAI = "openai"


class AudioChoice(StrEnum):
    FOLDER = "folder"
    S3 = "s3"


@dataclass(frozen=True, kw_only=True)
class SpeechSettings:
    """The voices of each tier: `default` for all tiers without their own."""

    default: SpeechChoice = SpeechChoice.SIMULATED
    pro: SpeechChoice = SpeechChoice.SIMULATED
    enterprise: SpeechChoice = SpeechChoice.SIMULATED
    voices_file: Path | None = None
    elevenlabs_api_key: str = field(default="", repr=False)
    elevenlabs_base_url: str = ""
    """Empty: ElevenLabs' own. Accounts with data residency have another."""

    openai_api_key: str = field(default="", repr=False)
    openai_base_url: str = ""
    """Empty: OpenAI's own."""

    queue_url: str = ""
    """The SQS queue of long memos. Empty: tasks of this process say them."""

    @property
    def choices(self) -> frozenset[SpeechChoice]:
        return frozenset((self.default, self.pro, self.enterprise))


@dataclass(frozen=True, kw_only=True)
class AudioSettings:
    """Where audio is kept. `place` None: nowhere, since all speech is simulated."""

    place: AudioChoice | None = None
    folder: Path = AUDIO_DIR
    bucket: str = ""
    origins: tuple[str, ...] = ()
    """The origins that GET /audio redirects to: a page's Content-Security-Policy must admit them."""


class Reader(Protocol):
    """Reads variables, and collects their problems."""

    env: Mapping[str, str]
    problems: list[str]
    warnings: list[str]
    in_lambda: bool

    def choice(self, name: str, options: tuple[str, ...], *, default: str) -> str: ...

    def count(self, name: str, *, default: int, most: int = ...) -> int: ...

    def url(self, name: str) -> str: ...

    def encrypted_url(self, name: str, *, production: bool) -> str: ...


def chosen_speech(env: Mapping[str, str]) -> SpeechChoice:
    """Return the default voices that the environment names. They are simulated if it names none or unknown ones."""
    named = env.get("SPEECH", "")
    return SpeechChoice(named) if named in tuple(SpeechChoice) else SpeechChoice.SIMULATED


def read_speech(read: Reader, *, production: bool) -> SpeechSettings:
    """Read the chosen voices and their providers' settings. In production no key is sent unencrypted."""
    if read.in_lambda and not read.env.get("SPEECH"):
        read.problems.append(f"no speech is configured: set SPEECH to one of {', '.join(SpeechChoice)}")
    default = read.choice("SPEECH", tuple(SpeechChoice), default=SpeechChoice.SIMULATED)
    file, openai_api_key = read.env.get("SPEECH_VOICES"), read.env.get("OPENAI_API_KEY", "")
    settings = SpeechSettings(
        default=SpeechChoice(default),
        pro=SpeechChoice(read.choice("SPEECH_PRO", tuple(SpeechChoice), default=default)),
        enterprise=SpeechChoice(read.choice("SPEECH_ENTERPRISE", tuple(SpeechChoice), default=default)),
        voices_file=Path(file) if file else None,
        elevenlabs_api_key=read.env.get("ELEVENLABS_API_KEY", ""),
        elevenlabs_base_url=read.encrypted_url("ELEVENLABS_BASE_URL", production=production),
        openai_api_key=openai_api_key,
        openai_base_url=read.encrypted_url("OPENAI_BASE_URL", production=production and bool(openai_api_key)),
        queue_url=read.url("SPEECH_QUEUE_URL"),
    )
    if read.in_lambda and settings.choices != {SpeechChoice.SIMULATED} and not settings.queue_url:
        read.problems.append("SPEECH_QUEUE_URL is missing: long texts are said by the function speaker, which it feeds")
    if SpeechChoice.ELEVENLABS in settings.choices and not settings.elevenlabs_api_key:
        read.problems.append("ELEVENLABS_API_KEY is missing: ElevenLabs' voices are chosen")
    if SpeechChoice.OPENAI in settings.choices and not (settings.openai_api_key or settings.openai_base_url):
        read.problems.append("OPENAI_API_KEY is missing, or the OPENAI_BASE_URL of a server that needs no key")
    for name in ("ELEVENLABS_API_KEY", "OPENAI_API_KEY"):
        if any(not "!" <= character <= "~" for character in read.env.get(name, "")):
            read.problems.append(f"{name} has characters that no header can carry")
    return settings


def read_audio(read: Reader, speech: SpeechSettings, *, production: bool) -> AudioSettings:
    """Read where audio is kept. Unset: a folder on a laptop, a problem in Lambda if any voice is real."""
    place = _place(read, speech)
    folder, bucket = Path(read.env.get("AUDIO_DIR") or AUDIO_DIR), read.env.get("AUDIO_BUCKET", "")
    if place is AudioChoice.S3 and not _BUCKET.fullmatch(bucket):
        read.problems.append(f"AUDIO=s3 needs AUDIO_BUCKET, the name of a bucket, not {bucket!r}")
    if place is not AudioChoice.S3 and bucket:
        read.problems.append("AUDIO_BUCKET is set, but AUDIO is not s3")
    if place is AudioChoice.FOLDER and read.in_lambda and not str(folder).startswith(_MOUNTS):
        said = f"AUDIO=folder: each container keeps its own audio and loses it, unless AUDIO_DIR is below {_MOUNTS}"
        (read.problems if production else read.warnings).append(said)
    origins = _origins(read.env, bucket) if place is AudioChoice.S3 else ()
    return AudioSettings(place=place, folder=folder, bucket=bucket, origins=origins)


def _place(read: Reader, speech: SpeechSettings) -> AudioChoice | None:
    if read.env.get("AUDIO"):
        return AudioChoice(read.choice("AUDIO", tuple(AudioChoice), default=AudioChoice.FOLDER))
    if speech.choices == {SpeechChoice.SIMULATED}:
        return None
    if read.in_lambda:
        read.problems.append("no place for audio is configured: set AUDIO to s3 or folder")
    return AudioChoice.FOLDER


def _origins(env: Mapping[str, str], bucket: str) -> tuple[str, ...]:
    """Return the origins of links to a bucket. They are S3's, or the endpoint that the environment names."""
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    if endpoint:
        scheme, _, rest = endpoint.partition("://")
        host = rest.partition("/")[0]
        return (f"{scheme}://{host}", f"{scheme}://{bucket}.{host}")
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    hosts = (f"{bucket}.s3.{region}.{domain}", f"{bucket}.s3.{domain}")
    dotted = (
        (f"s3.{region}.{domain}",) if "." in bucket else ()
    )  # a certificate covers no dots: the bucket is in the path
    return tuple(f"https://{host}" for host in (*hosts, *dotted))
