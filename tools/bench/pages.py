"""A page of memos as our function answers it, and as bare routes answer the very same page."""

import asyncio
from datetime import timedelta
from typing import Any, Final

from fastapi import FastAPI
from mangum import Mangum

from handlers import memos
from shared.api_keys.api_keys import new_key
from shared.core.clock import utc_now
from shared.core.ids import Ids
from shared.core.settings import Settings
from shared.plans import Tier
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.tables import ApiKeys, Memos, Users
from shared.tables.memos import Memo
from shared.tables.users import Role, User
from shared.web.function import Function

QUIET: Final = {"LOG_LEVEL": "ERROR"}


def memos_function(count: int) -> tuple[Function, str]:
    """The memos function on a store with so many memos of one owner, and the owner's key."""
    store = MemoryStore()
    secret = asyncio.run(_fill(store, count))
    return memos.handler.with_environment(QUIET, lambda settings: _services(store, settings)), secret


def _services(store: MemoryStore, settings: Settings) -> Services:
    return Services.on(store, settings)


async def _fill(store: MemoryStore, count: int) -> str:
    now, ids = utc_now(), Ids()
    user = User(
        id=ids.mint(now),
        email="bench@example.org",
        password_hash="",
        tier=Tier.ENTERPRISE,
        role=Role.USER,
        email_verified=True,
        session_version=1,
        created_at=now,
        updated_at=now,
    )
    key = new_key(user.id, name="bench", at=now)
    await Users(store).add(user)
    await ApiKeys(store).begin_ring(key.key)
    rows = Memos(store)
    for number in range(count):
        at = now - timedelta(seconds=count - number)
        await rows.add(
            Memo(
                id=ids.mint(at),
                user_id=user.id,
                text=f"Memo {number}: the build is green, and the release notes are ready to read.",
                audio_url="/audio/simulated-60.mp3",
                duration_seconds=6.0,
                voice="rachel",
                character_count=75,
                title=None,
                created_at=at,
            )
        )
    return key.secret


def bare(page: dict[str, Any]) -> dict[str, Mangum]:
    """FastAPI and Mangum alone, answering the same page: as one writes it first, and the two ways that are faster."""
    plain, model, annotated = FastAPI(), FastAPI(), FastAPI()

    @plain.get("/api/v1/memos")
    async def from_dict():  # type: ignore[no-untyped-def] # noqa: ANN202 the annotation is what makes the difference
        return page

    @model.get("/api/v1/memos", response_model=memos.MemoPage)
    async def from_dict_by_model() -> dict[str, Any]:
        return page

    @annotated.get("/api/v1/memos")
    async def from_annotated_dict() -> dict[str, Any]:
        return page

    return {
        "a dict": Mangum(plain, lifespan="off"),
        "a dict, by our answer model": Mangum(model, lifespan="off"),
        "a dict annotated as such": Mangum(annotated, lifespan="off"),
    }


def page_event(key: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": "/api/v1/memos",
        "rawQueryString": "",
        "headers": {"authorization": f"Bearer {key}", "host": "localhost"},
        "requestContext": {
            "stage": "$default",
            "http": {"method": "GET", "path": "/api/v1/memos", "sourceIp": "192.0.2.1"},
        },
        "isBase64Encoded": False,
    }
