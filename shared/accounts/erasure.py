"""Erasing a closed account: page by page, from the first row on, until nothing is left.

No cursor is kept: each step reads the rows that are left, so any run can stop anywhere, and any other can continue.
Rows that lead to further rows are deleted after them: the ring and the counters of uses lead to the API keys.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from shared.audio.files import erase_owner
from shared.audio.opening import AudioPlace
from shared.core.clock import DAY, Clock
from shared.core.concurrency import AT_ONCE, gather_settled, in_batches
from shared.core.ids import minted_at
from shared.core.request import time_left_s
from shared.jobs.worked import CanGoOn
from shared.stores.port import Key, Store, Table
from shared.tables import LogKind, Tables, Window
from shared.tables.key_rings import RING
from shared.tables.owned import BY_KEY, BY_OWNER, KEPT_A_DAY, partitions
from shared.tables.schema import ACTIVE_OWNERS

REST_S: Final = 3.0
"""Seconds of a request's time that erasing leaves: one verb may take as long, and the answer some more."""

EVENTS_READ: Final = 500
"""Logs of one page."""

MOVED_READ: Final = 200
"""Rows of moved ids of one page. Each can cost two deletions, and a run must have time for a whole page."""

DAYS_MOST: Final = 3660
"""Days before today whose lists are searched for an owner: ten years, more than the service has existed."""


def in_request() -> bool:
    """Return whether this request has time for one more step."""
    return time_left_s() > REST_S


class Erasure:
    def __init__(self, *, store: Store, tables: Tables, audio: AudioPlace, clock: Clock) -> None:
        self._store = store
        self._tables = tables
        self._audio = audio
        self._clock = clock

    async def erase(self, user_id: str, *, whole: bool, can_go_on: CanGoOn = in_request) -> bool:
        """Erase an owner's rows and audio, and return whether nothing is left.

        False: the time did not suffice. `whole` includes the ring, which refuses keys that are still being made as
        long as it exists. The claim on the address and the user's row are deleted last. Raises StoreError,
        AudioPlaceFailed.
        """
        steps = (
            self._long_memos,
            self._audio_files,
            self._keys,
            self._days,
            self._moved,
            self._rows_of(BY_OWNER),
            self._rows_of(KEPT_A_DAY if whole else {}),
            self._counters,
            self._names,
        )
        for step in steps:
            if not await step(user_id, can_go_on):
                return False
        return True

    async def _long_memos(self, user_id: str, can_go_on: CanGoOn) -> bool:
        """Remove the owner's memos from the list of long memos. Without its row, a worker deletes the audio it made."""
        rows = [row async for row in self._tables.long_memos.every() if row.user_id == user_id]
        for row in rows:
            await self._tables.long_memos.remove(row.memo_id)
        return can_go_on()

    async def _audio_files(self, user_id: str, can_go_on: CanGoOn) -> bool:
        files = self._audio.files
        while files is not None and not await erase_owner(files, user_id):
            if not can_go_on():
                return False
        return can_go_on()

    async def _keys(self, user_id: str, can_go_on: CanGoOn) -> bool:
        """Erase the documents of all keys, AT_ONCE keys at a time.

        Every run begins with the first key again. One by one, the keys of an owner who rotated them daily would take
        longer than a run has, so no run would come to the end of them.
        """
        key_ids = sorted(await self._key_ids(user_id))
        for start in range(0, len(key_ids), AT_ONCE):
            if not can_go_on():
                return False
            if not all(await gather_settled(*map(self._erase_key, key_ids[start : start + AT_ONCE]))):
                return False
        return can_go_on()

    async def _erase_key(self, key_id: str) -> bool:
        for table in BY_KEY:
            if not await self._store.erase(table, key_id):
                return False
        return True

    async def _key_ids(self, user_id: str) -> set[str]:
        """Return the ids of an owner's keys: from ring, counters, and maybe logs.

        Logs are read if the ring is full, since it may have dropped keys.
        """
        ring = await self._tables.api_keys.ring(user_id)
        counters = await self._store.counters(f"{user_id}:uses:")
        ids = {key.id for key in ring} | {counter.split(":")[2] for counter in counters}
        after: str | None = None
        while len(ring) >= RING:
            page = await self._tables.usage_logs.rows(
                user_id, LogKind.EVENTS, Window(limit=EVENTS_READ, after=after), newest_first=False
            )
            ids |= {row.document["api_key_id"] for row in page.rows if row.document["api_key_id"] is not None}
            after = page.after
            if after is None:
                break
        return ids

    async def _days(self, user_id: str, can_go_on: CanGoOn) -> bool:
        """Remove the owner from the list of active owners of each day of the account."""
        last = self._clock().date()
        age = min((last - minted_at(user_id).date()).days, DAYS_MOST)
        days = [last - number * DAY for number in range(age + 1)]
        await in_batches(self._store.delete(ACTIVE_OWNERS, Key(day.isoformat(), user_id)) for day in days)
        return can_go_on()

    async def _moved(self, user_id: str, can_go_on: CanGoOn) -> bool:
        """Delete the rows that map the predecessor's ids of the owner and the audio."""
        after: str | None = None
        while True:
            page = await self._tables.moved.page(user_id, after=after, limit=MOVED_READ)
            await in_batches(self._tables.moved.forget(row) for row in page.rows)
            after = page.after
            if after is None or not can_go_on():
                return after is None and can_go_on()

    def _rows_of(self, tables: Mapping[Table, tuple[str, ...]]) -> "Step":
        async def erase(user_id: str, can_go_on: CanGoOn) -> bool:
            for table, partition in partitions(tables, user_id):
                while not await self._store.erase(table, partition):
                    if not can_go_on():
                        return False
            return can_go_on()

        return erase

    async def _counters(self, user_id: str, can_go_on: CanGoOn) -> bool:
        await self._store.drop(list(await self._store.counters(f"{user_id}:")))
        return can_go_on()

    async def _names(self, user_id: str, _: CanGoOn) -> bool:
        await self._tables.subscriptions.erase(user_id)
        user = await self._tables.users.get(user_id)
        if user is not None:
            await self._tables.users.delete(user)
        return True


Step = Callable[[str, CanGoOn], Awaitable[bool]]
"""Erases one part of an owner's data. Returns whether nothing of it is left and time remains for the next step."""
