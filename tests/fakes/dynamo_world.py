"""A DynamoDB in this process (moto), clients with chosen failures, and a clock that passes without waiting."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from shared.stores.dynamo.client import Dynamo, config, prepared
from shared.stores.dynamo.provisioning import SCHEMA, TTL
from shared.stores.dynamo.store import DynamoStore
from shared.stores.port import Kind, Table
from tests.fakes.moto_turns import in_turns

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

LIVE_URL: Final = os.environ.get("DYNAMODB_URL", "")
"""The URL of an engine to use instead of moto; empty: moto."""

FACTS: Final = Table(name="facts", kind=Kind.FACTS, database="d")
CHANGING: Final = Table(name="rows", kind=Kind.CHANGING, database="d")
REGISTERS: Final = Table(name="registers", kind=Kind.REGISTERS, database="d")
SPREAD: Final = Table(name="spread", kind=Kind.FACTS, database="d", shards=4)
TABLES: Final = (FACTS, CHANGING, REGISTERS, SPREAD)


@contextmanager
def engine() -> Iterator["DynamoDBClient"]:
    """Yield a client of moto, whose rows are this process's own, or of the engine that `DYNAMODB_URL` names."""
    if LIVE_URL:
        yield client_of(LIVE_URL)
        return
    with mock_aws():
        yield in_turns(client_of(None))


def client_of(url: str | None) -> "DynamoDBClient":
    """Return a client with invented credentials. moto gets no signatures, which take a tenth of its time."""
    client = boto3.session.Session().client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config() if url else config().merge(Config(signature_version=UNSIGNED)),
    )
    return prepared(client)


@contextmanager
def table_on(client: "DynamoDBClient", *, expires: bool = True) -> Iterator[str]:
    """Make a table for the block, and yield its name."""
    name = f"agent-talk-{secrets.token_hex(8)}"
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **SCHEMA)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    if expires:
        client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL})
    yield name
    client.delete_table(TableName=name)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A failure of a call: its exception, and whether the call still takes effect."""

    raises: Callable[[], Exception]
    carried_out: bool = False


def answered(code: str, status: int = 400, **more: Any) -> Callable[[], Exception]:
    answer = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return lambda: ClientError(cast("Any", answer), "Operation")


def unanswered() -> Exception:
    return ReadTimeoutError(endpoint_url="http://localhost")


def closed() -> Exception:
    return ConnectionClosedError(endpoint_url="http://localhost")


def unreached() -> Exception:
    return EndpointConnectionError(endpoint_url="http://localhost", error="refused")


FAULTS: Final = {
    "throttled": Fault(raises=answered("ThrottlingException")),
    "out of capacity": Fault(raises=answered("ProvisionedThroughputExceededException")),
    "in conflict": Fault(raises=answered("TransactionConflictException")),
    "unreached": Fault(raises=unreached),
    "failed before": Fault(raises=answered("InternalServerError", 500)),
    "failed after": Fault(raises=answered("InternalServerError", 500), carried_out=True),
    "timed out before": Fault(raises=unanswered),
    "timed out after": Fault(raises=unanswered, carried_out=True),
    "closed before": Fault(raises=closed),
    "closed after": Fault(raises=closed, carried_out=True),
}

Faults = Callable[[int], Fault | None]


def never(_: int) -> None:
    """No call fails."""


def nth(number: int, fault: Fault) -> Faults:
    return lambda call: fault if call == number else None


def always(fault: Fault) -> Faults:
    return lambda _: fault


class Wire:
    """A client of DynamoDB that records its calls, and fails those that `faults` names, counted from 1.

    `before` and `after` are called around each call; they may block, or make calls themselves. An operation in
    `answers` is not sent: its function returns the answer.
    """

    def __init__(self, client: "DynamoDBClient") -> None:
        self.faults: Faults = never
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.answers: dict[str, Callable[[], Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.closed = 0
        self._client = client

    def close(self) -> None:
        self.closed += 1

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**params: Any) -> Any:
            self.calls.append((operation, params))
            fault = self.faults(len(self.calls))
            self.before()
            if fault is None:
                answer = self.answers.get(operation, lambda: getattr(self._client, operation)(**params))()
                self.after()
                return answer
            if fault.carried_out:
                with suppress(ClientError):  # a refusal is an answer, and is lost too
                    getattr(self._client, operation)(**params)
            self.after()
            raise fault.raises()

        return call


class FakeTime:
    """A clock that `sleep` advances."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


@dataclass(frozen=True, kw_only=True)
class Container:
    store: DynamoStore
    dynamo: Dynamo
    wire: Wire
    time: FakeTime


class DynamoWorld:
    """Containers on one table, each with one thread: a verb that is repeated follows the call that was given up."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self.client = client
        self.table = table

    def container(self, **how: Any) -> Container:
        wire, time = Wire(self.client), FakeTime()
        dynamo = Dynamo(
            lambda: cast("DynamoDBClient", wire),
            table=self.table,
            at_once=1,
            monotonic=time.monotonic,
            wall=time.monotonic,
            sleep=time.sleep,
            jitter=lambda: 1.0,
        )
        return Container(store=DynamoStore(dynamo, **how), dynamo=dynamo, wire=wire, time=time)
