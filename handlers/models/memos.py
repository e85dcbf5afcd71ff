"""How a memo is answered: by the memos function, and line by line in an export."""

from typing import Final, Self

from handlers.models.base import Answer
from shared.core.clock import Instant
from shared.speech.voices import VOICES
from shared.tables.memos import Memo


class VoiceAnswer(Answer):
    id: str
    name: str
    gender: str
    description: str


VOICE_ANSWERS: Final = {voice.id: VoiceAnswer.model_validate(voice) for voice in VOICES.values()}


def _unknown(voice_id: str) -> VoiceAnswer:
    """Answer a voice that is offered no more: a memo that moved in keeps the one it has."""
    return VoiceAnswer(id=voice_id, name=voice_id, gender="unknown", description="")


class AudioAnswer(Answer):
    url: str
    duration: float
    format: str


class MemoAnswer(Answer):
    id: str
    text: str
    title: str | None
    voice: VoiceAnswer
    audio: AudioAnswer
    character_count: int
    created_at: Instant

    @classmethod
    def of(cls, memo: Memo, *, public_url: str) -> Self:
        return cls(
            id=memo.id,
            text=memo.text,
            title=memo.title,
            voice=VOICE_ANSWERS.get(memo.voice) or _unknown(memo.voice),
            audio=AudioAnswer(url=memo.audio_at(public_url), duration=memo.duration_seconds, format="mp3"),
            character_count=memo.character_count,
            created_at=memo.created_at,
        )
