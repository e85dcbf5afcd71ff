"""Audio in a folder of this machine (AUDIO_DIR), for one process or several.

An object is a file, `<folder>/<name>`. It is written under a temporary name and then linked, which fails if its name is
taken: a reader never sees half an object, and a writer never replaces one.
"""

import asyncio
import functools
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from shared.audio.files import (
    PAGE,
    Area,
    AudioPlaceFailed,
    Held,
    HeldPage,
    Link,
    NameTaken,
    checked,
    checked_prefix,
    is_name,
)

LEFT_OVER_S: Final = 3600.0
"""Seconds after which a temporary file's writer is assumed dead. Writing a file never takes minutes."""

_TEMPORARY: Final = "tmp"

P = ParamSpec("P")
T = TypeVar("T")


class FolderFiles:
    """Works in threads, so that a slow disk does not stop the event loop. The first write makes the folder."""

    def __init__(self, folder: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._wall = wall

    async def put(self, name: str, content: bytes) -> None:
        await self._in_thread("put", self._put, checked(name), content)

    async def head(self, name: str) -> Held | None:
        return await self._in_thread("head", self._head, checked(name))

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        return await self._in_thread("read", self._read, checked(name), start, end)

    async def link(self, name: str, *, method: str = "GET") -> Link | None:  # noqa: ARG002 the port's shape
        checked(name)
        return None

    async def delete(self, names: Sequence[str]) -> None:
        await self._in_thread("delete", self._delete, [checked(name) for name in names])

    async def page(self, prefix: str, *, after: str | None = None, limit: int = PAGE) -> HeldPage:
        return await self._in_thread("list", self._page, checked_prefix(prefix), after, limit)

    async def _in_thread(self, operation: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with _translated(operation):
            return await asyncio.to_thread(functools.partial(work, *args, **kwargs))

    def _put(self, name: str, content: bytes) -> None:
        there = self._folder / name
        there.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._temporary()
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            there.hardlink_to(temporary)
        except FileExistsError as exc:
            if self._read(name, 0, None) != content:
                raise NameTaken(name) from exc
        finally:
            temporary.unlink(missing_ok=True)

    def _temporary(self) -> Path:
        """Return a new path on the same file system, and remove the files of dead writers."""
        folder = self._folder / _TEMPORARY
        folder.mkdir(exist_ok=True)
        for left in folder.iterdir():
            with suppress(FileNotFoundError):  # its writer has removed it
                if left.stat().st_mtime < self._wall() - LEFT_OVER_S:
                    left.unlink()
        return folder / secrets.token_hex(16)

    def _head(self, name: str) -> Held | None:
        try:
            return _held(name, (self._folder / name).stat())
        except FileNotFoundError:
            return None

    def _read(self, name: str, start: int, end: int | None) -> bytes | None:
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(start)
                return file.read(-1 if end is None else max(0, end - start))
        except FileNotFoundError:
            return None

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _page(self, prefix: str, after: str | None, limit: int) -> HeldPage:
        area = Area(prefix.partition("/")[0])
        try:
            entries = [entry.name for entry in (self._folder / area).iterdir()]
        except FileNotFoundError:
            entries = []
        names = sorted(
            name for name in (f"{area}/{entry}" for entry in entries) if name.startswith(prefix) and is_name(name)
        )
        rest = [name for name in names if after is None or name > after]
        held = [held for held in map(self._head, rest[:limit]) if held is not None]
        return HeldPage(held=held, after=rest[limit - 1] if len(rest) > limit else None)


def _held(name: str, found: os.stat_result) -> Held:
    """Make the object's facts.

    The ETag has the file's time in nanoseconds and its size, which differ for any two contents of a name.
    """
    return Held(
        name=name,
        size=found.st_size,
        etag=f'"{found.st_mtime_ns:x}-{found.st_size:x}"',
        made_at=datetime.fromtimestamp(found.st_mtime, UTC),
    )


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise AudioPlaceFailed(operation, f"{type(exc).__name__}: {exc.strerror}") from exc
