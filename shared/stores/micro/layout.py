"""How rows lie in HYPR Micro: the keys of their documents, and how the documents fold into a row.

| document | key | value |
|---|---|---|
| a version of a row | `<table>!<partition>!<sort>!v<ballot>` | `{final, doc, at, trail, folded}` |
| an extension beside it | `<table>!<partition>!<sort>!e<stamp>` | `{field, json}` |
| the end of a fact that may still be on its way | `<table>!<partition>!<sort>!g<stamp>` | `{}` |
| a register | `<table>!<partition>!<sort>!r` | `{doc, at}`; `at` tells one write from another |

`!` sorts below the alphabet of keys and is not in it. So the documents of a row lie together, the rows of a partition
in the order of their sort parts, and no table, partition or row lies between the documents of another. A row's
extensions lie before its versions: whoever reads forward, even by several requests, cannot meet a version from before
an extension was folded and miss the extension.

A fact is one final version with ballot 0, and stays that. `doc` and `json` are JSON as text: as JSON itself the server
would round whole numbers beyond 2**53 and make 1.0 a 1. Counters of rows begin with `b!`, the port's with `n!`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Final

from shared import micro
from shared.core.clock import Clock
from shared.stores.port import Document, Key, Table, is_key_part

TRAIL: Final = 64
"""How many of the ballots whose changes it contains a version remembers."""

PILE_READ: Final = 1000
"""More documents than a row ever has: it is read by one request."""

EXTRA: Final = 4
"""Quotes, colon and comma of a field."""

_COUNT_BITS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the documents of a row lie: above `low` and below `high`."""

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
        """Gives out the row's ballots. Never deleted."""
        return "b!" + self.stem

    @property
    def register(self) -> str:
        return f"{self.stem}!r"

    def version(self, ballot: int) -> str:
        return f"{self.stem}!v{ballot:012d}"

    def extension(self, stamp: str) -> str:
        return f"{self.stem}!e{stamp}"

    def end(self, stamp: str) -> str:
        return f"{self.stem}!g{stamp}"


def bounds(table: Table, partition: str, since: str, until: str) -> tuple[str, str]:
    """The range of a partition's rows from `since` inclusive to `until` exclusive."""
    begin = f"{table.name}!{partition}!"
    return f"{begin}{since}!", f"{begin}{until}!"


def named_counter(name: str) -> str:
    return "n!" + name


class Stamps:
    """Ascending names for what is written: milliseconds, a count, and the node that wrote it.

    Within a node their order is the order of the writes. Between nodes it is that of their clocks, and decides no more
    than which of two extensions of one field, by two nodes, is the later.
    """

    def __init__(self, *, clock: Clock, node: str) -> None:
        self._clock = clock
        self._node = node
        self._last = 0

    def next(self, *, above: str = "") -> str:
        now_ms = int(self._clock().timestamp() * 1000)
        self._last = max(now_ms << _COUNT_BITS, self._last + 1, int(above[:16] or "0", 16) + 1)
        return f"{self._last:016x}{self._node}"

    def age_s(self, stamp: str) -> float:
        """How long ago it was given, if the clocks agree."""
        return self._clock().timestamp() - (int(stamp[:16], 16) >> _COUNT_BITS) / 1000


@dataclass(frozen=True, kw_only=True)
class Version:
    """What a row was to become; `final` says that it did. `text` is its JSON; None: deleted.

    `trail` are the ballots whose changes it contains, and `folded` the stamps of the extensions that its change saw:
    they count no more, whatever it made of them.
    """

    ballot: int
    final: bool
    text: str | None = field(repr=False)
    at: str
    trail: tuple[int, ...] = ()
    folded: frozenset[str] = frozenset()

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
    """One field of a row, set beside it."""

    stamp: str
    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class RowState:
    """The documents of a row as one read met them, each sort in ascending order.

    `at_once` says that one request read them all: what is missing was not there. `order` and `at` tell when its reader
    began to read: by its own count, and by the client's clock.
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
        """The version that counts."""
        return next((version for version in reversed(self.versions) if version.final), None)

    @property
    def ballot(self) -> int:
        """The newest version's; 0: there is none, or only one that was added."""
        return self.versions[-1].ballot if self.versions else 0

    def row(self) -> Document | None:
        return self.over(self.final)

    @property
    def size(self) -> int:
        """At least the bytes of the row's JSON."""
        texts = [each.name + each.text for each in self.extensions]
        if self.final is not None and self.final.text is not None:
            texts.append(self.final.text)
        return sum(len(text.encode()) + EXTRA for text in texts)

    def over(self, version: Version | None) -> Document | None:
        """A version with the extensions that it has not seen. The document is the caller's own."""
        if version is None or version.text is None:
            return None
        # An end hides every fact but those that its own node added after it.
        if version.ballot == 0 and any(not _before(end, version.at) for end in self.ends):
            return None
        document: Document = json.loads(version.text)
        for extension in self.extensions:
            unseen = extension.stamp not in version.folded
            # What a node wrote beside an absent row, it wrote before it added the row.
            if unseen and not (version.ballot == 0 and _before(extension.stamp, version.at)):
                document[extension.name] = json.loads(extension.text)
        return document


def piles(documents: Sequence[micro.StoredDocument]) -> Iterator[tuple[Key, RowState]]:
    """The rows of a range in its order. Documents that nobody of this design wrote are skipped."""
    found = ((parts, document) for document in documents if (parts := _split(document.key)) is not None)
    for key, group in groupby(found, key=lambda each: each[0][0]):
        yield key, pile([document for _, document in group])


def pile(documents: Sequence[micro.StoredDocument], *, at_once: bool = True) -> RowState:
    """What a read of one row, in either direction, has met."""
    versions, extensions, ends = [], [], []
    for document in sorted(documents, key=lambda each: each.key):
        item, value = document.key.rpartition("!")[2], document.value
        if item.startswith("e"):
            extensions.append(Extension(stamp=item[1:], name=value["field"], text=value["json"]))
        elif item.startswith("g"):
            ends.append(item[1:])
        elif item == "r":
            versions.append(Version(ballot=0, final=True, text=value["doc"], at=""))
        else:
            versions.append(
                Version(
                    ballot=int(item[1:]),
                    final=value["final"],
                    text=value["doc"],
                    at=value["at"],
                    trail=tuple(value.get("trail", ())),
                    folded=frozenset(value.get("folded", ())),
                )
            )
    return RowState(versions=versions, extensions=extensions, ends=ends, at_once=at_once)


async def read_row_state(client: micro.MicroClient, row: Address, *, deadline: float) -> RowState:
    start, documents = row.low, list[micro.StoredDocument]()
    while True:
        read = await client.query(row.database, start=start, end=row.high, limit=PILE_READ, deadline=deadline)
        documents += read
        if len(read) < PILE_READ:
            return pile(documents, at_once=len(documents) == len(read))
        start = read[-1].key + "\0"


def _before(one: str, other: str) -> bool:
    """Whether one node wrote both, in this order. Of what two nodes wrote, clocks cannot tell."""
    return one[16:] == other[16:] and one < other


def _split(key: str) -> tuple[Key, str] | None:
    parts = key.split("!")
    if len(parts) != 4 or not is_key_part(parts[1]) or not (parts[2] == "" or is_key_part(parts[2])):
        return None
    return Key(parts[1], parts[2]), parts[3]
