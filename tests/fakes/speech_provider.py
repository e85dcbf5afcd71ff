"""A provider of speech on a port of this process, in the dialects of ElevenLabs and OpenAI, with chosen failures.

It bills a text once it has read all of it and begins to speak, as the real providers do, and records the billed texts.
It really speaks, with our own voices; a test can replace the audio.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, Final, Protocol

from shared.audio.wav import samples_of
from shared.speech.encoding import RATE, available_encoders
from shared.speech.english import in_english
from shared.speech.model import Model
from shared.speech.timbres import TIMBRES
from shared.speech.voices import VOICES

KEY: Final = "sk-a-key-of-tests"

OURS: Final = tuple(VOICES)
"""The ids of our voices, in the order of the names of a fake provider's own voices."""


@cache
def _model() -> Model:
    """Load the model once for a test worker: it takes half a second."""
    return Model()


@cache
def aloud(text: str, voice: str = "rachel", form: str = "mp3") -> bytes:
    """Return the audio of a text in one of our own voices."""
    encoder = available_encoders()[form](RATE)
    for samples in _model().say(in_english(text), TIMBRES[voice]):
        encoder.add(samples)
    return encoder.finish()


class Fault(Enum):
    """A failure of one request. The text is billed, unless the value says that it is not."""

    SILENT = "read, and never answered"
    RESET = "read, and the connection reset"
    RESET_UNREAD = "not read, and the connection reset: not billed"
    CUT = "half of the announced bytes, then the end"
    CUT_CHUNK = "half of the chunks, then the end"
    CUT_UNANNOUNCED = "no length announced, and the end within a frame"
    STALLED = "half of the announced bytes, and no more"
    JSON = "200 with JSON"
    EMPTY = "200 with nothing"
    NO_MP3 = "200 with a type of audio, and no audio in it"
    HTML_500 = "500 with a page"


WHOLE: Final = {
    Fault.JSON: (200, b'{"error": "no"}', "application/json"),
    Fault.EMPTY: (200, b"", "audio/mpeg"),
    Fault.NO_MP3: (200, b"no frame at all", "audio/mpeg"),
    Fault.HTML_500: (500, b"<html>failed</html>", "text/html"),
}
"""Status, body and type of answers that are complete, and wrong."""

BROKEN_OFF: Final[Mapping[Fault, Mapping[str, str]]] = {
    Fault.CUT: {},
    Fault.STALLED: {},
    Fault.CUT_CHUNK: {"Transfer-Encoding": "chunked"},
    Fault.CUT_UNANNOUNCED: {"Connection": "close"},
}
"""Headers of answers that break off; the first two announce the length of the complete body."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An answer of this status that bills nothing; `error` is the content of the dialect's error object."""

    status: int
    error: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class Dialect(Protocol):
    error_key: str
    voices_path: str

    def authorized(self, request: Request) -> bool: ...

    def wrong_key(self) -> Refused: ...

    def too_long(self) -> Refused: ...

    def no_voice(self) -> Refused: ...

    def too_many(self) -> Refused: ...

    def asked(self, request: Request) -> tuple[str, str]:
        """Return the text and the voice."""

    def form(self, request: Request) -> tuple[str, str]:
        """Return our name of the format, and the media type of the answer."""

    def voices(self, names: list[str]) -> Any: ...


class ElevenLabsDialect:
    forms: Final = {
        "mp3_24000_48": ("mp3", "audio/mpeg"),
        "pcm_24000": ("wav", "audio/pcm"),
        "opus_48000_32": ("opus", "audio/opus"),
    }
    error_key = "detail"
    voices_path = "/v1/voices"

    def authorized(self, request: Request) -> bool:
        return request.headers.get("xi-api-key") == KEY

    def wrong_key(self) -> Refused:
        return Refused(status=401, error={"status": "invalid_api_key", "message": f"Invalid API key {KEY}"})

    def too_long(self) -> Refused:
        return Refused(status=400, error={"status": "max_character_limit_exceeded", "message": "Too long"})

    def no_voice(self) -> Refused:
        return Refused(status=404, error={"status": "voice_not_found", "message": "A voice was not found"})

    def too_many(self) -> Refused:
        return Refused(status=429, error={"status": "too_many_concurrent_requests", "message": "Too many"})

    def asked(self, request: Request) -> tuple[str, str]:
        path, _, query = request.path.partition("?")
        assert path.startswith("/v1/text-to-speech/")
        assert query.removeprefix("output_format=") in self.forms
        return request.body["text"], path.rpartition("/")[2]

    def form(self, request: Request) -> tuple[str, str]:
        return self.forms[request.path.rpartition("output_format=")[2]]

    def voices(self, names: list[str]) -> Any:
        return {"voices": [{"voice_id": name, "name": name} for name in names], "has_more": False}


class OpenAiDialect:
    forms: Final = {"mp3": ("mp3", "audio/mpeg"), "pcm": ("wav", "audio/pcm"), "opus": ("opus", "audio/opus")}
    error_key = "error"
    voices_path = "/v1/audio/voices"

    def authorized(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {KEY}"

    def wrong_key(self) -> Refused:
        error = {"message": f"Incorrect API key provided: {KEY}", "type": "invalid_request_error", "param": None}
        return Refused(status=401, error={**error, "code": "invalid_api_key"})

    def too_long(self) -> Refused:
        error = {"message": "Too long", "type": "invalid_request_error", "param": "input"}
        return Refused(status=400, error={**error, "code": "string_above_max_length"})

    def no_voice(self) -> Refused:
        error = {"message": "Unsupported", "type": "invalid_request_error", "param": "voice"}
        return Refused(status=400, error={**error, "code": "unsupported_value"})

    def too_many(self) -> Refused:
        return Refused(status=429, error={"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"})

    def asked(self, request: Request) -> tuple[str, str]:
        assert request.path == "/v1/audio/speech"
        assert request.body["response_format"] in self.forms
        return request.body["input"], request.body["voice"]

    def form(self, request: Request) -> tuple[str, str]:
        return self.forms[request.body["response_format"]]

    def voices(self, names: list[str]) -> Any:
        """Return a list of voices. Servers differ in its form, so this one uses all forms in turn."""
        forms: list[Callable[[str], object]] = [
            lambda name: name,
            lambda name: {"id": name},
            lambda name: {"name": name},
            lambda name: {"id": name, "name": f"{name.title()} (English)"},
        ]
        return {"voices": [forms[number % len(forms)](name) for number, name in enumerate(names)]}


class FakeProvider:
    """A provider that serves while `serving()` is open. `faults` maps a request's number, from 1, to its failure."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        voices: list[str],
        say: Callable[[str, str], bytes] = aloud,
        at_once: int = 1000,
        max_characters: int = 1_000_000,
    ) -> None:
        self.faults: Callable[[int], Fault | Refused | None] = lambda _: None
        self.fault_of: Callable[[str], Fault | None] = lambda _: None
        """The failure of a text, if `faults` has none for its request."""
        self.hold = asyncio.Event()
        """Until it is set, billed texts are not answered."""
        self.hold.set()
        self.requests: list[Request] = []
        self.billed: list[str] = []
        self.most_at_once = 0
        self._dialect = dialect
        self._voices = voices
        self._say = say
        self._at_once = at_once
        self._max_characters = max_characters
        self._under_way = 0
        self._bills = asyncio.Condition()
        self._connections: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve, and yield the URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await server.wait_closed()

    async def until_billed(self, count: int) -> None:
        """Wait until at least `count` texts are billed."""
        async with self._bills:
            await self._bills.wait_for(lambda: len(self.billed) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):  # the client or the test ended
            pass
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Returns whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fault = self.faults(len(self.requests) + 1)
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        if fault is Fault.RESET_UNREAD:
            self.requests.append(Request(method=method, path=path, headers=headers, body=None))
            writer.transport.abort()
            return False
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method=method, path=path, headers=headers, body=json.loads(content) if content else None)
        self.requests.append(request)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            return await self._judge(request, fault, writer)
        finally:
            self._under_way -= 1

    async def _judge(self, request: Request, fault: Fault | Refused | None, writer: asyncio.StreamWriter) -> bool:
        dialect = self._dialect
        if isinstance(fault, Refused):
            return self._refuse(fault, writer)
        if not dialect.authorized(request):
            return self._refuse(dialect.wrong_key(), writer)
        if request.method == "GET":
            assert request.path == dialect.voices_path
            return _write(writer, 200, json.dumps(dialect.voices(self._voices)).encode(), "application/json")
        text, voice = dialect.asked(request)
        if voice not in self._voices:
            return self._refuse(dialect.no_voice(), writer)
        if len(text) > self._max_characters:
            return self._refuse(dialect.too_long(), writer)
        if self._under_way > self._at_once:
            return self._refuse(dialect.too_many(), writer)
        self.billed.append(text)
        async with self._bills:
            self._bills.notify_all()
        await self.hold.wait()
        ours, (form, kind) = OURS[self._voices.index(voice)], dialect.form(request)
        spoken = self._say(text, ours) if form == "mp3" else aloud(text, ours, form)
        if form == "wav":
            spoken, _ = samples_of(spoken)
        return await self._say_or_fail(spoken, kind, fault or self.fault_of(text), writer)

    def _refuse(self, refused: Refused, writer: asyncio.StreamWriter) -> bool:
        body = json.dumps({self._dialect.error_key: refused.error}).encode()
        return _write(writer, refused.status, body, "application/json", refused.headers)

    async def _say_or_fail(self, spoken: bytes, kind: str, fault: Fault | None, writer: asyncio.StreamWriter) -> bool:
        if fault is None:
            return _write(writer, 200, spoken, kind)
        if fault in WHOLE:
            return _write(writer, *WHOLE[fault])
        if fault in BROKEN_OFF:
            half = spoken[: len(spoken) // 2 + 7]  # within a frame, a page, or a sample
            length = {"Content-Length": str(len(spoken))} if fault in {Fault.CUT, Fault.STALLED} else BROKEN_OFF[fault]
            _head(writer, 200, {"Content-Type": kind, **length})
            writer.write(f"{len(half):x}\r\n".encode() + half + b"\r\n" if fault is Fault.CUT_CHUNK else half)
        if fault is Fault.RESET:
            writer.transport.abort()
        if fault in {Fault.SILENT, Fault.STALLED}:
            await asyncio.Event().wait()
        return False


def _write(
    writer: asyncio.StreamWriter, status: int, body: bytes, kind: str, more: Mapping[str, str] | None = None
) -> bool:
    _head(writer, status, {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})})
    writer.write(body)
    return True


def _head(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
