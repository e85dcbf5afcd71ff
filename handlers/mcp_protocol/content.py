"""The answer of a tool: blocks for a model to read, and the same content as an object of the tool's schema."""

import base64
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from handlers.models.base import Answer


class TextBlock(Answer):
    type: Literal["text"] = "text"
    text: str


class LinkMeta(Answer):
    duration_seconds: float


class LinkBlock(Answer):
    """A link to audio. `size` is in bytes; None: unknown."""

    type: Literal["resource_link"] = "resource_link"
    uri: str
    name: str
    title: str | None
    description: str
    mime_type: str
    size: int | None
    meta: LinkMeta = Field(alias="_meta")


class AudioBlock(Answer):
    """The bytes of audio, in base64."""

    type: Literal["audio"] = "audio"
    data: str
    mime_type: str

    @classmethod
    def of(cls, content: bytes, mime_type: str) -> "AudioBlock":
        return cls(data=base64.b64encode(content).decode(), mime_type=mime_type)


Block = TextBlock | LinkBlock | AudioBlock


@dataclass(frozen=True, kw_only=True)
class ToolAnswer:
    """The answer of a call. `structured` has the tool's output schema; None: the tool failed."""

    blocks: tuple[Block, ...]
    structured: Answer | None = None
