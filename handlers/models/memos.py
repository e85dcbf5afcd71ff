"""The answer for a memo: of the memos function, and as a line of an export."""

from typing import Annotated, Final, Self

from pydantic import Field, JsonValue

from handlers.models.base import Answer
from shared.audio.files import DEFAULT_FORMAT, MEDIA_TYPES, format_of
from shared.core.clock import Instant
from shared.speech.voices import VOICES, Voice
from shared.tables.memos import AudioStatus, Memo


class VoiceAnswer(Answer):
    id: str
    name: str
    gender: str
    description: str


VOICE_ANSWERS: Final = {voice.id: VoiceAnswer.model_validate(voice) for voice in VOICES.values()}


class VoiceEntry(VoiceAnswer):
    """A voice in the list of voices. `sampleUrl` is the absolute URL of a sentence in this voice, as MP3."""

    sample_url: str

    @classmethod
    def of(cls, voice: Voice, *, public_url: str) -> Self:
        return cls(
            id=voice.id,
            name=voice.name,
            gender=voice.gender,
            description=voice.description,
            sample_url=f"{public_url}/samples/{voice.id}.mp3",
        )


def _unknown(voice_id: str) -> VoiceAnswer:
    """Return the answer for a voice that is no longer offered. A memo that moved in keeps its voice."""
    return VoiceAnswer(id=voice_id, name=voice_id, gender="unknown", description="")


class AudioAnswer(Answer):
    url: str
    duration: float
    format: Annotated[str, Field(json_schema_extra={"enum": list[JsonValue](MEDIA_TYPES)})]
    status: AudioStatus


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
            audio=AudioAnswer(
                url=memo.audio_at(public_url), duration=memo.audio_seconds, format=_format(memo), status=memo.status
            ),
            character_count=memo.character_count,
            created_at=memo.created_at,
        )


def _format(memo: Memo) -> str:
    """Return the format by the ending of the audio's URL. MP3 for a URL elsewhere with an unknown ending."""
    ending = format_of(memo.audio_url)
    return ending if ending in MEDIA_TYPES else DEFAULT_FORMAT
