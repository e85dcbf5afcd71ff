"""The routes of OpenAI's speech API: the answer is a text's audio. Each request makes a memo, as on other routes."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Response
from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from handlers.models.base import Answer, Body, example
from handlers.models.fields import RequiredText, among, at_most, voice_named
from handlers.models.openapi import BODY_ERRORS, KEY_ERRORS, errors_of_openai
from shared.audio.files import DEFAULT_FORMAT, MEDIA_TYPES, audio
from shared.audio.wav import at_rate, samples_of
from shared.core.errors import (
    AudioStoreFailed,
    Conflict,
    DailyLimitExceeded,
    InvalidVoice,
    MemoNotFound,
    MonthlyLimitExceeded,
    SpeechFailed,
)
from shared.memos.memos import MAX_CHARACTERS
from shared.memos.requests import Draft
from shared.speech.encoding import RATE
from shared.speech.simulated import simulated_audio
from shared.speech.voice_map import OPENAI
from shared.speech.voices import VOICES
from shared.web.auth import AnyKey, MemoMaker, RequestServices
from shared.web.checks_beside import RouteWithChecks

routes = APIRouter(tags=["speech for SDKs"], route_class=RouteWithChecks)

MODEL: Final = "agent-talk"
MODEL_SINCE: Final = 1_767_225_600
"""2026-01-01 in epoch seconds, for a field that the SDKs require."""

SPEECH_TYPES: Final = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm", "opus": "audio/ogg"}
"""Media types by `response_format`. `pcm` are the samples of a WAV without its header: 16-bit, little-endian, of one
channel, and always 24 kHz, which OpenAI's clients assume since no header could tell them."""

MOST_BYTES: Final = 4_000_000
"""Bytes of an answer: Lambda's 6 MB less a quarter for base64, and room for headers."""

_OUR_VOICES: Final = {theirs: ours for ours, theirs in OPENAI.items()} | {"ballad": "sam"}
"""Our voice for each of OpenAI's: the twelve of the table `OPENAI` in reverse, and `ballad`, the thirteenth."""


def _voice(requested: str) -> str:
    ours = _OUR_VOICES.get(requested.lower(), requested)
    try:
        return voice_named(ours).id
    except InvalidVoice as exc:
        details = {**exc.details, "requestedVoice": requested}
        raise PydanticCustomError("INVALID_VOICE", "Unknown voice", details) from exc


def _unchanged(speed: float) -> float:
    if speed != 1:
        raise PydanticCustomError("VALIDATION_ERROR", "must be 1: voices have one speed")
    return speed


def _enum(options: tuple[str, ...]) -> Any:
    return Field(json_schema_extra={"enum": list[JsonValue](options)})


_FORMATS: Final = tuple(SPEECH_TYPES)
_VOICE_NAMES: Final = (*VOICES, *_OUR_VOICES)


class CreateSpeech(Body):
    """`model` may be any name: the service has one model."""

    model_config = example({"model": MODEL, "input": "Hello, world", "voice": "rachel"})

    model: RequiredText
    input: Annotated[RequiredText, at_most(MAX_CHARACTERS, bound="limit")]
    voice: Annotated[str, Field(min_length=1), AfterValidator(_voice), _enum(_VOICE_NAMES)]
    response_format: Annotated[
        Annotated[str, among(_FORMATS), _enum(_FORMATS)] | None, Field(alias="response_format")
    ] = None
    speed: Annotated[float, AfterValidator(_unchanged)] | None = None
    stream_format: Annotated[
        Annotated[str, among(("audio",)), _enum(("audio",))] | None, Field(alias="stream_format")
    ] = None


class ModelEntry(Answer):
    id: str
    object: str
    created: int
    owned_by: Annotated[str, Field(alias="owned_by")]


class ModelList(Answer):
    object: str
    data: list[ModelEntry]


_AUDIO: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The audio", "content": {kind: {} for kind in SPEECH_TYPES.values()}},
    303: {"description": "The audio has more than 4 MB: its URL in the audio store"},
}


@routes.post(
    "/v1/audio/speech",
    response_class=Response,
    responses=errors_of_openai(
        *BODY_ERRORS,
        InvalidVoice,
        *KEY_ERRORS,
        Conflict,
        MemoNotFound,
        DailyLimitExceeded,
        MonthlyLimitExceeded,
        SpeechFailed,
        AudioStoreFailed,
    )
    | _AUDIO,
)
async def create_speech(
    presented: MemoMaker,
    body: CreateSpeech,
    services: RequestServices,
    repeats: Annotated[
        str, Header(alias="x-stainless-retry-count", description="How often the SDK has repeated this call by itself")
    ] = "0",
) -> Response:
    """Say a text, and return its audio. The memo is kept; its id is in `X-Memo-Id`.

    Errors have OpenAI's envelope. An SDK's automatic repeat returns the audio of its first call, and does not count.
    """
    asked = body.response_format or DEFAULT_FORMAT
    draft = Draft(text=body.input, voice=VOICES[body.voice], format=asked if asked in MEDIA_TYPES else "wav")
    is_repeat = repeats.isascii() and repeats.isdigit() and int(repeats[:9]) > 0
    made = await services.sdk_memos.make(presented.key, draft, is_repeat=is_repeat, check=presented.check)
    headers = {"x-memo-id": made.memo.id, **made.allowance.headers(services.clock())}
    file = made.memo.audio_url.removeprefix("/audio/")
    content, files = simulated_audio(file), services.audio.files
    if content is None and files is not None:
        content = await files.read(audio(file))
    if content is None:
        raise MemoNotFound(made.memo.id)  # deleted meanwhile
    samples, rate = samples_of(content) if asked == "pcm" else (content, RATE)
    if len(samples) * RATE // rate > MOST_BYTES:
        link = None if files is None else await files.link(audio(file))
        if link is not None:
            return Response(status_code=303, headers=headers | {"location": link.url})
    if asked == "pcm":
        content = await asyncio.to_thread(at_rate, samples, rate, RATE)
    return Response(content, headers=headers, media_type=SPEECH_TYPES[asked])


@routes.get("/v1/models", responses=errors_of_openai(*KEY_ERRORS))
async def list_models(_: AnyKey) -> ModelList:
    """List the models: there is one."""
    entry = ModelEntry(id=MODEL, object="model", created=MODEL_SINCE, owned_by=MODEL)
    return ModelList(object="list", data=[entry])
