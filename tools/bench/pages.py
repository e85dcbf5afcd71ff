"""A page of memos as our function answers it, and as bare routes answer the same page."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from fastapi import FastAPI, Header, Query
from mangum import Mangum

from handlers import memos
from handlers.models.memos import AudioAnswer, MemoAnswer, VoiceAnswer
from shared.api_keys.api_keys import new_key
from shared.core.clock import utc_now
from shared.core.ids import Ids
from shared.core.settings import PUBLIC_URL, Settings
from shared.plans import Tier
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.tables import ApiKeys, Memos, Users, Window
from shared.tables.memos import Memo
from shared.tables.users import Role, User
from shared.web.function import Function

Handler = Callable[[Any, Any], Any]

QUIET: Final = {"LOG_LEVEL": "ERROR"}


@dataclass(frozen=True, kw_only=True)
class FilledMemos:
    """The memos function on a store with the memos of one owner, and the owner's key."""

    function: Function
    key: str
    owner: str
    table: Memos


def filled_memos(count: int) -> FilledMemos:
    store = MemoryStore()
    owner, key = asyncio.run(_fill(store, count))
    function = memos.handler.with_environment(QUIET, lambda settings: _services(store, settings))
    return FilledMemos(function=function, key=key, owner=owner, table=Memos(store))


def _services(store: MemoryStore, settings: Settings) -> Services:
    return Services.on(store, settings)


async def _fill(store: MemoryStore, count: int) -> tuple[str, str]:
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
    return user.id, key.secret


def bare(filled: FilledMemos, page: dict[str, Any]) -> dict[str, Handler]:
    """Return handlers that answer the same page: as a first FastAPI route would be written, and in faster ways.

    `the same model` has our route's parameters and answer model. `… over our table` reads the rows from the same store
    as ours. The other handlers have the page in memory.
    """
    plain, model, annotated, same, over_table = (FastAPI() for _ in range(5))
    resolver = APIGatewayHttpResolver()

    @plain.get("/api/v1/memos")
    async def from_dict():  # type: ignore[no-untyped-def] # noqa: ANN202 the missing annotation is the difference
        return page

    @model.get("/api/v1/memos", response_model=memos.MemoPage)
    async def from_dict_by_model() -> dict[str, Any]:
        return page

    @annotated.get("/api/v1/memos")
    async def from_annotated_dict() -> dict[str, Any]:
        return page

    async def at_hand(limit: int) -> list[MemoAnswer]:
        return [
            MemoAnswer(
                id=row["id"],
                text=row["text"],
                title=row["title"],
                voice=VoiceAnswer(**row["voice"]),
                audio=AudioAnswer(**row["audio"]),
                character_count=row["characterCount"],
                created_at=row["createdAt"],
            )
            for row in page["memos"][:limit]
        ]

    async def of_our_table(limit: int) -> list[MemoAnswer]:
        rows = await filled.table.page(filled.owner, Window(limit=limit))
        return [MemoAnswer.of(memo, public_url=PUBLIC_URL) for memo in rows.rows]

    _add_our_route(same, at_hand, page)
    _add_our_route(over_table, of_our_table, page)

    @resolver.get("/api/v1/memos")
    def from_resolver() -> dict[str, Any]:
        return page

    def from_json(event: Any, _: Any) -> dict[str, Any]:
        assert event["rawPath"] == "/api/v1/memos"
        return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(page)}

    return {
        "a dict": Mangum(plain, lifespan="off"),
        "a dict, by our answer model": Mangum(model, lifespan="off"),
        "a dict annotated as such": Mangum(annotated, lifespan="off"),
        "the same model": Mangum(same, lifespan="off"),
        "the same model over our table": Mangum(over_table, lifespan="off"),
        "Powertools' resolver": resolver.resolve,
        "plain JSON": from_json,
    }


def _add_our_route(app: FastAPI, answers: Callable[[int], Awaitable[list[MemoAnswer]]], page: dict[str, Any]) -> None:
    @app.get("/api/v1/memos")
    async def list_memos(
        authorization: Annotated[str, Header()],
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: str | None = None,
        voice: str | None = None,
        since: Annotated[str | None, Query(alias="from")] = None,
        until: Annotated[str | None, Query(alias="to")] = None,
    ) -> memos.MemoPage:
        assert authorization
        assert (voice, cursor, since, until) == (None, None, None, None)
        return memos.MemoPage(memos=await answers(limit), has_more=page["hasMore"], next_cursor=page["nextCursor"])


def memo_event(key: str) -> dict[str, Any]:
    event = page_event(key)
    event["requestContext"]["http"] |= {"method": "POST", "path": "/api/v1/memo"}
    return event | {"rawPath": "/api/v1/memo", "body": json.dumps({"text": "Hello, world", "voice": "rachel"})}


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
