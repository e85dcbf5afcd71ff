"""The address of a HYPR Micro server, reached directly or through the platform's proxy, and the form of its paths."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from shared.micro_errors import UnsafeSegment

MAX_UNITS: Final = 1024
"""UTF-16 units of a key that the server accepts at most."""

MAX_BYTES: Final = 1978
"""UTF-8 bytes of a key that LMDB, the server's storage, accepts at most."""


@dataclass(frozen=True, kw_only=True)
class Direct:
    """A server that is reached directly. Raises ValueError unless the key is printable ASCII without spaces: HTTP
    libraries quote an invalid header in their errors, and so would log the key."""

    url: str
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not re.fullmatch(r"[!-~]+", self.api_key):
            raise ValueError("the API key of HYPR Micro is empty or has characters that no header can carry")

    @property
    def root(self) -> str:
        return self.url.rstrip("/")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def redact(self, text: str) -> str:
        return text.replace(self.api_key, "[key]")


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A server behind the platform's proxy, which adds the key. Every request counts against a daily plan.

    The proxy requires nothing but the slug, so the slug is a secret like a key.
    """

    url: str
    app_slug: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not re.fullmatch(r"[!-~]+", self.app_slug):
            raise ValueError("the app slug is empty or has characters that no header can carry")

    @property
    def root(self) -> str:
        return self.url.rstrip("/") + "/proxy/hypermicro"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"X-App-Slug": self.app_slug}

    def redact(self, text: str) -> str:
        return text.replace(self.app_slug, "[slug]")


def segment(text: str) -> str:
    """Return one path segment, percent-encoded once. Raises UnsafeSegment if the server or a proxy would misread it.

    These are empty text, `.` and `..` (they name the collection, or the database above it), NUL, lone surrogates, and
    more than MAX_UNITS or MAX_BYTES.
    """
    if text in ("", ".", "..") or "\0" in text:
        raise UnsafeSegment(f"not a path segment: {text[:80]!r}")
    try:
        octets = text.encode()
    except UnicodeEncodeError as exc:
        raise UnsafeSegment(f"not a path segment: {text[:80]!r}") from exc
    if len(text.encode("utf-16-le")) // 2 > MAX_UNITS or len(octets) > MAX_BYTES:
        raise UnsafeSegment(f"too long for a path segment: {len(text)} characters, {len(octets)} bytes")
    return quote(octets, safe="")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError("the URL of HYPR Micro must be http(s)://host[:port][/path], without credentials")
