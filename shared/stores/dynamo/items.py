"""Map rows and counters to the items of the one DynamoDB table.

| attribute | a row | a counter |
|---|---|---|
| `pk` | `<table>#<partition>`, and `#<shard>` in spread tables | `counter#<its name up to the first colon>` |
| `sk` | `<sort>!` | its name up to its first month; the whole name if it contains no month |
| `doc` | the document as JSON; compressed from 100 kB on | |
| `ext` | a map of its extensions, by field, each as JSON | |
| `at_<field>` | the stamp of an extension: microseconds since 1970, above those of earlier ones | |
| `v` | the version, which every write changes | |
| `t` | the token of the write that created it, and those of the last eight; `""` where there were fewer | |
| `n…`, `ttl` | | its value, and the epoch second after which the item has ended |
| `r0` to `r7` | | the tokens of the last reserves, the last one in `r7` |

Counters of one month share an item, so that one request can judge and count several of them. Their names after the
month name the attributes: `n` is the value of `ada:calls:2026-11`, and `n-23` that of `ada:calls:2026-11-23`.

A memo whose title was changed, and a counter:

    {"pk": {"S": "memos#ada"}, "sk": {"S": "0199…!"}, "doc": {"S": "{\"title\":\"a\"}"},
     "ext": {"M": {"title": {"S": "\"b\""}}}, "v": {"N": "48113"},
     "t": {"L": [{"S": "5f0c…"}, {"S": ""}, … six more …, {"S": "91d2…"}]}}
    {"pk": {"S": "counter#ada"}, "sk": {"S": "ada:calls:2026-11"}, "n": {"N": "40"}, "n-23": {"N": "7"},
     "ttl": {"N": "1796083200"}, "r7": {"S": "3be1…"}}

`#` and `!` are not in the alphabet of keys. `!` sorts below it, so a row without a sort part is the first of its
partition, and there are keys that sort directly before and directly after a row.
"""

import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from shared.core.clock import next_day, next_month
from shared.stores.checked import Place
from shared.stores.port import Counter, Document, Key, Row, Table, month_of, parsed, serialised

COMPRESSED_FROM: Final = 100_000
"""Bytes of JSON from which a document is compressed, since an item has at most 400 KB. Shorter documents stay readable
in AWS's console, and cost no time to compress."""

TOKENS: Final = 8
"""Last writes whose tokens a row contains, so that a writer whose answer was lost finds its own. Each costs 20 bytes of
the item. A writer whose token was dropped raises StoreUnavailable."""

REMEMBERED: Final = ", ".join(
    [*(f"t[{at}] = if_not_exists(t[{at + 1}], :none)" for at in range(1, TOKENS)), f"t[{TOKENS}] = :token"]
)
"""The part of an update expression that appends `:token` to the last tokens and drops the oldest of them. `:none`, an
empty string, fills the list of a row that an earlier version of this code wrote, with fewer tokens."""

RESERVES: Final = 8
"""Last reserves whose tokens an item contains: if the network repeats one of them, it counts once. Each costs some 20
bytes of an item that is to stay below 1 KB, one written unit."""

RESERVES_REMEMBERED: Final = ", ".join(
    [*(f"r{at} = if_not_exists(r{at + 1}, :none)" for at in range(RESERVES - 1)), f"r{RESERVES - 1} = :token"]
)
NOT_RESERVED: Final = " AND ".join(f"(attribute_not_exists(r{at}) OR r{at} <> :token)" for at in range(RESERVES))

_DAY = re.compile(r"n-(0[1-9]|[12]\d|3[01])(?=:|$)")

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A row's item. A query returns more rows than its page has, so a document is decompressed only on access."""

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
        document: Document = parsed(self.text)
        return document | {field: parsed(text) for field, text in self.extensions.items()}

    def row(self) -> Row:
        return Row(key=self.key, document=self.document())

    def remembered_by(self, tokens: tuple[str, ...]) -> bool:
        """Return whether these tokens would still contain that of this version's successor."""
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


def extension_stamp(field: str) -> str:
    """Return the attribute with the stamp of an extension. Extensions that earlier code wrote have none."""
    return f"at_{field}"


def stamp_of(item: Item | None, field: str) -> int:
    """Return the stamp of an extension; 0: there is none."""
    return 0 if item is None else int(item.get(extension_stamp(field), {"N": "0"})["N"])


def row_key(table: Table, key: Key) -> Item:
    shard = zlib.crc32(key.sort.encode()) % table.shards
    return item_key(partitions(table, key.partition)[shard], f"{key.sort}!")


def item_key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def place_of(item: Item) -> Place:
    return item["pk"]["S"], item["sk"]["S"]


def partitions(table: Table, partition: str) -> list[str]:
    """Return the partitions of DynamoDB over which a partition of the port is spread."""
    if table.shards == 1:
        return [f"{table.name}#{partition}"]
    return [f"{table.name}#{partition}#{shard}" for shard in range(table.shards)]


def counter_key(name: str) -> Item:
    return item_key(counter_partition(name), month_of(name))


def counter_partition(name: str) -> str:
    return f"counter#{name.partition(':')[0]}"


def counter_attribute(name: str) -> str:
    """Return the attribute of a counter's value in its item: `n`, or `n-02` of a day."""
    return "n" + name.removeprefix(month_of(name))


def counter_ends_at(name: str, ends_at: datetime) -> datetime:
    """Return when a counter's item ends. A day's ends with the month, whose days share one item."""
    month = month_of(name)
    return ends_at if month == name else next_month(datetime.strptime(month[-7:], "%Y-%m").replace(tzinfo=UTC))


def read_counters(item: Item) -> list[Counter]:
    """Return the counters of an item, in the order of their names."""
    item_ends_at = datetime.fromtimestamp(int(item["ttl"]["N"]), UTC) if "ttl" in item else None
    return [
        Counter(
            name=item["sk"]["S"] + name[1:], value=int(item[name]["N"]), ends_at=_counter_ends(item, name, item_ends_at)
        )
        for name in sorted(name for name in item if name == "n" or name.startswith(("n-", "n:")))
    ]


def reserves_of(item: Item) -> set[str]:
    """Return the tokens of the last reserves."""
    return {item[f"r{at}"]["S"] for at in range(RESERVES) if f"r{at}" in item}


def _counter_ends(item: Item, attribute: str, item_ends_at: datetime | None) -> datetime | None:
    day = _DAY.match(attribute)
    if item_ends_at is None or day is None:
        return item_ends_at
    try:
        return next_day(datetime.fromisoformat(f"{item['sk']['S'][-7:]}-{day[1]}").replace(tzinfo=UTC))
    except ValueError:  # the month has no such day
        return item_ends_at


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
