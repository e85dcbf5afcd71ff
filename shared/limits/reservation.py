"""Counted places that are given back if the request fails."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from shared.core.concurrency import gather_settled
from shared.core.request import time_to_undo
from shared.stores.best_effort import best_effort
from shared.stores.port import Bound, Reserved, Store, month_of


class Reservation:
    """Counters raised for one request, which are given back if the request fails."""

    def __init__(self, store: Store, *, taken: Sequence[Bound] = ()) -> None:
        """`taken` are places of an earlier reservation, to be given back by this one."""
        self._store = store
        self._taken = list(taken)

    @property
    def taken(self) -> Sequence[Bound]:
        """The places that `give_back` gives back."""
        return tuple(self._taken)

    async def take(self, counter: str, *, ends_at: datetime | None = None) -> int:
        """Count one place without a bound. Returns the counter's value, this place included."""
        value = await self._store.increment(counter, ends_at=ends_at)
        self._taken.append(Bound(counter=counter, ends_at=ends_at))
        return value

    async def reserve(self, bounds: Sequence[Bound]) -> Reserved:
        """Count a place in each of these counters, or in none: see the store's `reserve`."""
        reserved = await self._store.reserve(bounds)
        if not reserved.refused:
            self._taken += bounds
        return reserved

    async def give_back(self) -> None:
        """Give every place back, once. It has at least UNDO_S, even after the request's deadline.

        Never raises: a place that cannot be given back stays counted, and is logged.
        """
        taken, self._taken = self._taken, []
        requests: defaultdict[str, list[Bound]] = defaultdict(list)
        for bound in taken:
            back = Bound(counter=bound.counter, by=-bound.by, ends_at=bound.ends_at)
            requests[month_of(bound.counter) if self._store.reserves_at_once else bound.counter].append(back)
        with time_to_undo():
            await gather_settled(*(self._give_back(places) for places in requests.values()))

    async def _give_back(self, places: Sequence[Bound]) -> None:
        counters = [place.counter for place in places]
        with best_effort("places could not be given back: their counters stay too high", counters=counters):
            await self._store.reserve(places)
