"""One request to a provider by HTTP: sent once, read whole, and its failure classified."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import httpx

from shared.connection_rules import CONNECT_S
from shared.speech.provider_errors import (
    AudioCutOff,
    NotAudio,
    ProviderBroke,
    ProviderBusy,
    ProviderError,
    ProviderSilent,
    ProviderUnreached,
    RequestRefused,
)

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""The most bytes of an answer. The longest text of any provider, 40,000 characters, is some 20 MB of MP3."""

SENDING: Final[tuple[tuple[type[Exception], type[ProviderError], str], ...]] = (
    (httpx.ConnectError, ProviderUnreached, "could not be reached"),
    (httpx.ConnectTimeout, ProviderUnreached, "could not be reached in time"),
    (httpx.PoolTimeout, ProviderUnreached, "no connection was free in time"),
    (httpx.ProxyError, ProviderUnreached, "could not be reached through the proxy"),
    (httpx.UnsupportedProtocol, ProviderUnreached, "its address is no URL"),
    (httpx.InvalidURL, ProviderUnreached, "its address is no URL"),
    (UnicodeError, ProviderUnreached, "its address is no URL"),
    (httpx.RequestError, ProviderSilent, "did not answer"),
    (TimeoutError, ProviderSilent, "did not answer in time"),
)
"""httpx's errors before an answer begins, and their meaning. The first row that fits counts."""


class Refusal(NamedTuple):
    """A row of a provider's refusals: an answer of this status whose words match the pattern `words` means `error`."""

    status: int
    words: str
    error: type[ProviderError]
    what: str


class HttpProvider:
    """One provider's requests. `http` is from `http_connections.http_client()`: other clients do not survive a freeze.

    `words` are the keys of the answer's error object that name the failure; the rows of `refusals` are matched with
    their values, joined by blanks. An answer that fits no row counts by its status: 503 and 429 are busy, other 5xx
    broke, all others are refusals. No error contains the secret.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        provider: str,
        secret: str,
        error_key: str,
        words: Sequence[str],
        refusals: Sequence[Refusal],
    ) -> None:
        self._http = http
        self._provider = provider
        self._secret = secret
        self._error_key = error_key
        self._words = words
        self._refusals = refusals

    async def request(
        self, method: str, url: str, *, headers: dict[str, str], left_s: float, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        """Return a successful answer with its whole body. It has at most MAX_ANSWER_BYTES. Raises ProviderError."""
        answer: httpx.Response | None = None
        try:
            # httpx bounds each step, not their sum.
            async with (
                asyncio.timeout(left_s),
                self._http.stream(
                    method,
                    url,
                    json=body,
                    headers=headers,
                    timeout=httpx.Timeout(left_s, connect=min(left_s, CONNECT_S)),
                    follow_redirects=False,
                ) as answer,
            ):
                content = await self._read(answer)
        except tuple(kind for kind, _, _ in SENDING) as exc:
            if answer is not None and answer.is_success:
                raise AudioCutOff(self._provider, f"broke off ({type(exc).__name__})") from exc
            raise self._unanswered(exc) from exc
        whole = httpx.Response(answer.status_code, headers=_decoded(answer.headers), content=content)
        if not whole.is_success:
            raise self._refused(whole)
        return whole

    async def _read(self, answer: httpx.Response) -> bytes:
        content = bytearray()
        async for chunk in answer.aiter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise NotAudio(self._provider, f"answered with more than {MAX_ANSWER_BYTES} bytes")
        return bytes(content)

    def _unanswered(self, exc: Exception) -> ProviderError:
        for kind, error, what in SENDING:
            if isinstance(exc, kind):
                return error(self._provider, f"{what} ({type(exc).__name__})")
        raise TypeError(f"not a failure of sending: {type(exc).__name__}")

    def _refused(self, answer: httpx.Response) -> ProviderError:
        words, said = self._said(answer)
        retry_after_s = _retry_after_s(answer)
        error, what = next(
            (
                (refusal.error, refusal.what)
                for refusal in self._refusals
                if refusal.status == answer.status_code and re.search(refusal.words, words)
            ),
            _by_status(answer.status_code),
        )
        return error(
            self._provider,
            what,
            provider_status=answer.status_code,
            said=said.replace(self._secret, "***") if self._secret else said,
            retry_after_s=retry_after_s,
        )

    def _said(self, answer: httpx.Response) -> tuple[str, str]:
        """Return the words that name the failure, and the loggable part of the answer."""
        try:
            body = json.loads(answer.content)
        except (ValueError, RecursionError):
            body = None
        error = body.get(self._error_key) if isinstance(body, dict) else None
        if isinstance(error, str):
            return error, error
        if not isinstance(error, dict):
            return "", f"{len(answer.content)} bytes of {answer.headers.get('Content-Type', 'no type')}"
        words = " ".join(str(error[key]) for key in self._words if error.get(key))
        return words, f"{words}: {error.get('message', '')}"


def _by_status(status: int) -> tuple[type[ProviderError], str]:
    if status in {429, 503}:
        return ProviderBusy, "asks to wait"
    return (ProviderBroke, "failed") if status >= 500 else (RequestRefused, "refused the request")


def _retry_after_s(answer: httpx.Response) -> float | None:
    """Return the seconds of Retry-After. None: absent, or a date, which no provider here sends."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _decoded(headers: httpx.Headers) -> httpx.Headers:
    """Return the headers without those of an encoded body. This one is decoded and whole."""
    left_out = ("content-encoding", "transfer-encoding", "content-length")
    return httpx.Headers([(name, value) for name, value in headers.multi_items() if name not in left_out])
