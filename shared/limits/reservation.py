"""Counted places that are given back if the request fails."""

from datetime import datetime

from shared.core.concurrency import gather_settled
from shared.stores.best_effort import best_effort
from shared.stores.port import Store


class Reservation:
    """Counters raised for one request, which are given back if it comes to nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._taken: list[tuple[str, datetime | None]] = []

    async def take(self, counter: str, *, ends_at: datetime | None = None) -> int:
        """Returns the counter's value, this request included."""
        value = await self._store.increment(counter, ends_at=ends_at)
        self._taken.append((counter, ends_at))
        return value

    async def give_back(self) -> None:
        """Never raises: what cannot be given back stays counted, and is logged."""
        taken, self._taken = self._taken, []
        await gather_settled(*(self._give_back(counter, ends_at) for counter, ends_at in taken))

    async def _give_back(self, counter: str, ends_at: datetime | None) -> None:
        with best_effort("a count could not be given back", counter=counter):
            await self._store.increment(counter, -1, ends_at=ends_at)
