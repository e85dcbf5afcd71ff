"""The contract of the store port: the tests that every store passes, unchanged.

An adapter's tests subclass StoreContract and provide a fixture `store`: an opened store that is verified for TABLES.
Every test uses partitions and counters that begin with its own `prefix`, so stores may share a server; an adapter whose
rows outlive its tests overrides `prefix` and cleans up after it. `seed` decides the order in which races begin; a store
that can seed its schedule too uses `seed` in its fixture `store`.
"""

import secrets

import pytest

from tests.contract.changes import ChangesContract
from tests.contract.counters import CountersContract
from tests.contract.maintenance import MaintenanceContract
from tests.contract.pages import PagesContract
from tests.contract.reserving import ReserveContract
from tests.contract.rows import RowsContract


class ContractFixtures:
    @pytest.fixture
    def prefix(self) -> str:
        """Return the prefix of all partitions and counters of this test alone."""
        return f"t{secrets.token_hex(8)}"

    @pytest.fixture
    def seed(self) -> int:
        return 0


class StoreContract(
    RowsContract,
    ChangesContract,
    PagesContract,
    CountersContract,
    ReserveContract,
    MaintenanceContract,
    ContractFixtures,
):
    """The complete contract, in files by verb."""
