"""The contract of the store port: what every store passes, unchanged.

An adapter's tests subclass StoreContract and give it a fixture `store`: an opened store that is verified for TABLES.
Every test keeps to partitions and counters that begin with its own `prefix`, so a shared server will do; an adapter
that leaves rows behind overrides `prefix` and cleans up after it. Races begin in an order that `seed` decides; a store
that can seed its schedule too takes `seed` into its fixture `store`.
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
        """Begins the names of all partitions and counters of one test, and of no other."""
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
    """The whole contract. Its files are by verb."""
