"""Map rows to HYPR Micro's documents: their keys, and how the documents of a row fold into it.

| document | key | value |
|---|---|---|
| a version of a row | `<table>!<partition>!<sort>!v<ballot>` | `{final, doc, at, trail, folded}` |
| an extension of a row | `<table>!<partition>!<sort>!e<stamp>` | `{field, json}` |
| the end of a fact whose write may still arrive | `<table>!<partition>!<sort>!g<stamp>` | `{}` |
| a register | `<table>!<partition>!<sort>!r` | `{doc, at}`; `at` distinguishes one write from another |

A key ring that was changed twice, then extended, is three documents until the next change. A stamp is 16 hexadecimal
digits of a clock and 16 of the node (shortened here):

    key_rings!ada!!e019a…01b7…  {"field": "note", "json": "\"x\""}
    key_rings!ada!!v000000000001  {"final": true, "doc": "{\"keys\":[]}", "at": "019a…00b7…", "trail": [1]}
    key_rings!ada!!v000000000002  {"final": true, "doc": "{\"keys\":[1]}", "at": "019a…02b7…", "trail": [1, 2],
                                   "folded": ["0199…"]}

Its ballots come from the counter `b!key_rings!ada!`. The port's counter `ada:calls:2026-11` is `n!ada:calls:2026-11`.

`!` is not in the alphabet of keys and sorts below it. So the documents of a row are adjacent, the rows of a partition
are in the order of their sort parts, and no other table, partition or row is in between. A row's extensions sort before
its versions: a forward read, even by several requests, cannot return a version from before an extension was folded and
miss the extension.

A fact is one final version with ballot 0, and is never replaced. `doc` and `json` are JSON as text: as JSON itself the
server would round whole numbers beyond 2**53 and turn 1.0 into 1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Final, TypeVar

from shared import micro
from shared.core.clock import Clock
from shared.stores.port import Document, InvalidKey, Key, Row, Table, parsed

T = TypeVar("T")

TRAIL: Final = 64
"""Ballots in a version's trail. A change that is interrupted while the row changes this often gives up, since the trail
no longer shows whether it was made. Each ballot costs up to 14 bytes in every version."""

ROW_READ: Final = 1000
"""Documents requested by one read of a row: far more than a row has, so that one request reads it."""

EXTRA: Final = 4
"""Bytes of JSON around a field: quotes, colon and comma."""

_COUNT_BITS: Final = 16
"""Bits of a stamp below its milliseconds: room for 65,536 stamps of one node in a millisecond."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """The keys of a row's documents: from `low` inclusive to `high` exclusive."""

    database: str
    stem: str

    @classmethod
    def of(cls, table: Table, key: Key) -> "Address":
        return cls(database=table.database, stem=f"{table.name}!{key.partition}!{key.sort}")

    @property
    def low(self) -> str:
        return self.stem + "!"

    @property
    def high(self) -> str:
        return self.stem + '"'

    @property
    def counter(self) -> str:
        """The counter of the row's ballots. It is never deleted: its ballots would be given out a second time."""
        return "b!" + self.stem

    @property
    def register(self) -> str:
        return f"{self.stem}!r"

    def version(self, ballot: int) -> str:
        return f"{self.stem}!v{ballot:012d}"

    def is_version(self, document: str) -> bool:
        return document.startswith(f"{self.stem}!v")

    def extension(self, stamp: str) -> str:
        return f"{self.stem}!e{stamp}"

    def end(self, stamp: str) -> str:
        return f"{self.stem}!g{stamp}"


def bounds(table: Table, partition: str, since: str, until: str) -> tuple[str, str]:
    """Return the keys' range of a partition's rows: `since` inclusive, `until` exclusive."""
    begin = f"{table.name}!{partition}!"
    return f"{begin}{since}!", f"{begin}{until}!"


def named_counter(name: str) -> str:
    return "n!" + name


class HybridClock:
    """Stamps that ascend: `019ab3c4d5e60000` (milliseconds << 16, plus a count) and the 16 digits of the node.

    Within a node their order is the order of the writes. Between nodes it is the order of their clocks, and decides
    only which of two extensions of one field is the later.
    """

    def __init__(self, *, clock: Clock, node: str) -> None:
        self._clock = clock
        self._node = node
        self._last = 0

    def stamp(self, *, above: str = "") -> str:
        now_ms = int(self._clock().timestamp() * 1000)
        self._last = max(now_ms << _COUNT_BITS, self._last + 1, int(above[:16] or "0", 16) + 1)
        return f"{self._last:016x}{self._node}"

    def age_s(self, stamp: str) -> float:
        """Return the age of a stamp in seconds, if its node's clock agrees with this one."""
        return self._clock().timestamp() - (int(stamp[:16], 16) >> _COUNT_BITS) / 1000


@dataclass(frozen=True, kw_only=True)
class Version:
    """A state of a row: a draft, or `final` once it is decided. `text` is the row's JSON; None: deleted.

    `trail` contains the ballots whose changes it contains, ascending. `folded` contains the stamps of the extensions
    that its change was based on: they have no effect on this version.
    """

    ballot: int
    final: bool
    text: str | None = field(repr=False)
    at: str
    trail: tuple[int, ...] = ()
    folded: frozenset[str] = frozenset()

    @classmethod
    def read(cls, ballot: int, value: micro.Json) -> "Version":
        return cls(
            ballot=ballot,
            final=value["final"],
            text=value["doc"],
            at=value["at"],
            trail=tuple(value.get("trail", ())),
            folded=frozenset(value.get("folded", ())),
        )

    def value(self) -> micro.Json:
        return {
            "final": self.final,
            "doc": self.text,
            "at": self.at,
            **({"trail": list(self.trail)} if self.trail else {}),
            **({"folded": sorted(self.folded)} if self.folded else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Extension:
    """One field of a row, in a document of its own."""

    stamp: str
    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class RowState:
    """The documents of a row as one read returned them, each kind in ascending order.

    `at_once`: one request read them all, so a document that is missing was absent. `order` and `at` are when the read
    began: by its reader's count of reads, and by the client's clock.
    """

    versions: Sequence[Version] = ()
    extensions: Sequence[Extension] = ()
    ends: Sequence[str] = ()
    at_once: bool = True
    order: int = 0
    at: float = 0.0

    @property
    def newest(self) -> Version | None:
        return self.versions[-1] if self.versions else None

    @cached_property
    def final(self) -> Version | None:
        """The version that reads return: the newest final one. None: the row is absent."""
        return next((version for version in reversed(self.versions) if version.final), None)

    @property
    def ballot(self) -> int:
        """The newest version's ballot; 0: there is no version, or only a fact's."""
        return self.versions[-1].ballot if self.versions else 0

    def row(self) -> Document | None:
        return self.over(self.final)

    @property
    def size(self) -> int:
        """The bytes of the row's JSON, or a little more."""
        texts = [extension.name + extension.text for extension in self.extensions]
        if self.final is not None and self.final.text is not None:
            texts.append(self.final.text)
        return sum(len(text.encode()) + EXTRA for text in texts)

    def over(self, version: Version | None) -> Document | None:
        """Return a version with its unfolded extensions, as a new document. None: absent."""
        if version is None or version.text is None:
            return None
        # An end hides every fact but those that its own node added after it.
        if version.ballot == 0 and any(not _before(end, version.at) for end in self.ends):
            return None
        document: Document = parsed(version.text)
        for extension in self.extensions:
            unseen = extension.stamp not in version.folded
            # An extension that a node wrote before it added the fact was written while the row was absent.
            if unseen and not (version.ballot == 0 and _before(extension.stamp, version.at)):
                document[extension.name] = parsed(extension.text)
        return document


def sized_row(key: Key, documents: Sequence[micro.StoredDocument]) -> tuple[Row, int] | None:
    """Return the row of these documents, which may be none, and the size of its JSON. None: it is absent.

    The size is in bytes, or a little more. Nearly every fact is one document: building its RowState would take longer
    than the rest of the read.
    """
    if len(documents) == 1 and (value := documents[0].value).get("final") and value["doc"] is not None:
        text = value["doc"]
        return Row(key=key, document=parsed(text)), len(text.encode()) + EXTRA
    state = row_state(documents)
    document = state.row()
    return None if document is None else (Row(key=key, document=document), state.size)


def by_row(items: Sequence[T], *, key: Callable[[T], str]) -> Iterator[tuple[Key, list[T]]]:
    """Group items, sorted by the keys of documents, by row. An item whose key has another form is left out."""
    for stem, group in groupby(items, key=lambda item: key(item).rpartition("!")[0]):
        row = _key_of(stem)
        if row is not None:
            yield row, list(group)


def row_state(documents: Sequence[micro.StoredDocument], *, at_once: bool = True) -> RowState:
    """Fold the documents of one row, read in either direction."""
    versions, extensions, ends = [], [], []
    for document in sorted(documents, key=lambda document: document.key):
        item, value = document.key.rpartition("!")[2], document.value
        match item[0]:
            case "e":
                extensions.append(Extension(stamp=item[1:], name=value["field"], text=value["json"]))
            case "g":
                ends.append(item[1:])
            case "r":
                versions.append(Version(ballot=0, final=True, text=value["doc"], at=""))
            case _:
                versions.append(Version.read(int(item[1:]), value))
    return RowState(versions=versions, extensions=extensions, ends=ends, at_once=at_once)


async def read_row_state(client: micro.MicroClient, row: Address, *, deadline: float) -> RowState:
    documents = await read_row(client, row, deadline=deadline)
    return row_state(documents, at_once=len(documents) < ROW_READ)


async def read_row(client: micro.MicroClient, row: Address, *, deadline: float) -> list[micro.StoredDocument]:
    """Return all documents of a row, by one request for up to ROW_READ of them."""
    start, documents = row.low, list[micro.StoredDocument]()
    while True:
        read = await client.query(row.database, start=start, end=row.high, limit=ROW_READ, deadline=deadline)
        documents += read
        if len(read) < ROW_READ:
            return documents
        start = read[-1].key + "\0"


def _before(one: str, other: str) -> bool:
    """Return whether one node wrote both stamps, in this order. Clocks cannot order the writes of two nodes."""
    return one[16:] == other[16:] and one < other


def _key_of(stem: str) -> Key | None:
    """Return the key of the row of this stem. None: it has another form."""
    parts = stem.split("!")
    try:
        return Key(parts[1], parts[2]) if len(parts) == 3 else None
    except InvalidKey:
        return None
