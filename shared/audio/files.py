"""The place where audio is kept, as a port: objects that are written once, under names of a known form.

| area | name | content |
|---|---|---|
| audio | `audio/<owner>-<random>.mp3` | a memo's audio |
| pieces | `pieces/<owner>-<random>.mp3-00007` | a part of it, until all parts are stored |
| leases | `leases/<owner>-<random>.mp3-00007-000` | the worker that makes the part, and until when |
| making | `making/<owner>-<random>.mp3` | nothing: the audio is being made |
| closed | `closed/<owner>` | nothing: this owner's audio is served no more |

`<owner>` is a digest of the owner's id, so that a few listings find all objects of an owner. `<random>` are 128 random
bits, so that a name cannot be guessed and reveals nothing of the memo. `<owner>-<random>.mp3` is a *file*, the last
part of its URL.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from shared.core.errors import AudioStoreFailed

MEDIA_TYPES: Final[Mapping[str, str]] = {"mp3": "audio/mpeg", "wav": "audio/wav", "opus": "audio/ogg"}
"""The media type by the ending of a file."""

DEFAULT_FORMAT: Final = "mp3"

CACHE_CONTROL: Final = "private, max-age=86400"
"""The header of an answer with audio: a day, and `private`, since a file never changes but can be deleted."""

PAGE: Final = 1000
"""Names of one page, and of one deletion; S3 allows no more."""

_FILE = re.compile(r"([0-9a-f]{32})-[0-9a-f]{32}\.(mp3|wav|opus)")
_NAME = re.compile(
    r"(?:audio|making)/[0-9a-f]{32}-[0-9a-f]{32}\.(?:mp3|wav|opus)"
    r"|pieces/[0-9a-f]{32}-[0-9a-f]{32}\.(?:mp3|wav|opus)-[0-9]{5}"
    r"|leases/[0-9a-f]{32}-[0-9a-f]{32}\.(?:mp3|wav|opus)-[0-9]{5}-[0-9]{3}"
    r"|closed/[0-9a-f]{32}"
)


class Area(StrEnum):
    AUDIO = "audio"
    PIECES = "pieces"
    LEASES = "leases"
    MAKING = "making"
    CLOSED = "closed"


class AudioPlaceFailed(AudioStoreFailed):
    """The place failed at an operation. The caller gets a fixed message; `str()` is for the log."""

    def __init__(self, operation: str, what: str) -> None:
        super().__init__("The audio store failed", details={"operation": operation})
        self.operation = operation
        self.what = what

    def __str__(self) -> str:
        return f"audio store: {self.operation}: {self.what}"


class NameTaken(Exception):
    """Other content is stored under this name."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A stored object. `etag` is strong, with its quotes; `size` is in bytes."""

    name: str
    size: int
    etag: str
    made_at: datetime


@dataclass(frozen=True, kw_only=True)
class HeldPage:
    """Objects in the order of their names. `after` is where the next page begins; None: this is the last one."""

    held: Sequence[Held]
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Link:
    """A URL that serves one object without credentials for `lives_s` seconds from now."""

    url: str
    lives_s: int


class Presence(StrEnum):
    """The state of a file that is absent."""

    MAKING = "making"
    ABSENT = "absent"


class AudioFiles(Protocol):
    """Objects by name. Every verb raises AudioPlaceFailed if the place fails, and ValueError for a name of no area."""

    async def put(self, name: str, content: bytes) -> None:
        """Write the object if the name is free: readers see all of it or nothing.

        An object of equal content counts as written. Raises NameTaken if other content has the name.
        """

    async def head(self, name: str) -> Held | None:
        """Return the object's facts; None: absent."""

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        """Return the bytes from `start` up to `end`, exclusive. Fewer, or none, if it is shorter. None: absent."""

    async def link(self, name: str, *, method: str = "GET") -> Link | None:
        """Return a URL for GET or HEAD, whether or not the object exists. None: this place has no URLs, so read it."""

    async def delete(self, names: Sequence[str]) -> None:
        """Remove up to PAGE objects. An absent one is no error."""

    async def page(self, prefix: str, *, after: str | None = None, limit: int = PAGE) -> HeldPage:
        """Return up to `limit` objects whose names begin with `prefix`. It begins with an area and a slash."""


def owner_digest(owner_id: str) -> str:
    """Return the `<owner>` of this owner's names: 32 hexadecimal digits of a SHA-256."""
    return hashlib.sha256(f"audio of {owner_id}".encode()).hexdigest()[:32]


def new_file(owner_id: str, ending: str = "mp3", *, random_hex: Callable[[int], str] = secrets.token_hex) -> str:
    """Return a name that cannot be guessed: `<owner>-<128 random bits>.mp3`."""
    return f"{owner_digest(owner_id)}-{random_hex(16)}.{ending}"


def is_file(text: str) -> bool:
    """Return whether `new_file` could have made this. A text that passes contains no path."""
    return _FILE.fullmatch(text) is not None


def format_of(file: str) -> str:
    """Return the format of a file, its ending: `mp3`, `wav` or `opus`."""
    return file.rpartition(".")[2]


def media_type(file: str) -> str:
    return MEDIA_TYPES[format_of(file)]


def audio(file: str) -> str:
    return f"{Area.AUDIO}/{file}"


def making(file: str) -> str:
    return f"{Area.MAKING}/{file}"


def piece(file: str, number: int) -> str:
    """Return the name of a part, counted from 0. The names of a file's parts sort in their order."""
    return f"{Area.PIECES}/{file}-{number:05}"


def lease(file: str, number: int, turn: int) -> str:
    """Return the name of a lease of a part. `turn` counts from 0: the next lease follows one that ended."""
    return f"{Area.LEASES}/{file}-{number:05}-{turn:03}"


def closed(owner: str) -> str:
    return f"{Area.CLOSED}/{owner}"


def file_of(name: str) -> str:
    """Return the file that an object of any area but `closed` belongs to."""
    area, _, rest = name.partition("/")
    parts = {Area.PIECES: 1, Area.LEASES: 2}.get(Area(area), 0)
    return rest.rsplit("-", parts)[0] if parts else rest


def is_name(text: str) -> bool:
    """Return whether an object can have this name."""
    return _NAME.fullmatch(text) is not None


def checked(name: str) -> str:
    """Return the name. Raises ValueError if no area has such names, so no other path is ever reached."""
    if not is_name(name):
        raise ValueError(f"no name of an object: {name[:100]!r}")
    return name


def checked_prefix(prefix: str) -> str:
    """Return the prefix. Raises ValueError if it does not begin with an area."""
    area, slash, rest = prefix.partition("/")
    if area not in tuple(Area) or not slash or not re.fullmatch(r"[0-9a-z.-]*", rest):
        raise ValueError(f"no prefix of names: {prefix[:100]!r}")
    return prefix


async def look(files: AudioFiles, file: str) -> Held | Presence:
    """Return the state of this file: its audio, MAKING or ABSENT.

    Requests go to the audio place alone. Costs three requests at the same time, and a fourth before ABSENT: between the
    first two another worker may have put the audio and removed the mark.
    """
    match = _FILE.fullmatch(file)
    if match is None:
        return Presence.ABSENT
    held, mark, shut = await asyncio.gather(
        files.head(audio(file)), files.head(making(file)), files.head(closed(match[1]))
    )
    if shut is not None:
        return Presence.ABSENT
    if held is None and mark is not None:
        return Presence.MAKING
    return held or await files.head(audio(file)) or Presence.ABSENT


async def close_owner(files: AudioFiles, owner_id: str) -> None:
    """Stop serving this owner's audio. The mark stays for good: a file that is put later is not served either."""
    await files.put(closed(owner_digest(owner_id)), b"")


async def erase_owner(files: AudioFiles, owner_id: str) -> bool:
    """Delete a page of the owner's objects in each area.

    Returns whether none are left. The mark of `close_owner` stays.
    """
    owner = owner_digest(owner_id)
    pages = [await files.page(f"{area}/{owner}-") for area in (Area.MAKING, Area.LEASES, Area.PIECES, Area.AUDIO)]
    for page in pages:
        if page.held:
            await files.delete([held.name for held in page.held])
    return all(page.after is None for page in pages)


async def is_closed(files: AudioFiles, owner_id: str) -> bool:
    """Return whether `close_owner` was called for this owner."""
    return await files.head(closed(owner_digest(owner_id))) is not None


async def delete_file(files: AudioFiles, file: str) -> None:
    """Delete the audio, its mark, its leases and its parts."""
    await files.delete([audio(file), making(file)])
    await _delete_parts(files, file)


async def delete_parts(files: AudioFiles, file: str) -> None:
    """Delete the mark of a file, then its parts with their leases.

    The mark is deleted first: a worker that takes a lease afterwards finds no mark, and makes no part.
    """
    await files.delete([making(file)])
    await _delete_parts(files, file)


async def _delete_parts(files: AudioFiles, file: str) -> None:
    for area in (Area.PIECES, Area.LEASES):
        after = None
        while True:
            page = await files.page(f"{area}/{file}-", after=after)
            if page.held:
                await files.delete([held.name for held in page.held])
            after = page.after
            if after is None:
                break
