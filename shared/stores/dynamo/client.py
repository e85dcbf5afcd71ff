"""DynamoDB's wire client: the items of one table, over one funnel.

boto3 blocks, so each call runs on one of a few threads. Its own retries are off: the funnel decides which calls are
sent again, and until when. How a call can fail: `failures`. No connection is opened before the first call, since
containers that are copies of one snapshot would share it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from shared.aws_connections import AwsCalls, WorkTimedOut, breakable
from shared.core.checked_clock import CheckedClock
from shared.core.concurrency import in_batches
from shared.observability import request_stats
from shared.stores.dynamo.answers import check_answers
from shared.stores.dynamo.failures import BUSY, CallOutcome, CallTimedOut, ConditionFailed, DynamoError, failure

if TYPE_CHECKING:  # stubs, which only a developer has
    from types_boto3_dynamodb import DynamoDBClient

AT_ONCE: Final = 8
"""Concurrent calls, each with a thread and a connection. More would cost memory; a request makes few at once."""

CONNECT_S: Final = 2.0
"""Seconds for opening a connection."""

READ_S: Final = 4.0
"""Seconds between two pieces of an answer, after which the call fails, and is sent again if it may be."""

WAIT_S: Final = 0.05, 0.8
"""Most seconds of the first and of the longest wait before a repeat. Each wait is a random part of a span that doubles,
so that throttled containers do not retry together."""

BATCH: Final = 25
"""Items that DynamoDB accepts in one batch at most."""

Item = dict[str, Any]
"""Attributes in DynamoDB's own notation: `{"n": {"N": "1"}}`."""

Jitter = Callable[[], float]
"""Returns a number from 0 to 1."""

_log = logging.getLogger("agent_talk.dynamo")


def open_client() -> "DynamoDBClient":
    """Open a client. boto3 reads region, credentials and endpoint from the environment."""
    return prepared(boto3.session.Session().client("dynamodb", config=config()))


def prepared(client: "DynamoDBClient") -> "DynamoDBClient":
    """Return the client, changed. It accepts complete answers only, and its calls can be given up."""
    check_answers(client)
    return breakable(client)


def config() -> Config:
    """Return the SDK's settings. Its checks of parameters are off: they take a third of a call's time, and DynamoDB
    checks them too."""
    return Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=AT_ONCE,
        retries={"total_max_attempts": 1, "mode": "standard"},  # the environment's settings could add waits
        parameter_validation=False,
    )


class Dynamo:
    """One table. Every call ends by `deadline`, a time of the injected monotonic clock.

    Until then a call is sent again, after a wait, if it was refused for lack of capacity, if it did not reach DynamoDB,
    or if its outcome is unknown and carrying it out twice is harmless. Raises DynamoError. Logs contain keys, so a key
    contains no secret.
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
        self._calls = AwsCalls(open_client, name="dynamo", at_once=at_once, wall=wall)
        self._table = table
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._checked_clock = checked_clock

    def deadline(self, budget_s: float) -> float:
        """Return the time `budget_s` seconds from now."""
        return self._monotonic() + budget_s

    async def aclose(self) -> None:
        """Close the connections. Calls that have been sent end by themselves."""
        self._calls.close()

    async def get(self, key: Item, *, deadline: float) -> Item | None:
        """Return the item as of the last acknowledged write; None: absent."""
        answer = await self._request("get_item", deadline, Key=key, ConsistentRead=True)
        return answer.get("Item")

    async def put(
        self, item: Item, *, deadline: float, condition: str | None = None, values: Item | None = None
    ) -> None:
        """Write an item. Raises ConditionFailed, with the stored item, if the condition does not hold."""
        await self._request("put_item", deadline, Item=item, **_only_if(condition, values))

    async def delete(
        self, key: Item, *, deadline: float, condition: str | None = None, values: Item | None = None
    ) -> None:
        """Delete an item. Raises ConditionFailed, with the stored item, if the condition does not hold."""
        await self._request("delete_item", deadline, Key=key, **_only_if(condition, values))

    async def delete_all(self, keys: Sequence[Item], *, deadline: float) -> None:
        """Delete items, BATCH by each request. An absent one is no error."""
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
        """Change an item by an update expression. Returns the changed item if `returns`, else an empty one.

        Raises ConditionFailed if the condition does not hold, with the stored item if `returns` or `returns_old`.
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
        """Return items of one partition in order, and the next query's `after`; None: the end.

        With `keys_only` an item has `pk` and `sk` alone.
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
        """Return the items that meet a condition, and the next scan's `after`. Reads `limit` items."""
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
        """Wait after failed attempt number `turn`, from 0. Raises the error if the wait would pass the deadline."""
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
            raise CallTimedOut(f"no time was left for {operation}")
        table = {} if "RequestItems" in params else {"TableName": self._table}  # a batch names its tables itself
        began = self._monotonic()
        try:
            return await self._calls.run(lambda client: self._call(client, operation, table | params), left_s=left_s)
        except WorkTimedOut as exc:
            raise CallTimedOut(f"{operation}: {exc}") from exc
        except Exception as exc:
            error = failure(exc)
            if error is None:
                raise
            raise error from exc
        finally:
            request_stats.current().asked_store(1000 * (self._monotonic() - began))

    def _call(self, client: "DynamoDBClient", operation: str, params: Item) -> Item:
        sent_at = self._checked_clock.system() if self._checked_clock else None
        answer: Item = getattr(client, operation)(**params)
        if self._checked_clock and sent_at:
            metadata: Item = answer.get("ResponseMetadata", {})
            self._checked_clock.observe(sent_at, metadata.get("HTTPHeaders", {}).get("date"))
        return answer


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
