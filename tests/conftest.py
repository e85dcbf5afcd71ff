"""What all tests share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", default="memory", help="the store that the functions are tested on: memory or micro")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
