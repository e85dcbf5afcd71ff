"""Map rows and counters to the items of the one DynamoDB table.

| attribute | a row | a counter |
|---|---|---|
| `pk` | `<table>#<partition>`, and `#<shard>` in spread tables | `counter#<its name up to the first colon>` |
| `sk` | `<sort>!` | its name |
| `doc` | the document as JSON; compressed from 100 kB on | |
| `ext` | a map of its extensions, by field, each as JSON | |
| `v` | the version, which every write changes | |
| `t` | the token of the write that created it, and those of the last eight; `""` where there were fewer | |
| `n`, `ttl` | | the value, and the epoch second after which it has ended |

A memo whose title was changed, and a counter:

    {"pk": {"S": "memos#ada"}, "sk": {"S": "0199…!"}, "doc": {"S": "{\"title\":\"a\"}"},
     "ext": {"M": {"title": {"S": "\"b\""}}}, "v": {"N": "48113"},
     "t": {"L": [{"S": "5f0c…"}, {"S": ""}, … six more …, {"S": "91d2…"}]}}
    {"pk": {"S": "counter#ada"}, "sk": {"S": "ada:calls:2026-11-23"}, "n": {"N": "7"}, "ttl": {"N": "1764028800"}}

`#` and `!` are not in the alphabet of keys. `!` sorts below it, so a row without a sort part is the first of its
partition, and a key can be named that sorts just before or just after a row.
"""

import json
import secrets
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from shared.stores.checked import Place
from shared.stores.port import Counter, Document, Key, Row, Table, serialised

COMPRESSED_FROM: Final = 100_000
"""Bytes of JSON from which a document is compressed. An item may have 400 KB. Shorter documents stay readable in the
console, and cost no time to compress."""

TOKENS: Final = 8
"""Writes of a row whose tokens it keeps, so that a writer whose answer was lost finds its own. Each costs 20 bytes of
the item; a writer that was overtaken by more writes raises StoreUnavailable."""

REMEMBERED: Final = ", ".join(
    [*(f"t[{at}] = if_not_exists(t[{at + 1}], :none)" for at in range(1, TOKENS)), f"t[{TOKENS}] = :token"]
)
"""The part of an update expression that appends `:token` to the last tokens and drops the oldest of them. `:none`, an
empty string, fills the list of a row that an earlier version of this code wrote, with fewer tokens."""

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A row's item. A query returns more rows than its page holds, so a document is decompressed only on access."""

    pk: str
    key: Key
    content: Item
    extensions: dict[str, str]
    version: int
    tokens: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """The document as JSON, without the extensions."""
        text: str = self.content["S"] if "S" in self.content else zlib.decompress(self.content["B"]).decode()
        return text

    @property
    def size(self) -> int:
        """The bytes of the row's JSON with its extensions, or one more."""
        fields = (f",{serialised(field)}:{text}" for field, text in self.extensions.items())
        return sum(len(text.encode()) for text in (self.text, *fields))

    def document(self) -> Document:
        document: Document = json.loads(self.text)
        return document | {field: json.loads(text) for field, text in self.extensions.items()}

    def row(self) -> Row:
        return Row(key=self.key, document=self.document())

    def remembered_by(self, tokens: tuple[str, ...]) -> bool:
        """Whether a row that has these tokens now would still contain that of a write that replaced this version."""
        if tokens[:1] != self.tokens[:1]:
            return False
        return len(tokens) <= TOKENS or self.tokens[-1] in tokens[1:]

    def succeeded(self, document: str, token: str) -> Item:
        """Return the item that replaces this one."""
        born, *later = self.tokens
        tokens = (born, *[*later, token][-TOKENS:])
        return _item(item_key(self.pk, f"{self.key.sort}!"), document, version=self.version + 1, tokens=tokens)


def new_item(table: Table, key: Key, document: str, token: str) -> Item:
    """Return a new row's item. Its version is random, so that a change based on an earlier row of this key fails."""
    return _item(row_key(table, key), document, version=secrets.randbits(60), tokens=(token,))


def read_item(item: Item) -> Stored:
    return Stored(
        pk=item["pk"]["S"],
        key=Key(item["pk"]["S"].split("#")[1], item["sk"]["S"].removesuffix("!")),
        content=item["doc"],
        extensions={field: value["S"] for field, value in item["ext"]["M"].items()},
        version=int(item["v"]["N"]),
        tokens=tokens_of(item),
    )


def tokens_of(item: Item | None) -> tuple[str, ...]:
    return () if item is None else tuple(token["S"] for token in item["t"]["L"] if token["S"])


def row_key(table: Table, key: Key) -> Item:
    shard = zlib.crc32(key.sort.encode()) % table.shards
    return item_key(partitions(table, key.partition)[shard], f"{key.sort}!")


def item_key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def place_of(item: Item) -> Place:
    return item["pk"]["S"], item["sk"]["S"]


def partitions(table: Table, partition: str) -> list[str]:
    """Return the partitions of DynamoDB that contain one of the port's."""
    if table.shards == 1:
        return [f"{table.name}#{partition}"]
    return [f"{table.name}#{partition}#{shard}" for shard in range(table.shards)]


def counter_key(name: str) -> Item:
    return item_key(counter_partition(name), name)


def counter_partition(name: str) -> str:
    return f"counter#{name.partition(':')[0]}"


def read_counter(item: Item) -> Counter:
    ends_at = datetime.fromtimestamp(int(item["ttl"]["N"]), UTC) if "ttl" in item else None
    return Counter(name=item["sk"]["S"], value=int(item["n"]["N"]), ends_at=ends_at)


def _item(key: Item, document: str, *, version: int, tokens: tuple[str, ...]) -> Item:
    born, *later = tokens
    kept = [born, *[""] * (TOKENS - len(later)), *later]
    return {
        **key,
        "doc": _content(document),
        "ext": {"M": {}},
        "v": {"N": str(version)},
        "t": {"L": [{"S": token} for token in kept]},
    }


def _content(document: str) -> Item:
    raw = document.encode()
    return {"S": document} if len(raw) < COMPRESSED_FROM else {"B": zlib.compress(raw, 1)}
