"""What all tests share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", default="memory", help="memory, micro or dynamodb: for the functions")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
