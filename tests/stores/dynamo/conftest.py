from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.fakes.dynamo_world import Container, DynamoWorld, engine, table_on

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module")
def client() -> Iterator["DynamoDBClient"]:
    """Yield a client of a module's own engine: that of `DYNAMODB_URL`, otherwise moto."""
    with engine() as client:
        yield client


@pytest.fixture
def table_name(client: "DynamoDBClient") -> Iterator[str]:
    with table_on(client) as name:
        yield name


@pytest.fixture
def world(client: "DynamoDBClient", table_name: str) -> DynamoWorld:
    return DynamoWorld(client, table_name)


@pytest.fixture
async def container(world: DynamoWorld) -> AsyncIterator[Container]:
    container = world.container()
    yield container
    await container.dynamo.aclose()
