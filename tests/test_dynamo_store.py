"""The store on DynamoDB keeps the port's contract, and each verb costs what it may."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from shared.dynamo import Dynamo
from shared.dynamo_store import DynamoStore
from shared.store import Store
from tests.contract.store import TABLES as CONTRACT_TABLES
from tests.contract.store import StoreContract
from tests.dynamo_world import TABLE, client_of, in_process, make_table

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

LIVE_URL = os.environ.get("DYNAMODB_URL", "")


@pytest.fixture(scope="module")
def client() -> Iterator["DynamoDBClient"]:
    with in_process() as client:
        make_table(client)
        yield client


class TestDynamoStore(StoreContract):
    @pytest.fixture
    async def store(self, client: "DynamoDBClient") -> AsyncIterator[Store]:
        dynamo = Dynamo(lambda: client, table=TABLE, at_once=1)
        store = DynamoStore(dynamo, timeout_s=30)
        await store.verify(CONTRACT_TABLES)
        yield store
        await dynamo.aclose()
