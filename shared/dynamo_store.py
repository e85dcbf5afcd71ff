"""The store on DynamoDB: one table, one request for most verbs, two for a change.

Every write of a row carries a token that stays in the row for a while, so a write without an answer can be sent again:
whoever finds the row other than expected, and its own token in it, has written. How rows lie: `dynamo_rows`. Why no
index rows and no transactions are needed: docs/decisions/0004-dynamodb.md.
"""

import json
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from math import ceil, inf
from typing import Any, Final

from shared import dynamo_rows, dynamo_table
from shared.clock import Clock, utc_now
from shared.dynamo import Dynamo
from shared.dynamo_errors import ConditionFailed, DeadlinePassed, DynamoError
from shared.dynamo_rows import Item, Stored, place
from shared.store import (
    PAGE_BYTES,
    AlreadyExists,
    Change,
    Counter,
    Document,
    Key,
    Kind,
    Page,
    Row,
    StoreUnavailable,
    Table,
    check_counter,
    check_field,
    check_page,
    check_step,
    serialised,
)
from shared.together import together
from shared.turns import Turns

ABSENT: Final = "attribute_not_exists(pk)"
NOT_YET: Final = "attribute_exists(pk) AND NOT contains(t, :token)"
UNCHANGED: Final = "v = :seen"

SLACK: Final = 4
"""Rows that a page of a table that is spread asks each shard for, beyond its share."""

SCANNED: Final = 100
"""How many items a scan looks at, at least: most may be of other tables."""


class DynamoStore:
    """Keeps the promises of the port on one DynamoDB table, among any number of containers.

    Every verb ends within `timeout_s`, and within what `time_left_s` tells of the request it serves. With
    `creates_table`, `verify` makes the table if it is missing.
    """

    def __init__(
        self,
        dynamo: Dynamo,
        *,
        timeout_s: float = 5.0,
        time_left_s: Callable[[], float] = lambda: inf,
        clock: Clock = utc_now,
        creates_table: bool = False,
    ) -> None:
        self._dynamo = dynamo
        self._timeout_s = timeout_s
        self._time_left_s = time_left_s
        self._clock = clock
        self._creates_table = creates_table
        self._turns = Turns()

    async def get(self, table: Table, key: Key) -> Document | None:
        with _translated():
            item = await self._dynamo.get(place(table, key), deadline=self._deadline())
        return None if item is None else dynamo_rows.read(item).document()

    async def add(self, table: Table, key: Key, document: Document) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        token = _token()
        item = dynamo_rows.created(table, key, serialised(document), token)
        with _translated():
            try:
                await self._dynamo.put(item, condition=ABSENT, deadline=self._deadline())
            except ConditionFailed as failed:
                if token not in dynamo_rows.tokens_of(failed.item)[:1]:
                    raise AlreadyExists(f"{table.name} {key}") from failed

    async def claim(self, table: Table, key: Key, document: Document) -> None:
        table.check(Kind.CHANGING)
        await self.add(table, key, document)

    async def extend(self, table: Table, key: Key, field: str, value: Any) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        check_field(field)
        token = _token()
        values = {":json": {"S": serialised(value)}, ":one": {"N": "1"}, ":token": {"S": token}}
        with _translated():
            try:
                await self._dynamo.update(
                    place(table, key),
                    f"SET ext.#field = :json, {dynamo_rows.REMEMBERED} ADD v :one",
                    names={"#field": field},
                    values=values,
                    condition=NOT_YET,
                    deadline=self._deadline(),
                )
            except ConditionFailed:
                return  # absent, or extended by an earlier sending

    async def put(self, table: Table, key: Key, document: Document) -> None:
        table.check(Kind.REGISTERS)
        item = dynamo_rows.created(table, key, serialised(document), _token())
        with _translated():
            await self._dynamo.put(item, deadline=self._deadline())

    async def update(self, table: Table, key: Key, change: Change) -> Document | None:
        table.check(Kind.CHANGING)
        deadline = self._deadline()
        with _translated():
            wait_s, late = deadline - self._dynamo.deadline(0), partial(DeadlinePassed, sent=False)
            async with self._turns.of((table.name, key), wait_s=wait_s, late=late):
                turn = 0
                while True:
                    try:
                        return await self._changed(table, key, change, deadline=deadline)
                    except ConditionFailed as failed:
                        await self._dynamo.pause(turn, _outrun(failed), deadline=deadline)
                        turn += 1

    async def delete(self, table: Table, key: Key) -> None:
        if table.kind is Kind.CHANGING:  # only the version that was seen: a late delete must not strike a successor
            await self.update(table, key, lambda _: None)
            return
        with _translated():
            await self._dynamo.delete(place(table, key), deadline=self._deadline())

    async def take_back(self, table: Table, key: Key) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        with _translated():
            await self._dynamo.delete(place(table, key), deadline=self._deadline())

    async def page(
        self,
        table: Table,
        partition: str,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = False,
        between: tuple[str, str] | None = None,
    ) -> Page[Row]:
        check_page(partition, after)
        low, high = dynamo_rows.bounds(between, after, newest_first=newest_first)
        if low > high:
            return Page(rows=[], after=None)
        deadline = self._deadline()
        shards = [
            _Shard(self._dynamo, name, low, high, ask=limit + 1 if table.shards == 1 else limit // table.shards + SLACK)
            for name in dynamo_rows.partitions(table, partition)
        ]
        taken = _Taken(limit)
        with _translated():
            while True:
                await together(*(shard.read_on(deadline, newest_first=newest_first) for shard in shards))
                heads = [shard for shard in shards if shard.rows]
                if not heads:
                    return Page(rows=taken.rows, after=None)
                first = (max if newest_first else min)(heads, key=lambda shard: shard.rows[0].key.sort)
                if not taken.take(first.rows.popleft()):
                    return Page(rows=taken.rows, after=taken.rows[-1].key.sort)

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:
        """A lost answer is not sent again: it would count twice."""
        check_counter(counter)
        check_step(by)
        values: Item = {":by": {"N": str(by)}}
        if ends_at is not None:
            values[":ends"] = {"N": str(ceil(ends_at.timestamp()))}
        with _translated():
            counted = await self._dynamo.update(
                dynamo_rows.counter_place(counter),
                "ADD n :by" if ends_at is None else "SET #ttl = :ends ADD n :by",
                names=None if ends_at is None else {"#ttl": "ttl"},
                values=values,
                repeatable=False,
                returns=True,
                deadline=self._deadline(),
            )
        return int(counted["n"]["N"])

    async def counters(self, prefix: str) -> Mapping[str, int]:
        """Without those that have ended, which DynamoDB deletes when it comes to it."""
        check_counter(prefix)
        deadline = self._deadline()
        values = {":pk": {"S": dynamo_rows.counter_partition(prefix)}, ":prefix": {"S": prefix}}
        found: dict[str, int] = {}
        after: Item | None = None
        while True:
            with _translated():
                items, after = await self._dynamo.query(
                    "pk = :pk AND begins_with(sk, :prefix)", values, after=after, deadline=deadline
                )
            counters = [dynamo_rows.read_counter(item) for item in items if self._counts(item)]
            found |= {counter.name: counter.value for counter in counters}
            if after is None:
                return found

    async def scan(self, table: Table, *, after: str | None = None, limit: int = 1000) -> Page[Row]:
        """A page may end early, even empty: it takes no more than half of the verb's time."""
        deadline, enough = self._deadline(), self._dynamo.deadline(self._budget_s() / 2)
        taken = _Taken(limit)
        read_to = None if after is None else dynamo_rows.opened(after)
        while True:
            with _translated():
                items, read_to = await self._dynamo.scan(
                    "begins_with(pk, :table)",
                    {":table": {"S": f"{table.name}#"}},
                    limit=max(limit, SCANNED),
                    after=read_to,
                    deadline=deadline,
                )
            for item in items:
                if not taken.take(dynamo_rows.read(item)):
                    return Page(rows=taken.rows, after=dynamo_rows.cursor(taken.last))
            if read_to is None:
                return Page(rows=taken.rows, after=None)
            if self._dynamo.deadline(0) > enough:
                return Page(rows=taken.rows, after=dynamo_rows.cursor(read_to))

    async def scan_counters(self, *, after: str | None = None, limit: int = 1000) -> Page[Counter]:
        """Pages may end early, as those of `scan` may. Those that have ended are left out."""
        deadline, enough = self._deadline(), self._dynamo.deadline(self._budget_s() / 2)
        found: list[Counter] = []
        last: Item = {}
        read_to = None if after is None else dynamo_rows.opened(after)
        while True:
            with _translated():
                items, read_to = await self._dynamo.scan(
                    "begins_with(pk, :counters)",
                    {":counters": {"S": dynamo_rows.counter_partition("")}},
                    limit=max(limit, SCANNED),
                    after=read_to,
                    deadline=deadline,
                )
            for item in items:
                if len(found) == limit:
                    return Page(rows=found, after=dynamo_rows.cursor(last))
                last = dynamo_rows.place_of(item)
                if self._counts(item):
                    found.append(dynamo_rows.read_counter(item))
            if read_to is None:
                return Page(rows=found, after=None)
            if self._dynamo.deadline(0) > enough:
                return Page(rows=found, after=dynamo_rows.cursor(read_to))

    async def verify(self, tables: Sequence[Table]) -> None:  # noqa: ARG002 all lie in one
        with _translated():
            await dynamo_table.verify(self._dynamo, creates=self._creates_table, deadline=self._deadline())

    def _counts(self, item: Item) -> bool:
        """Whether a counter has not ended: DynamoDB may delete those that have days later."""
        return "ttl" not in item or int(item["ttl"]["N"]) > self._clock().timestamp()

    async def _changed(self, table: Table, key: Key, change: Change, *, deadline: float) -> Document | None:
        """Raises ConditionFailed when another writer came first."""
        item = await self._dynamo.get(place(table, key), deadline=deadline)
        seen = None if item is None else dynamo_rows.read(item)
        before = None if seen is None else serialised(seen.document())
        changed = change(None if before is None else json.loads(before))
        after = None if changed is None else serialised(changed)
        if after != before:
            await self._write(table, key, seen, after, deadline=deadline)
        return None if after is None else json.loads(after)

    async def _write(self, table: Table, key: Key, seen: Stored | None, text: str | None, *, deadline: float) -> None:
        token = _token()
        condition = ABSENT if seen is None else UNCHANGED
        values = None if seen is None else {":seen": {"N": str(seen.version)}}
        try:
            if text is None:
                await self._dynamo.delete(place(table, key), condition=condition, values=values, deadline=deadline)
            else:
                written = dynamo_rows.created(table, key, text, token) if seen is None else seen.succeeded(text, token)
                await self._dynamo.put(written, condition=condition, values=values, deadline=deadline)
        except ConditionFailed as failed:
            there = dynamo_rows.tokens_of(failed.item)
            if token in there:
                return
            deleted = text is None and not there
            if failed.repeated and not deleted and (seen is None or not seen.remembered_by(there)):
                raise StoreUnavailable("a write without an answer may have been made, and overwritten") from failed
            raise

    def _budget_s(self) -> float:
        return min(self._timeout_s, self._time_left_s())

    def _deadline(self) -> float:
        return self._dynamo.deadline(self._budget_s())


class _Shard:
    """What is left of a range in one of DynamoDB's partitions."""

    def __init__(self, dynamo: Dynamo, partition: str, low: str, high: str, *, ask: int) -> None:
        self.rows: deque[Stored] = deque()
        self._dynamo = dynamo
        self._values = {":pk": {"S": partition}, ":low": {"S": low}, ":high": {"S": high}}
        self._ask = ask
        self._after: Item | None = None
        self._done = False

    async def read_on(self, deadline: float, *, newest_first: bool) -> None:
        """Have at least one row, if there is one."""
        while not self.rows and not self._done:
            items, self._after = await self._dynamo.query(
                "pk = :pk AND sk BETWEEN :low AND :high",
                self._values,
                limit=self._ask,
                after=self._after,
                newest_first=newest_first,
                deadline=deadline,
            )
            self.rows.extend(map(dynamo_rows.read, items))
            self._done = self._after is None


class _Taken:
    """The rows of a page."""

    def __init__(self, limit: int) -> None:
        self.rows: list[Row] = []
        self.last: Item = {}
        self._limit = limit
        self._size = 0

    def take(self, stored: Stored) -> bool:
        """False: the page is full without it."""
        self._size += stored.size
        if len(self.rows) == self._limit or (self.rows and self._size > PAGE_BYTES):
            return False
        self.rows.append(stored.row())
        self.last = stored.place
        return True


@contextmanager
def _translated() -> Iterator[None]:
    """From what the wire raises to what a store raises."""
    try:
        yield
    except DynamoError as exc:
        raise exc.meaning.error(f"{exc.meaning.what} ({exc})") from exc


def _token() -> str:
    return secrets.token_hex(8)


def _outrun(failed: ConditionFailed) -> DynamoError:
    """For when the time is up."""
    error = DeadlinePassed("other writers came first, time and again", sent=False)
    error.__cause__ = failed
    return error
