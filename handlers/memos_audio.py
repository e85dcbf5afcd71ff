"""Audio of memos, by the name of its file, and the voices' samples. Both are public.

Requests cost no read of the store, except one for a name that may come from the predecessor.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from handlers.models.openapi import errors
from shared.audio.files import (
    CACHE_CONTROL,
    MEDIA_TYPES,
    AudioFiles,
    Held,
    Link,
    Presence,
    audio,
    is_file,
    look,
    media_type,
)
from shared.core.errors import AudioNotReady, AudioStoreFailed, NotFound, RangeNotSatisfiable
from shared.speech.samples import sample as sample_of
from shared.speech.simulated import simulated_audio
from shared.web.auth import RequestServices
from shared.web.etags import etag_of, is_known
from shared.web.ranges import requested_part

routes = APIRouter(tags=["memos"])

FOR_EVER: Final = "public, max-age=31536000, immutable"
_OF_THE_PREDECESSOR: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}\.(?:mp3|wav|ogg|opus)")
"""The form of the predecessor's names of audio, which may have moved in: `memo_1.mp3`."""

A_DAY: Final = "public, max-age=86400"

_CONTENT: Final[dict[str, Any]] = {kind: {} for kind in MEDIA_TYPES.values()}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The whole file", "content": _CONTENT},
    206: {"description": "The part that was asked for", "content": _CONTENT},
    304: {"description": "The client has it already"},
}

Read = Callable[[int, int], Awaitable[bytes | None]]
"""Returns a file's bytes from `start` up to `end`, exclusive; None: it was deleted meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The headers of a request for a file: `Range`, `If-None-Match`, `If-Range`. `method` is the client's, maybe
    HEAD."""

    method: str
    part: str | None
    known: str | None
    unless_changed: str | None


async def asked(
    request: Request,
    part: Annotated[str | None, Header(alias="Range")] = None,
    known: Annotated[str | None, Header(alias="If-None-Match")] = None,
    unless_changed: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Asked:
    """Return the headers of a request. `async` so that FastAPI calls it in the event loop, not in a thread."""
    method: str = request.scope.get("client_method", request.method)
    part = part if method == "GET" else None  # RFC 9110 14.2: other methods have no ranges
    return Asked(method=method, part=part, known=known, unless_changed=unless_changed)


@dataclass(frozen=True, kw_only=True)
class File:
    """A readable file. `size` is in bytes."""

    size: int
    etag: str
    media_type: str
    cache_control: str
    read: Read = field(repr=False)

    async def answer(self, asked: Asked) -> Response:
        """Return the file, the requested part, or 304. Raises RangeNotSatisfiable, NotFound."""
        headers = {"etag": self.etag, "accept-ranges": "bytes", "cache-control": self.cache_control}
        if is_known(self.etag, asked.known):
            # with the type: Lambda's answer would have application/json instead, and caches would take it over
            return Response(status_code=304, headers=headers, media_type=self.media_type)
        part = requested_part(asked.part if asked.unless_changed in (None, self.etag) else None, self.size)
        if part is None:
            raise RangeNotSatisfiable(length=self.size)
        content = await self.read(part.start, part.end)
        if content is None:
            raise NotFound("Audio not found")
        if not part.is_range:
            return Response(content, headers=headers, media_type=self.media_type)
        headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{part.total}"
        return Response(content, status_code=206, headers=headers, media_type=self.media_type)


@routes.get(
    "/audio/{file}",
    response_class=Response,
    responses=errors(NotFound, RangeNotSatisfiable, AudioNotReady, AudioStoreFailed)
    | _ANSWERS
    | {302: {"description": "The audio store has the file"}},
)
async def get_audio(
    file: Annotated[str, Path(examples=["simulated-10.mp3"])],
    asked: Annotated[Asked, Depends(asked)],
    services: RequestServices,
) -> Response:
    """Return the audio of a memo. Needs no credential: any client with the URL can play it.

    `Range`, `If-Range` and `If-None-Match` are supported. The answer can be a redirect to the audio store. While the
    audio is being made, it is 503 with the code `AUDIO_NOT_READY`.
    """
    simulated = simulated_audio(file)
    if simulated is not None:
        return await _in_memory(simulated, file, etag=etag_of(file), cache_control=FOR_EVER).answer(asked)
    files = services.audio.files
    if files is not None and _OF_THE_PREDECESSOR.fullmatch(file) and not is_file(file):
        file = await services.tables.moved.audio_file(file) or file
    found = Presence.ABSENT if files is None else await look(files, file)
    if found is Presence.MAKING:
        raise AudioNotReady
    if files is None or not isinstance(found, Held):
        raise NotFound("Audio not found")
    link = await files.link(found.name, method=asked.method)
    return await _kept(files, found, file).answer(asked) if link is None else _redirect(link)


@routes.get("/samples/{sample}", response_class=Response, responses=errors(NotFound, RangeNotSatisfiable) | _ANSWERS)
async def get_sample(sample: str, asked: Annotated[Asked, Depends(asked)]) -> Response:
    """Return one sentence in a voice: `/samples/rachel.mp3`. Needs no credential."""
    voice, dot, ending = sample.rpartition(".")
    content = sample_of(voice) if dot and ending == "mp3" else None
    if content is None:
        raise NotFound("Sample not found")
    return await _in_memory(content, sample, etag=etag_of(content.hex()), cache_control=A_DAY).answer(asked)


def _in_memory(content: bytes, file: str, *, etag: str, cache_control: str) -> File:
    async def read(start: int, end: int) -> bytes:
        return content[start:end]

    return File(size=len(content), etag=etag, media_type=media_type(file), cache_control=cache_control, read=read)


def _kept(files: AudioFiles, held: Held, file: str) -> File:
    async def read(start: int, end: int) -> bytes | None:
        return await files.read(audio(file), start=start, end=end)

    return File(size=held.size, etag=held.etag, media_type=media_type(file), cache_control=CACHE_CONTROL, read=read)


def _redirect(link: Link) -> Response:
    """Return a redirect to a link. A client may keep it for half of the link's life, so the link is valid when used."""
    headers = {"location": link.url, "cache-control": f"private, max-age={link.lives_s // 2}"}
    return Response(status_code=302, headers=headers)
