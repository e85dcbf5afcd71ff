"""The newest call of an SDK's speech route by API key and body: one register each.

`<API key id> / <digest of the body>` → `{"name": "speech 019c…", "at": "2026-03-02T08:00:00.000Z"}`. `name` is the
idempotency key under which the call makes its memo. It contains a blank, so no `Idempotency-Key` header equals it.
"""

from dataclasses import dataclass
from datetime import datetime

from shared.core.clock import iso
from shared.stores.port import Key, Store
from shared.tables.schema import SPEECH_CALLS


@dataclass(frozen=True, kw_only=True)
class SpeechCall:
    name: str
    at: datetime


class SpeechCalls:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, api_key_id: str, body: str) -> SpeechCall | None:
        document = await self._store.get(SPEECH_CALLS, Key(api_key_id, body))
        if document is None:
            return None
        return SpeechCall(name=document["name"], at=datetime.fromisoformat(document["at"]))

    async def put(self, api_key_id: str, body: str, call: SpeechCall) -> None:
        await self._store.put(SPEECH_CALLS, Key(api_key_id, body), {"name": call.name, "at": iso(call.at)})
