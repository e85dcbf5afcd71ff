"""A file for the memory store's rows, so that successive local invocations see each other's data.

Every use locks a file beside it, reads what others have written since, and replaces the file whole if anything changed:
a crash leaves the old rows or the new ones. The cost is the file's size for every write, which suits a laptop.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sortedcontainers import SortedDict

from shared.memory import Rows, Session
from shared.store import StoreNotReady, StoreUnavailable


def shared_rows(path: Path) -> Session:
    """Sessions on the rows in this file. Raises StoreNotReady when it holds something else, StoreUnavailable when it
    cannot be read or written."""
    kept = Rows()
    version: tuple[int, int, int] | None = None

    @contextmanager
    def session(*, writes: bool = False) -> Iterator[Rows]:
        nonlocal kept, version
        try:
            with _locked(path):
                if version is None or version != _version(path):
                    kept = _read(path)
                yield kept
                if writes:
                    version = None  # until the rows are safely down, the file is the truth
                    _replace(path, _written(kept))
                version = _version(path)
        except OSError as exc:
            raise StoreUnavailable(f"memory file {path}: {exc.strerror}") from exc

    return session


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _read(path: Path) -> Rows:
    rows = Rows()
    if not path.exists():
        return rows
    try:
        content = json.loads(path.read_text())
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
    with fresh.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
