"""The store on DynamoDB: one table, one request for most verbs, two for a change.

Every write of a row carries a token that stays in the row for a while, so a write without an answer can be sent again:
whoever finds the row other than expected, and its own token in it, has written. How rows lie: `dynamo_rows`. Why no
index rows and no transactions are needed: docs/decisions/0004-dynamodb.md.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from math import ceil, inf
from typing import Any, Final

from shared.core.clock import Clock, utc_now
from shared.core.concurrency import KeyedLocks
from shared.stores.dynamo import items as dynamo_rows
from shared.stores.dynamo import pages as dynamo_pages
from shared.stores.dynamo import provisioning as dynamo_table
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.failures import CallTimedOut, ConditionFailed, DynamoError
from shared.stores.dynamo.items import Item, Stored, place
from shared.stores.port import (
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

ABSENT: Final = "attribute_not_exists(pk)"
NOT_YET: Final = "attribute_exists(pk) AND NOT contains(t, :token)"
UNCHANGED: Final = "v = :seen"


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
        self._turns = KeyedLocks()

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
        values = {":json": {"S": serialised(value)}, ":one": {"N": "1"}, ":token": {"S": token}, ":none": {"S": ""}}
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
            wait_s, late = deadline - self._dynamo.deadline(0), partial(CallTimedOut, sent=False)
            async with self._turns.acquire((table.name, key), wait_s=wait_s, late=late):
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
        with _translated():
            return await dynamo_pages.page(
                self._dynamo,
                table,
                partition,
                after=after,
                limit=limit,
                newest_first=newest_first,
                between=between,
                deadline=self._deadline(),
            )

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
        with _translated():
            return await dynamo_pages.scan_rows(
                self._dynamo, table, after=after, limit=limit, deadline=self._deadline(), enough=self._half_time()
            )

    async def scan_counters(self, *, after: str | None = None, limit: int = 1000) -> Page[Counter]:
        """Pages may end early, as those of `scan` may. Those that have ended are left out."""
        with _translated():
            return await dynamo_pages.scan_counters(
                self._dynamo,
                self._counts,
                after=after,
                limit=limit,
                deadline=self._deadline(),
                enough=self._half_time(),
            )

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

    def _deadline(self) -> float:
        return self._dynamo.deadline(self._budget_s())

    def _half_time(self) -> float:
        return self._dynamo.deadline(self._budget_s() / 2)

    def _budget_s(self) -> float:
        return min(self._timeout_s, self._time_left_s())


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
    error = CallTimedOut("other writers came first, time and again", sent=False)
    error.__cause__ = failed
    return error
