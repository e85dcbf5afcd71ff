"""Where a row lies in the one DynamoDB table, and what its item holds.

| attribute | a row | a counter |
|---|---|---|
| `pk` | `<table>#<partition>`, and `#<shard>` in tables that are spread | `counter#<its name up to the first colon>` |
| `sk` | `<sort>!` | its name up to its first month; the whole name, if there is no month in it |
| `doc` | the document as JSON; compressed, when that is long | |
| `ext` | a map of its extensions, by field, each as JSON | |
| `v` | the version, which every write changes | |
| `t` | the token of the write that created it, and those of the last eight; `""` where there were fewer | |
| `n…`, `ttl` | | its value, and the epoch second after which the item counts no more |
| `r0` to `r7` | | the tokens of the last reserves, the last one in `r7` |

Counters of one month share an item, so that one request can judge and count several of them. Of
`u:calls:2026-03`, `n` is the month's value and `n-02` that of `u:calls:2026-03-02`.

`#` and `!` are not in the alphabet of keys. `!` sorts below it, so a row without a sort part comes first, and what
sorts before or after a key can be named.
"""

import json
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from shared.core.clock import next_day, next_month
from shared.stores.port import Counter, Document, InvalidKey, Key, Row, Table, month_of, serialised

COMPRESSED_FROM: Final = 100_000
"""Bytes of JSON. An item may have 400 KB; shorter ones stay readable in the console."""

TOKENS: Final = 8
"""How many of the last writes of a row are remembered, so that a writer whose answer was lost finds its own."""

REMEMBERED: Final = ", ".join(
    [*(f"t[{at}] = if_not_exists(t[{at + 1}], :none)" for at in range(1, TOKENS)), f"t[{TOKENS}] = :token"]
)
"""Of an update expression: the last writes become one more, `:token`, and the oldest of them is forgotten. `:none`, an
empty string, stands for those of a row that an earlier version wrote, with fewer of them."""

RESERVES: Final = 8
"""How many of the last reserves an item remembers: one that the network delivers twice in that time counts once."""

RESERVES_REMEMBERED: Final = ", ".join(
    [*(f"r{at} = if_not_exists(r{at + 1}, :none)" for at in range(RESERVES - 1)), f"r{RESERVES - 1} = :token"]
)
NOT_RESERVED: Final = " AND ".join(f"(attribute_not_exists(r{at}) OR r{at} <> :token)" for at in range(RESERVES))

_DAY = re.compile(r"n-(0[1-9]|[12]\d|3[01])(?=:|$)")

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A row's item. A query brings more than its page holds, so the document is decompressed when it is asked for."""

    key: Key
    place: Item
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
        """At least the bytes of the row's JSON, with the extensions."""
        fields = (f",{serialised(field)}:{text}" for field, text in self.extensions.items())
        return sum(len(text.encode()) for text in (self.text, *fields))

    def document(self) -> Document:
        document: Document = json.loads(self.text)
        return document | {field: json.loads(text) for field, text in self.extensions.items()}

    def row(self) -> Row:
        return Row(key=self.key, document=self.document())

    def remembered_by(self, tokens: tuple[str, ...]) -> bool:
        """Whether a row with these tokens would still know of a write that replaced this version."""
        if tokens[:1] != self.tokens[:1]:
            return False
        return len(tokens) <= TOKENS or self.tokens[-1] in tokens[1:]

    def succeeded(self, document: str, token: str) -> Item:
        """The item that replaces this one."""
        born, *later = self.tokens
        tokens = (born, *[*later, token][-TOKENS:])
        return _item(self.place, document, version=self.version + 1, tokens=tokens)


def created(table: Table, key: Key, document: str, token: str) -> Item:
    """A new row's item. Its version is one that no earlier row of this key had: what was read of that one is void."""
    return _item(place(table, key), document, version=secrets.randbits(60), tokens=(token,))


def read(item: Item) -> Stored:
    return Stored(
        key=key_of(item),
        place=place_of(item),
        content=item["doc"],
        extensions={field: value["S"] for field, value in item["ext"]["M"].items()},
        version=int(item["v"]["N"]),
        tokens=tokens_of(item),
    )


def tokens_of(item: Item | None) -> tuple[str, ...]:
    return () if item is None else tuple(token["S"] for token in item["t"]["L"] if token["S"])


def place(table: Table, key: Key) -> Item:
    shard = zlib.crc32(key.sort.encode()) % table.shards
    return {"pk": {"S": partitions(table, key.partition)[shard]}, "sk": {"S": f"{key.sort}!"}}


def place_of(item: Item) -> Item:
    """Where an item lies."""
    return {"pk": item["pk"], "sk": item["sk"]}


def key_of(item: Item) -> Key:
    return Key(item["pk"]["S"].split("#")[1], item["sk"]["S"].removesuffix("!"))


def partitions(table: Table, partition: str) -> list[str]:
    """DynamoDB's partitions that hold one of the port's."""
    if table.shards == 1:
        return [f"{table.name}#{partition}"]
    return [f"{table.name}#{partition}#{shard}" for shard in range(table.shards)]


def bounds(between: tuple[str, str] | None, after: str | None, *, newest_first: bool) -> tuple[str, str]:
    """The sort keys, both inclusive, of the rows in a range, after `after`."""
    low, high = between or ("", "\x7f")
    lowest, highest = f"{low} ", f"{high} "
    if after is not None and newest_first:
        highest = min(highest, f"{after} ")
    elif after is not None:
        lowest = max(lowest, f'{after}"')
    return lowest, highest


def counter_place(name: str) -> Item:
    return {"pk": {"S": counter_partition(name)}, "sk": {"S": month_of(name)}}


def counter_partition(name: str) -> str:
    return f"counter#{name.partition(':')[0]}"


def counter_attribute(name: str) -> str:
    """Return the attribute that holds a counter's value in its item: `n`, or `n-02` for a day."""
    return "n" + name.removeprefix(month_of(name))


def counter_ends_at(name: str, ends_at: datetime) -> datetime:
    """Return when a counter's item ends: with its month, where it shares it with the counters of other days."""
    month = month_of(name)
    return ends_at if month == name else next_month(datetime.strptime(month[-7:], "%Y-%m").replace(tzinfo=UTC))


def read_counters(item: Item) -> list[Counter]:
    """Return the counters that an item holds, in the order of their names."""
    item_ends_at = datetime.fromtimestamp(int(item["ttl"]["N"]), UTC) if "ttl" in item else None
    names = sorted(name for name in item if name == "n" or name.startswith(("n-", "n:")))
    return [
        Counter(
            name=item["sk"]["S"] + name[1:], value=int(item[name]["N"]), ends_at=_counter_ends(item, name, item_ends_at)
        )
        for name in names
    ]


def reserves_of(item: Item | None) -> set[str]:
    """Return the tokens of the last reserves."""
    return set() if item is None else {item[f"r{at}"]["S"] for at in range(RESERVES) if f"r{at}" in item}


def _counter_ends(item: Item, attribute: str, item_ends_at: datetime | None) -> datetime | None:
    day = _DAY.match(attribute)
    if item_ends_at is None or day is None:
        return item_ends_at
    try:
        return next_day(datetime.fromisoformat(f"{item['sk']['S'][-7:]}-{day[1]}").replace(tzinfo=UTC))
    except ValueError:  # no day of this month
        return item_ends_at


def cursor(item_place: Item) -> str:
    return json.dumps([item_place["pk"]["S"], item_place["sk"]["S"]])


def opened(text: str) -> Item:
    """The place that a cursor names. Raises InvalidKey."""
    try:
        where = json.loads(text)
    except ValueError:
        where = None
    match where:
        case [str(partition), str(sort)] if partition and sort:
            return {"pk": {"S": partition}, "sk": {"S": sort}}
        case _:
            raise InvalidKey(f"not a cursor: {text[:100]!r}")


def _item(item_place: Item, document: str, *, version: int, tokens: tuple[str, ...]) -> Item:
    born, *later = tokens
    kept = [born, *[""] * (TOKENS - len(later)), *later]
    return {
        **item_place,
        "doc": _content(document),
        "ext": {"M": {}},
        "v": {"N": str(version)},
        "t": {"L": [{"S": token} for token in kept]},
    }


def _content(document: str) -> Item:
    raw = document.encode()
    return {"S": document} if len(raw) < COMPRESSED_FROM else {"B": zlib.compress(raw, 1)}
