"""Voices, memos and their audio."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Response
from pydantic import Field

from handlers.models.base import Answer, Body, Message, example
from handlers.models.fields import RequiredText, VoiceName, at_most, voice_named
from handlers.models.memos import VOICE_ANSWERS, MemoAnswer, VoiceAnswer
from handlers.models.openapi import BODY_ERRORS, CALLER_ERRORS, KEY_ERRORS, QUERY_ERRORS, errors
from handlers.models.queries import Cursor, From, Limit, To, one_of, window
from shared.core.errors import (
    DailyLimitExceeded,
    InvalidVoice,
    MemoNotFound,
    MonthlyLimitExceeded,
    NotFound,
    RangeNotSatisfiable,
    TooManyAttempts,
)
from shared.memos.memos import MAX_CHARACTERS
from shared.memos.requests import Draft
from shared.speech.simulated import MEDIA_TYPE, simulated_audio
from shared.speech.voices import VOICES
from shared.tables.memos import Memo
from shared.web.auth import AnyCaller, CallerCheckedBeside, CheckedBeside, ClientAddress, RequestServices
from shared.web.etags import etag_of, is_known
from shared.web.function import Function
from shared.web.ranges import requested_part

routes = APIRouter(tags=["memos"])

MEMO: Final = "/api/v1/memo/{memo_id}"


class AudioResponse(Response):
    media_type = MEDIA_TYPE


class CreateMemo(Body):
    model_config = example({"text": "Hello, world", "voice": "rachel", "title": "A greeting"})

    text: Annotated[RequiredText, at_most(MAX_CHARACTERS, bound="limit")]
    voice: VoiceName
    title: Annotated[str, at_most(200)] | None = None


class CreateDemo(Body):
    model_config = example({"text": "Hello, world", "voice": "rachel"})

    text: Annotated[RequiredText, at_most(1000, bound="limit")]
    voice: VoiceName


class RetitleMemo(Body):
    model_config = example({"title": "Another title"})

    title: Annotated[str, at_most(200)] | None = Field(description="null clears the title")


class VoiceList(Answer):
    voices: list[VoiceAnswer]


class MemoPage(Answer):
    memos: list[MemoAnswer]
    has_more: bool
    next_cursor: str | None


@routes.get("/api/v1/voices", responses=errors())
async def list_voices() -> VoiceList:
    return VoiceList(voices=list(VOICE_ANSWERS.values()))


@routes.post("/api/v1/demo", status_code=201, responses=errors(*BODY_ERRORS, InvalidVoice, TooManyAttempts))
async def create_demo(body: CreateDemo, address: ClientAddress, services: RequestServices) -> MemoAnswer:
    """A simulated memo that is not kept."""
    memo = await services.memos.demo(Draft(text=body.text, voice=VOICES[body.voice]), address=address)
    return _answer(memo, services)


@routes.post(
    "/api/v1/memo",
    status_code=201,
    responses=errors(*BODY_ERRORS, InvalidVoice, *KEY_ERRORS, DailyLimitExceeded, MonthlyLimitExceeded),
)
async def create_memo(
    presented: CheckedBeside, body: CreateMemo, services: RequestServices, response: Response
) -> MemoAnswer:
    """Say a text. The owner is charged one memo."""
    draft = Draft(text=body.text, voice=VOICES[body.voice], title=body.title or None)
    memo, allowance = await services.memos.make(presented.key, draft, check=presented.check)
    response.headers.update(allowance.headers(services.clock()))
    return _answer(memo, services)


@routes.get(MEMO, responses=errors(*CALLER_ERRORS, MemoNotFound))
async def get_memo(caller: AnyCaller, memo_id: str, services: RequestServices) -> MemoAnswer:
    return _answer(await services.tables.memos.load(caller.user_id, memo_id), services)


@routes.patch(MEMO, responses=errors(*BODY_ERRORS, *CALLER_ERRORS, MemoNotFound))
async def retitle_memo(caller: AnyCaller, memo_id: str, body: RetitleMemo, services: RequestServices) -> MemoAnswer:
    """Set the title, or clear it."""
    memo = await services.tables.memos.load(caller.user_id, memo_id)
    return _answer(await services.tables.memos.retitle(memo, body.title or None), services)


@routes.delete(MEMO, responses=errors(*CALLER_ERRORS, MemoNotFound))
async def delete_memo(caller: AnyCaller, memo_id: str, services: RequestServices) -> Message:
    """Delete the memo. What it counted towards limits and usage stays."""
    memo = await services.tables.memos.load(caller.user_id, memo_id)
    await services.tables.usage_logs.mark_memo_deleted(memo.user_id, memo.id)
    await services.tables.memos.delete(memo)
    return Message(success=True, message="Memo deleted successfully")


@routes.get("/api/v1/memos", responses=errors(*QUERY_ERRORS, InvalidVoice, *CALLER_ERRORS))
async def list_memos(
    caller: CallerCheckedBeside,
    services: RequestServices,
    limit: Limit = 20,
    cursor: Cursor = None,
    voice: Annotated[str | None, one_of(VOICES, description="Only this voice")] = None,
    since: From = None,
    until: To = None,
) -> MemoPage:
    """The owner's memos, newest first. With `voice` a page may be short while `hasMore` is true."""
    voice_id = None if voice is None else voice_named(voice).id
    scope = ("memos", caller.user_id, voice_id, since or None, until or None)
    bounds = window(limit=limit, after=services.cursors.open(scope, cursor), since=since, until=until)
    page = await caller.answered(services.tables.memos.page(caller.user_id, bounds, voice=voice_id))
    return MemoPage(
        memos=[_answer(memo, services) for memo in page.rows],
        has_more=page.after is not None,
        next_cursor=services.cursors.seal(scope, page.after),
    )


@routes.get(
    "/audio/{file}",
    response_class=Response,
    responses=errors(NotFound, RangeNotSatisfiable)
    | {
        200: {"description": "The whole file", "content": {MEDIA_TYPE: {}}},
        206: {"description": "The part that was asked for", "content": {MEDIA_TYPE: {}}},
        304: {"description": "The client has it already"},
    },
)
async def get_audio(
    file: Annotated[str, Path(examples=["simulated-10.mp3"])],
    asked: Annotated[str | None, Header(alias="Range")] = None,
    known: Annotated[str | None, Header(alias="If-None-Match")] = None,
    unless_changed: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    """The audio of a memo, to whoever has its URL."""
    audio = simulated_audio(file)
    if audio is None:
        raise NotFound("Audio not found")
    etag = etag_of(file)
    headers = {"etag": etag, "accept-ranges": "bytes", "cache-control": "public, max-age=31536000, immutable"}
    if is_known(etag, known):
        return AudioResponse(status_code=304, headers=headers)
    part = requested_part(asked if unless_changed in (None, etag) else None, len(audio))
    if part is None:
        raise RangeNotSatisfiable(length=len(audio))
    if part.end - part.start == len(audio):
        return AudioResponse(audio, headers=headers)
    headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{part.total}"
    return AudioResponse(audio[part.start : part.end], status_code=206, headers=headers)


def _answer(memo: Memo, services: RequestServices) -> MemoAnswer:
    return MemoAnswer.of(memo, public_url=services.settings.public_url)


handler = Function(routes, title="memos")
