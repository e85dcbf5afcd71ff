"""Check the one DynamoDB table, and create it if infrastructure does not."""

from typing import Any, Final

from shared.core.concurrency import gather_settled
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.failures import DynamoError, Meaning
from shared.stores.port import StoreNotReady, StoreUnavailable

TTL: Final = "ttl"

SCHEMA: Final[dict[str, Any]] = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ],
}

_USABLE: Final = ("ACTIVE", "UPDATING")
_ABSENT: Final = "ResourceNotFoundException"
_ON: Final = ("ENABLED", "ENABLING")


async def verify(dynamo: Dynamo, *, creates: bool, deadline: float) -> None:
    """Check the table, by two calls. With `creates`, create it or its time to live if missing.

    Any number of containers may do so at once. Raises StoreNotReady if its configuration does not fit, StoreUnavailable
    if it is in a state that cannot be used, and DynamoError.
    """
    try:
        table, ttl = await gather_settled(dynamo.describe(deadline=deadline), dynamo.describe_ttl(deadline=deadline))
    except DynamoError as error:
        if error.code != _ABSENT:
            raise
        if not creates:
            raise StoreNotReady(
                "the table that DYNAMODB_TABLE names is missing: in production, infrastructure creates it (partition "
                "key pk and sort key sk, both strings; time to live on ttl)"
            ) from error
        await _create(dynamo, deadline=deadline)
        table, ttl = {}, {}
    else:
        if not table:
            raise StoreNotReady("what answers is no DynamoDB: check AWS_ENDPOINT_URL")
    if table.get("TableStatus") not in _USABLE:
        table = await _awaited(dynamo, deadline=deadline)
    _check_keys(table)
    if _expires(ttl):
        return
    if not creates:
        raise StoreNotReady("the table that DYNAMODB_TABLE names has no time to live on `ttl`: switch it on")
    await _expire(dynamo, deadline=deadline)


async def _create(dynamo: Dynamo, *, deadline: float) -> None:
    try:
        await dynamo.create(deadline=deadline, **SCHEMA)
    except DynamoError as error:
        if error.code != "ResourceInUseException":  # another container creates it
            raise


async def _awaited(dynamo: Dynamo, *, deadline: float) -> Any:
    """Wait until the table can be used, and return its description."""
    turn = 0
    while True:
        table: Any = {}
        missing: DynamoError | None = None
        try:
            table = await dynamo.describe(deadline=deadline)
        except DynamoError as error:
            if error.code != _ABSENT:
                raise
            missing = error
        if table.get("TableStatus") in _USABLE:
            return table
        if table and table.get("TableStatus") != "CREATING":
            raise StoreUnavailable(f"the table that DYNAMODB_TABLE names is {table.get('TableStatus')}")
        await dynamo.pause(turn, missing or _still(table), deadline=deadline)
        turn += 1


async def _expire(dynamo: Dynamo, *, deadline: float) -> None:
    try:
        await dynamo.expire_by(TTL, deadline=deadline)
    except DynamoError:
        if not _expires(await dynamo.describe_ttl(deadline=deadline)):  # another container may have set it first
            raise


def _expires(ttl: Any) -> bool:
    """Return whether time to live is on, for `ttl`. Raises StoreNotReady if it is on for another attribute."""
    status, attribute = ttl.get("TimeToLiveStatus", "DISABLED"), ttl.get("AttributeName", TTL)
    if status in _ON and attribute == TTL:
        return True
    if status == "DISABLED":
        return False
    raise StoreNotReady(
        f"time to live of the table that DYNAMODB_TABLE names is {status} on `{attribute}`: it must be ENABLED on "
        f"`{TTL}`; DynamoDB accepts that once the last change is an hour old"
    )


def _still(table: Any) -> DynamoError:
    """Return the error for a table that is still being created when the time runs out."""
    what = "the table that DYNAMODB_TABLE names is being created"
    return DynamoError(str(table.get("TableStatus")), "it cannot be used yet", Meaning(StoreUnavailable, what))


def _check_keys(table: Any) -> None:
    keys = [{name: key.get(name) for name in ("AttributeName", "KeyType")} for key in table.get("KeySchema", ())]
    types = {
        attribute.get("AttributeName"): attribute.get("AttributeType")
        for attribute in table.get("AttributeDefinitions", ())
    }
    if keys != SCHEMA["KeySchema"] or types.get("pk") != "S" or types.get("sk") != "S":
        raise StoreNotReady(
            "what DYNAMODB_TABLE names has other keys: it needs a partition key pk and a sort key sk, both strings"
        )
