"""Capacity units of operations on DynamoDB, as the engine itself counts them, at 10 memos and at many.

A read unit is a strongly consistent read of up to 4 KB, a write unit a write of up to 1 KB. All memos are one owner's,
spread over two years, each with its log.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

import httpx

from shared.core.clock import to_the_millisecond, utc_now
from shared.core.ids import Ids
from shared.core.settings import Settings
from shared.services import Services
from shared.stores.dynamo.client import AT_ONCE, Dynamo
from shared.stores.dynamo.items import new_item
from shared.stores.dynamo.store import DynamoStore
from shared.stores.port import Document, Key, Table, serialised
from shared.tables import TABLES
from tests.engines.had import ENGINES, Engine, NotHad
from tests.fakes.dynamo_world import client_of
from tests.live.crowd import api_on, keep_memo, open_account
from tests.live.people import MEMO, PASSWORD
from tests.support import Intercepted

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

FEW: Final = 10
MANY: Final = 100_000
DAYS: Final = 730
RUNS: Final = 7
BATCH: Final = 25
"""Items in a batch of DynamoDB, which takes no more."""

READS: Final = ("get_item", "query", "scan")
WRITES: Final = ("put_item", "update_item", "delete_item")

ENGINE: Final = ENGINES[0]


@dataclass(frozen=True, kw_only=True)
class Cost:
    calls: int
    read: float
    written: float

    def __str__(self) -> str:
        return f"{self.calls} calls: {self.read:g} read, {self.written:g} written"


class Metered:
    """A client of DynamoDB that adds up the capacity of each call, as the engine reports it."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self._client = client
        self._consumed: list[tuple[str, float]] = []

    def close(self) -> None:
        self._client.close()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        call = getattr(self._client, operation)
        if operation not in READS + WRITES:
            return cast("Callable[..., Any]", call)

        def metered(**params: Any) -> Any:
            answer = call(**params, ReturnConsumedCapacity="TOTAL")
            self._consumed.append((operation, answer["ConsumedCapacity"]["CapacityUnits"]))
            return answer

        return metered

    async def measure(self, work: Awaitable[object]) -> Cost:
        self._consumed.clear()
        await work
        return Cost(
            calls=len(self._consumed),
            read=sum(units for operation, units in self._consumed if operation in READS),
            written=sum(units for operation, units in self._consumed if operation in WRITES),
        )


class Filling(Intercepted):
    """A store that adds rows by batches, and ignores counts."""

    def __init__(self, store: DynamoStore, client: "DynamoDBClient", table: str) -> None:
        super().__init__(store)
        self._client = client
        self._table = table
        self._waiting: list[dict[str, Any]] = []

    async def add(self, table: Table, key: Key, document: Document) -> None:
        self._waiting.append(new_item(table, key, serialised(document), "filled"))
        if len(self._waiting) >= BATCH * AT_ONCE:
            await self.flush()

    async def increment(self, counter: str, by: int = 1, **_: object) -> int:  # noqa: ARG002
        return by

    async def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        batches = [waiting[at : at + BATCH] for at in range(0, len(waiting), BATCH)]
        await asyncio.gather(*(asyncio.to_thread(self._write, batch) for batch in batches))

    def _write(self, batch: list[dict[str, Any]]) -> None:
        requests: Any = {self._table: [{"PutRequest": {"Item": item}} for item in batch]}
        while requests:
            requests = self._client.batch_write_item(RequestItems=requests)["UnprocessedItems"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A table with one owner's memos."""

    secret: str = field(repr=False)
    services: Services
    api: httpx.AsyncClient
    client: Metered
    turn: "count[int]" = field(default_factory=count)

    async def check_key(self) -> None:
        await self.services.api_keys.authenticate(self.secret)

    async def make_memo(self) -> None:
        answer = await self.api.post("/api/v1/memo", json=MEMO, headers=self._headers)
        assert answer.status_code == 201, answer.text

    async def sign_up(self) -> None:
        account = {"email": f"new.{next(self.turn)}@example.org", "password": PASSWORD}
        answer = await self.api.post("/api/v1/auth/signup", json=account)
        assert answer.status_code == 201, answer.text
        self.api.cookies.clear()

    def reading(self, path: str) -> Callable[[], Awaitable[None]]:
        async def read() -> None:
            answer = await self.api.get(path, headers=self._headers)
            assert answer.status_code == 200, answer.text

        return read

    async def sum_up(self) -> None:
        """Request the first figures, which sum the past in steps; each request may end in a 503."""
        path, status = "/api/v1/analytics/charts?days=30", 503
        while status == 503:
            status = (await self.api.get(path, headers=self._headers)).status_code
        assert status == 200

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}


def operations(side: Side) -> dict[str, Callable[[], Awaitable[None]]]:
    return {
        "is this API key good": side.check_key,
        "make a memo": side.make_memo,
        "page of 10 memos": side.reading("/api/v1/memos?limit=10"),
        "page of 20 memos": side.reading("/api/v1/memos?limit=20"),
        "page of 10 usage logs": side.reading("/api/v1/usage?limit=10"),
        "usage page: charts of 30 days": side.reading("/api/v1/analytics/charts?days=30"),
        "usage page: what is left": side.reading("/api/v1/usage/limits"),
        "sign-up": side.sign_up,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.dynamo", description=__doc__)
    parser.add_argument("--memos", type=int, default=MANY, help="of the owner who has many (default: %(default)s)")
    parser.add_argument(
        "--engine", default=ENGINE.name, choices=[each.name for each in ENGINES], help="default: %(default)s"
    )
    options = parser.parse_args()
    engine = next(each for each in ENGINES if each.name == options.engine)
    try:
        asyncio.run(_measure(engine, options.memos))
    except NotHad as exc:
        print(f"{engine.name} cannot be had: {exc}", file=sys.stderr)
        return 1
    return 0


async def _measure(engine: Engine, memos: int) -> None:
    with engine.process() as process:
        await process.start()
        async with _side(process.url, FEW) as few, _side(process.url, memos) as many:
            print(f"| operation | at {FEW} memos | at {memos:,} memos |\n|---|---|---|")
            for name, operation in operations(few).items():
                told = [
                    str(await _typical(side.client, each))
                    for side, each in ((few, operation), (many, operations(many)[name]))
                ]
                print(f"| {name} | {' | '.join(told)} |", flush=True)


async def _typical(client: Metered, operation: Callable[[], Awaitable[None]]) -> Cost:
    """Return the minimum of several runs: some memos also write the minute of their key's last use."""
    costs = [await client.measure(operation()) for _ in range(RUNS)]
    return min(costs, key=lambda cost: (cost.calls, cost.read, cost.written))


@asynccontextmanager
async def _side(url: str, memos: int) -> AsyncIterator[Side]:
    client = client_of(url)
    metered = Metered(client)
    table = f"agent-talk-{memos}"
    dynamo = Dynamo(lambda: cast("DynamoDBClient", metered), table=table)
    store = DynamoStore(dynamo, creates_table=True)
    await store.verify(TABLES)
    secret = await _filled(Filling(store, client, table), memos)
    async with api_on(store) as api:
        side = Side(secret=secret, services=Services.on(store, Settings()), api=api, client=metered)
        await side.sum_up()
        yield side
    await dynamo.aclose()


async def _filled(store: Filling, memos: int) -> str:
    began, now, ids = time.monotonic(), utc_now(), Ids()
    _, (key, *_) = await open_account(store, 0, keys=1, at=now - timedelta(days=DAYS))
    step = timedelta(days=DAYS) / memos
    for number in range(memos):
        at = to_the_millisecond(now - step * (memos - number))
        await keep_memo(store, ids.mint(at), key, at)
    await store.flush()
    print(f"{memos:,} memos were written in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return key.secret


if __name__ == "__main__":
    sys.exit(main())
