"""Store rows on HYPR Micro: a document server without atomic create or compare-and-set, where requests cost money.

A fact is one request, and is never rewritten. Rows that change use ballots (`ballots`). The keys of a row's documents,
and how they fold into a row: `layout`. Why all of it is sound: docs/decisions/0002-hypr-micro-rows.md.

A write without an answer is never sent again, since the server may carry it out much later. If a read can show whether
it was carried out, the verb reads; else it raises StoreUnavailable.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from math import inf
from typing import Final

from shared import micro, micro_errors
from shared.core.clock import Clock, utc_now
from shared.core.concurrency import AT_ONCE, gather_settled, in_batches
from shared.core.request import time_to_undo
from shared.micro_errors import MicroError, Outcome
from shared.stores.best_effort import best_effort
from shared.stores.checked import ABOVE, CheckedStore, Place, TextChange, Texts
from shared.stores.micro.ballots import Ballots, remove
from shared.stores.micro.failures import meaning
from shared.stores.micro.layout import (
    ROW_READ,
    Address,
    HybridClock,
    RowState,
    Version,
    bounds,
    by_row,
    named_counter,
    read_row_state,
)
from shared.stores.micro.ranges import read_rows
from shared.stores.port import AlreadyExists, Bound, Counter, Document, Key, Kind, Reserved, Row, Table, parsed

COUNTERS_READ: Final = 1000
"""Counters requested at once. An owner has fewer, so one request reads them all."""


class MicroStore(CheckedStore):
    """Keeps the promises of the port on one HYPR Micro server, among any number of containers.

    `node` identifies this store among all that write to the server: 16 hexadecimal digits; None: random ones. Tests
    inject clock and sleep.
    """

    reserves_at_once = False
    keeps_ended_counters = True

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
        super().__init__(timeout_s=timeout_s, time_left_s=time_left_s, deadline=client.deadline, meaning=meaning)
        node = node or secrets.token_hex(8)
        self._client = client
        self._clock = HybridClock(clock=clock, node=node)
        self._ballots = ballots(client, clock=self._clock, sleep=sleep, seed=sum(node.encode()))

    async def _get(self, table: Table, key: Key, deadline: float) -> Document | None:
        row = Address.of(table, key)
        if table.kind is Kind.REGISTERS:
            register = await self._client.get(row.database, row.register, deadline=deadline)
            return None if register is None else parsed(register["doc"])
        state = await self._ballots.read(row, deadline=deadline)
        if self._ballots.is_orphaned(state):
            with suppress(MicroError):  # if the draft cannot be finished, the decided version counts
                _, text = await self._ballots.update(row, lambda text: text, deadline=deadline)
                return None if text is None else parsed(text)
        return state.row()

    async def _add(self, table: Table, key: Key, text: str, deadline: float) -> None:
        row = Address.of(table, key)
        added = Version(ballot=0, final=True, text=text, at=self._clock.stamp())
        await self._write_once(row, row.version(0), added.value(), deadline)
        self._ballots.forget(row)

    async def _take_back(self, table: Table, key: Key, deadline: float) -> None:
        row = Address.of(table, key)
        self._ballots.forget(row)
        with suppress(micro_errors.DocumentNotFound):
            await self._client.delete(row.database, row.version(0), deadline=deadline)

    async def _extend(self, table: Table, key: Key, field: str, text: str, deadline: float) -> None:
        row = Address.of(table, key)
        # Another node's clock may be ahead: only a stamp above the existing ones makes this one the later extension.
        state = self._ballots.recent(row) or await self._ballots.read(row, deadline=deadline)
        older = [extension.stamp for extension in state.extensions if extension.name == field]
        stamp = self._clock.stamp(above=max(older, default=""))
        try:
            await self._write_once(row, row.extension(stamp), {"field": field, "json": text}, deadline)
        finally:
            self._ballots.forget(row)
        await remove(self._client, row.database, [row.extension(old) for old in older], deadline=deadline)

    async def _put(self, table: Table, key: Key, text: str, deadline: float) -> None:
        row = Address.of(table, key)
        content = {"doc": text, "at": self._clock.stamp()}
        try:
            try:
                await self._client.replace(row.database, row.register, content, deadline=deadline)
            except micro_errors.DocumentNotFound:
                await self._put_first(row, content, deadline)
        except MicroError as error:
            await self._settle(error, row.database, row.register, content, deadline)

    async def _claim(self, table: Table, key: Key, text: str, deadline: float) -> None:
        def absent(before: str | None) -> str:
            if before is not None:
                raise AlreadyExists(f"{table.name} {key}")
            return text

        await self._update(table, key, absent, deadline)

    async def _update(self, table: Table, key: Key, change: TextChange, deadline: float) -> Texts:
        return await self._ballots.update(Address.of(table, key), change, deadline=deadline)

    async def _delete(self, table: Table, key: Key, deadline: float) -> None:
        row = Address.of(table, key)
        document = row.register if table.kind is Kind.REGISTERS else row.version(0)
        recent = self._ballots.recent(row)
        self._ballots.forget(row)
        certain = await self._delete_document(row.database, document, deadline)
        if table.kind is Kind.FACTS:
            await self._forget_fact(row, recent, certain=certain, deadline=deadline)

    async def _page(
        self, table: Table, partition: str, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
    ) -> tuple[list[Row], bool]:
        first, last = bounds(table, partition, low, high)
        return await read_rows(
            self._client, table, first, last, limit=limit, newest_first=newest_first, deadline=deadline
        )

    async def _increment(self, counter: str, by: int, ends_at: datetime | None, deadline: float) -> int:
        """Count without `ends_at`: the server's own expiry can delete a counter in use."""
        return await self._client.increment(named_counter(counter), by, deadline=deadline)

    async def _reserve(self, bounds: Sequence[Bound], deadline: float) -> Reserved:
        """Count and judge the counters one by one; give all back if one passes its bound.

        In this order they are exact: a later counter never counts a place that an earlier one refuses. The server
        cannot distinguish a repeated request from a new one: a network that delivers a giving back twice leaves the
        counter too low.
        """
        values: dict[str, int] = {}
        counted: list[Bound] = []

        async def count(bound: Bound) -> None:
            values[bound.counter] = await self._increment(bound.counter, bound.by, bound.ends_at, deadline)
            counted.append(bound)

        try:
            for bound in bounds:
                most, _ = await gather_settled(bound.settled(), count(bound))
                if most is not None and values[bound.counter] > most:
                    await self._uncount(counted, values)
                    return Reserved(values=values, refused=(bound.counter,))
        except BaseException:
            await self._uncount(counted, values)
            raise
        return Reserved(values=values)

    async def _counters(self, prefix: str, deadline: float) -> Mapping[str, int]:
        values: dict[str, int] = {}
        start, end = named_counter(prefix), named_counter(prefix) + ABOVE
        while True:
            read = await self._client.counters(start=start, end=end, limit=COUNTERS_READ, deadline=deadline)
            values |= {counter.name.removeprefix(named_counter("")): counter.value for counter in read}
            if len(read) < COUNTERS_READ:
                return values
            start = read[-1].name + "\0"

    async def _erase(self, table: Table, partition: str, deadline: float) -> bool:
        low, high = bounds(table, partition, "", ABOVE)
        enough = self._half_way(deadline)
        while True:
            documents = await self._client.keys(table.database, start=low, end=high, limit=ROW_READ, deadline=deadline)
            rows = list(by_row(documents, key=str))
            if len(documents) == ROW_READ and len(rows) > 1:
                rows.pop()  # it may be cut, and an arbitrary part of its documents must not be deleted first
            while rows:
                if self._at(0) >= enough:
                    return False
                some, rows = rows[:AT_ONCE], rows[AT_ONCE:]
                await gather_settled(*(self._erase_row(Address.of(table, key), items, deadline) for key, items in some))
            if len(documents) < ROW_READ:
                return True

    async def _drop(self, counters: Sequence[str], deadline: float) -> None:
        await in_batches(self._client.delete_counter(named_counter(counter), deadline=deadline) for counter in counters)

    async def _scan(
        self, table: Table, after: Place | None, limit: int, deadline: float
    ) -> tuple[list[Row], Place | None]:
        low, high = f"{table.name}!", f'{table.name}"'
        if after is not None:
            low = Address.of(table, Key(*after)).high
        rows, more = await read_rows(self._client, table, low, high, limit=limit, newest_first=False, deadline=deadline)
        return rows, (rows[-1].key.partition, rows[-1].key.sort) if more else None

    async def _scan_counters(
        self, after: Place | None, limit: int, deadline: float
    ) -> tuple[list[Counter], Place | None]:
        begin = named_counter("")
        start = begin if after is None else named_counter(after[0]) + "\0"
        read = await self._client.counters(start=start, end=begin + ABOVE, limit=limit, deadline=deadline)
        counters = [Counter(name=counter.name.removeprefix(begin), value=counter.value) for counter in read]
        return counters, (counters[-1].name, "") if len(counters) == limit else None

    async def _verify(self, tables: Sequence[Table], deadline: float) -> None:
        there = await self._client.databases(deadline=deadline)
        for name in sorted({table.database for table in tables}.difference(there)):
            try:
                await self._client.create_database(name, deadline=deadline)
            except micro_errors.DatabaseExists:
                continue  # another container created it first
            except MicroError as error:
                if error.outcome is not Outcome.UNKNOWN:
                    raise
                if name not in await self._client.databases(deadline=deadline):
                    raise

    async def _uncount(self, counted: list[Bound], values: dict[str, int]) -> None:
        """Give back counted places. Never raises: a place that cannot be given back stays counted, and is logged."""

        async def uncount(bound: Bound) -> None:
            with best_effort("a place could not be given back: its counter stays too high", counter=bound.counter):
                values[bound.counter] = await self.increment(bound.counter, -bound.by)

        taken, counted[:] = counted[:], []
        with time_to_undo():
            await gather_settled(*(uncount(bound) for bound in taken))

    async def _erase_row(self, row: Address, documents: Sequence[str], deadline: float) -> None:
        """Delete a row's versions, oldest first, then the rest. No older version or revoked fact reappears."""
        self._ballots.forget(row)
        versions = [document for document in documents if row.is_version(document)]

        async def delete(document: str) -> None:
            with suppress(micro_errors.DocumentNotFound):
                await self._client.delete(row.database, document, deadline=deadline)

        for version in versions:
            await delete(version)
        await in_batches(delete(document) for document in documents if document not in versions)

    async def _write_once(self, row: Address, key: str, content: micro.Json, deadline: float) -> None:
        try:
            await self._client.create(row.database, key, content, deadline=deadline)
        except MicroError as error:
            await self._settle(error, row.database, key, content, deadline)

    async def _settle(self, error: MicroError, database: str, key: str, content: micro.Json, deadline: float) -> None:
        """Raise the error unless a read shows that its request was carried out.

        A network may deliver a request twice and return the second answer: DocumentExists, since the first was stored.
        """
        if error.outcome is not Outcome.UNKNOWN and not isinstance(error, micro_errors.DocumentExists):
            raise error
        try:
            there = await self._client.get(database, key, deadline=deadline)
        except MicroError:
            raise error from None
        if there != content:
            raise error

    async def _put_first(self, row: Address, content: micro.Json, deadline: float) -> None:
        try:
            await self._client.create(row.database, row.register, content, deadline=deadline)
        except micro_errors.DocumentExists:
            await self._client.replace(row.database, row.register, content, deadline=deadline)

    async def _delete_document(self, database: str, document: str, deadline: float) -> bool:
        """Delete a document. Returns whether it certainly existed, so that its write cannot arrive later."""
        try:
            await self._client.delete(database, document, deadline=deadline)
        except micro_errors.DocumentNotFound:
            return False
        except MicroError as error:
            if error.outcome is not Outcome.UNKNOWN:
                raise
            if await self._client.get(database, document, deadline=deadline) is not None:
                raise
            return False
        return True

    async def _forget_fact(self, row: Address, seen: RowState | None, *, certain: bool, deadline: float) -> None:
        """Delete the extensions of a deleted fact. A revoked key must at no time be valid again.

        The write of a fact that was absent may still arrive: an end is written, which hides the fact then.
        """
        if seen is None or not certain:
            seen = await read_row_state(self._client, row, deadline=deadline)
        obsolete = [row.extension(extension.stamp) for extension in seen.extensions]
        if not certain:
            await self._write_once(row, row.end(self._clock.stamp()), {}, deadline)
            obsolete += [row.end(end) for end in seen.ends]
        await remove(self._client, row.database, obsolete, deadline=deadline)
