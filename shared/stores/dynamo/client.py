"""Talk to DynamoDB: one table's items, over one funnel.

boto3 blocks, so each call runs on one of a few threads. Its own retries are off: the funnel knows which calls may be
sent again, and until when. How a call can fail: `failures`. No connection is opened before the first call, since
containers that are copies of one snapshot would share it.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from shared.core.checked_clock import CheckedClock
from shared.core.concurrency import in_batches
from shared.observability import request_stats
from shared.stores.dynamo.failures import BUSY, CallOutcome, CallTimedOut, ConditionFailed, DynamoError, failure

if TYPE_CHECKING:  # stubs, which only a developer has
    from types_boto3_dynamodb import DynamoDBClient

AT_ONCE: Final = 8
"""Calls at the same time, each with a thread and a connection. More would cost memory; a request makes few at once."""

CONNECT_S: Final = 2.0
"""Seconds for opening a connection."""

READ_S: Final = 4.0
"""Seconds between two pieces of an answer, after which the call is sent again where it may be."""

IDLE_S: Final = 5.0
"""Seconds, by the wall clock, after which idle connections are closed: a frozen container's may be dead."""

WAIT_S: Final = 0.05, 0.8
"""Seconds that the first and the longest wait before a repeat take at most. Each wait is a random part of a span that
doubles, so that throttled containers do not come back together."""

BATCH: Final = 25
"""Items that DynamoDB takes in one batch at most."""

Item = dict[str, Any]
"""Attributes in DynamoDB's own notation: `{"n": {"N": "1"}}`."""

Jitter = Callable[[], float]
"""Returns a number from 0 to 1."""

_log = logging.getLogger("agent_talk.dynamo")


def open_client() -> "DynamoDBClient":
    """Open a client with the region, credentials and endpoint that boto3 finds in the environment."""
    return boto3.session.Session().client("dynamodb", config=config())


def config() -> Config:
    """Return the SDK's settings. Its checks of parameters are off: they take a third of a call's time, and DynamoDB
    checks as well."""
    return Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=AT_ONCE,
        retries={"total_max_attempts": 1},
        parameter_validation=False,
    )


class Dynamo:
    """One table. Every call ends by `deadline`, a time of the injected monotonic clock.

    Within it a call is sent again, after a wait, if it was refused for lack of capacity, or if its outcome is unknown
    and carrying it out twice is harmless. Raises DynamoError. Logs contain keys, so a key contains no secret.
    """

    def __init__(
        self,
        open_client: Callable[[], "DynamoDBClient"],
        *,
        table: str,
        at_once: int = AT_ONCE,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Jitter = SystemRandom().random,
        checked_clock: CheckedClock | None = None,
    ) -> None:
        self._connected = _Connected(open_client, wall, checked_clock)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="dynamo")
        self._table = table
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter

    def deadline(self, budget_s: float) -> float:
        """Return the time `budget_s` seconds from now."""
        return self._monotonic() + budget_s

    async def aclose(self) -> None:
        """Close the connections. Calls that have been sent end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._connected.close()

    async def get(self, key: Item, *, deadline: float) -> Item | None:
        """Return the item as of the last acknowledged write; None: absent."""
        answer = await self._request("get_item", deadline, Key=key, ConsistentRead=True)
        return answer.get("Item")

    async def put(
        self, item: Item, *, deadline: float, condition: str | None = None, values: Item | None = None
    ) -> None:
        """Raises ConditionFailed, with the item as it is, if the condition does not hold."""
        await self._request("put_item", deadline, Item=item, **_only_if(condition, values))

    async def delete(
        self, key: Item, *, deadline: float, condition: str | None = None, values: Item | None = None
    ) -> None:
        """Raises ConditionFailed, with the item as it is, if the condition does not hold."""
        await self._request("delete_item", deadline, Key=key, **_only_if(condition, values))

    async def delete_all(self, keys: Sequence[Item], *, deadline: float) -> None:
        """Delete items, BATCH by a request, whether they are there or not."""
        await in_batches(
            self._delete_batch(keys[start : start + BATCH], deadline) for start in range(0, len(keys), BATCH)
        )

    async def update(
        self,
        key: Item,
        expression: str,
        *,
        deadline: float,
        values: Item | None = None,
        names: dict[str, str] | None = None,
        condition: str | None = None,
        repeatable: bool = True,
        returns: bool = False,
        returns_old: bool = False,
    ) -> Item:
        """Return the item as it is now, if `returns`.

        Raises ConditionFailed, with the item as it is if `returns` or `returns_old`.
        """
        answer = await self._request(
            "update_item",
            deadline,
            repeatable=repeatable,
            Key=key,
            UpdateExpression=expression,
            ReturnValues="ALL_NEW" if returns else "NONE",
            **({"ExpressionAttributeValues": values} if values else {}),
            **({"ExpressionAttributeNames": names} if names else {}),
            **({"ConditionExpression": condition} if condition else {}),
            **({"ReturnValuesOnConditionCheckFailure": "ALL_OLD"} if condition and (returns or returns_old) else {}),
        )
        attributes: Item = answer.get("Attributes", {})
        return attributes

    async def query(
        self,
        condition: str,
        values: Item,
        *,
        deadline: float,
        limit: int | None = None,
        after: Item | None = None,
        newest_first: bool = False,
        keys_only: bool = False,
    ) -> tuple[list[Item], Item | None]:
        """Return items of one partition in order, and the key after which there may be more; None: there are none.

        With `keys_only` an item is its `pk` and `sk`.
        """
        return _items(
            await self._request(
                "query",
                deadline,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ConsistentRead=True,
                ScanIndexForward=not newest_first,
                **_part(limit, after, keys_only=keys_only),
            )
        )

    async def scan(
        self, condition: str, values: Item, *, deadline: float, limit: int, after: Item | None
    ) -> tuple[list[Item], Item | None]:
        """Return those of the table's next `limit` items that meet the condition, and the key to go on after."""
        return _items(
            await self._request(
                "scan",
                deadline,
                FilterExpression=condition,
                ExpressionAttributeValues=values,
                ConsistentRead=True,
                **_part(limit, after),
            )
        )

    async def describe(self, *, deadline: float) -> Item:
        answer = await self._request("describe_table", deadline)
        description: Item = answer.get("Table", {})
        return description

    async def describe_ttl(self, *, deadline: float) -> Item:
        answer = await self._request("describe_time_to_live", deadline)
        description: Item = answer.get("TimeToLiveDescription", {})
        return description

    async def create(self, *, deadline: float, **schema: Any) -> None:
        await self._request("create_table", deadline, BillingMode="PAY_PER_REQUEST", **schema)

    async def expire_by(self, attribute: str, *, deadline: float) -> None:
        """Let DynamoDB delete items once the epoch seconds in this attribute have passed."""
        specification = {"Enabled": True, "AttributeName": attribute}
        await self._request("update_time_to_live", deadline, TimeToLiveSpecification=specification)

    async def pause(self, turn: int, error: DynamoError, *, deadline: float) -> None:
        """Wait before attempt number `turn` + 1. Raises the error if the time does not suffice."""
        first, most = WAIT_S
        wait_s = self._jitter() * min(most, first * 2**turn)
        if self._monotonic() + wait_s >= deadline:
            raise error
        await self._sleep(wait_s)

    async def _delete_batch(self, keys: Sequence[Item], deadline: float) -> None:
        turn = 0
        while True:
            requests = [{"DeleteRequest": {"Key": key}} for key in keys]
            answer = await self._request("batch_write_item", deadline, RequestItems={self._table: requests})
            left = answer.get("UnprocessedItems", {}).get(self._table, [])
            if not left:
                return
            keys = [request["DeleteRequest"]["Key"] for request in left]
            await self.pause(turn, DynamoError("UnprocessedItems", f"{len(keys)} are left", BUSY), deadline=deadline)
            turn += 1

    async def _request(self, operation: str, deadline: float, *, repeatable: bool = True, **params: Any) -> Item:
        turn, unanswered = 0, False
        while True:
            try:
                return await self._send(operation, deadline, params)
            except ConditionFailed as failed:
                failed.repeated = unanswered
                raise
            except DynamoError as error:
                unknown = error.meaning.outcome is CallOutcome.UNKNOWN
                _log.debug("%s: %s", operation, error)
                if not error.meaning.again or (unknown and not repeatable):
                    raise
                unanswered = unanswered or unknown
                await self.pause(turn, error, deadline=deadline)
                turn += 1

    async def _send(self, operation: str, deadline: float, params: Item) -> Item:
        left_s = deadline - self._monotonic()
        if left_s <= 0:
            raise CallTimedOut(f"no time was left for {operation}", sent=False)
        table = {} if "RequestItems" in params else {"TableName": self._table}  # a batch names its tables itself
        call = functools.partial(self._connected.call, operation, **table, **params)
        began = self._monotonic()
        try:
            async with asyncio.timeout(left_s) as timeout:
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except Exception as exc:
            if isinstance(exc, TimeoutError) and timeout.expired():
                raise CallTimedOut(f"{operation} took too long", sent=True) from exc
            error = failure(exc)
            if error is None:
                raise
            raise error from exc
        finally:
            request_stats.current().asked_store(1000 * (self._monotonic() - began))


class _Connected:
    """The SDK's client, made by the first thread that needs it.

    Its connections are closed if none was used for IDLE_S, or a call got no answer; later calls open new ones.
    Connections in use stay open until their calls end, and are not reused.
    """

    def __init__(
        self, open_client: Callable[[], "DynamoDBClient"], wall: Callable[[], float], checked_clock: CheckedClock | None
    ) -> None:
        self._open_client = open_client
        self._checked_clock = checked_clock
        self._wall = wall
        self._lock = threading.Lock()
        self._client: DynamoDBClient | None = None
        self._good_until = 0.0

    def call(self, operation: str, **params: Any) -> Item:
        with self._lock:
            now = self._wall()
            if self._client is None:
                self._client = self._open_client()
            elif now > self._good_until:
                self._client.close()
            self._good_until = now + IDLE_S
        sent_at = self._checked_clock.system() if self._checked_clock else None
        try:
            answer: Item = getattr(self._client, operation)(**params)
        except ClientError:  # an answer, so the connections work
            raise
        except Exception:
            with self._lock:
                self._good_until = 0.0
            raise
        if self._checked_clock and sent_at:
            metadata: Item = answer.get("ResponseMetadata", {})
            self._checked_clock.observe(sent_at, metadata.get("HTTPHeaders", {}).get("date"))
        return answer

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()


def _only_if(condition: str | None, values: Item | None) -> Item:
    if condition is None:
        return {}
    given = {"ExpressionAttributeValues": values} if values else {}
    return {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD", **given}


def _part(limit: int | None, after: Item | None, *, keys_only: bool = False) -> Item:
    return {
        **({"ProjectionExpression": "pk, sk"} if keys_only else {}),
        **({"Limit": limit} if limit is not None else {}),
        **({"ExclusiveStartKey": after} if after is not None else {}),
    }


def _items(answer: Item) -> tuple[list[Item], Item | None]:
    return answer.get("Items", []), answer.get("LastEvaluatedKey") or None
