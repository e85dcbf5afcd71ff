"""Sources of the predecessor's rows: its SQLite file, or its documents on HYPR Micro.

Both are only read. A source yields the rows of a table by pages, each with a name for reports and with its values.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from shared.micro import MicroClient
from shared.micro_address import Direct, Platform
from shared.micro_connections import MicroConnections
from shared.micro_errors import DatabasesFull, MicroError
from shared.tables import TABLES as OURS
from tools.maintain.opened import Impossible

TABLES: Final = ("users", "api_keys", "memos", "usage_logs", "subscriptions", "rate_limits")
"""The predecessor's tables. On HYPR Micro they are databases, which we share in part."""

NEEDED: Final = ("users", "api_keys")
"""The tables without which a source is not the predecessor's."""

PAGE: Final = 1000
"""Rows of a page. More would only take more memory."""

OldRows = list[tuple[str, dict[str, Any]]]
"""Rows, each with a name that is unique in its table."""


class Source(Protocol):
    """A source of rows. Raises Impossible, with one sentence, if it cannot be read."""

    def pages(self, table: str) -> AsyncIterator[OldRows]:
        """Yield all rows of a table of TABLES; none if it is missing."""


@asynccontextmanager
async def opened_source(given: str, environ: Mapping[str, str]) -> AsyncIterator[Source]:
    """Open `sqlite:FILE` or `micro:URL`. Raises Impossible."""
    kind, _, place = given.partition(":")
    if kind == "sqlite" and place:
        with _opened_file(Path(place)) as source:
            yield source
    elif kind == "micro" and place:
        async with _opened_server(place, environ) as source:
            yield source
    else:
        raise Impossible(f"--from must be sqlite:FILE or micro:URL, not {given}")


class SqliteSource:
    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def check(self) -> None:
        """Begin to read. Raises Impossible if the file lacks the predecessor's tables."""
        with self._explained():
            self._connection.execute("BEGIN")
            names = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
            self._connection.text_factory = bytes  # a text need not be UTF-8: `plain` decodes it
        missing = [table for table in NEEDED if table not in names]
        if missing:
            raise Impossible(f"{self._path} is no database of the predecessor: it has no table {missing[0]}")
        self._names = names

    async def pages(self, table: str) -> AsyncIterator[OldRows]:
        if table not in self._names:
            return
        with self._explained():
            cursor = self._connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 one of TABLES
            columns = [column[0] for column in cursor.description]
            number = 0
            while rows := cursor.fetchmany(PAGE):
                yield [
                    (f"row {number + place}", dict(zip(columns, row, strict=True))) for place, row in enumerate(rows)
                ]
                number += len(rows)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise Impossible(f"{self._path} cannot be read as a SQLite database: {exc}") from exc


class MicroSource:
    """The predecessor's documents, also in databases with ours, whose keys begin with a table's name and `!`."""

    def __init__(self, client: MicroClient, *, limit: int = PAGE) -> None:
        self._client = client
        self._limit = limit

    async def pages(self, table: str) -> AsyncIterator[OldRows]:
        start: str | None = None
        while True:
            try:
                documents = await self._client.query(table, start=start, limit=self._limit)
            except DatabasesFull:  # the server has no room for this database, so it has no documents of it either
                return
            except MicroError as exc:
                raise Impossible(f"HYPR Micro cannot be read: {exc}") from exc
            yield [(document.key, document.value) for document in documents if not _is_ours(document.key)]
            if len(documents) < self._limit:
                return
            last = documents[-1].key
            # `"` is the character after `!`: one step skips all our rows of one table.
            start = f'{last.partition("!")[0]}"' if _is_ours(last) else f"{last}\0"


_OUR_NAMES: Final = frozenset(table.name for table in OURS)


def _is_ours(key: str) -> bool:
    name, mark, _ = key.partition("!")
    return mark == "!" and name in _OUR_NAMES


@contextmanager
def _opened_file(path: Path) -> Iterator[SqliteSource]:
    """Open a snapshot of the file: all reads see one state, even if the predecessor still writes."""
    if not path.is_file():
        raise Impossible(f"there is no file {path}")
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as exc:
        raise Impossible(f"{path} cannot be opened: {exc}") from exc
    try:
        source = SqliteSource(connection, path)
        source.check()
        yield source
    finally:
        connection.close()


@asynccontextmanager
async def _opened_server(url: str, environ: Mapping[str, str]) -> AsyncIterator[MicroSource]:
    key = environ.get("MOVING_HYPERMICRO_API_KEY") or environ.get("HYPERMICRO_API_KEY", "")
    slug = environ.get("MOVING_HYPR_APP_SLUG", "")
    try:
        server = Platform(url=url, app_slug=slug) if slug else Direct(url=url, api_key=key)
    except ValueError as exc:
        raise Impossible(f"micro:{url}: {exc}; the key is read from MOVING_HYPERMICRO_API_KEY") from exc
    async with MicroConnections(url) as wire:
        source = MicroSource(MicroClient(wire, server, timeout_s=60))
        yield source
