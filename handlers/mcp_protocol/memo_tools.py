"""The tools for memos and voices."""

from typing import Annotated, Final

from pydantic import Field

from handlers.mcp_protocol.content import TextBlock, ToolAnswer
from handlers.mcp_protocol.memo_audio import MOST_INCLUDED, audio_blocks
from handlers.mcp_protocol.tools import A, Arguments, Tool, ToolCall
from handlers.models.base import Answer, Message
from handlers.models.fields import AudioFormat, RequiredText, VoiceName, at_most, voice_named
from handlers.models.idempotency import IdempotencyName
from handlers.models.limits import AllowanceAnswer
from handlers.models.memos import MemoAnswer, VoiceEntry
from handlers.models.queries import window
from shared.audio.files import DEFAULT_FORMAT, MEDIA_TYPES
from shared.memos.idempotency import Idempotent
from shared.memos.memos import MAX_CHARACTERS
from shared.memos.requests import Draft
from shared.speech.voices import VOICES
from shared.tables.issued_keys import Scope
from shared.tables.memos import AudioStatus, Memo

LOOK_AGAIN_S: Final = 5
"""Seconds after which a model calls get_memo again for a memo in processing: about the time of one piece."""

EXCERPT: Final = 200
"""Characters of each text in a list. A page of whole texts could fill a model's context."""

Included = Annotated[
    bool,
    Field(
        description=f"true: include the audio's bytes, if they are at most {MOST_INCLUDED}. Mostly the URL is enough"
    ),
]

MemoId = Annotated[RequiredText, Field(description="The id of a memo, from create_memo or list_memos")]


class CreateMemoArguments(Arguments):
    text: Annotated[
        RequiredText,
        at_most(MAX_CHARACTERS, bound="limit"),
        Field(description=f"What to say: plain text. The plan bounds its length, up to {MAX_CHARACTERS} characters"),
    ]
    voice: Annotated[VoiceName, Field(description="The id of a voice of list_voices")]
    title: Annotated[
        Annotated[str, at_most(200)] | None, Field(description="A title for lists, at most 200 characters. Not spoken")
    ] = None
    format: Annotated[AudioFormat | None, Field(description=f"{', '.join(MEDIA_TYPES)}; default {DEFAULT_FORMAT}")] = (
        None
    )
    idempotency_key: Annotated[
        IdempotencyName | None,
        Field(
            description="Choose once for this memo, and send the same value when you try again: then there is one memo "
            "and one charge, whatever was lost. 1 to 255 visible ASCII characters, such as a UUID"
        ),
    ] = None
    include_audio: Included = False


class MemoArguments(Arguments):
    id: MemoId


class GetMemoArguments(MemoArguments):
    include_audio: Included = False


class ListMemosArguments(Arguments):
    limit: Annotated[int, Field(description="Memos on a page, 1 to 100")] = 20
    cursor: Annotated[str | None, Field(description="nextCursor of the page before")] = None
    voice: Annotated[str | None, Field(description="Only memos of this voice")] = None
    since: Annotated[str | None, Field(alias="from", description="ISO 8601 date or time, UTC")] = None
    until: Annotated[str | None, Field(alias="to", description="ISO 8601 date or time, inclusive, UTC")] = None


class NoArguments(Arguments):
    pass


class OfferedVoices(Answer):
    voices: list[VoiceEntry]


class CreatedMemo(MemoAnswer):
    """A memo with the outcome of its call. `today` is the allowance of the day, over all keys of the owner."""

    replayed: Annotated[bool, Field(description="true: an earlier call made this memo, and this one is not charged")]
    today: AllowanceAnswer


class ListedMemos(Answer):
    memos: Annotated[list[MemoAnswer], Field(description=f"Newest first, their texts cut to {EXCERPT} characters")]
    has_more: bool
    next_cursor: str | None


async def _list_voices(call: ToolCall[NoArguments]) -> ToolAnswer:
    public_url = call.services.settings.public_url
    voices = OfferedVoices(voices=[VoiceEntry.of(voice, public_url=public_url) for voice in VOICES.values()])
    return _as_json(voices)


async def _create_memo(call: ToolCall[CreateMemoArguments]) -> ToolAnswer:
    asked, services = call.arguments, call.services
    draft = Draft(
        text=asked.text, voice=VOICES[asked.voice], title=asked.title or None, format=asked.format or DEFAULT_FORMAT
    )
    if asked.idempotency_key is None:
        (memo, allowance), is_replay = await services.memos.make(call.key, draft), False
    else:
        made = await services.keyed_memos.make(call.key, draft, keyed_by(asked.idempotency_key))
        memo, allowance, is_replay = made.memo, made.allowance, made.is_replay
    answer = _answer(memo, call)
    created = CreatedMemo(**dict(answer), replayed=is_replay, today=AllowanceAnswer.of(allowance))
    charged = (
        "An earlier call with this idempotencyKey made it, and this one is not charged."
        if is_replay
        else f"It counts as one memo; left today: {created.today.remaining}."
    )
    blocks = await audio_blocks(memo, answer, services.audio.files, is_included=asked.include_audio)
    return ToolAnswer(blocks=(TextBlock(text=f"{_told(answer)}\n{charged}"), *blocks), structured=created)


async def _get_memo(call: ToolCall[GetMemoArguments]) -> ToolAnswer:
    memo = await call.services.tables.memos.load(call.key.user_id, call.arguments.id)
    answer = _answer(memo, call)
    blocks = await audio_blocks(memo, answer, call.services.audio.files, is_included=call.arguments.include_audio)
    title = "" if memo.title is None else f"\nTitle: {memo.title}"
    text = f"{_told(answer)}{title}\nText: {memo.text}"
    return ToolAnswer(blocks=(TextBlock(text=text), *blocks), structured=answer)


async def _list_memos(call: ToolCall[ListMemosArguments]) -> ToolAnswer:
    asked, services, user_id = call.arguments, call.services, call.key.user_id
    voice = voice_named(asked.voice).id if asked.voice else None
    scope = ("memos", user_id, voice, asked.since or None, asked.until or None)
    after = services.cursors.open(scope, asked.cursor or None)
    bounds = window(limit=asked.limit, after=after, since=asked.since, until=asked.until)
    page = await services.tables.memos.page(user_id, bounds, voice=voice)
    return _as_json(
        ListedMemos(
            memos=[_answer(memo, call).model_copy(update={"text": _excerpt(memo.text)}) for memo in page.rows],
            has_more=page.after is not None,
            next_cursor=services.cursors.seal(scope, page.after),
        )
    )


async def _delete_memo(call: ToolCall[MemoArguments]) -> ToolAnswer:
    await call.services.memos.delete(call.key.user_id, call.arguments.id)
    return _as_json(Message(success=True, message="Memo deleted successfully"))


def keyed_by(name: str) -> Idempotent:
    """Return an idempotency key of this protocol. The prefix keeps it apart: a header's value contains no space."""
    return Idempotent(name=f"mcp {name}")


def _answer(memo: Memo, call: ToolCall[A]) -> MemoAnswer:
    return MemoAnswer.of(memo, public_url=call.services.settings.public_url)


def _told(memo: MemoAnswer) -> str:
    """Return the sentence on a memo's state, with the next step if it is not ready."""
    match memo.audio.status:
        case AudioStatus.READY:
            return f"Memo {memo.id} is ready: {memo.audio.duration} seconds of audio at {memo.audio.url}"
        case AudioStatus.PROCESSING:
            return (
                f"Memo {memo.id} is processing: its audio, about {memo.audio.duration} seconds, will be at "
                f"{memo.audio.url}. Call get_memo with this id in {LOOK_AGAIN_S} seconds, again until its status is "
                "ready. Do not create it again."
            )
        case AudioStatus.FAILED:
            return f"Memo {memo.id} failed: it has no audio, and its charge was given back. Create it again."


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…"


def _as_json(answer: Answer) -> ToolAnswer:
    """Return an answer whose text is its JSON. Some clients do not show structured content to a model."""
    return ToolAnswer(blocks=(TextBlock(text=answer.model_dump_json()),), structured=answer)


CREATE_MEMO: Final = Tool(
    name="create_memo",
    title="Create a voice memo",
    description=(
        "Speak a text and keep the audio at a URL that anyone can play. Use it when the user wants to hear something, "
        "or to send a spoken message. Each new memo costs one of the day's memos (get_usage shows how many are left); "
        "failures cost nothing. Returns the memo with its id, audio.url, audio.duration in seconds, and audio.status: "
        "ready, or processing for a long text; then call get_memo until it is ready. "
        "Send idempotencyKey, so that trying again makes no second memo."
    ),
    takes=CreateMemoArguments,
    returns=CreatedMemo,
    scope=Scope.MEMO_WRITE,
    call=_create_memo,
    is_read_only=False,
    is_idempotent=False,
)

MEMO_TOOLS: Final = (
    CREATE_MEMO,
    Tool(
        name="list_voices",
        title="List voices",
        description=(
            "List the voices that create_memo can speak with: id, name, gender, character, and the URL of a sample. "
            "Use it before the first memo, or when the user asks for another voice. Costs nothing."
        ),
        takes=NoArguments,
        returns=OfferedVoices,
        scope=None,
        call=_list_voices,
    ),
    Tool(
        name="list_memos",
        title="List memos",
        description=(
            "List the memos of this account, newest first, a page at a time: ids, titles, beginnings of texts, audio "
            "URLs. Use it to find a memo whose id you do not have. Costs nothing. If hasMore is true, call again with "
            "cursor set to nextCursor; with voice a page may be short although there are more."
        ),
        takes=ListMemosArguments,
        returns=ListedMemos,
        scope=Scope.MEMO_READ,
        call=_list_memos,
    ),
    Tool(
        name="get_memo",
        title="Get a memo",
        description=(
            "Get one memo by its id: whole text, audio URL, duration and status. Use it to see whether a memo that was "
            "processing is ready, or to play one again. Costs nothing."
        ),
        takes=GetMemoArguments,
        returns=MemoAnswer,
        scope=Scope.MEMO_READ,
        call=_get_memo,
    ),
    Tool(
        name="delete_memo",
        title="Delete a memo",
        description=(
            "Delete a memo and its audio for good: its URL stops working for everyone. Use it only when the user asks "
            "for it. Costs nothing, and gives back nothing of the limits."
        ),
        takes=MemoArguments,
        returns=Message,
        scope=Scope.MEMO_WRITE,
        call=_delete_memo,
        is_read_only=False,
        is_destructive=True,
    ),
)
"""The tools for memos, in the order in which they are listed."""
