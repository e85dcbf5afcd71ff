"""Voices, memos and their audio."""

from typing import Annotated, Final

from fastapi import APIRouter, Response
from pydantic import Field

from handlers import memos_audio, memos_speech
from handlers.models.base import Answer, Body, Message, example
from handlers.models.fields import AudioFormat, RequiredText, VoiceName, at_most, voice_named
from handlers.models.idempotency import REPLAYED, REPLAYED_HEADER, GivenIdempotencyKey
from handlers.models.memos import MemoAnswer, VoiceEntry
from handlers.models.openapi import BODY_ERRORS, CALLER_ERRORS, KEY_ERRORS, QUERY_ERRORS, errors
from handlers.models.queries import Cursor, From, Limit, To, one_of, window
from shared.audio.files import DEFAULT_FORMAT
from shared.core.errors import (
    AudioStoreFailed,
    Conflict,
    DailyLimitExceeded,
    InvalidVoice,
    MemoNotFound,
    MonthlyLimitExceeded,
    SpeechFailed,
    TooManyAttempts,
)
from shared.memos.memos import MAX_CHARACTERS
from shared.memos.requests import Draft
from shared.speech.voices import VOICES
from shared.tables.memos import Memo
from shared.web.auth import ClientAddress, MemoMaker, MemoPageReader, MemoReader, MemoWriter, RequestServices
from shared.web.checks_beside import RouteWithChecks
from shared.web.function import Function
from shared.web.openai_errors import OpenAiErrors

routes = APIRouter(tags=["memos"], route_class=RouteWithChecks)

MEMO: Final = "/api/v1/memo/{memo_id}"


class CreateMemo(Body):
    model_config = example({"text": "Hello, world", "voice": "rachel", "title": "A greeting"})

    text: Annotated[RequiredText, at_most(MAX_CHARACTERS, bound="limit")]
    voice: VoiceName
    title: Annotated[str, at_most(200)] | None = None
    format: AudioFormat | None = None


class CreateDemo(Body):
    model_config = example({"text": "Hello, world", "voice": "rachel"})

    text: Annotated[RequiredText, at_most(1000, bound="limit")]
    voice: VoiceName


class RetitleMemo(Body):
    model_config = example({"title": "Another title"})

    title: Annotated[str, at_most(200)] | None = Field(description="null clears the title")


class VoiceList(Answer):
    voices: list[VoiceEntry]


class MemoPage(Answer):
    memos: list[MemoAnswer]
    has_more: bool
    next_cursor: str | None


@routes.get("/api/v1/voices", responses=errors())
async def list_voices(services: RequestServices) -> VoiceList:
    """List the voices, each with the URL of a sample. Needs no credential."""
    public_url = services.settings.public_url
    return VoiceList(voices=[VoiceEntry.of(voice, public_url=public_url) for voice in VOICES.values()])


@routes.post("/api/v1/demo", status_code=201, responses=errors(*BODY_ERRORS, InvalidVoice, TooManyAttempts))
async def create_demo(body: CreateDemo, address: ClientAddress, services: RequestServices) -> MemoAnswer:
    """Make a demo: a memo with simulated audio, which is silence, and not kept. Needs no credential."""
    memo = await services.memos.demo(Draft(text=body.text, voice=VOICES[body.voice]), address=address)
    return _answer(memo, services)


@routes.post(
    "/api/v1/memo",
    status_code=201,
    responses=errors(
        *BODY_ERRORS,
        InvalidVoice,
        *KEY_ERRORS,
        Conflict,
        DailyLimitExceeded,
        MonthlyLimitExceeded,
        SpeechFailed,
        AudioStoreFailed,
    )
    | REPLAYED_HEADER,
)
async def create_memo(
    idempotent: GivenIdempotencyKey,
    presented: MemoMaker,
    body: CreateMemo,
    services: RequestServices,
    response: Response,
) -> MemoAnswer:
    """Make a memo: say a text, and keep the audio at a URL.

    It counts as one memo of the owner's limits; a repeat with the same `Idempotency-Key` does not count. If
    `audio.status` is `processing`, the text is said after the answer: get the memo until it is `ready`.
    """
    draft = Draft(
        text=body.text, voice=VOICES[body.voice], title=body.title or None, format=body.format or DEFAULT_FORMAT
    )
    if idempotent is None:
        memo, allowance = await services.memos.make(presented.key, draft, check=presented.check)
    else:
        made = await services.keyed_memos.make(presented.key, draft, idempotent, check=presented.check)
        memo, allowance = made.memo, made.allowance
        if made.is_replay:
            response.headers[REPLAYED] = "true"
    response.headers.update(allowance.headers(services.clock()))
    return _answer(memo, services)


@routes.get(MEMO, responses=errors(*CALLER_ERRORS, MemoNotFound))
async def get_memo(caller: MemoReader, memo_id: str, services: RequestServices) -> MemoAnswer:
    """Return a memo. Its `audio.status` is `ready`, `processing` for a long text, or `failed`."""
    return _answer(await services.tables.memos.load(caller.user_id, memo_id), services)


@routes.patch(MEMO, responses=errors(*BODY_ERRORS, *CALLER_ERRORS, MemoNotFound))
async def retitle_memo(caller: MemoWriter, memo_id: str, body: RetitleMemo, services: RequestServices) -> MemoAnswer:
    """Set the title of a memo, or clear it."""
    memo = await services.tables.memos.load(caller.user_id, memo_id)
    return _answer(await services.tables.memos.retitle(memo, body.title or None), services)


@routes.delete(MEMO, responses=errors(*CALLER_ERRORS, MemoNotFound, AudioStoreFailed))
async def delete_memo(caller: MemoWriter, memo_id: str, services: RequestServices) -> Message:
    """Delete a memo and its audio permanently. It still counts in limits and usage."""
    await services.memos.delete(caller.user_id, memo_id)
    return Message(success=True, message="Memo deleted successfully")


@routes.get("/api/v1/memos", responses=errors(*QUERY_ERRORS, InvalidVoice, *CALLER_ERRORS))
async def list_memos(
    caller: MemoPageReader,
    services: RequestServices,
    limit: Limit = 20,
    cursor: Cursor = None,
    voice: Annotated[str | None, one_of(VOICES, description="Only this voice")] = None,
    since: From = None,
    until: To = None,
) -> MemoPage:
    """List the owner's memos, newest first. With `voice` a page can be short although `hasMore` is true."""
    voice_id = None if voice is None else voice_named(voice).id
    scope = ("memos", caller.user_id, voice_id, since, until)
    bounds = window(limit=limit, after=services.cursors.open(scope, cursor), since=since, until=until)
    page = await services.tables.memos.page(caller.user_id, bounds, voice=voice_id)
    return MemoPage(
        memos=[_answer(memo, services) for memo in page.rows],
        has_more=page.after is not None,
        next_cursor=services.cursors.seal(scope, page.after),
    )


def _answer(memo: Memo, services: RequestServices) -> MemoAnswer:
    return MemoAnswer.of(memo, public_url=services.settings.public_url)


# An included router would hide its paths. Routes are tried in order, and those above get more requests.
routes.routes += [*memos_audio.routes.routes, *memos_speech.routes.routes]
handler = Function(routes, title="memos", around=OpenAiErrors)
