"""Store rows on DynamoDB: one table, one request for most verbs, two for a change.

Every write of a row adds a token to the row, which keeps the last few. So a write without an answer can be sent again:
if the row is not as the second sending requires, but contains the write's token, the first one was carried out. How
rows are laid out: `items`. Why no index rows and no transactions are needed: docs/decisions/0004-dynamodb.md.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from math import ceil, inf
from typing import Final

from shared.core.clock import Clock, utc_now
from shared.core.concurrency import KeyedLocks
from shared.stores.checked import CheckedStore, Place, TextChange, Texts
from shared.stores.dynamo import provisioning
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.failures import CallTimedOut, ConditionFailed, DynamoError, meaning
from shared.stores.dynamo.items import (
    REMEMBERED,
    Item,
    Stored,
    counter_key,
    counter_partition,
    new_item,
    partitions,
    read_counter,
    read_item,
    row_key,
    tokens_of,
)
from shared.stores.dynamo.pages import read_page, scan_counters, scan_rows
from shared.stores.port import AlreadyExists, Counter, Document, Key, Row, StoreUnavailable, Table, serialised

ABSENT: Final = "attribute_not_exists(pk)"
NOT_YET: Final = "attribute_exists(pk) AND NOT contains(t, :token)"
UNCHANGED: Final = "v = :seen"


class DynamoStore(CheckedStore):
    """Keeps the promises of the port on one DynamoDB table, among any number of containers.

    With `creates_table`, `verify` creates the table if it is missing.
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
        super().__init__(timeout_s=timeout_s, time_left_s=time_left_s, deadline=dynamo.deadline, meaning=meaning)
        self._dynamo = dynamo
        self._clock = clock
        self._creates_table = creates_table
        self._locks = KeyedLocks()

    async def _get(self, table: Table, key: Key, deadline: float) -> Document | None:
        item = await self._dynamo.get(row_key(table, key), deadline=deadline)
        return None if item is None else read_item(item).document()

    async def _add(self, table: Table, key: Key, text: str, deadline: float) -> None:
        token = _token()
        try:
            await self._dynamo.put(new_item(table, key, text, token), condition=ABSENT, deadline=deadline)
        except ConditionFailed as failed:
            if token not in tokens_of(failed.item)[:1]:
                raise AlreadyExists(f"{table.name} {key}") from failed

    _claim = _add

    async def _extend(self, table: Table, key: Key, field: str, text: str, deadline: float) -> None:
        values = {":json": {"S": text}, ":one": {"N": "1"}, ":token": {"S": _token()}, ":none": {"S": ""}}
        try:
            await self._dynamo.update(
                row_key(table, key),
                f"SET ext.#field = :json, {REMEMBERED} ADD v :one",
                names={"#field": field},
                values=values,
                condition=NOT_YET,
                deadline=deadline,
            )
        except ConditionFailed:
            return  # the row is absent, or was extended by an earlier sending

    async def _put(self, table: Table, key: Key, text: str, deadline: float) -> None:
        await self._dynamo.put(new_item(table, key, text, _token()), deadline=deadline)

    async def _update(self, table: Table, key: Key, change: TextChange, deadline: float) -> Texts:
        wait_s, late = deadline - self._dynamo.deadline(0), partial(CallTimedOut, sent=False)
        async with self._locks.acquire((table.name, key), wait_s=wait_s, late=late):
            turn = 0
            while True:
                try:
                    return await self._changed(table, key, change, deadline)
                except ConditionFailed as failed:
                    await self._dynamo.pause(turn, _outrun(failed), deadline=deadline)
                    turn += 1

    async def _delete(self, table: Table, key: Key, deadline: float) -> None:
        await self._dynamo.delete(row_key(table, key), deadline=deadline)

    _take_back = _delete

    async def _page(
        self, table: Table, partition: str, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
    ) -> tuple[list[Row], bool]:
        return await read_page(
            self._dynamo, table, partition, low, high, limit=limit, newest_first=newest_first, deadline=deadline
        )

    async def _increment(self, counter: str, by: int, ends_at: datetime | None, deadline: float) -> int:
        """A request without an answer is not sent again: it would count twice."""
        values: Item = {":by": {"N": str(by)}}
        if ends_at is not None:
            values[":ends"] = {"N": str(ceil(ends_at.timestamp()))}
        counted = await self._dynamo.update(
            counter_key(counter),
            "ADD n :by" if ends_at is None else "SET #ttl = :ends ADD n :by",
            names=None if ends_at is None else {"#ttl": "ttl"},
            values=values,
            repeatable=False,
            returns=True,
            deadline=deadline,
        )
        return int(counted["n"]["N"])

    async def _counters(self, prefix: str, deadline: float) -> Mapping[str, int]:
        """Counters that have ended are left out: DynamoDB deletes them, but may take days."""
        values = {":pk": {"S": counter_partition(prefix)}, ":prefix": {"S": prefix}}
        counters: list[Counter] = []
        after: Item | None = None
        while True:
            items, after = await self._dynamo.query(
                "pk = :pk AND begins_with(sk, :prefix)", values, after=after, deadline=deadline
            )
            counters += [read_counter(item) for item in items if not self._has_ended(item)]
            if after is None:
                return {counter.name: counter.value for counter in counters}

    async def _erase(self, table: Table, partition: str, deadline: float) -> bool:
        enough = self._half_way(deadline)
        for shard in partitions(table, partition):
            after: Item | None = None
            while True:
                keys, after = await self._dynamo.query(
                    "pk = :pk", {":pk": {"S": shard}}, after=after, keys_only=True, deadline=deadline
                )
                await self._dynamo.delete_all(keys, deadline=deadline)
                if after is None:
                    break
                if self._at(0) >= enough:
                    return False
        return True

    async def _drop(self, counters: Sequence[str], deadline: float) -> None:
        await self._dynamo.delete_all([counter_key(counter) for counter in counters], deadline=deadline)

    async def _scan(
        self, table: Table, after: Place | None, limit: int, deadline: float
    ) -> tuple[list[Row], Place | None]:
        enough = self._half_way(deadline)
        return await scan_rows(self._dynamo, table, after=after, limit=limit, deadline=deadline, enough=enough)

    async def _scan_counters(
        self, after: Place | None, limit: int, deadline: float
    ) -> tuple[list[Counter], Place | None]:
        enough = self._half_way(deadline)
        return await scan_counters(
            self._dynamo, self._has_ended, after=after, limit=limit, deadline=deadline, enough=enough
        )

    async def _verify(self, tables: Sequence[Table], deadline: float) -> None:
        await provisioning.verify(self._dynamo, creates=self._creates_table, deadline=deadline)

    def _has_ended(self, counter: Item) -> bool:
        return "ttl" in counter and int(counter["ttl"]["N"]) <= self._clock().timestamp()

    async def _changed(self, table: Table, key: Key, change: TextChange, deadline: float) -> Texts:
        """Raises ConditionFailed if another writer came first."""
        item = await self._dynamo.get(row_key(table, key), deadline=deadline)
        seen = None if item is None else read_item(item)
        before = None if seen is None else serialised(seen.document())
        after = change(before)
        if after != before:
            await self._write(table, key, seen, after, deadline)
        return before, after

    async def _write(self, table: Table, key: Key, seen: Stored | None, text: str | None, deadline: float) -> None:
        token = _token()
        condition = ABSENT if seen is None else UNCHANGED
        values = None if seen is None else {":seen": {"N": str(seen.version)}}
        try:
            if text is None:
                await self._dynamo.delete(row_key(table, key), condition=condition, values=values, deadline=deadline)
            else:
                written = new_item(table, key, text, token) if seen is None else seen.succeeded(text, token)
                await self._dynamo.put(written, condition=condition, values=values, deadline=deadline)
        except ConditionFailed as failed:
            there = tokens_of(failed.item)
            if token in there:
                return
            deleted = text is None and not there
            if failed.repeated and not deleted and (seen is None or not seen.remembered_by(there)):
                raise StoreUnavailable("a write without an answer may have been made, and overwritten") from failed
            raise


def _token() -> str:
    return secrets.token_hex(8)


def _outrun(failed: ConditionFailed) -> DynamoError:
    """Return the error for when no time is left."""
    error = CallTimedOut("other writers changed the row before each attempt", sent=False)
    error.__cause__ = failed
    return error
