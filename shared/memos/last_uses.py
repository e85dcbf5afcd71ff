"""The last use of each API key, to the minute, at one request a minute and key at most. A failure fails no memo."""

import logging
from datetime import datetime
from typing import Final

from shared.core.remembered import Remembered
from shared.stores.port import StoreError
from shared.tables import ApiKeys
from shared.tables.issued_keys import IssuedKey

KEYS_REMEMBERED: Final = 1024
"""Keys whose minute a container remembers. A forgotten key costs one more request within its minute."""

_log = logging.getLogger("agent_talk.memos")


class LastUses:
    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys
        self._marked = Remembered[str, datetime](KEYS_REMEMBERED)

    async def mark(self, key: IssuedKey, at: datetime) -> None:
        """Store the minute of a key's use, unless this container has. After a failure the next use tries again."""
        minute = at.replace(second=0, microsecond=0)
        if self._marked.get(key.id) == minute:
            return
        self._marked[key.id] = minute
        try:
            await self._keys.mark_used(key.user_id, key.id, minute)
        except StoreError:
            self._marked.pop(key.id, None)
            _log.exception("a key's last use could not be kept", extra={"key_id": key.id})
