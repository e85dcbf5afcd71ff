"""The store on HYPR Micro: a document server without atomic create or compare-and-set, which charges by the request.

Facts are one request each, and nothing about them is ever rewritten. Rows that change go by ballots (`ballots`).
Where a row lies and how its documents fold: `micro_rows`. Why all of it is sound:
docs/decisions/0002-hypr-micro-rows.md.

A write without an answer is never sent again, since the server may carry it out much later. It is settled by reading
where a read can tell, and else raises StoreUnavailable.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from math import inf
from typing import Any, Final

from shared import micro, micro_errors
from shared.core.clock import Clock, utc_now
from shared.core.concurrency import gather_settled
from shared.core.request import time_to_undo
from shared.micro_errors import MicroError, Outcome
from shared.stores.best_effort import best_effort
from shared.stores.micro.ballots import Ballots, remove
from shared.stores.micro.failures import translated
from shared.stores.micro.layout import (
    Address,
    RowState,
    Stamps,
    Version,
    bounds,
    named_counter,
    pile,
    read_row_state,
)
from shared.stores.micro.ranges import read_rows
from shared.stores.port import (
    AlreadyExists,
    Bound,
    Change,
    Counter,
    Document,
    InvalidKey,
    Key,
    Kind,
    Page,
    Reserved,
    Row,
    Table,
    check_bounds,
    check_counter,
    check_field,
    check_page,
    check_step,
    is_key_part,
    serialised,
)

COUNTERS_READ: Final = 1000


class MicroStore:
    """Keeps the promises of the port on one HYPR Micro server, among any number of containers.

    Every verb ends within `timeout_s`, and within what `time_left_s` tells of the request it serves. `node` names this
    store among all that write to the server. Tests give their own clock and sleep, so that nothing waits.
    """

    reserves_at_once = False

    def __init__(
        self,
        client: micro.MicroClient,
        *,
        timeout_s: float = 8.0,
        time_left_s: Callable[[], float] = lambda: inf,
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        node: str | None = None,
        ballots: type[Ballots] = Ballots,
    ) -> None:
        node = node or secrets.token_hex(8)
        self._client = client
        self._timeout_s = timeout_s
        self._time_left_s = time_left_s
        self._stamps = Stamps(clock=clock, node=node)
        self._ballots = ballots(client, stamps=self._stamps, sleep=sleep, seed=sum(node.encode()))

    async def get(self, table: Table, key: Key) -> Document | None:
        row, deadline = Address.of(table, key), self._deadline()
        with translated():
            if table.kind is Kind.REGISTERS:
                register = await self._client.get(row.database, row.register, deadline=deadline)
                found = [] if register is None else [micro.StoredDocument(key=row.register, value=register)]
                return pile(found).row()
            read = await self._ballots.read(row, deadline=deadline)
            if self._ballots.is_orphaned(read):
                return await self._finished(row, read, deadline=deadline)
            return read.row()

    async def add(self, table: Table, key: Key, document: Document) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        row, deadline = Address.of(table, key), self._deadline()
        added = Version(ballot=0, final=True, text=serialised(document), at=self._stamps.next())
        with translated():
            await self._write_once(row, row.version(0), added.value(), deadline=deadline)
        self._ballots.forget(row)

    async def take_back(self, table: Table, key: Key) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        row = Address.of(table, key)
        self._ballots.forget(row)
        with translated(), suppress(micro_errors.DocumentNotFound):
            await self._client.delete(row.database, row.version(0), deadline=self._deadline())

    async def extend(self, table: Table, key: Key, field: str, value: Any) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        check_field(field)
        row, deadline = Address.of(table, key), self._deadline()
        content = {"field": field, "json": serialised(value)}
        recent = self._ballots.recent(row) or RowState()
        older = [each.stamp for each in recent.extensions if each.name == field]
        stamp = self._stamps.next(above=max(older, default=""))
        try:
            with translated():
                await self._write_once(row, row.extension(stamp), content, deadline=deadline)
        finally:
            self._ballots.forget(row)
        await remove(self._client, row.database, [row.extension(each) for each in older], deadline=deadline)

    async def put(self, table: Table, key: Key, document: Document) -> None:
        table.check(Kind.REGISTERS)
        row, deadline = Address.of(table, key), self._deadline()
        content = {"doc": serialised(document), "at": self._stamps.next()}
        with translated():
            try:
                try:
                    await self._client.replace(row.database, row.register, content, deadline=deadline)
                except micro_errors.DocumentNotFound:
                    await self._put_first(row, content, deadline=deadline)
            except MicroError as error:
                await self._settle(error, row.database, row.register, content, deadline=deadline)

    async def claim(self, table: Table, key: Key, document: Document) -> None:
        serialised(document)

        def absent(there: Document | None) -> Document:
            if there is not None:
                raise AlreadyExists(f"{table.name} {key}")
            return document

        await self.update(table, key, absent)

    async def update(self, table: Table, key: Key, change: Change) -> Document | None:
        table.check(Kind.CHANGING)
        with translated():
            return await self._ballots.update(Address.of(table, key), change, deadline=self._deadline())

    async def delete(self, table: Table, key: Key) -> None:
        if table.kind is Kind.CHANGING:
            await self.update(table, key, lambda _: None)
            return
        row, deadline = Address.of(table, key), self._deadline()
        document = row.register if table.kind is Kind.REGISTERS else row.version(0)
        seen = self._ballots.recent(row)
        self._ballots.forget(row)
        with translated():
            try:
                await self._client.delete(row.database, document, deadline=deadline)
                certain = True
            except micro_errors.DocumentNotFound:
                certain = False
            except MicroError as error:
                if error.outcome is not Outcome.UNKNOWN:
                    raise
                if await self._client.get(row.database, document, deadline=deadline) is not None:
                    raise
                certain = False
            if table.kind is Kind.FACTS:
                await self._forget_fact(row, seen, certain=certain, deadline=deadline)

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
        low, high = bounds(table, partition, *(between or ("", "\x7f")))
        if after is not None:
            passed = Address.of(table, Key(partition, after))
            low, high = (low, min(high, passed.low)) if newest_first else (max(low, passed.high), high)
        rows, more = await self._rows(table, low, high, limit=limit, newest_first=newest_first)
        return Page(rows=rows, after=rows[-1].key.sort if more else None)

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:  # noqa: ARG002
        """Counters that have ended stay: the server has no expiry that cannot harm one in use, and to delete them
        costs a request each."""
        check_counter(counter)
        check_step(by)
        with translated():
            return await self._client.increment(named_counter(counter), by, deadline=self._deadline())

    async def reserve(self, bounds: Sequence[Bound]) -> Reserved:
        """Count and judge the counters one after the other, and give all back at the first that passes its bound.

        Taken in this order they are exact: a later counter never counts what an earlier one refuses. The server can
        tell no repeated request from a new one: a network that delivers a giving back twice leaves the counter too low.
        """
        check_bounds(bounds)
        values: dict[str, int] = {}
        counted: list[Bound] = []
        try:
            for bound in bounds:
                most, _ = await gather_settled(bound.settled(), self._count(bound, values, counted))
                if most is not None and values[bound.counter] > most:
                    await self._uncount(counted, values)
                    return Reserved(values=values, refused=(bound.counter,))
        except BaseException:
            await self._uncount(counted, values)
            raise
        return Reserved(values=values)

    async def counters(self, prefix: str) -> Mapping[str, int]:
        check_counter(prefix)
        found: dict[str, int] = {}
        start, end, deadline = named_counter(prefix), named_counter(prefix) + "\x7f", self._deadline()
        while True:
            with translated():
                read = await self._client.counters(start=start, end=end, limit=COUNTERS_READ, deadline=deadline)
            found |= {counter.name.removeprefix(named_counter("")): counter.value for counter in read}
            if len(read) < COUNTERS_READ:
                return found
            start = read[-1].name + "\0"

    async def scan(self, table: Table, *, after: str | None = None, limit: int = 1000) -> Page[Row]:
        low, high = f"{table.name}!", f'{table.name}"'
        if after is not None:
            low = max(low, Address.of(table, _opened(after)).high)
        rows, more = await self._rows(table, low, high, limit=limit)
        return Page(rows=rows, after=f"{rows[-1].key.partition}!{rows[-1].key.sort}" if more else None)

    async def scan_counters(self, *, after: str | None = None, limit: int = 1000) -> Page[Counter]:
        begin = named_counter("")
        start, end = begin if after is None else named_counter(after) + "\0", begin + "\x7f"
        with translated():
            read = await self._client.counters(start=start, end=end, limit=limit, deadline=self._deadline())
        found = [Counter(name=each.name.removeprefix(begin), value=each.value) for each in read]
        return Page(rows=found, after=found[-1].name if len(found) == limit else None)

    async def verify(self, tables: Sequence[Table]) -> None:
        deadline = self._deadline()
        with translated():
            there = await self._client.databases(deadline=deadline)
            for name in sorted({table.database for table in tables}.difference(there)):
                try:
                    await self._client.create_database(name, deadline=deadline)
                except micro_errors.DatabaseExists:
                    continue  # another container was faster
                except MicroError as error:
                    if error.outcome is not Outcome.UNKNOWN:
                        raise
                    if name not in await self._client.databases(deadline=deadline):
                        raise

    async def _count(self, bound: Bound, values: dict[str, int], counted: list[Bound]) -> None:
        values[bound.counter] = await self.increment(bound.counter, bound.by)
        counted.append(bound)

    async def _uncount(self, counted: list[Bound], values: dict[str, int]) -> None:
        """Never raises: what cannot be given back stays counted, and is logged."""

        async def uncount(bound: Bound) -> None:
            with best_effort("a count could not be given back", counter=bound.counter):
                values[bound.counter] = await self.increment(bound.counter, -bound.by)

        taken, counted[:] = counted[:], []
        with time_to_undo():
            await gather_settled(*(uncount(bound) for bound in taken))

    async def _finished(self, row: Address, read: RowState, *, deadline: float) -> Document | None:
        """The row when what its last writer left open is settled. If that fails, what counts already still does."""
        try:
            return await self._ballots.update(row, lambda document: document, deadline=deadline)
        except MicroError:
            return read.row()

    async def _write_once(self, row: Address, key: str, content: micro.Json, *, deadline: float) -> None:
        try:
            await self._client.create(row.database, key, content, deadline=deadline)
        except MicroError as error:
            await self._settle(error, row.database, key, content, deadline=deadline)

    async def _settle(
        self, error: MicroError, database: str, key: str, content: micro.Json, *, deadline: float
    ) -> None:
        """Raises the error unless its request turns out to have been carried out."""
        if error.outcome is not Outcome.UNKNOWN:
            raise error
        try:
            there = await self._client.get(database, key, deadline=deadline)
        except MicroError:
            raise error from None
        if there != content:
            raise error

    async def _put_first(self, row: Address, content: micro.Json, *, deadline: float) -> None:
        try:
            await self._client.create(row.database, row.register, content, deadline=deadline)
        except micro_errors.DocumentExists:
            await self._client.replace(row.database, row.register, content, deadline=deadline)

    async def _forget_fact(self, row: Address, seen: RowState | None, *, certain: bool, deadline: float) -> None:
        """What lies beside a fact goes after it: what was revoked is never for a moment valid again.

        A fact that was not there may still be on its way. An end is written that hides it, should it arrive.
        """
        if seen is None or not certain:
            seen = await read_row_state(self._client, row, deadline=deadline)
        over = [row.extension(each.stamp) for each in seen.extensions]
        if not certain:
            await self._write_once(row, row.end(self._stamps.next()), {}, deadline=deadline)
            over += [row.end(each) for each in seen.ends]
        await remove(self._client, row.database, over, deadline=deadline)

    async def _rows(
        self, table: Table, low: str, high: str, *, limit: int, newest_first: bool = False
    ) -> tuple[list[Row], bool]:
        with translated():
            return await read_rows(
                self._client, table, low, high, limit=limit, newest_first=newest_first, deadline=self._deadline()
            )

    def _deadline(self) -> float:
        return self._client.deadline(min(self._timeout_s, self._time_left_s()))


def _opened(after: str) -> Key:
    """Where a scan stood. Raises InvalidKey."""
    partition, _, sort = after.partition("!")
    if not is_key_part(partition):
        raise InvalidKey(f"not a cursor: {after!r}")
    return Key(partition, sort)
