"""The formats of audio, by the ending of a file: how its length is read, and how parts are joined."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.audio import mp3, ogg, wav
from shared.audio.length import Length


@dataclass(frozen=True, kw_only=True)
class Format:
    """The functions of a format. Both raise BadAudio for bytes of another format."""

    read: Callable[[bytes], Length]
    joined: Callable[[Iterable[bytes]], bytes]


FORMATS: Final[Mapping[str, Format]] = {
    "mp3": Format(read=mp3.read_mp3, joined=mp3.joined),
    "wav": Format(read=wav.read_wav, joined=wav.joined),
    "opus": Format(read=ogg.read_opus, joined=ogg.joined),
}
