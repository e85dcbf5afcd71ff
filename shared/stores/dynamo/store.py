"""Store rows on DynamoDB: one table, one request for most verbs, two for a change.

Every write of a row adds a token to the row, which keeps the last few. So a write without an answer can be sent again:
if the row does not meet the second attempt's condition, but contains the write's token, the first one was carried out.
How rows are laid out: `items`. Why no index rows and no transactions are needed: docs/decisions/0004-dynamodb.md.
"""

import secrets
from collections import Counter as Counts
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from math import ceil, inf
from typing import Any, Final

from shared.core.clock import Clock, utc_now
from shared.core.concurrency import KeyedLocks, in_batches
from shared.stores.checked import CheckedStore, Place, TextChange, Texts
from shared.stores.dynamo import provisioning
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.failures import CallTimedOut, ConditionFailed, DynamoError, meaning
from shared.stores.dynamo.items import (
    NOT_RESERVED,
    REMEMBERED,
    RESERVES_REMEMBERED,
    Item,
    Stored,
    counter_attribute,
    counter_ends_at,
    counter_key,
    counter_partition,
    extension_stamp,
    new_item,
    partitions,
    read_counters,
    read_item,
    reserves_of,
    row_key,
    stamp_of,
    tokens_of,
)
from shared.stores.dynamo.pages import read_page, scan_counters, scan_rows
from shared.stores.port import (
    AlreadyExists,
    Bound,
    Counter,
    Document,
    Key,
    Reserved,
    Row,
    StoreUnavailable,
    Table,
    month_of,
    serialised,
)

ABSENT: Final = "attribute_not_exists(pk)"
LATEST: Final = "attribute_exists(pk) AND NOT contains(t, :token) AND (attribute_not_exists(#stamp) OR #stamp < :stamp)"
UNCHANGED: Final = "v = :seen"

Condition = tuple[str, Item]
"""A condition, and the values that it compares with."""


class DynamoStore(CheckedStore):
    """Keeps the promises of the port on one DynamoDB table, among any number of containers.

    With `creates_table`, `verify` creates the table if it is missing.
    """

    reserves_at_once = True
    keeps_ended_counters = False

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
        self._last_stamp = 0

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
        """Extend the row, unless it has a later stamp of the field.

        So a request that is carried out late has no effect. A call that reads a later stamp, of a clock that is ahead,
        takes one above it: it began after that extension.
        """
        token = _token()
        stamp = self._stamp(above=0)
        turn = 0
        while True:
            try:
                await self._dynamo.update(
                    row_key(table, key),
                    f"SET ext.#field = :json, #stamp = :stamp, {REMEMBERED} ADD v :one",
                    names={"#field": field, "#stamp": extension_stamp(field)},
                    values={
                        ":json": {"S": text},
                        ":stamp": {"N": str(stamp)},
                        ":one": {"N": "1"},
                        ":token": {"S": token},
                        ":none": {"S": ""},
                    },
                    condition=LATEST,
                    returns_old=True,
                    deadline=deadline,
                )
            except ConditionFailed as failed:
                later = stamp_of(failed.item, field)
                if token in tokens_of(failed.item) or later < stamp or (later == stamp and failed.repeated):
                    return  # an earlier attempt extended the row, or the row is absent
                await self._dynamo.pause(turn, _outrun(failed), deadline=deadline)
                stamp, turn = self._stamp(above=later), turn + 1
            else:
                return

    async def _put(self, table: Table, key: Key, text: str, deadline: float) -> None:
        await self._dynamo.put(new_item(table, key, text, _token()), deadline=deadline)

    async def _update(self, table: Table, key: Key, change: TextChange, deadline: float) -> Texts:
        wait_s = deadline - self._dynamo.deadline(0)
        async with self._locks.acquire((table.name, key), wait_s=wait_s, late=CallTimedOut):
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
        """Count by one update. A decrement whose answer is lost is not repeated: it could leave the counter too low."""
        bound = Bound(counter=counter, by=by, ends_at=ends_at)
        item, _ = await self._count([bound], [], deadline, repeatable=by > 0)
        return _values(item, [bound])[counter]

    async def _reserve(self, bounds: Sequence[Bound], deadline: float) -> Reserved:
        limits = [await bound.settled() for bound in bounds]
        item, counted = await self._count(bounds, _conditions(bounds, limits), deadline)
        values = _values(item, bounds)
        if counted:
            return Reserved(values=values)
        refused = [_refuses(bound, limit, values) for bound, limit in zip(bounds, limits, strict=True)]
        return Reserved(
            values=values, refused=tuple(bound.counter for bound, no in zip(bounds, refused, strict=True) if no)
        )

    async def _count(
        self, bounds: Sequence[Bound], conditions: Sequence[Condition], deadline: float, *, repeatable: bool = True
    ) -> tuple[Item, bool]:
        """Add to all counters if each condition holds. Returns the item after that, and whether it was changed.

        One update, repeated if its answer is lost: its token shows whether it was carried out. If `items.RESERVES` or
        more other updates come between the two attempts, the token is dropped, and the update may count twice.
        """
        request, token = _count_request(bounds, conditions), _token()
        request["values"][":token"] = {"S": token}
        key = counter_key(bounds[0].counter)
        try:
            item = await self._dynamo.update(key, **request, repeatable=repeatable, returns=True, deadline=deadline)
        except ConditionFailed as failed:
            item = failed.item or {}
            return item, token in reserves_of(item)
        return item, True

    async def _counters(self, prefix: str, deadline: float) -> Mapping[str, int]:
        """Read the counters that have not ended. DynamoDB deletes ended ones, but may take days."""
        values = {":pk": {"S": counter_partition(prefix)}, ":prefix": {"S": month_of(prefix)}}
        counted: Counts[str] = Counts()
        after: Item | None = None
        while True:
            items, after = await self._dynamo.query(
                "pk = :pk AND begins_with(sk, :prefix)", values, after=after, deadline=deadline
            )
            for counter in (count for item in items if not self._has_ended(item) for count in read_counters(item)):
                if counter.name.startswith(prefix):  # an earlier version kept a day's value in an item of its own
                    counted[counter.name] += counter.value
            if after is None:
                return {name: counted[name] for name in sorted(counted)}

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
        """Delete counters. A month is deleted with its days, since they share an item; a day alone leaves the item."""
        whole = [counter for counter in counters if counter == month_of(counter)]
        days = [counter for counter in counters if month_of(counter) not in whole]
        await self._dynamo.delete_all([counter_key(counter) for counter in whole], deadline=deadline)
        await in_batches(self._drop_day(counter, deadline) for counter in days)

    async def _drop_day(self, counter: str, deadline: float) -> None:
        with suppress(ConditionFailed):  # the item is absent
            await self._dynamo.update(
                counter_key(counter),
                "REMOVE #n",
                names={"#n": counter_attribute(counter)},
                condition="attribute_exists(pk)",
                deadline=deadline,
            )

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

    def _stamp(self, *, above: int) -> int:
        """Return microseconds since 1970, raised above `above` and this store's last stamp."""
        self._last_stamp = max(int(self._clock().timestamp() * 1_000_000), above + 1, self._last_stamp + 1)
        return self._last_stamp

    def _has_ended(self, counter: Item) -> bool:
        return "ttl" in counter and int(counter["ttl"]["N"]) <= self._clock().timestamp()

    async def _changed(self, table: Table, key: Key, change: TextChange, deadline: float) -> Texts:
        """Read, change and write a row. Raises ConditionFailed if another writer changed it in between."""
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


def _conditions(bounds: Sequence[Bound], limits: Sequence[int | None]) -> list[Condition]:
    """Return the conditions of a reserve: no counter passes its bound, or falls below 0."""
    conditions = list[Condition]()
    for at, (bound, limit) in enumerate(zip(bounds, limits, strict=True)):
        if bound.by < 0:
            conditions.append((f"#n{at} >= :least{at}", {f":least{at}": {"N": str(-bound.by)}}))
        elif limit is not None:
            absent = f"attribute_not_exists(#n{at}) OR " if limit >= bound.by else ""
            conditions.append((f"({absent}#n{at} <= :most{at})", {f":most{at}": {"N": str(limit - bound.by)}}))
    return conditions


def _count_request(bounds: Sequence[Bound], conditions: Sequence[Condition]) -> dict[str, Any]:
    """Return the update that adds to all counters if the conditions hold, at most once."""
    names = {f"#n{at}": counter_attribute(bound.counter) for at, bound in enumerate(bounds)}
    values: Item = {":none": {"S": ""}, **{f":by{at}": {"N": str(bound.by)} for at, bound in enumerate(bounds)}}
    for _, needed in conditions:
        values |= needed
    sets = RESERVES_REMEMBERED
    ends = [counter_ends_at(bound.counter, bound.ends_at) for bound in bounds if bound.ends_at is not None]
    if ends:
        names["#ttl"], values[":ends"] = "ttl", _epoch_s(max(ends))
        sets += ", #ttl = :ends"
    return {
        "expression": f"SET {sets} ADD {', '.join(f'#n{at} :by{at}' for at in range(len(bounds)))}",
        "names": names,
        "values": values,
        "condition": " AND ".join([NOT_RESERVED, *(condition for condition, _ in conditions)]),
    }


def _values(item: Item, bounds: Sequence[Bound]) -> dict[str, int]:
    attributes = {bound.counter: counter_attribute(bound.counter) for bound in bounds}
    return {counter: int(item[name]["N"]) if name in item else 0 for counter, name in attributes.items()}


def _refuses(bound: Bound, limit: int | None, values: Mapping[str, int]) -> bool:
    value = values[bound.counter] + bound.by
    return (bound.by < 0 and value < 0) or (limit is not None and value > limit)


def _epoch_s(at: datetime) -> Item:
    return {"N": str(ceil(at.timestamp()))}


def _token() -> str:
    return secrets.token_hex(8)


def _outrun(failed: ConditionFailed) -> DynamoError:
    """Return the error for a change that other writers outran until the time ended."""
    error = CallTimedOut("other writers changed the row before each attempt")
    error.__cause__ = failed
    return error
