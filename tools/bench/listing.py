"""The predecessor's access to HYPR Micro: it lists whole tables, and filters them in the client."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from shared.api_keys.minting import digest
from shared.core.clock import iso, utc_now
from shared.core.ids import Ids
from shared.micro import Json
from shared.micro_wire import Wire
from tests.live.people import MEMO

ALL: Final = 10_000
"""The most documents in one answer of the server."""


@dataclass(kw_only=True)
class Listing:
    """Lists whole tables and filters them in the client, one request after the other.

    It overwrites its own documents, so that the tables keep their size.
    """

    wire: Wire = field(repr=False)
    key: str = field(repr=False)
    ids: Ids = field(default_factory=Ids)

    async def begin(self) -> None:
        for database in ("memos", "usage_logs"):
            value = _value({"id": "baseline", "user_id": "", "created_at": "", **MEMO})
            await self._send("POST", f"{database}/docs", {"key": "baseline", "value": value})

    async def check_key(self, secret: str) -> Json:
        key_hash = digest(secret)
        return next(json.loads(text) for text in await self._list("api_keys") if key_hash in text)

    async def make_memo(self, secret: str) -> None:
        key = await self.check_key(secret)
        user_id, now = key["user_id"], utc_now()
        await self._send("GET", f"users/docs/users!all!{user_id}!v000000000000")
        logs = [text for text in await self._list("usage_logs") if user_id in text]
        today = sum(json.loads(text)["created_at"].startswith(f"{now:%Y-%m-%d}") for text in logs)
        assert today >= 0, "the limit is by this sum"
        memo = {"id": self.ids.mint(now), "user_id": user_id, "created_at": iso(now), **MEMO}
        await self._send("PUT", "memos/docs/baseline", {"value": _value(memo)})
        await self._send("PUT", "usage_logs/docs/baseline", {"value": _value(memo)})
        await self._send("PUT", f"api_keys/docs/api_keys!{key['id']}!!v000000000000", {"value": _value(key)})

    async def list_memos(self, secret: str) -> None:
        user_id = (await self.check_key(secret))["user_id"]
        mine = [json.loads(text) for text in await self._list("memos") if user_id in text]
        mine.sort(key=lambda memo: str(memo["created_at"]), reverse=True)
        assert len(mine[:20]) == 20

    async def _list(self, database: str) -> list[str]:
        found = await self._send("GET", f"{database}/docs?limit={ALL}")
        return [document["value"]["doc"] for document in found["docs"]]

    async def _send(self, method: str, path: str, body: Json | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        headers = [(b"authorization", f"Bearer {self.key}".encode()), (b"content-type", b"application/json")]
        answer = await self.wire.send(method, f"/api/dbs/{path}", headers=headers, content=content, within_s=60)
        assert answer.status < 300, answer
        return json.loads(answer.content)


def _value(row: Json) -> Json:
    return {"final": True, "doc": json.dumps(row), "at": "0" * 32}
