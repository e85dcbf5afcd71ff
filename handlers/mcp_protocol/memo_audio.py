"""A memo's audio in the answer of a tool: a link, and the bytes if they are wanted and few."""

import logging
from dataclasses import dataclass
from typing import Final

from handlers.mcp_protocol.content import AudioBlock, Block, LinkBlock, LinkMeta, TextBlock
from handlers.models.memos import MemoAnswer
from shared.audio.files import MEDIA_TYPES, AudioFiles, audio, is_file
from shared.core.errors import AudioStoreFailed
from shared.speech.simulated import simulated_audio
from shared.tables.memos import AudioStatus, Memo

MOST_INCLUDED: Final = 100_000
"""Bytes of audio that an answer includes. In base64 they are 133 kB of a model's context, some 25 s of speech."""

_log = logging.getLogger("agent_talk.mcp")


@dataclass(frozen=True, kw_only=True)
class MemoAudio:
    """The facts of a memo's audio. `size` is in bytes; None: unknown, as for a memo that moved in. `content` of None:
    not wanted, or over MOST_INCLUDED."""

    size: int | None
    content: bytes | None = None


async def audio_blocks(
    memo: Memo, answer: MemoAnswer, files: AudioFiles | None, *, is_included: bool
) -> tuple[Block, ...]:
    """Return the link to a memo's audio, and its bytes if they are wanted and fit. Nothing if it is not ready."""
    if memo.status is not AudioStatus.READY:
        return ()
    found = await _look(memo, files, is_included=is_included)
    media_type = MEDIA_TYPES[answer.audio.format]
    link = LinkBlock(
        uri=answer.audio.url,
        name=answer.audio.url.rpartition("/")[2],
        title=memo.title,
        description=f"{answer.audio.duration} seconds of speech, voice {memo.voice}",
        mime_type=media_type,
        size=found.size,
        meta=LinkMeta(duration_seconds=answer.audio.duration),
    )
    if not is_included:
        return (link,)
    if found.content is None:
        text = (
            f"The audio is not included: it has more than {MOST_INCLUDED} bytes, or cannot be read now. Fetch the URL."
        )
        return (link, TextBlock(text=text))
    return (link, AudioBlock.of(found.content, media_type))


async def _look(memo: Memo, files: AudioFiles | None, *, is_included: bool) -> MemoAudio:
    """Return the facts of a memo's audio. If the audio place fails, they are unknown: the memo exists all the same."""
    file = memo.audio_url.removeprefix("/audio/")
    simulated = simulated_audio(file)
    if simulated is not None:
        fits = len(simulated) <= MOST_INCLUDED
        return MemoAudio(size=len(simulated), content=simulated if fits else None)
    if files is None or not is_file(file):
        return MemoAudio(size=None)
    try:
        held = await files.head(audio(file))
        if held is None or not is_included or held.size > MOST_INCLUDED:
            return MemoAudio(size=None if held is None else held.size)
        return MemoAudio(size=held.size, content=await files.read(audio(file)))
    except AudioStoreFailed as exc:
        _log.warning("the size of a memo's audio could not be read: %s", exc, extra={"memo_id": memo.id})
        return MemoAudio(size=None)
