"""Fixtures of all tests. A test of races sets `seed` by parameter: each seed is another schedule."""

import gc

import pytest

from shared.services import Services
from shared.stores.memory.store import MemoryStore
from tests.support import FakeClock, racing_store, services_on

gc.set_threshold(20_000, 20, 100)
"""Tests keep many objects, so searching for cycles at the default thresholds takes a twelfth of their time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", default="memory", help="memory, micro or dynamodb: for the functions")
    parser.addoption("--fuzz", type=int, default=0, help="times as many random examples, which differ at each run")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def seed() -> int:
    return 0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(seed: int, clock: FakeClock) -> MemoryStore:
    return racing_store(seed, clock)


@pytest.fixture
def services(store: MemoryStore, clock: FakeClock) -> Services:
    return services_on(store, clock)
