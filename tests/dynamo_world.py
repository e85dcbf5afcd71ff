"""A DynamoDB in this process (moto), and one table on it; or one that listens elsewhere."""

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from moto import mock_aws

from shared.dynamo import Dynamo
from shared.dynamo_store import DynamoStore
from shared.dynamo_table import SCHEMA

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

TABLE: Final = "agent-talk-tests"
OPERATIONS: Final = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")


@contextmanager
def in_process() -> Iterator["DynamoDBClient"]:
    """A client of moto. It knows no network, and its rows are this process's own."""
    with mock_aws():
        yield client_of("")


def client_of(url: str) -> "DynamoDBClient":
    """A client of the engine that listens there, with credentials that are none."""
    return boto3.session.Session().client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=url or None,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=8, connect_timeout=2, read_timeout=10),
    )


def make_table(client: "DynamoDBClient", name: str = TABLE) -> None:
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **SCHEMA)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )
