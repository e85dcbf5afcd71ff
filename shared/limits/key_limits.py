"""An API key's own limits. They are reserved before the owner's, so that a refusal takes no place of the owner."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from shared.core.clock import iso, whole_seconds
from shared.core.errors import KeyLimitExceeded
from shared.limits.reservation import Reservation
from shared.stores.port import Bound, Reserved, Store
from shared.tables import uses_counter
from shared.tables.issued_keys import IssuedKey, KeyLimit

LOOKS: Final = 4
"""Attempts to take a place that a read shows as free. Further attempts would lose it to other requests as well."""


class KeyLimits:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def reserve(self, reservation: Reservation, key: IssuedKey, characters: int, at: datetime) -> None:
        """Reserve a memo of `characters` in each of the key's own limits, or in none. Costs no request without limits.

        Where the store counts one by one, a refused memo is tried again while a read shows room for it: the refusal may
        be due to a place that is being given back. Raises KeyLimitExceeded.
        """
        bounds = {_counter(key, limit, at): limit for limit in key.limits}
        for look in range(1, LOOKS + 1):
            if not bounds:
                return
            reserved = await reservation.reserve(
                [
                    Bound(
                        counter=counter,
                        by=_needed(limit, characters),
                        most=key.limits[limit],
                        ends_at=limit.resets_at(at),
                    )
                    for counter, limit in bounds.items()
                ]
            )
            if not reserved.refused:
                return
            used = await self._used_after(reserved, bounds, key, at)
            spent = [limit for limit in used if used[limit] + _needed(limit, characters) > key.limits[limit]]
            if spent or look == LOOKS:
                limit = spent[0] if spent else bounds[reserved.refused[0]]
                raise _refusal(key, limit, used[limit], at)

    async def _used_after(
        self, reserved: Reserved, bounds: Mapping[str, KeyLimit], key: IssuedKey, at: datetime
    ) -> Mapping[KeyLimit, int]:
        """Return the use of the limits that refused. Where the store counts one by one: of all, read again."""
        if self._store.reserves_at_once:
            return {bounds[counter]: reserved.values[counter] for counter in reserved.refused}
        return await self.used(key, at)

    async def refuse_spent(self, key: IssuedKey, characters: int, at: datetime) -> None:
        """Raise KeyLimitExceeded if one of the key's own limits has no room for the memo. Takes no place."""
        for limit, used in (await self.used(key, at)).items():
            if used + _needed(limit, characters) > key.limits[limit]:
                raise _refusal(key, limit, used, at)

    async def used(self, key: IssuedKey, at: datetime) -> Mapping[KeyLimit, int]:
        """Return the use of each of the key's own limits. One read; none without limits."""
        if not key.limits:
            return {}
        counters = await self._store.counters(f"{uses_counter(key)}:{at:%Y-%m}")
        return {limit: counters.get(_counter(key, limit, at), 0) for limit in key.limits}

    async def is_spent(self, key: IssuedKey, at: datetime) -> bool:
        """Return whether one of the key's own limits is used up, so that it can make no memo at all."""
        return any(used >= key.limits[limit] for limit, used in (await self.used(key, at)).items())


def _counter(key: IssuedKey, limit: KeyLimit, at: datetime) -> str:
    return limit.counter(uses_counter(key), at)


def _needed(limit: KeyLimit, characters: int) -> int:
    return characters if limit.unit == "characters" else 1


def _refusal(key: IssuedKey, limit: KeyLimit, used: int, at: datetime) -> KeyLimitExceeded:
    most, resets_at = key.limits[limit], limit.resets_at(at)
    return KeyLimitExceeded(
        limit=most,
        used=min(most, used),
        unit=limit.unit,
        is_monthly=limit.is_monthly,
        resets_at=iso(resets_at),
        headers={"Retry-After": str(whole_seconds(resets_at - at))},
    )
