"""A request for a memo: what is asked for, and what it has taken and written so far."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.limits.reservation import Reservation
from shared.speech.synthesizer import Synthesizer
from shared.speech.voices import Voice
from shared.tables.issued_keys import IssuedKey
from shared.tables.memos import Memo


@dataclass(frozen=True, kw_only=True)
class Draft:
    text: str
    voice: Voice
    title: str | None = None
    format: str = "mp3"


@dataclass(kw_only=True)
class MemoRequest:
    """`memo` is set once its rows are being written: from then on they may exist.

    `file` likewise: the name under which `speaker` keeps the audio.
    """

    key: IssuedKey
    draft: Draft
    at: datetime
    reservation: Reservation
    readings: dict[Synthesizer, str] = field(default_factory=dict)
    """What each voice that may say the text makes of it."""

    speaker: Synthesizer | None = None
    file: str | None = None
    memo: Memo | None = None
