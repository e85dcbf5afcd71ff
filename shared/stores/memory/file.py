"""Keep the memory store's rows in a file, so that successive local invocations share them.

Every use locks a second file, reads the rows if another process has written them since, and replaces the whole file
after a write: a crash leaves the old rows or the new ones. A write costs the file's size, which suits a laptop.

    {"tables": {"memos": [["<user id>", "<memo id>", "{\"title\":\"a\"}"]]},
     "counters": [["<user id>:calls:2026-11-23", 7, "2026-11-25T00:00:00.000Z"]]}
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from sortedcontainers import SortedDict

from shared.stores.memory.store import Rows, RowSession
from shared.stores.port import StoreNotReady, StoreUnavailable


def shared_rows(path: Path) -> RowSession:
    """Return sessions on the rows in this file.

    They raise StoreNotReady if the file contains something else, StoreUnavailable if it cannot be read or written.
    """
    kept = Rows()
    version: tuple[str, int, int, int] | None = None

    @contextmanager
    def session(*, writes: bool = False) -> Iterator[Rows]:
        nonlocal kept, version
        try:
            with _locked(path) as lock:
                if version is None or version != _version(path, lock):
                    kept = _read(path)
                    version = _version(path, lock)
                yield kept
                if writes:
                    version = None
                    _announce(lock)
                    _replace(path, _written(kept))
                    version = _version(path, lock)
        except OSError as exc:
            raise StoreUnavailable(f"memory file {path}: {exc.strerror}") from exc

    return session


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _announce(lock: TextIO) -> None:
    """Write a new text into the lock's file before the rows change. A reader cannot recognise a new file by inode and
    time alone: file systems reuse inodes, also within one tick of their clock."""
    lock.truncate(0)
    lock.write(secrets.token_hex(8))
    lock.flush()


def _version(path: Path, lock: TextIO) -> tuple[str, int, int, int] | None:
    lock.seek(0)
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return lock.read(), stat.st_ino, stat.st_mtime_ns, stat.st_size


def _read(path: Path) -> Rows:
    rows = Rows()
    if not path.exists():
        return rows
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name, documents in content["tables"].items():
            rows.tables[name] = SortedDict(((partition, sort), text) for partition, sort, text in documents)
        rows.counters = SortedDict((name, (value, ends)) for name, value, ends in content["counters"])
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise StoreNotReady(f"memory file {path} does not hold rows of this service") from exc
    return rows


def _written(rows: Rows) -> str:
    return json.dumps(
        {
            "tables": {
                name: [[*place, text] for place, text in documents.items()]
                for name, documents in rows.tables.items()
                if documents
            },
            "counters": [[name, *counter] for name, counter in rows.counters.items()],
        },
        ensure_ascii=False,
    )


def _replace(path: Path, content: str) -> None:
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "w", encoding="utf-8", opener=_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner can read: the rows contain password hashes."""
    return os.open(path, flags, 0o600)
